// matmul for a few rows (decoding): out[r, o] = sum_k x[r, k] weight[o, k], as dot products.
//
// A thread owns a chunk of outputs and streams their weights once for all rows; a tile of ROWS x OUTPUTS accumulators
// stays in registers. bf16 is widened by a shift and a mask, for which x is brought into pair order beforehand
// (simd.h). Bound by memory up to four rows or so, by arithmetic from about eight.
// 2026-11-23, one core of an AMD EPYC (Zen 5), matrices of 1024 and 4096: 1 row f32 35 GB/s (AVX-512: 92% of the roof)
// and 35 (AVX2: 85%), bf16 31 (80%) and 31 (74%); 16 rows bf16 163 GFLOP/s (68%) and 86 (72%). docs/kernels.md
//
// The order of additions of one (row, output) depends on nothing but depth: one vector accumulator, pairs in rising k,
// one fixed tree at the end. A row therefore gets the same bits whatever batch it is in and whoever computes it.
#pragma once

#include "kernels/cpu/isa.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/threads.h"

namespace leon {
namespace {

constexpr int64_t FEW_ROWS = 16;

// Rows of one tile; the x of a tile should stay in L1 with the weights passing by, so more rows mean shorter blocks.
constexpr int64_t TILE_ROWS = 4;
constexpr int64_t BLOCK_DEPTH = 1024;       // with TILE_ROWS: 16 KB of x
constexpr int64_t CHUNK_BYTES = 128 << 10;  // of weights per task: it stays in L2 while the row tiles pass over it
constexpr int64_t LEAST_BYTES = 16 << 10;   // half a microsecond of reading: waking a spinning thread costs as much

// How far ahead in each of a tile's rows of weights; four rows make it 4 KB, what a thread reads in 100 ns.
constexpr int64_t PREFETCH_BYTES = 1024;

template <int LANES>
constexpr int outputs_at_once(int rows) {
    return rows <= 2 ? 4 : NATIVE_LANES == 16 || LANES == 16 ? 4 : 2;
}

// What one thread works on: `rows` rows of x in pair order against weights that start at output 0 of its chunk.
struct FewRowsChunk {
    float* out;
    int64_t out_stride;
    const float* scale;  // of each output, for bytes; else null
    const float* x;
    int64_t x_stride;
    float* carry;  // [outputs, rows, LANES] accumulators between two blocks of depth
    int64_t rows, depth;
    Into into;
};

// A tile over depth [from, to): all of it, or one block with the accumulators carried in and out.
template <int LANES, int ROWS, int OUTPUTS, class Weights>
inline void dot_tile(const FewRowsChunk& c, Weights weight, int64_t row, int64_t output, int64_t from, int64_t to) {
    constexpr int64_t STEP = 2 * LANES, LINE = Density<Weights>::in(64);
    Vec<LANES> sums_of[ROWS][OUTPUTS];                         // [ROWS, OUTPUTS]
    const float* x = c.x + row * c.x_stride;                   // [ROWS, depth]
    const Weights w = weight + output * c.depth;               // [OUTPUTS, depth]
    float* carry = c.carry + (output * c.rows + row) * LANES;  // [OUTPUTS, rows, LANES]

#pragma GCC unroll 8
    for (int o = 0; o < OUTPUTS; o++)
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++)
            sums_of[r][o] = from == 0 ? zeros<LANES>() : load<LANES>(carry + (o * c.rows + r) * LANES);

    auto multiply = [&](int o, const Pair<LANES>& pair, int64_t k) __attribute__((always_inline)) {
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++) {
            sums_of[r][o] = fma(pair.first, load<LANES>(x + r * c.x_stride + k), sums_of[r][o]);
            sums_of[r][o] = fma(pair.second, load<LANES>(x + r * c.x_stride + k + LANES), sums_of[r][o]);
        }
    };
    // What comes next: further on in these rows, or, towards their end, the beginning of the next OUTPUTS rows.
    const int64_t ahead = smaller(Density<Weights>::in(PREFETCH_BYTES), to - from), turn = to - ahead;
    int64_t k = from;
    for (; k + STEP <= to; k += STEP) {
        const int64_t next = k + ahead + (k < turn ? 0 : OUTPUTS * c.depth - (to - from));
#pragma GCC unroll 8
        for (int o = 0; o < OUTPUTS; o++) {
            for (int64_t line = 0; line < STEP; line += LINE)
                __builtin_prefetch(address_of(w + o * c.depth, next + line));
            multiply(o, load_pair_at<LANES>(w + o * c.depth, k), k);
        }
    }
    if constexpr (Density<Weights>::TAILS)
        if (k < to)
#pragma GCC unroll 8
            for (int o = 0; o < OUTPUTS; o++) multiply(o, load_pair_some<LANES>(w + o * c.depth + k, to - k), k);

