// conv2d over [height, width, channels]: the matrix product of patches and weights, the patches never written out.
//
//   out [pixels, out_channels] = patch [pixels, kernel * kernel * channels] * weight^T + bias
//
// Weights are packed once per call and shared. A task owns a run of output pixels; for each block of depth it gathers
// their patches into L2, where a patch is one run of adjacent channels per kernel place. Padding is a run of zeros, the
// nearest-neighbour enlargement a division of the address, the stride a multiplication.
// Bound by arithmetic.
#pragma once

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/threads.h"

namespace leon {
namespace {

// Depth [from, from + depth) of the patch around output pixel (y, x); depth counts (i, j, channel) row-major.
inline void gather_patch(float* to, const Conv2dArguments& c, int64_t y, int64_t x, int64_t from, int64_t depth) {
    const int64_t end = from + depth;
    for (int64_t k = from; k < end;) {
        const int64_t place = k / c.channels, channel = k % c.channels, count = smaller(c.channels - channel, end - k);
        const int64_t py = y * c.stride + place / c.kernel - c.pad_before;  // in the enlarged picture
        const int64_t px = x * c.stride + place % c.kernel - c.pad_before;
        const bool inside = py >= 0 && px >= 0 && py < c.height * c.upsample && px < c.width * c.upsample;
        if (inside)
            copy_floats(to, c.x + ((py / c.upsample) * c.width + px / c.upsample) * c.channels + channel, count);
        else
            clear_floats(to, count);
        k += count;
        to += count;
    }
}

template <int LANES, class W>
void conv2d_of(const Conv2dArguments& c) {
    const int workers = cpu_workers();
    const int64_t pixels = c.out_height * c.out_width, depth = c.kernel * c.kernel * c.channels;
    const int64_t columns = round_up(c.out_channels, PANEL<LANES>);
    const int64_t rows = task_size(pixels, BLOCK_ROWS, TILE<LANES>, 1, workers);

    constexpr int64_t A_FLOATS = BLOCK_ROWS * BLOCK_K;
    float* packed = scratch_floats(columns * depth + workers * A_FLOATS);  // [depth blocks][panels][k][PANEL]
    float* patches = packed + columns * depth;
    const W* weight = static_cast<const W*>(c.weight);

    parallel(ceil_div(depth, BLOCK_K), [=](int64_t block, int) {
        const int64_t k = block * BLOCK_K;
        pack_weights<LANES>(packed + k * columns, weight + k, depth, c.out_channels, smaller(BLOCK_K, depth - k));
    });
    parallel(ceil_div(pixels, rows), [=](int64_t task, int worker) {
        float* a = patches + worker * A_FLOATS;
        const int64_t first = task * rows, count = smaller(rows, pixels - first);
        float* out = c.out + first * c.out_channels;
        for (int64_t r = 0; r < count; r++) copy_floats(out + r * c.out_channels, c.bias, c.out_channels);
        for (int64_t k = 0; k < depth; k += BLOCK_K) {
            const int64_t steps = smaller(BLOCK_K, depth - k);
            for (int64_t r = 0; r < count; r++)
                gather_patch(a + r * BLOCK_K, c, (first + r) / c.out_width, (first + r) % c.out_width, k, steps);
            for (int64_t r = count; r < round_up(count, TILE<LANES>); r++) clear_floats(a + r * BLOCK_K, steps);
            gemm_block<LANES>(out, c.out_channels, a, BLOCK_K, packed + k * columns, count, c.out_channels, steps,
                              Start::Continue);
        }
    });
}

template <int LANES>
void conv2d(const Conv2dArguments& c) {
    c.element == Element::BF16 ? conv2d_of<LANES, uint16_t>(c) : conv2d_of<LANES, float>(c);
}

}  // namespace
}  // namespace leon
