// The line that every run ends with: how fast the model ran, and how much of this machine's read bandwidth that is.
#pragma once

#include <string>

#include "runtime/generate.h"

namespace leon {

// "prompt 7 tokens in 0.02 s = 350 tokens/s; 256 tokens in 0.61 s = 420.0 tokens/s, 12.10 GB/s of weights = 83% of this
// machine's 14.6 GB/s; picture 0.07 s". Measures the bandwidth (some tens of milliseconds) if weights were read token
// by token. On a GPU there is no share of a roof, for that of the processor says nothing: build/bench_cuda has its own.
std::string speed_line(const Kernels& kernels, const GenerateStatistics& statistics, double picture_seconds);

}  // namespace leon
