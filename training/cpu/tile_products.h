// Packed operands of bf16 and their product on the matrix unit (AMX): the same engine as float_products.h.
//
//   packed A   tiles [row tile][depth tile] of 16 rows x 32 steps
//   packed B   tiles [column tile][depth tile] of 16 pairs of steps x 16 columns, the two steps of a pair in one word
//
// Packing is where float32 becomes bf16: two registers narrow to one. Where an operand lies across (its depth is not
// adjacent in A, or is in B), 16 x 16 words, each a pair of steps, are transposed in registers: 64 shuffles for 512
// elements, which the matrix unit multiplies by one other tile in 16 cycles; so panels are packed once and used often.
// What is beyond the end of a matrix is zero in both operands.
#pragma once

#include "kernels/cpu/gemm.h"
#include "training/cpu/amx.h"
#include "training/cpu/rounding.h"

namespace leon {
namespace {

typedef uint16_t Halves __attribute__((vector_size(64)));
typedef int32_t Words __attribute__((vector_size(64)));
typedef Words WordsAt __attribute__((may_alias));

// Steps k (low) and k + 1 (high) of 16 columns, as words.
[[gnu::always_inline]] inline Words pair_steps(Native low, Native high) {
    const Halves both = (Halves)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
    return (Words)__builtin_shufflevector(both, both, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9,
                                          25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
// 32 adjacent steps of one row, as they stand.
[[gnu::always_inline]] inline Words narrow(Native first, Native second) {
    return (Words)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
}
[[gnu::always_inline]] inline Native load_masked(const float* from, __mmask16 mask) {
    return (Native)_mm512_maskz_loadu_ps(mask, from);
}
// The first `count` of 16 lanes; of none where count <= 0.
[[gnu::always_inline]] inline __mmask16 first_lanes(int64_t count) {
    return static_cast<__mmask16>(count >= 16 ? 0xffff : count <= 0 ? 0 : (1u << count) - 1);
}

// Rows become columns. Pairs of rows, then of pairs, are interleaved within quarters; then quarters change places.
[[gnu::always_inline]] inline void transpose_words(Words (&r)[16]) {
    Words s[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        s[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
        s[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            const Words a = s[i + j], b = s[i + j + 2];
            r[i + 2 * j] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
            r[i + 2 * j + 1] =
                __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
        }
        // Now r[4 g + c] holds, in its quarter q, column 4 q + c of rows 4 g .. 4 g + 3.
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        const Words low01 =
            __builtin_shufflevector(r[c], r[4 + c], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
        const Words low23 =
            __builtin_shufflevector(r[8 + c], r[12 + c], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
        const Words high01 =
            __builtin_shufflevector(r[c], r[4 + c], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
        const Words high23 =
            __builtin_shufflevector(r[8 + c], r[12 + c], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
        s[c] = __builtin_shufflevector(low01, low23, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
        s[4 + c] = __builtin_shufflevector(low01, low23, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
        s[8 + c] = __builtin_shufflevector(high01, high23, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
        s[12 + c] = __builtin_shufflevector(high01, high23, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) r[i] = s[i];
}

// Results that nobody reads soon are streamed past the caches, a line of 64 bytes at a time: memory takes 24 GB/s that
// way, and 9.5 of ordinary stores, which read every line first and write back another.
inline bool are_whole_lines(const float* to, int64_t stride) {
    return reinterpret_cast<uintptr_t>(to) % 64 == 0 && stride % 16 == 0;
}
// to[r * to_stride + c] = from[r * from_stride + c]
inline void copy_rows(float* to, int64_t to_stride, const float* from, int64_t from_stride, int64_t rows,
                      int64_t columns) {
    const bool whole = are_whole_lines(to, to_stride);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c += 16) {
            const __mmask16 mask = first_lanes(columns - c);
            const __m512 x = (__m512)load_native(from + r * from_stride + c);
            if (whole && mask == 0xffff)
                _mm512_stream_ps(to + r * to_stride + c, x);
            else
                _mm512_mask_storeu_ps(to + r * to_stride + c, mask, x);
        }
}

struct TileProducts {
    static constexpr int LANES = 16;
    using Element = uint16_t;

    static constexpr int64_t ROW_UNIT = AMX_ROWS, COLUMN_UNIT = AMX_COLUMNS;
    static constexpr int64_t TILE_ELEMENTS = AMX_BYTES / sizeof(uint16_t);
    static constexpr int64_t DEPTH_BLOCK = 512;     // two column tiles of B: 32 KB, in L1 while A passes by
    static constexpr int64_t ROWS_AT_ONCE = 32;     // of A; with more, C is written to too many places at a time
    static constexpr int64_t ROWS_OF_DW = 256;      // at a time: with C, packed A and B, and what is packed, all in L2
    static constexpr int64_t STRIPE = 512;          // of the weights, in one task of linear_dw: 256 KB of A, in L2
    static constexpr int64_t ATTENTION_BLOCK = 64;  // queries and keys: S, P and dS of a block stay in L1

    using Scope = Tiles;

    static constexpr int64_t a_size(int64_t rows, int64_t depth) {
        return ceil_div(rows, ROW_UNIT) * ceil_div(depth, AMX_DEPTH) * TILE_ELEMENTS;
    }
    static constexpr int64_t b_size(int64_t columns, int64_t depth) {
        return ceil_div(columns, COLUMN_UNIT) * ceil_div(depth, AMX_DEPTH) * TILE_ELEMENTS;
    }

    // A[m][k] = from[m * stride + k]
    [[gnu::noinline]] static void a_from_rows(uint16_t* to, const float* from, int64_t stride, int64_t rows,
                                              int64_t depth) {
        const int64_t tiles = ceil_div(depth, AMX_DEPTH), whole = depth / AMX_DEPTH;
        for (int64_t r = 0; r < round_up(rows, AMX_ROWS); r++) {
            uint16_t* line = to + r / AMX_ROWS * tiles * TILE_ELEMENTS + r % AMX_ROWS * AMX_DEPTH;
            const float* row = from + r * stride;
            if (r >= rows) {
                for (int64_t t = 0; t < tiles; t++) words(line + t * TILE_ELEMENTS) = Words{};
                continue;
            }
            for (int64_t t = 0; t < whole; t++)
                words(line + t * TILE_ELEMENTS) =
                    narrow(load_native(row + t * AMX_DEPTH), load_native(row + t * AMX_DEPTH + 16));
            if (whole < tiles) {
                const float* rest = row + whole * AMX_DEPTH;
                const int64_t count = depth - whole * AMX_DEPTH;
                words(line + whole * TILE_ELEMENTS) =
                    narrow(load_masked(rest, first_lanes(count)), load_masked(rest + 16, first_lanes(count - 16)));
            }
        }
    }
    // B[k][n] = from[k * stride + n]
    [[gnu::noinline]] static void b_from_columns(uint16_t* to, const float* from, int64_t stride, int64_t columns,
                                                 int64_t depth) {
        const int64_t tiles = ceil_div(depth, AMX_DEPTH), whole = columns / AMX_COLUMNS;
        for (int64_t k = 0; k < tiles * AMX_DEPTH; k += 2) {
            uint16_t* line = to + k / AMX_DEPTH * TILE_ELEMENTS + k % AMX_DEPTH / 2 * AMX_DEPTH;
            const float *row = from + k * stride, *next = row + stride;
            const int64_t rows = depth - k;  // of these two
            if (rows >= 2)
                for (int64_t j = 0; j < whole; j++)
                    words(line + j * tiles * TILE_ELEMENTS) =
                        pair_steps(load_native(row + j * AMX_COLUMNS), load_native(next + j * AMX_COLUMNS));
            for (int64_t j = rows >= 2 ? whole : 0; j < ceil_div(columns, AMX_COLUMNS); j++) {
                const __mmask16 mask = first_lanes(columns - j * AMX_COLUMNS);
                words(line + j * tiles * TILE_ELEMENTS) =
                    pair_steps(load_masked(row + j * AMX_COLUMNS, rows > 0 ? mask : 0),
                               load_masked(next + j * AMX_COLUMNS, rows > 1 ? mask : 0));
            }
        }
    }
    // A[m][k] = from[k * stride + m]
    [[gnu::noinline]] static void a_from_columns(uint16_t* to, const float* from, int64_t stride, int64_t rows,
                                                 int64_t depth) {
        const int64_t tiles = ceil_div(depth, AMX_DEPTH);
        for (int64_t k = 0; k < depth; k += AMX_DEPTH)  // outside, so that memory is read along its rows
            for (int64_t m = 0; m < rows; m += AMX_ROWS) {
                const float* corner = from + k * stride + m;
                const __mmask16 mask = first_lanes(rows - m);
                Words pairs[16];
                if (rows - m >= AMX_ROWS && depth - k >= AMX_DEPTH)
#pragma GCC unroll 16
                    for (int i = 0; i < 16; i++)
                        pairs[i] = pair_steps(load_native(corner + 2 * i * stride),
                                              load_native(corner + (2 * i + 1) * stride));
                else
                    for (int i = 0; i < 16; i++)
                        pairs[i] =
                            pair_steps(load_masked(corner + 2 * i * stride, k + 2 * i < depth ? mask : 0),
                                       load_masked(corner + (2 * i + 1) * stride, k + 2 * i + 1 < depth ? mask : 0));
                store_transposed(to + (m / AMX_ROWS * tiles + k / AMX_DEPTH) * TILE_ELEMENTS, pairs);
            }
    }
    // B[k][n] = from[n * stride + k]
    [[gnu::noinline]] static void b_from_rows(uint16_t* to, const float* from, int64_t stride, int64_t columns,
                                              int64_t depth) {
        for (int64_t n = 0; n < columns; n += AMX_COLUMNS)
            for (int64_t k = 0; k < depth; k += AMX_DEPTH, to += TILE_ELEMENTS) {
                const float* corner = from + n * stride + k;
                const __mmask16 low = first_lanes(depth - k), high = first_lanes(depth - k - 16);
                Words pairs[16];
                if (columns - n >= AMX_COLUMNS && depth - k >= AMX_DEPTH)
#pragma GCC unroll 16
                    for (int i = 0; i < 16; i++)
                        pairs[i] = narrow(load_native(corner + i * stride), load_native(corner + i * stride + 16));
                else
                    for (int i = 0; i < 16; i++) {
                        const bool inside = n + i < columns;
                        pairs[i] = narrow(load_masked(corner + i * stride, inside ? low : 0),
                                          load_masked(corner + i * stride + 16, inside ? high : 0));
                    }
                store_transposed(to, pairs);
            }
    }

    [[gnu::always_inline]] static WordsAt& words(uint16_t* to) {
        return *reinterpret_cast<WordsAt*>(to);
    }

    static Vec<16> operand(Vec<16> x) {
        return {{rounded_to_bf16(x.part[0])}};
    }

    [[gnu::noinline]] static void multiply(float* c, int64_t c_stride, const uint16_t* a, const uint16_t* b,
                                           int64_t rows, int64_t columns, int64_t depth, Start start) {
        const int64_t tiles = ceil_div(depth, AMX_DEPTH);
        multiply_tiles(c, c_stride, a, b, rows, columns, tiles, tiles * TILE_ELEMENTS, start);
    }
    // The same over `tiles` of depth that begin within panels: a row of tiles is `row_of_tiles` elements after another.
    [[gnu::always_inline]] static void multiply_tiles(float* c, int64_t c_stride, const uint16_t* a, const uint16_t* b,
                                                      int64_t rows, int64_t columns, int64_t tiles,
                                                      int64_t row_of_tiles, Start start) {
        for (int64_t j = 0; j < columns; j += 2 * AMX_COLUMNS)
            for (int64_t i = 0; i < rows; i += 2 * AMX_ROWS) {
                const int64_t m = smaller(2 * AMX_ROWS, rows - i), n = smaller(2 * AMX_COLUMNS, columns - j);
                const uint16_t *x = a + i / AMX_ROWS * row_of_tiles, *y = b + j / AMX_COLUMNS * row_of_tiles;
                float* to = c + i * c_stride + j;
                if (m == 2 * AMX_ROWS && n == 2 * AMX_COLUMNS)
                    square<2, 2>(to, c_stride, x, y, tiles, row_of_tiles, start);
                else if (m == AMX_ROWS && n == 2 * AMX_COLUMNS)
                    square<1, 2>(to, c_stride, x, y, tiles, row_of_tiles, start);
                else if (m == 2 * AMX_ROWS && n == AMX_COLUMNS)
                    square<2, 1>(to, c_stride, x, y, tiles, row_of_tiles, start);
                else
                    at_edge(to, c_stride, x, y, m, n, tiles, row_of_tiles, start);
            }
    }

private:
    [[gnu::always_inline]] static void store_transposed(uint16_t* tile, Words (&pairs)[16]) {
        transpose_words(pairs);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) words(tile + i * AMX_DEPTH) = pairs[i];
    }

    // ROWS x COLUMNS tiles of C in tiles 0 to 3, of A in 4 and 5, of B in 6 and 7. Four sums run at the same time,
    // which hides the 52 cycles that a tile product takes until the next may add to it.
    template <int ROWS, int COLUMNS>
    static void square(float* c, int64_t c_stride, const uint16_t* a, const uint16_t* b, int64_t tiles, int64_t next,
                       Start start) {
        const int64_t stride = c_stride * static_cast<int64_t>(sizeof(float));
        float* below = c + AMX_ROWS * c_stride;
        if (start == Start::Fresh) {
            _tile_zero(0);
            if constexpr (COLUMNS == 2) _tile_zero(1);
            if constexpr (ROWS == 2) _tile_zero(2);
            if constexpr (ROWS == 2 && COLUMNS == 2) _tile_zero(3);
        } else {
            _tile_loadd(0, c, stride);
            if constexpr (COLUMNS == 2) _tile_loadd(1, c + AMX_COLUMNS, stride);
            if constexpr (ROWS == 2) _tile_loadd(2, below, stride);
            if constexpr (ROWS == 2 && COLUMNS == 2) _tile_loadd(3, below + AMX_COLUMNS, stride);
        }
        for (int64_t t = 0; t < tiles; t++, a += TILE_ELEMENTS, b += TILE_ELEMENTS) {
            _tile_loadd(4, a, 64);
            _tile_loadd(6, b, 64);
            _tile_dpbf16ps(0, 4, 6);
            if constexpr (COLUMNS == 2) {
                _tile_loadd(7, b + next, 64);
                _tile_dpbf16ps(1, 4, 7);
            }
            if constexpr (ROWS == 2) {
                _tile_loadd(5, a + next, 64);
                _tile_dpbf16ps(2, 5, 6);
            }
            if constexpr (ROWS == 2 && COLUMNS == 2) _tile_dpbf16ps(3, 5, 7);
        }
        _tile_stored(0, c, stride);
        if constexpr (COLUMNS == 2) _tile_stored(1, c + AMX_COLUMNS, stride);
        if constexpr (ROWS == 2) _tile_stored(2, below, stride);
        if constexpr (ROWS == 2 && COLUMNS == 2) _tile_stored(3, below + AMX_COLUMNS, stride);
    }

    // Tiles that C does not hold in full: tile by tile, beside C.
    static void at_edge(float* c, int64_t c_stride, const uint16_t* a, const uint16_t* b, int64_t rows, int64_t columns,
                        int64_t tiles, int64_t row_of_tiles, Start start) {
        alignas(64) float tile[AMX_ROWS * AMX_COLUMNS];
        for (int64_t i = 0; i < rows; i += AMX_ROWS)
            for (int64_t j = 0; j < columns; j += AMX_COLUMNS) {
                const int64_t m = smaller(AMX_ROWS, rows - i);
                const __mmask16 mask = first_lanes(columns - j);
                float* corner = c + i * c_stride + j;
                if (start == Start::Continue)
                    for (int64_t r = 0; r < AMX_ROWS; r++)
                        store(tile + r * AMX_COLUMNS, Vec<16>{{load_masked(corner + r * c_stride, r < m ? mask : 0)}});
                square<1, 1>(tile, AMX_COLUMNS, a + i / AMX_ROWS * row_of_tiles, b + j / AMX_COLUMNS * row_of_tiles,
                             tiles, row_of_tiles, start);
                for (int64_t r = 0; r < m; r++)
                    _mm512_mask_storeu_ps(corner + r * c_stride, mask, (__m512)load_native(tile + r * AMX_COLUMNS));
            }
    }
};

}  // namespace
}  // namespace leon
