// Group normalisation of a picture [pixels, channels], channels last, with an optional Swish.
//
// Pixels are cut into blocks that stay in L2. Each block gives, per group, its mean and its sum of squares about that
// mean; the blocks are merged in double precision in a fixed order (Chan, Golub and LeVeque), so that the picture is
// read from memory once for the statistics and once for the result, with no cancellation, and with the same bits for
// every number of threads. Bound by memory with AVX-512; with AVX2, the Swish of every element costs as much.
// 2026-11-23, one core of an AMD EPYC (Zen 5), with Swish, 128 channels at 512x512, two reads and a write: 28 GB/s
// (AVX-512: 71% of the roof for reading) and 17 (AVX2: 43%). docs/kernels.md
#pragma once

#include "kernels/cpu/isa.h"
#include "kernels/cpu/norms.h"

namespace leon {
namespace {

constexpr int64_t BLOCK_FLOATS = 32 << 10;  // of a block of pixels: 128 KB, a quarter of the smallest L2

// columns[c] = sum over pixels of f(x[p, c], c), for VECTORS * LANES adjacent channels.
template <int LANES, int VECTORS, class F>
[[gnu::always_inline]] inline void sum_some_columns(float* columns, const float* x, int64_t pixels, int64_t channels,
                                                    int64_t c, F f) {
    Vec<LANES> partial[VECTORS];
#pragma GCC unroll 4
    for (int i = 0; i < VECTORS; i++) partial[i] = zeros<LANES>();
    for (int64_t p = 0; p < pixels; p++)
#pragma GCC unroll 4
        for (int i = 0; i < VECTORS; i++)
            partial[i] = partial[i] + f(load<LANES>(x + p * channels + c + i * LANES), c + i * LANES);
#pragma GCC unroll 4
    for (int i = 0; i < VECTORS; i++) store(columns + c + i * LANES, partial[i]);
}
template <int LANES, class F>
[[gnu::always_inline]] inline void sum_columns(float* columns, const float* x, int64_t pixels, int64_t channels, F f) {
    int64_t c = 0;
    for (; c + 4 * LANES <= channels; c += 4 * LANES) sum_some_columns<LANES, 4>(columns, x, pixels, channels, c, f);
    for (; c + LANES <= channels; c += LANES) sum_some_columns<LANES, 1>(columns, x, pixels, channels, c, f);
    if (c == channels) return;
    Vec<LANES> partial = zeros<LANES>();
    for (int64_t p = 0; p < pixels; p++) partial = partial + f(load_some<LANES>(x + p * channels + c, channels - c), c);
    store_some(columns + c, partial, channels - c);
}

template <int LANES>
void group_norm(const GroupNormArguments& g) {
    const int64_t width = g.channels / g.groups, chunk = larger(1, BLOCK_FLOATS / g.channels);
    const int64_t blocks = ceil_div(g.pixels, chunk), padded = round_up(g.channels, 16);
    double* block_mean = static_cast<double*>(
        scratch(sizeof(double) * 2 * blocks * g.groups + sizeof(float) * (3 + 2 * cpu_workers()) * padded));
    double* block_squares = block_mean + blocks * g.groups;                                // [blocks, groups]
    float* scale = reinterpret_cast<float*>(block_squares + blocks * g.groups);            // [channels]
    float *centre = scale + padded, *offset = centre + padded, *memory = offset + padded;  // [channels]

    parallel(blocks, [=, &g](int64_t block, int worker) {
        const int64_t first = block * chunk, pixels = smaller(chunk, g.pixels - first);
        const float* x = g.x + first * g.channels;
        float *columns = memory + worker * 2 * padded, *means = columns + padded;
        // Sums are taken about the block's first pixel: a large common value would eat the digits of a float.
        for (int64_t c = 0; c < padded; c++) means[c] = c < g.channels ? x[c] : 0.0f;
        sum_columns<LANES>(columns, x, pixels, g.channels,
                           [=](Vec<LANES> v, int64_t c) { return v - load<LANES>(means + c); });
        for (int64_t group = 0; group < g.groups; group++) {
            double total = 0;
            for (int64_t c = group * width; c < (group + 1) * width; c++)
                total += columns[c] + static_cast<double>(pixels) * means[c];
            const float mean = static_cast<float>(total / static_cast<double>(pixels * width));
            for (int64_t c = group * width; c < (group + 1) * width; c++) means[c] = mean;
            // The mean was rounded to float, and the squares are about the rounded one: the difference is put back.
            block_mean[block * g.groups + group] = total / static_cast<double>(pixels * width);
        }
        sum_columns<LANES>(columns, x, pixels, g.channels, [=](Vec<LANES> v, int64_t c) {
            Vec<LANES> centred = v - load<LANES>(means + c);
            return centred * centred;
        });
        for (int64_t group = 0; group < g.groups; group++) {
            double squares = 0;
            for (int64_t c = group * width; c < (group + 1) * width; c++) squares += columns[c];
            const double slip = block_mean[block * g.groups + group] - means[group * width];
            block_squares[block * g.groups + group] = squares - static_cast<double>(pixels * width) * slip * slip;
        }
    });

    for (int64_t group = 0; group < g.groups; group++) {
        double count = 0, mean = 0, squares = 0;
        for (int64_t block = 0; block < blocks; block++) {
            const double more = static_cast<double>(smaller(chunk, g.pixels - block * chunk) * width);
            const double step = block_mean[block * g.groups + group] - mean;
            squares += block_squares[block * g.groups + group] + step * step * count * more / (count + more);
            mean += step * more / (count + more);
            count += more;
        }
        const double deviation = 1.0 / __builtin_sqrt(squares / count + static_cast<double>(g.eps));
        for (int64_t c = group * width; c < (group + 1) * width; c++) {
            scale[c] = static_cast<float>(deviation * g.weight[c]);
            centre[c] = static_cast<float>(mean);
            offset[c] = static_cast<float>(g.bias[c] + (centre[c] - mean) * deviation * g.weight[c]);
        }
    }

    parallel(blocks, [=, &g](int64_t block, int) {
        const int64_t first = block * chunk, last = smaller(g.pixels, first + chunk);
        for (int64_t p = first; p < last; p++)
            map_over<LANES>(g.out + p * g.channels, g.x + p * g.channels, g.channels, [&](Vec<LANES> v, auto other) {
                Vec<LANES> normed = fma(v - other(centre), other(scale), other(offset));
                return g.swish ? swish(normed) : normed;
            });
    });
}

}  // namespace
}  // namespace leon
