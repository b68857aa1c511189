// The blocked matrix product under matmul, conv2d, spatial_attention and nearest_code:  C += A * B^T
//
//   A  rows of activations, copied a block at a time to [rows, BLOCK_DEPTH], so that its lines are adjacent
//   B  weights [n, depth], packed a block at a time, k-major in panels of PANEL outputs, widened to float
//
//         panel 0: k=0: w[0..PANEL)[0] | k=1: w[0..PANEL)[1] | ...     panel 1: ...
//
// The micro-kernel keeps a TILE x PANEL tile of C in registers; each step of k costs one load per vector of the panel
// and one broadcast per row. A block of A lives in L2, a panel of B in L1. Bound by arithmetic.
// One element of C is a sum of block sums, each in rising k, whoever computes it and whatever stands around it.
#pragma once

#include "kernels/cpu/simd.h"

namespace leon {
namespace {

// Registers bound the tile: 6 x 2 vectors of C, 2 of B and 1 broadcast fit 16 of them; 12 x 2 fit 32.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr bool MANY_REGISTERS = true;
#else
constexpr bool MANY_REGISTERS = false;
#endif
template <int LANES>
constexpr int TILE = MANY_REGISTERS || LANES == 16 ? 12 : 6;  // rows of C
template <int LANES>
constexpr int64_t PANEL = 2 * LANES;  // columns of C

constexpr int64_t BLOCK_K = 256;    // a panel of B: 16 KB at PANEL 16, half of the smallest L1
constexpr int64_t BLOCK_ROWS = 96;  // a block of A: 96 KB, in L2 beside the block of B

// Where a product puts its result: added to what C holds, or in its place.
enum class Start : uint8_t { Fresh, Continue };

// tile of C (+)= a [ROWS, depth] * b [depth, PANEL]; VECTORS of the panel's two are computed.
template <int LANES, int ROWS, int VECTORS>
inline void micro_kernel(float* __restrict__ c, int64_t c_stride, const float* __restrict__ a, int64_t a_stride,
                         const float* __restrict__ b, int64_t depth, Start start) {
    Vec<LANES> tile[ROWS][VECTORS];
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) tile[r][v] = zeros<LANES>();
    for (int64_t k = 0; k < depth; k++) {
        Vec<LANES> weights[VECTORS];
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) weights[v] = load<LANES>(b + k * PANEL<LANES> + v * LANES);
#pragma GCC unroll 12
        for (int r = 0; r < ROWS; r++) {
            Vec<LANES> x = broadcast<LANES>(a[r * a_stride + k]);
#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++) tile[r][v] = fma(x, weights[v], tile[r][v]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            float* to = c + r * c_stride + v * LANES;
            store(to, start == Start::Fresh ? tile[r][v] : load<LANES>(to) + tile[r][v]);
        }
}

// The same for a tile that C does not hold in full: computed beside it, then copied.
template <int LANES, int VECTORS>
inline void micro_kernel_at_edge(float* c, int64_t c_stride, const float* a, int64_t a_stride, const float* b,
                                 int64_t depth, Start start, int64_t rows, int64_t columns) {
    float tile[TILE<LANES> * PANEL<LANES>];
    micro_kernel<LANES, TILE<LANES>, VECTORS>(tile, PANEL<LANES>, a, a_stride, b, depth, Start::Fresh);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < columns; i++) {
            float* to = c + r * c_stride + i;
            *to = start == Start::Fresh ? tile[r * PANEL<LANES> + i] : *to + tile[r * PANEL<LANES> + i];
        }
}

// C [rows, columns] (+)= a [round_up(rows, TILE), depth] * b, packed panels of `depth` steps; depth <= BLOCK_K.
template <int LANES>
inline void gemm_block(float* c, int64_t c_stride, const float* a, int64_t a_stride, const float* b, int64_t rows,
                       int64_t columns, int64_t depth, Start start) {
    constexpr int64_t ROWS = TILE<LANES>, WIDE = PANEL<LANES>;
    for (int64_t j = 0; j < columns; j += WIDE, b += WIDE * depth)
        for (int64_t i = 0; i < rows; i += ROWS) {
            const int64_t m = smaller(ROWS, rows - i), n = smaller(WIDE, columns - j);
            float* to = c + i * c_stride + j;
            const float* from = a + i * a_stride;
            if (m == ROWS && n == WIDE)
                micro_kernel<LANES, ROWS, 2>(to, c_stride, from, a_stride, b, depth, start);
            else if (m == ROWS && n == LANES)
                micro_kernel<LANES, ROWS, 1>(to, c_stride, from, a_stride, b, depth, start);
            else if (n <= LANES)
                micro_kernel_at_edge<LANES, 1>(to, c_stride, from, a_stride, b, depth, start, m, n);
            else
                micro_kernel_at_edge<LANES, 2>(to, c_stride, from, a_stride, b, depth, start, m, n);
        }
}

// --- packing ----------------------------------------------------------------------------------------------------

