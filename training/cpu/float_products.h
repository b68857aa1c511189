// Packed operands and their product on multiply-adds: one of the two engines under linear.h and attention.h (the other
// is tile_products.h). The blocks of kernels/cpu/gemm.h, but for A: that one reads rows of activations as they lie, and
// here, where operands come from anywhere, A is packed so that a tile reads it from one end to the other.
//
//   C [rows, columns] (+)= A [rows, depth] * B [depth, columns]
//
//   packed A   tiles of ROW_UNIT rows, k-major, the last padded         row r at a + a_size(r, depth)
//   packed B   panels of COLUMN_UNIT columns, k-major, the last padded  column c at b + b_size(c, depth)
//
// where r and c are multiples of the units. Copies inlined here and there would triple the binary for nothing.
//
// Either operand may lie in memory either way round, so there are four ways to pack. Where ROUNDED, operands are
// rounded to bf16 as they are packed: the definition of cpu_bf16_grad_kernels() for processors without matrix units.
#pragma once

#include "kernels/cpu/gemm.h"
#include "training/cpu/rounding.h"

namespace leon {
namespace {

template <int LANES_, bool ROUNDED>
struct FloatProducts {
    static constexpr int LANES = LANES_;
    using Element = float;

    static constexpr int64_t ROW_UNIT = TILE<LANES>, COLUMN_UNIT = PANEL<LANES>;
    static constexpr int64_t DEPTH_BLOCK = BLOCK_K, ROWS_OF_DW = BLOCK_K;
    static constexpr int64_t ROWS_AT_ONCE = BLOCK_ROWS;  // of A, in one task of linear and linear_dx
    static constexpr int64_t STRIPE = 2 * BLOCK_ROWS;    // of the weights, in one task of linear_dw
    static constexpr int64_t ATTENTION_BLOCK = 96;       // queries and keys: whole tiles, whole panels, S in L1
    static_assert(ATTENTION_BLOCK % ROW_UNIT == 0 && ATTENTION_BLOCK % COLUMN_UNIT == 0);

    struct Scope {  // what a thread holds while it multiplies: nothing
        Scope() {}
    };

    static constexpr int64_t a_size(int64_t rows, int64_t depth) { return round_up(rows, ROW_UNIT) * depth; }
    static constexpr int64_t b_size(int64_t columns, int64_t depth) { return round_up(columns, COLUMN_UNIT) * depth; }

    // A[m][k] = from[m * stride + k]
    [[gnu::noinline]] static void a_from_rows(float* to, const float* from, int64_t stride, int64_t rows,
                                              int64_t depth) {
        float* const first = to;
        for (int64_t m = 0; m < rows; m += ROW_UNIT, to += ROW_UNIT * depth) {
            const float* tile = from + m * stride;
            const int64_t count = smaller(ROW_UNIT, rows - m);
            int64_t r = 0;
            for (; r + 4 <= count; r += 4) {
                const float* w = tile + r * stride;
                int64_t k = 0;
                for (; k + 4 <= depth; k += 4) {
                    Quad a = load_quad(w + k), b = load_quad(w + stride + k);
                    Quad c = load_quad(w + 2 * stride + k), d = load_quad(w + 3 * stride + k);
                    transpose(a, b, c, d);
                    const Quad steps[4] = {a, b, c, d};
                    for (int i = 0; i < 4; i++) *reinterpret_cast<QuadAt*>(to + (k + i) * ROW_UNIT + r) = steps[i];
                }
                for (; k < depth; k++)
                    for (int i = 0; i < 4; i++) to[k * ROW_UNIT + r + i] = w[i * stride + k];
            }
            for (; r < ROW_UNIT; r++)
                for (int64_t k = 0; k < depth; k++) to[k * ROW_UNIT + r] = r < count ? tile[r * stride + k] : 0.0f;
        }
        finish(first, a_size(rows, depth));
    }
    // A[m][k] = from[k * stride + m]
    [[gnu::noinline]] static void a_from_columns(float* to, const float* from, int64_t stride, int64_t rows,
                                                 int64_t depth) {
        const int64_t whole = rows - rows % ROW_UNIT;
        for (int64_t k = 0; k < depth; k++, from += stride) {
            for (int64_t m = 0; m < whole; m += ROW_UNIT)
                for (int64_t r = 0; r < ROW_UNIT; r++) to[m * depth + k * ROW_UNIT + r] = from[m + r];
            for (int64_t r = 0; whole < rows && r < ROW_UNIT; r++)
                to[whole * depth + k * ROW_UNIT + r] = whole + r < rows ? from[whole + r] : 0.0f;
        }
        finish(to, a_size(rows, depth));
    }
    // B[k][n] = from[n * stride + k]
    [[gnu::noinline]] static void b_from_rows(float* to, const float* from, int64_t stride, int64_t columns,
                                              int64_t depth) {
        pack_weights<LANES>(to, from, stride, columns, depth);
        finish(to, b_size(columns, depth));
    }
    // B[k][n] = from[k * stride + n]
    [[gnu::noinline]] static void b_from_columns(float* to, const float* from, int64_t stride, int64_t columns,
                                                 int64_t depth) {
        const int64_t whole = columns - columns % COLUMN_UNIT;
        for (int64_t k = 0; k < depth; k++) {
            const float* row = from + k * stride;
            for (int64_t j = 0; j < whole; j += COLUMN_UNIT)
#pragma GCC unroll 2
                for (int64_t i = 0; i < COLUMN_UNIT; i += LANES)
                    store(to + j * depth + k * COLUMN_UNIT + i, load<LANES>(row + j + i));
        }
        if (whole < columns) pack_rows<LANES>(to + whole * depth, from + whole, stride, columns - whole, depth);
        finish(to, b_size(columns, depth));
    }

