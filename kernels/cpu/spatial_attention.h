// Attention of every pixel to every pixel, one head as wide as the channels: two blocked matrix products per block of
// keys with the online softmax of attention.h in between, so that the pixels x pixels matrix is never whole.
//
// Keys and values are packed once per call (the keys like weights, the values are k-major already). A task owns a run
// of query pixels. Bound by arithmetic: 4 pixels^2 channels operations.
// 2026-11-23, one core of an AMD EPYC (Zen 5), 1024 pixels of 512: 185 GFLOP/s (AVX-512: 75% of the roof) and 98 (AVX2:
// 81%). docs/kernels.md
#pragma once

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/threads.h"

namespace leon {
namespace {

constexpr int64_t QUERY_ROWS = 48;      // out [48, 512]: 96 KB of L2
constexpr int64_t KEY_BLOCK = BLOCK_K;  // the depth of the second product

// One row of scores over a block of keys becomes weights; the row of `out` so far is scaled to the new maximum.
template <int LANES>
inline void soften_row(float* scores, int64_t count, float scale, float& top, float& total, float* out,
                       int64_t channels) {
    float highest = top;
    for (int64_t j = 0; j < count; j++) {
        scores[j] *= scale;
        highest = scores[j] > highest ? scores[j] : highest;
    }
    Vec<LANES> added = zeros<LANES>(), shift = broadcast<LANES>(highest);
    int64_t j = 0;
    for (; j + LANES <= count; j += LANES) {
        Vec<LANES> e = exp(load<LANES>(scores + j) - shift);
        store(scores + j, e);
        added = added + e;
    }
    float tail = 0.0f;
    for (; j < count; j++) tail += scores[j] = exp_native(Native{} + (scores[j] - highest))[0];
    const float fade = exp_native(Native{} + (top - highest))[0];
    total = total * fade + (sum(added) + tail);
    top = highest;
    if (fade != 1.0f)
        for (int64_t c = 0; c < channels; c++) out[c] *= fade;
}

template <int LANES>
void spatial_attention(float* out, const float* q, const float* k, const float* v, int64_t pixels, int64_t channels) {
    const int workers = cpu_workers();
    const int64_t wide = round_up(channels, PANEL<LANES>), blocks = ceil_div(pixels, KEY_BLOCK);
    const int64_t rows = task_size(pixels, QUERY_ROWS, TILE<LANES>, 1, workers);
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(channels));

    // keys [blocks][channels / BLOCK_K][KEY_BLOCK panels], values [blocks][channel panels]; per worker: a block of
    // queries, the weights of a block of keys, and two numbers per row.
    const int64_t keys_floats = blocks * KEY_BLOCK * channels, values_floats = pixels * wide;
    const int64_t worker_floats = QUERY_ROWS * (BLOCK_K + KEY_BLOCK + 2);
    float* keys = scratch_floats(keys_floats + values_floats + workers * worker_floats);
    float *values = keys + keys_floats, *memory = values + values_floats;

    parallel(blocks, [=](int64_t block, int) {
        const int64_t first = block * KEY_BLOCK, count = smaller(KEY_BLOCK, pixels - first);
        float* to = keys + first * channels;
        for (int64_t c = 0; c < channels; c += BLOCK_K)
            pack_weights<LANES>(to + c * KEY_BLOCK, k + first * channels + c, channels, count,
                                smaller(BLOCK_K, channels - c));
        pack_rows<LANES>(values + first * wide, v + first * channels, channels, channels, count);
    });

    parallel(ceil_div(pixels, rows), [=](int64_t task, int worker) {
        float *a = memory + worker * worker_floats, *weights = a + QUERY_ROWS * BLOCK_K;
        float *top = weights + QUERY_ROWS * KEY_BLOCK, *total = top + QUERY_ROWS;
        const int64_t row = task * rows, count = smaller(rows, pixels - row);
        float* mixed = out + row * channels;
        clear_floats(mixed, count * channels);
        clear_floats(weights, round_up(count, TILE<LANES>) * KEY_BLOCK);
        for (int64_t r = 0; r < count; r++) top[r] = -__builtin_inff(), total[r] = 0.0f;

        for (int64_t first = 0; first < pixels; first += KEY_BLOCK) {
            const int64_t block = smaller(KEY_BLOCK, pixels - first);
            for (int64_t c = 0; c < channels; c += BLOCK_K) {
                const int64_t depth = smaller(BLOCK_K, channels - c);
                copy_rows<LANES>(a, q + row * channels + c, channels, count, depth);
                gemm_block<LANES>(weights, KEY_BLOCK, a, BLOCK_K, keys + first * channels + c * KEY_BLOCK, count, block,
                                  depth, c == 0 ? Start::Fresh : Start::Continue);
            }
            for (int64_t r = 0; r < count; r++)
                soften_row<LANES>(weights + r * KEY_BLOCK, block, scale, top[r], total[r], mixed + r * channels,
                                  channels);
            gemm_block<LANES>(mixed, channels, weights, KEY_BLOCK, values + first * wide, count, channels, block,
                              Start::Continue);
        }
        for (int64_t r = 0; r < count; r++)
            for (int64_t c = 0; c < channels; c++) mixed[r * channels + c] /= total[r];
    });
}

}  // namespace
}  // namespace leon