// Four outputs by 16 bytes of depth, transposed in registers. to [steps, stride]
template <class W>
[[gnu::always_inline]] inline void pack_square(float* to, int64_t stride, const W* w, int64_t depth) {
#pragma GCC unroll 4
    for (int64_t i = 0; i < static_cast<int64_t>(16 / sizeof(W)); i += 4, to += 4 * stride) {
        Quad a = load_quad(w + i), b = load_quad(w + depth + i);
        Quad c = load_quad(w + 2 * depth + i), d = load_quad(w + 3 * depth + i);
        transpose(a, b, c, d);
        *reinterpret_cast<QuadAt*>(to) = a;
        *reinterpret_cast<QuadAt*>(to + stride) = b;
        *reinterpret_cast<QuadAt*>(to + 2 * stride) = c;
        *reinterpret_cast<QuadAt*>(to + 3 * stride) = d;
    }
}
[[gnu::always_inline]] inline void pack_square(float* to, int64_t stride, const uint16_t* w, int64_t depth) {
    auto words = [&](int64_t row) __attribute__((always_inline)) {
        return (Quad) * reinterpret_cast<const QuadBitsAt*>(w + row * depth);
    };
    Quad a = words(0), b = words(1), c = words(2), d = words(3);
    transpose(a, b, c, d);
    const Quad pairs[4] = {a, b, c, d};  // pairs[i]: steps 2i (low half) and 2i + 1 (high half) of four outputs
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        *reinterpret_cast<QuadAt*>(to + 2 * i * stride) = (Quad)((QuadBits)pairs[i] << 16);
        *reinterpret_cast<QuadAt*>(to + (2 * i + 1) * stride) = (Quad)((QuadBits)pairs[i] & 0xffff0000u);
    }
}

// weight [columns, row_stride] from its depth `from` on -> panels [ceil(columns / PANEL), depth, PANEL], zero padded.
template <int LANES, class W>
inline void pack_weights(float* to, const W* weight, int64_t row_stride, int64_t columns, int64_t depth) {
    constexpr int64_t WIDE = PANEL<LANES>, STEPS = 16 / sizeof(W);
    for (int64_t j = 0; j < columns; j += WIDE, to += WIDE * depth)
        for (int64_t i = 0; i < WIDE; i += 4) {
            const W* w = weight + (j + i) * row_stride;
            for (int64_t o = 4; o < 8 && j + i + o < columns; o++)  // the next four: rows are short runs, far apart
                for (int64_t k = 0; k < depth; k += 64 / static_cast<int64_t>(sizeof(W)))
                    __builtin_prefetch(w + o * row_stride + k);
            int64_t k = 0;
            if (j + i + 4 <= columns)
                for (; k + STEPS <= depth; k += STEPS) pack_square(to + k * WIDE + i, WIDE, w + k, row_stride);
            for (; k < depth; k++)
                for (int64_t o = 0; o < 4; o++)
                    to[k * WIDE + i + o] = j + i + o < columns ? widen(w[o * row_stride + k]) : 0.0f;
        }
}

// The same of four bits: whole groups of the depth, four outputs at a time.
template <int LANES>
inline void pack_weights(float* to, const Nibbles& weight, int64_t row_stride, int64_t columns, int64_t depth) {
    constexpr int64_t WIDE = PANEL<LANES>;
    for (int64_t j = 0; j < columns; j += WIDE, to += WIDE * depth)
        for (int64_t i = 0; i < WIDE; i += 4)
            for (int64_t k = 0; k < depth; k += GROUP)
                for (int q = 0; q < GROUP / 4; q++) {
                    Quad four[4] = {};
                    for (int64_t o = 0; o < 4 && j + i + o < columns; o++)
                        four[o] = load_quad(weight + (j + i + o) * row_stride + k, q);
                    transpose(four[0], four[1], four[2], four[3]);
                    for (int64_t s = 0; s < 4; s++)
                        *reinterpret_cast<QuadAt*>(to + (k + 4 * q + s) * WIDE + i) = four[s];
                }
}

// Panels of bytes become panels of weights: column i of all of them times scale[i].
template <int LANES>
inline void scale_panels(float* panels, const float* scale, int64_t columns, int64_t depth) {
    constexpr int64_t WIDE = PANEL<LANES>;
    for (int64_t j = 0; j < columns; j += WIDE) {
        const int64_t count = smaller(WIDE, columns - j);
        for (int64_t k = 0; k < depth; k++, panels += WIDE)
            for (int64_t i = 0; i < count; i++) panels[i] *= scale[j + i];
    }
}

// Matrix [depth, row_stride], already k-major (the values of an attention) -> the same panels.
template <int LANES>
inline void pack_rows(float* to, const float* from, int64_t row_stride, int64_t columns, int64_t depth) {
    constexpr int64_t WIDE = PANEL<LANES>;
    for (int64_t j = 0; j < columns; j += WIDE)
        for (int64_t k = 0; k < depth; k++, to += WIDE)
            for (int64_t i = 0; i < WIDE; i++) to[i] = j + i < columns ? from[k * row_stride + j + i] : 0.0f;
}

// count floats from one place to another, without the library's call for what is often a dozen of them.
inline void copy_floats(float* __restrict__ to, const float* __restrict__ from, int64_t count) {
    for (int64_t i = 0; i < count; i++) to[i] = from[i];
}
inline void clear_floats(float* to, int64_t count) {
    for (int64_t i = 0; i < count; i++) to[i] = 0.0f;
}

// rows of x [rows, row_stride] -> a [round_up(rows, TILE), BLOCK_K], zero rows behind.
template <int LANES>
inline void copy_rows(float* a, const float* x, int64_t row_stride, int64_t rows, int64_t depth) {
    for (int64_t r = 0; r < rows; r++) copy_floats(a + r * BLOCK_K, x + r * row_stride, depth);
    for (int64_t r = rows; r < round_up(rows, TILE<LANES>); r++) clear_floats(a + r * BLOCK_K, depth);
}

// How many rows (or columns) each task takes: `most`, or less, in multiples of `unit`, until every worker has a few
// tasks to choose from. Results do not depend on it.
inline int64_t task_size(int64_t count, int64_t most, int64_t unit, int64_t other_tasks, int workers) {
    constexpr int64_t TASKS_PER_WORKER = 4;
    int64_t size = most;
    while (size > unit && ceil_div(count, size) * other_tasks < workers * TASKS_PER_WORKER)
        size = round_up(size / 2, unit);
    return size;
}

}  // namespace
}  // namespace leon
