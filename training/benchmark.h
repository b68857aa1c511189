// How fast this machine trains: whole steps (forward, backward, AdamW) of a model of random weights on random tokens,
// on the CPU beside the roof of its multiply-adds, measured in the same run. training/peers/throughput.py does the same
// in PyTorch.
#pragma once

#include <functional>
#include <string>

#include "runtime/config.h"
#include "training/grad_kernels.h"

namespace leon {

struct TrainingShape {
    std::string architecture = "chameleon";  // or "cm3leon": which six facts
    int layers = 8, dim = 256, heads = 4, ffn_dim = 704, vocab = 1600;
    int documents = 8, length = 512;  // of a step; side by side, blind to one another
    int steps = 5;
    bool operations = false;  // whether a last step says where its time goes
};

// Error for an unknown architecture, or sizes that make none.
TransformerConfig transformer_of(const TrainingShape& shape);

// One line a step, one for the fastest of all, and with shape.operations one for each operation of one more step.
void benchmark_training(const TrainingShape& shape, const Kernels& kernels, const GradKernels& grad_kernels,
                        const std::function<void(const std::string&)>& say);

}  // namespace leon