    // What a product would make of x.
    static Vec<LANES> operand(Vec<LANES> x) {
        if constexpr (ROUNDED)
            for (Native& part : x.part) part = rounded_to_bf16(part);
        return x;
    }

    // depth <= DEPTH_BLOCK
    [[gnu::noinline]] static void multiply(float* c, int64_t c_stride, const float* a, const float* b, int64_t rows,
                                           int64_t columns, int64_t depth, Start start) {
        for (int64_t j = 0; j < columns; j += COLUMN_UNIT, b += COLUMN_UNIT * depth)
            for (int64_t i = 0; i < rows; i += ROW_UNIT) {
                const int64_t m = smaller(ROW_UNIT, rows - i), n = smaller(COLUMN_UNIT, columns - j);
                float* to = c + i * c_stride + j;
                const float* from = a + i * depth;
                if (m == ROW_UNIT && n == COLUMN_UNIT)
                    tile<2>(to, c_stride, from, b, depth, start);
                else if (m == ROW_UNIT && n == LANES)
                    tile<1>(to, c_stride, from, b, depth, start);
                else if (n <= LANES)
                    tile_at_edge<1>(to, c_stride, from, b, depth, start, m, n);
                else
                    tile_at_edge<2>(to, c_stride, from, b, depth, start, m, n);
            }
    }

private:
    static void finish(float* packed, int64_t count) {
        if constexpr (ROUNDED) round_to_bf16(packed, count);
    }

    // ROW_UNIT rows by VECTORS vectors of C, in registers while k passes: one load a vector and one broadcast a row.
    // C is asked for first, and arrives meanwhile.
    template <int VECTORS>
    static void tile(float* __restrict__ c, int64_t c_stride, const float* __restrict__ a, const float* __restrict__ b,
                     int64_t depth, Start start) {
        Vec<LANES> sums[ROW_UNIT][VECTORS];
#pragma GCC unroll 12
        for (int r = 0; r < ROW_UNIT; r++)
#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++) {
                sums[r][v] = zeros<LANES>();
                __builtin_prefetch(c + r * c_stride + v * LANES, 1);
            }
        for (int64_t k = 0; k < depth; k++) {
            Vec<LANES> columns[VECTORS];
#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++) columns[v] = load<LANES>(b + k * COLUMN_UNIT + v * LANES);
#pragma GCC unroll 12
            for (int r = 0; r < ROW_UNIT; r++) {
                const Vec<LANES> row = broadcast<LANES>(a[k * ROW_UNIT + r]);
#pragma GCC unroll 2
                for (int v = 0; v < VECTORS; v++) sums[r][v] = fma(row, columns[v], sums[r][v]);
            }
        }
#pragma GCC unroll 12
        for (int r = 0; r < ROW_UNIT; r++)
#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++) {
                float* to = c + r * c_stride + v * LANES;
                store(to, start == Start::Fresh ? sums[r][v] : load<LANES>(to) + sums[r][v]);
            }
    }
    // The same for a tile that C does not hold in full: computed beside it, then copied.
    template <int VECTORS>
    static void tile_at_edge(float* c, int64_t c_stride, const float* a, const float* b, int64_t depth, Start start,
                             int64_t rows, int64_t columns) {
        float beside[ROW_UNIT * COLUMN_UNIT];
        tile<VECTORS>(beside, COLUMN_UNIT, a, b, depth, Start::Fresh);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < columns; i++) {
                float* to = c + r * c_stride + i;
                *to = start == Start::Fresh ? beside[r * COLUMN_UNIT + i] : *to + beside[r * COLUMN_UNIT + i];
            }
    }
};

}  // namespace
}  // namespace leon
