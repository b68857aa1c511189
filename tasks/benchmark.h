// How fast this machine runs models, each figure beside the roof that bounds it, measured in the same run:
//
//   decode    bytes of weights read a second, of the measured read bandwidth
//   draw      a step of the decode loop, sampling included, with 1, 2 and 3 streams and with several candidates: the
//             streams of a step read the weights once, so what more of them cost is told against one
//   prefill   multiply-adds a second, of the measured FMA peak
//   pictures  the same, for the VQGAN's encoder and decoder
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace leon {

struct BenchmarkOptions {
    // "box" is the model file itself; others are presets of random weights (weights_converter/random_model.h).
    std::vector<std::string> shapes = {"box", "350m", "7b"};
    std::string scratch = "/tmp";  // where random models are written; nothing stays
    std::function<void(const std::string&)> say = [](const std::string&) {};  // receives the report line by line
};

void benchmark(const std::string& model_path, const Kernels& kernels, const BenchmarkOptions& options);

}  // namespace leon
