// Two loops that do nothing but load, and nothing but multiply-add: what kernels/roof.cpp measures the machine with.
#pragma once

#include "kernels/cpu/simd.h"

namespace leon {
namespace {

// Adds up `count` floats (a multiple of 8 LANES) as fast as memory delivers them: every line is touched, in one stream
// per thread, which is also how the weights of a matmul are read.
template <int LANES>
float stream_sum(const float* x, int64_t count) {
    constexpr int VECTORS = 8;
    Vec<LANES> partial[VECTORS];
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; v++) partial[v] = zeros<LANES>();
    for (int64_t i = 0; i + VECTORS * LANES <= count; i += VECTORS * LANES)
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++) {
            __builtin_prefetch(x + i + v * LANES + 256);
            partial[v] = partial[v] + load<LANES>(x + i + v * LANES);
        }
    for (int v = 1; v < VECTORS; v++) partial[0] = partial[0] + partial[v];
    return sum(partial[0]);
}

// `steps` rounds of 12 independent chains, enough to hide the latency of two multiply-add pipes. Values stay near 1.
template <int LANES>
double fma_rounds(int64_t steps, float* sink) {
    constexpr int CHAINS = 12;
    const Vec<LANES> keep = broadcast<LANES>(*sink), add = broadcast<LANES>(1.0f - *sink);
    Vec<LANES> chain[CHAINS];
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS; c++) chain[c] = broadcast<LANES>(static_cast<float>(c));
    for (int64_t i = 0; i < steps; i++)
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++) chain[c] = fma(chain[c], keep, add);
    for (int c = 1; c < CHAINS; c++) chain[0] = chain[0] + chain[c];
    *sink = sum(chain[0]);
    return 2.0 * LANES * CHAINS * static_cast<double>(steps);
}

}  // namespace
}  // namespace leon