    if (to < c.depth) {
#pragma GCC unroll 8
        for (int o = 0; o < OUTPUTS; o++)
#pragma GCC unroll 8
            for (int r = 0; r < ROWS; r++) store(carry + (o * c.rows + r) * LANES, sums_of[r][o]);
        return;
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
        float* out = c.out + (row + r) * c.out_stride + output;
        if constexpr (OUTPUTS == 4) {
            QuadAt* four = reinterpret_cast<QuadAt*>(out);
            Quad result = sums(sums_of[r][0], sums_of[r][1], sums_of[r][2], sums_of[r][3]);
            if (c.scale) result *= load_quad(c.scale + output);
            *four = c.into == Into::Add ? *four + result : result;
        } else {
            for (int o = 0; o < OUTPUTS; o++) {
                const float result = c.scale ? sum(sums_of[r][o]) * c.scale[output + o] : sum(sums_of[r][o]);
                out[o] = c.into == Into::Add ? out[o] + result : result;
            }
        }
    }
}

template <int LANES, int ROWS, class Weights>
inline void dot_rows(const FewRowsChunk& c, Weights weight, int64_t row, int64_t outputs, int64_t from, int64_t to) {
    constexpr int OUTPUTS = outputs_at_once<LANES>(ROWS);
    int64_t o = 0;
    for (; o + OUTPUTS <= outputs; o += OUTPUTS) dot_tile<LANES, ROWS, OUTPUTS>(c, weight, row, o, from, to);
    for (; o < outputs; o++) dot_tile<LANES, ROWS, 1>(c, weight, row, o, from, to);
}

template <int LANES, class Weights>
inline void dot_chunk(const FewRowsChunk& c, Weights weight, int64_t outputs) {
    const int64_t block = c.rows <= 2 ? c.depth : BLOCK_DEPTH;
    for (int64_t from = 0; from < c.depth; from += block) {
        const int64_t to = smaller(from + block, c.depth);
        int64_t row = 0;
        for (; row + TILE_ROWS <= c.rows; row += TILE_ROWS)
            dot_rows<LANES, TILE_ROWS>(c, weight, row, outputs, from, to);
        if (c.rows - row == 3) dot_rows<LANES, 3>(c, weight, row, outputs, from, to);
        if (c.rows - row == 2) dot_rows<LANES, 2>(c, weight, row, outputs, from, to);
        if (c.rows - row == 1) dot_rows<LANES, 1>(c, weight, row, outputs, from, to);
    }
}

template <int LANES, class W>
void matmul_few_rows(const MatmulArguments& m) {
    static_assert(BLOCK_DEPTH % (2 * LANES) == 0);
    const int64_t x_stride = round_up(m.depth, 2 * LANES);
    const auto weight = Begin<W>::of(m.weight, m.groups);
    using Dense = decltype(density_of(weight));
    const int64_t share = larger(ceil_div(m.n, 2 * cpu_workers()), Dense::in(LEAST_BYTES) / larger(1, m.depth));
    const int64_t chunk =
        round_up(larger(1, smaller(share, Dense::in(CHUNK_BYTES) / larger(1, m.depth))), 4);  // outputs per task
    const int64_t carry_floats = chunk * m.rows * LANES;

    float* x = scratch_floats(m.rows * x_stride + cpu_workers() * carry_floats);
    float* carry = x + m.rows * x_stride;
    for (int64_t r = 0; r < m.rows; r++) to_pair_order<LANES, W>(x + r * x_stride, m.x + r * m.depth, m.depth, 1.0f);

    parallel(ceil_div(m.n, chunk), [=](int64_t task, int worker) {
        const int64_t first = task * chunk, outputs = smaller(chunk, m.n - first);
        FewRowsChunk c = {m.out + first,
                          m.n,
                          m.scale ? m.scale + first : nullptr,
                          x,
                          x_stride,
                          carry + worker * carry_floats,
                          m.rows,
                          m.depth,
                          m.into};
        dot_chunk<LANES>(c, weight + first * m.depth, outputs);
    });
}

}  // namespace
}  // namespace leon
