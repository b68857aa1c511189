// conv2d over [height, width, channels]: the matrix product of patches and weights, the patches never written out.
//
//   out [pixels, out_channels] = patch [pixels, kernel * kernel * channels] * weight^T + bias
//
// Weights are packed once per call and shared. A task owns a run of output pixels; for each block of depth it gathers
// their patches into L2, where a patch is one run of adjacent channels per kernel place. Padding is a run of zeros, the
// nearest-neighbour enlargement a division of the address, the stride a multiplication.
// Bound by arithmetic, but for outputs too few to fill a panel.
// 2026-11-23, one core of an AMD EPYC (Zen 5): 3x3 256 -> 256 at 256x256 195 GFLOP/s (AVX-512: 82% of the roof) and 103
// (AVX2: 86%), 32 -> 32 at 128x128 165 (69%) and 88 (74%), 32 -> 3 57 (24%) and 44 (37%). docs/kernels.md
#pragma once

#include "kernels/cpu/few_rows.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/threads.h"

namespace leon {
namespace {

// A place in a patch: depth counts (row of the kernel, column, channel), row-major.
struct PatchPlace {
    int64_t row, column, channel;
};
inline PatchPlace patch_place(const Conv2dArguments& c, int64_t depth) {
    const int64_t place = depth / c.channels;
    return {place / c.kernel, place % c.kernel, depth % c.channels};
}

// `depth` values of the patch around output pixel (y, x), from `at` on. Divisions would cost more than the copies.
inline void gather_patch(float* to, const Conv2dArguments& c, int64_t y, int64_t x, PatchPlace at, int64_t depth) {
    const int64_t top = y * c.stride - c.pad_before, left = x * c.stride - c.pad_before;  // in the enlarged picture
    const int64_t halved = c.upsample == 2 ? 1 : 0;
    // The pixels under a row of the kernel are adjacent, unless some are padding or stand for several.
    const int64_t together = halved == 0 && left >= 0 && left + c.kernel <= c.width ? c.kernel : 1;
    for (float* end = to + depth; to < end;) {
        const int64_t py = top + at.row, px = left + at.column, pixels = together == 1 ? 1 : c.kernel - at.column;
        const int64_t count = smaller(pixels * c.channels - at.channel, end - to);
        const bool inside = py >= 0 && px >= 0 && py < c.height << halved && px < c.width << halved;
        if (inside)
            copy_floats(to, c.x + ((py >> halved) * c.width + (px >> halved)) * c.channels + at.channel, count);
        else
            clear_floats(to, count);
        to += count;
        at.channel = 0, at.column += pixels;
        if (at.column == c.kernel) at.column = 0, at.row++;
    }
}

template <int LANES, class W>
void conv2d_of(const Conv2dArguments& c) {
    const int workers = cpu_workers();
    const int64_t pixels = c.out_height * c.out_width, depth = c.kernel * c.kernel * c.channels;
    const int64_t columns = round_up(c.out_channels, PANEL<LANES>);
    const int64_t rows = task_size(pixels, BLOCK_ROWS, TILE<LANES>, 1, workers);
    // Blocks of depth alike in size: 288 is two of 144, not 256 and 32.
    const int64_t blocks = ceil_div(depth, BLOCK_K),
                  block_depth = smaller(BLOCK_K, round_up(ceil_div(depth, blocks), 8));

    constexpr int64_t A_FLOATS = BLOCK_ROWS * BLOCK_K;
    float* packed = scratch_floats(columns * depth + workers * A_FLOATS);  // [depth blocks][panels][k][PANEL]
    float* patches = packed + columns * depth;
    const W* weight = static_cast<const W*>(c.weight);

    parallel(ceil_div(depth, block_depth), [=](int64_t block, int) {
        const int64_t k = block * block_depth;
        pack_weights<LANES>(packed + k * columns, weight + k, depth, c.out_channels, smaller(block_depth, depth - k));
    });
    parallel(ceil_div(pixels, rows), [=](int64_t task, int worker) {
        float* a = patches + worker * A_FLOATS;
        const int64_t first = task * rows, count = smaller(rows, pixels - first);
        float* out = c.out + first * c.out_channels;
        for (int64_t r = 0; r < count; r++) copy_floats(out + r * c.out_channels, c.bias, c.out_channels);
        for (int64_t k = 0; k < depth; k += block_depth) {
            const int64_t steps = smaller(block_depth, depth - k);
            const PatchPlace at = patch_place(c, k);
            int64_t y = first / c.out_width, x = first % c.out_width;
            for (int64_t r = 0; r < count; r++) {
                gather_patch(a + r * steps, c, y, x, at, steps);
                if (++x == c.out_width) x = 0, y++;
            }
            for (int64_t r = count; r < round_up(count, TILE<LANES>); r++) clear_floats(a + r * steps, steps);
            gemm_block<LANES>(out, c.out_channels, a, steps, packed + k * columns, count, c.out_channels, steps,
                              Start::Continue);
        }
    });
}

// A picture's three colours would leave most of a panel empty. So each patch is a row of matmul's dot products instead,
// against the weights of all outputs at once.
constexpr int64_t FEW_OUTPUTS = 4;
constexpr int64_t PATCHES = 16;  // of 1152 values: 72 KB of L2

template <int LANES, class W>
void conv2d_few_outputs(const Conv2dArguments& c) {
    const int64_t pixels = c.out_height * c.out_width, depth = c.kernel * c.kernel * c.channels;
    const int64_t outputs = c.out_channels, stride = round_up(depth, 2 * LANES);
    const int64_t patch_floats = round_up(PATCHES * depth, 16), dots_floats = PATCHES * outputs;
    const int64_t worker_floats = patch_floats + dots_floats * (1 + LANES);
    float* weights = scratch_floats(outputs * stride + cpu_workers() * worker_floats);  // [outputs, stride]
    float* memory = weights + outputs * stride;
    for (int64_t o = 0; o < outputs; o++)
        for (int64_t k = 0; k < stride; k++)
            weights[o * stride + k] = k < depth ? widen(static_cast<const W*>(c.weight)[o * depth + k]) : 0.0f;

    const int64_t rows = 8 * PATCHES;
    parallel(ceil_div(pixels, rows), [=](int64_t task, int worker) {
        float *patches = memory + worker * worker_floats, *dots = patches + patch_floats;  // [outputs, PATCHES]
        const FewRowsChunk chunk = {dots,    PATCHES, nullptr,        weights, stride, dots + dots_floats,
                                    outputs, depth,   Into::Overwrite};
        const int64_t end = smaller(pixels, (task + 1) * rows);
        for (int64_t first = task * rows; first < end; first += PATCHES) {
            const int64_t count = smaller(PATCHES, end - first);
            for (int64_t r = 0; r < count; r++)
                gather_patch(patches + r * depth, c, (first + r) / c.out_width, (first + r) % c.out_width, {0, 0, 0},
                             depth);
            dot_chunk<LANES>(chunk, patches, count);
            for (int64_t r = 0; r < count; r++)
                for (int64_t o = 0; o < outputs; o++)
                    c.out[(first + r) * outputs + o] = c.bias[o] + dots[o * PATCHES + r];
        }
    });
}

template <int LANES>
void conv2d(const Conv2dArguments& c) {
    const bool few = c.out_channels <= FEW_OUTPUTS;
    with_float(c.element, [&](auto* element) {
        using W = Pointee<decltype(element)>;
        few ? conv2d_few_outputs<LANES, W>(c) : conv2d_of<LANES, W>(c);
    });
}

}  // namespace
}  // namespace leon
