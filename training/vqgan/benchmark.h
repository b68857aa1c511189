// How fast this machine trains a VQGAN: pictures of noise through the network and back, and the time of each operation.
// training/peers/vqgan_throughput.py does the same in PyTorch.
#pragma once

#include <functional>
#include <string>

#include "runtime/config.h"

namespace leon {

struct VqganBench {
    VqganConfig config;  // of the network; its weights are random
    int side = 128;      // of the pictures
    int pictures = 4;    // of a step
    int steps = 5;
};

// One line a step, and one for the fastest of all: forward, backward and AdamW. Then, of one more picture, the
// processor's time in each operation of VqganGradKernels, the longest first.
void benchmark_vqgan(const VqganBench& bench, const std::function<void(const std::string&)>& say);

}  // namespace leon
