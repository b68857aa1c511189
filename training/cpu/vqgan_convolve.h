// The convolutions of a VQGAN's training without a matrix unit: bf16 values widened to float32, products by FMA. The
// same sums as the matrix unit's up to their order, for any size. Sixteen channels of the result stand side by side, in
// as many registers as that takes.
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/cpu/threads.h"
#include "training/cpu/vqgan_isa.h"
#include "training/cpu/vqgan_maps.h"

namespace leon {
namespace {

using Sixteen = Vec<16>;

// PIXELS neighbours of a row times sixteen channels from `block` on.
template <int PIXELS>
[[gnu::always_inline]] inline void convolve_pixels(const ConvArguments& a, const ConvJob& job, int64_t y, int64_t x,
                                                   int64_t block) {
    const int64_t depth_blocks = a.depth / 32, blocks = (a.channels + 31) / 32 * 2;
    const int64_t channel = block * 16, count = smaller(16, a.channels - channel);
    Sixteen sum[PIXELS];
    const int64_t biases = a.bias ? larger(0, smaller(16, a.biases - channel)) : 0;
    for (int p = 0; p < PIXELS; p++) sum[p] = load_some<16>(a.bias + (biases > 0 ? channel : 0), biases);
    for (int t = 0; t < job.taps; t++) {
        const uint16_t* from = a.x + (job.in_first + y * job.in_row + x * job.in_col + job.offset[t]) * a.depth;
        for (int64_t k = 0; k < depth_blocks; k++) {
            const uint16_t* w = a.weights + ((job.matrix[t] * depth_blocks + k) * blocks + block) * TILE_VALUES;
            for (int64_t pair = 0; pair < 16; pair++) {
                const Pair<16> weights = load_pair<16>(w + pair * 32);
#pragma GCC unroll 8
                for (int p = 0; p < PIXELS; p++) {
                    const uint16_t* values = from + p * job.in_col * a.depth + k * 32 + pair * 2;
                    sum[p] = fma(broadcast<16>(widen(values[0])), weights.first, sum[p]);
                    sum[p] = fma(broadcast<16>(widen(values[1])), weights.second, sum[p]);
                }
            }
        }
    }
    for (int p = 0; p < PIXELS; p++) {
        const int64_t at = (job.out_first + y * job.out_row + (x + p) * job.out_col) * a.channels + channel;
        if (a.plain && count == 16) {
            store(a.plain + at, sum[p]);
        } else if (a.plain) {
            store_some(a.plain + at, sum[p], count);
        } else {
            if (a.residual) sum[p] = sum[p] + load_bf16<16>(a.residual + at);
            store_bf16(a.framed + at, sum[p]);
        }
    }
}

inline void conv(const ConvArguments& a) {
    for (int j = 0; j < a.jobs; j++) {
        const ConvJob& job = a.job[j];
        for (int64_t block = 0; block < ceil_div(a.channels, 16); block++)
            for (int64_t y = 0; y < job.rows; y++) {
                int64_t x = 0;
                for (; x + 8 <= job.cols; x += 8) convolve_pixels<8>(a, job, y, x, block);
                for (; x < job.cols; x++) convolve_pixels<1>(a, job, y, x, block);
            }
    }
}

// One row of the grid: dweight[o .. o + OUT, 16 channels of the map from c on] += sum of dy * x.
template <int OUT>
[[gnu::always_inline]] inline void add_row(const ConvWeightArguments& a, const WeightJob& job, int t, const float* dy,
                                           const float* x, int64_t o, int64_t c) {
    const int64_t pitch = a.matrices * a.in, count = smaller(16, a.in - c);
    Sixteen sum[OUT];
    for (int i = 0; i < OUT; i++) sum[i] = zeros<16>();
    for (int64_t p = 0; p < job.cols; p++) {
        const Sixteen values = load<16>(x + p * a.x_depth + c);
#pragma GCC unroll 8
        for (int i = 0; i < OUT; i++) sum[i] = fma(broadcast<16>(dy[p * a.dy_depth + o + i]), values, sum[i]);
    }
    for (int i = 0; i < OUT; i++) {
        float* to = a.dweight + (o + i) * pitch + job.matrix[t] * a.in + c;
        if (count == 16)
            store(to, load<16>(to) + sum[i]);
        else
            store_some(to, load_some<16>(to, count) + sum[i], count);
    }
}

inline void conv_weight(const ConvWeightArguments& a) {
    for (int j = 0; j < a.jobs; j++) {
        const WeightJob& job = a.job[j];
        float* dy = scratch_floats(job.cols * (a.dy_depth + a.x_depth));
        float* x = dy + job.cols * a.dy_depth;
        auto widen_row = [&](float* to, const uint16_t* from, int64_t step, int64_t depth) {
            for (int64_t p = 0; p < job.cols; p++)
                for (int64_t c = 0; c < depth; c++) to[p * depth + c] = widen(from[p * step * depth + c]);
        };
        for (int64_t y = 0; y < job.rows; y++) {
            widen_row(dy, a.dy + (job.dy_first + y * job.dy_row) * a.dy_depth, job.dy_col, a.dy_depth);
            for (int t = 0; t < job.taps; t++) {
                const int64_t first = job.x_first + (y + job.row[t]) * job.x_row + job.offset[t];
                widen_row(x, a.x + first * a.x_depth, job.x_col, a.x_depth);
                for (int64_t c = 0; c < a.in; c += 16) {
                    int64_t o = 0;
                    for (; o + 8 <= a.out; o += 8) add_row<8>(a, job, t, dy, x, o, c);
                    for (; o < a.out; o++) add_row<1>(a, job, t, dy, x, o, c);
                }
            }
        }
    }
}

}  // namespace
}  // namespace leon
