// Packed operands and their product on multiply-adds: one of the two engines under linear.h and attention.h (the other
// is tile_products.h). It wraps the blocks of kernels/cpu/gemm.h.
//
//   C [rows, columns] (+)= A [rows, depth] * B [depth, columns]
//
//   packed A   row-major, rows padded to whole tiles              at row r (a multiple of ROW_UNIT): a + a_size(r,
//   depth) packed B   k-major panels, columns padded to whole panels     at column c (of COLUMN_UNIT): b + b_size(c,
//   depth)
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
    static constexpr int64_t DEPTH_BLOCK = 192;
    static constexpr int64_t ROWS_AT_ONCE = BLOCK_ROWS;  // of A, in one task of linear and linear_dx
    static constexpr int64_t STRIPE = BLOCK_ROWS;        // of the weights, in one task of linear_dw
    static constexpr int64_t ATTENTION_BLOCK = 96;       // queries and keys: whole tiles, whole panels, S in L1
    static_assert(ATTENTION_BLOCK % ROW_UNIT == 0 && ATTENTION_BLOCK % COLUMN_UNIT == 0);

    struct Scope {  // what a thread holds while it multiplies: nothing
        Scope() {}
    };

    static constexpr int64_t a_size(int64_t rows, int64_t depth) { return round_up(rows, ROW_UNIT) * depth; }
    static constexpr int64_t b_size(int64_t columns, int64_t depth) { return round_up(columns, COLUMN_UNIT) * depth; }

    // A[m][k] = from[m * stride + k]
    static void a_from_rows(float* to, const float* from, int64_t stride, int64_t rows, int64_t depth) {
        for (int64_t r = 0; r < rows; r++) copy_floats(to + r * depth, from + r * stride, depth);
        finish_a(to, rows, depth);
    }
    // A[m][k] = from[k * stride + m]
    static void a_from_columns(float* to, const float* from, int64_t stride, int64_t rows, int64_t depth) {
        int64_t k = 0;
        for (; k + 4 <= depth; k += 4) {
            const float* w = from + k * stride;
            int64_t m = 0;
            for (; m + 4 <= rows; m += 4) {
                Quad a = load_quad(w + m), b = load_quad(w + stride + m);
                Quad c = load_quad(w + 2 * stride + m), d = load_quad(w + 3 * stride + m);
                transpose(a, b, c, d);
                const Quad quads[4] = {a, b, c, d};
                for (int i = 0; i < 4; i++) *reinterpret_cast<QuadAt*>(to + (m + i) * depth + k) = quads[i];
            }
            for (; m < rows; m++)
                for (int i = 0; i < 4; i++) to[m * depth + k + i] = w[i * stride + m];
        }
        for (; k < depth; k++)
            for (int64_t m = 0; m < rows; m++) to[m * depth + k] = from[k * stride + m];
        finish_a(to, rows, depth);
    }
    // B[k][n] = from[n * stride + k]
    static void b_from_rows(float* to, const float* from, int64_t stride, int64_t columns, int64_t depth) {
        pack_weights<LANES>(to, from, stride, columns, depth);
        finish_b(to, columns, depth);
    }
    // B[k][n] = from[k * stride + n]
    static void b_from_columns(float* to, const float* from, int64_t stride, int64_t columns, int64_t depth) {
        const int64_t whole = columns - columns % COLUMN_UNIT;
        for (int64_t k = 0; k < depth; k++) {
            const float* row = from + k * stride;
            for (int64_t j = 0; j < whole; j += COLUMN_UNIT)
#pragma GCC unroll 2
                for (int64_t i = 0; i < COLUMN_UNIT; i += LANES)
                    store(to + j * depth + k * COLUMN_UNIT + i, load<LANES>(row + j + i));
        }
        if (whole < columns) pack_rows<LANES>(to + whole * depth, from + whole, stride, columns - whole, depth);
        finish_b(to, columns, depth);
    }

    // What a product would make of x.
    static Vec<LANES> operand(Vec<LANES> x) {
        if constexpr (ROUNDED)
            for (Native& part : x.part) part = rounded_to_bf16(part);
        return x;
    }

    // depth <= DEPTH_BLOCK
    static void multiply(float* c, int64_t c_stride, const float* a, const float* b, int64_t rows, int64_t columns,
                         int64_t depth, Start start) {
        gemm_block<LANES>(c, c_stride, a, depth, b, rows, columns, depth, start);
    }

private:
    static void finish_a(float* to, int64_t rows, int64_t depth) {
        clear_floats(to + rows * depth, a_size(rows, depth) - rows * depth);
        if constexpr (ROUNDED) round_to_bf16(to, rows * depth);
    }
    static void finish_b(float* to, int64_t columns, int64_t depth) {
        if constexpr (ROUNDED) round_to_bf16(to, b_size(columns, depth));
    }
};

}  // namespace
}  // namespace leon
