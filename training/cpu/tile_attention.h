// Attention and its way back on the matrix unit: what attention.h says, over TileProducts, with softmax and packing
// made one. Includes nothing for other engines, which take the general text.
//
// The matrix unit would need 5 x 128 cycles for 32 keys x 32 queries of the way back; the exponentials, and what stands
// between products, are what bounds this. So:
//   * P and dS go from registers into packed operands, and are never stored as float32. S and dP are made a strip of 32
//     keys at a time, which stays in L1.
//   * Exponentials are of base 2 and exact to 3e-6: P is rounded to bf16, 1,000 times as coarse, before it is
//   multiplied.
//   * The way back takes 256 queries at a time, so that dV and dK, which lie in memory row by row, are read and written
//     once in 8 steps of depth instead of once in 2.
//   * dK and dV are summed beside memory, and every result is streamed there: rows of 256 bytes, each far from the
//   next,
//     are what ordinary stores wait for longest.
// 2026-11-26, a core of a Xeon of the Sapphire Rapids generation that others shared: documents of 680 tokens, 6 heads
// of 64: 300 GFLOP/s, its way back 420, a tenth and a seventh of AMX; softmax is a tenth of the time, memory about
// half.
#pragma once

#include "training/cpu/attention.h"
#include "training/cpu/tile_products.h"

namespace leon {
namespace {

constexpr float LOG2_E = 1.44269504f, LN_2 = 0.693147181f;

// The second where one is NaN. With a mask of all lanes, since g++ 12 warns of the form without one.
[[gnu::always_inline]] inline Native larger_of_each(Native x, Native y) {
    return (Native)_mm512_maskz_max_ps(0xffff, (__m512)x, (__m512)y);
}
// 2^x for x <= 127, to 3e-6 of itself; 0 from -127 down, NaN stays NaN. x = n + r, |r| <= 1/2; 2^r by a polynomial that
// is 1 at 0 (least squares of the relative error, reweighted), 2^n through the exponent bits.
[[gnu::always_inline]] inline Native power_of_two(Native x) {
    const Native zero = {}, round = zero + (12582912.0f + 127.0f);  // 1.5 * 2^23: the low bits become n + 127
    x = larger_of_each(zero - 127.0f, x);
    const Native shifted = x + round, r = x - (shifted - round);
    Native p = fma_native(zero + 9.58285e-3f, r, zero + 5.590642e-2f);
    p = fma_native(p, r, zero + 2.4024099e-1f);
    p = fma_native(p, r, zero + 6.9312419e-1f);
    p = fma_native(p, r, zero + 1.0f);
    return p * (Native)((NativeBits)shifted << 23);
}

// to[c * to_stride + r] = from[r * from_stride + c]: as copy_transposed(), by lines of 64 bytes where it can.
inline void copy_columns(float* to, int64_t to_stride, const float* from, int64_t from_stride, int64_t rows,
                         int64_t columns) {
    const int64_t whole = columns / 16 * 16;
    for (int64_t c = 0; c < whole; c += 16)
        for (int64_t r = 0; r < rows; r += 16) {
            const __mmask16 mask = first_lanes(rows - r);
            Words block[16];
#pragma GCC unroll 16
            for (int i = 0; i < 16; i++)
                block[i] = r + i < rows ? (Words)load_native(from + (r + i) * from_stride + c) : Words{};
            transpose_words(block);
            float* corner = to + c * to_stride + r;
            if (mask == 0xffff && are_whole_lines(corner, to_stride))
#pragma GCC unroll 16
                for (int i = 0; i < 16; i++) _mm512_stream_ps(corner + i * to_stride, (__m512)block[i]);
            else
#pragma GCC unroll 16
                for (int i = 0; i < 16; i++) _mm512_mask_storeu_ps(corner + i * to_stride, mask, (__m512)block[i]);
        }
    if (whole < columns)
        copy_transposed(to + whole * to_stride, to_stride, from + whole, from_stride, rows, columns - whole);
}

// --- forward ----------------------------------------------------------------------------------------------------

// Keys after the query do not count: a diagonal block of S^T.
inline void hide_later(float* scores, int64_t stride, int64_t keys, int64_t queries) {
    const __m512 hidden = _mm512_set1_ps(-__builtin_inff());
    for (int64_t k = 1; k < keys; k++)
        for (int64_t q = 0; q < smaller(k, queries); q += 16)
            _mm512_mask_storeu_ps(scores + k * stride + q, first_lanes(k - q), hidden);
}

// As soften(), in powers of 2, and P^T goes into m.p. Says whether something summed before is to be multiplied.
inline bool soften_into(const AttentionMemory<TileProducts>& m, int64_t keys, int64_t queries, float scale) {
    constexpr int64_t B = TileProducts::ATTENTION_BLOCK;
    const int64_t panel = ceil_div(keys, AMX_DEPTH) * TileProducts::TILE_ELEMENTS;
    const Native zero = {}, scales = zero + scale * LOG2_E;
    __mmask16 changed = 0;
    for (int64_t j = 0; j < queries; j += 2 * AMX_COLUMNS) {
        const float* column = m.scores + j;
        const Native left = load_native(column), right = load_native(column + 16);
        Native best[4] = {left, right, left, right}, old[2] = {zero, zero}, sum[2] = {zero, zero};
        int64_t k = 1;
        for (; k + 2 <= keys; k += 2)
#pragma GCC unroll 4
            for (int g = 0; g < 4; g++) {
                const Native s = load_native(column + (k + g / 2) * B + g % 2 * 16);
                best[g] = larger_of_each(best[g], s);
            }
        for (int g = 0; k < keys && g < 2; g++) best[g] = larger_of_each(best[g], load_native(column + k * B + g * 16));
#pragma GCC unroll 2
        for (int g = 0; g < 2; g++) {
            old[g] = load_native(m.largest + j + g * 16);
            const Native block = larger_of_each(best[g], best[2 + g]) * scales;
            best[g] = larger_of_each(old[g], block);
        }
        uint16_t* to = m.p + j / AMX_COLUMNS * panel;
        for (k = 0; k < round_up(keys, AMX_DEPTH); k += 2, to += AMX_DEPTH) {
            if (k % AMX_DEPTH == 0) to = m.p + j / AMX_COLUMNS * panel + k / AMX_DEPTH * TileProducts::TILE_ELEMENTS;
            Native p[4] = {zero, zero, zero, zero};
            if (k + 2 <= keys)
#pragma GCC unroll 4
                for (int g = 0; g < 4; g++)
                    p[g] = power_of_two(
                        fma_native(load_native(column + (k + g / 2) * B + g % 2 * 16), scales, zero - best[g % 2]));
            else if (k < keys)
                for (int g = 0; g < 2; g++)
                    p[g] = power_of_two(fma_native(load_native(column + k * B + g * 16), scales, zero - best[g]));
            sum[0] = sum[0] + (p[0] + p[2]);
            sum[1] = sum[1] + (p[1] + p[3]);
            TileProducts::words(to) = pair_steps(p[0], p[2]);
            TileProducts::words(to + panel) = pair_steps(p[1], p[3]);
        }
#pragma GCC unroll 2
        for (int g = 0; g < 2; g++) {
            const int64_t at = j + g * 16;
            const Native factor = power_of_two(old[g] - best[g]);
            changed |= _mm512_cmp_ps_mask((__m512)factor, (__m512)(zero + 1.0f), _CMP_NEQ_UQ);
            store(m.total + at, Vec<16>{{fma_native(load_native(m.total + at), factor, sum[g])}});
            store(m.factor + at, Vec<16>{{factor}});
            store(m.largest + at, Vec<16>{{best[g]}});
        }
    }
    return changed != 0;
}

template <>
inline void attend<TileProducts>(const PackedAttention& a, const AttentionMemory<TileProducts>& m, int64_t first,
                                 int64_t seq, int64_t head) {
    using P = TileProducts;
    constexpr int64_t B = P::ATTENTION_BLOCK;
    const int64_t dim = a.head_dim, q_stride = a.heads * dim, k_stride = a.kv_heads * dim;
    const int64_t kv_head = head / (a.heads / a.kv_heads);
    const float* k = a.k + first * k_stride + kv_head * dim;
    const float* v = a.v + first * k_stride + kv_head * dim;
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(dim));

    for (int64_t i = 0; i < seq; i += B) {
        const int64_t keys = smaller(B, seq - i), next = smaller(B, seq - i - keys);
        expect_rows<Use::Read>(k + (i + B) * k_stride, k_stride, next, dim);
        expect_rows<Use::Read>(v + (i + B) * k_stride, k_stride, next, dim);
        P::a_from_rows(m.k + i / B * m.k_size, k + i * k_stride, k_stride, keys, dim);
        P::a_from_columns(m.v + i / B * m.v_size, v + i * k_stride, k_stride, dim, keys);
    }
    for (int64_t j = 0; j < seq; j += B) {
        const int64_t queries = smaller(B, seq - j), row = first + j, place = row * q_stride + head * dim;
        const int64_t columns = round_up(queries, AMX_COLUMNS);
        expect_rows<Use::Read>(a.q + place + B * q_stride, q_stride, smaller(B, seq - j - queries), dim);
        P::b_from_rows(m.q, a.q + place, q_stride, queries, dim);
        for (int64_t i = 0; i < B; i++) m.largest[i] = -__builtin_inff(), m.total[i] = 0.0f;
        for (int64_t i = 0; i <= j; i += B) {
            const int64_t keys = smaller(B, seq - i);
            P::multiply(m.scores, B, m.k + i / B * m.k_size, m.q, round_up(keys, AMX_ROWS), columns, dim, Start::Fresh);
            if (i == j) hide_later(m.scores, B, keys, queries);
            if (soften_into(m, keys, queries, scale) && i > 0)
                for (int64_t d = 0; d < dim; d++)
#pragma GCC unroll 4
                    for (int64_t q = 0; q < B; q += 16) {
                        float* at = m.sums + d * B + q;
                        store(at, load<16>(at) * load<16>(m.factor + q));
                    }
            P::multiply(m.sums, B, m.v + i / B * m.v_size, m.p, dim, columns, keys,
                        i == 0 ? Start::Fresh : Start::Continue);
        }
        for (int64_t q = 0; q < queries; q++) {
            a.log_sums[(row + q) * a.heads + head] = m.largest[q] * LN_2 + __builtin_logf(m.total[q]);
            m.factor[q] = 1.0f / m.total[q];
        }
        for (int64_t d = 0; d < dim; d++)
            for (int64_t q = 0; q < columns; q += 16) {
                float* at = m.sums + d * B + q;
                store(at, load<16>(at) * load<16>(m.factor + q));
            }
        copy_columns(a.out + place, q_stride, m.sums, B, dim, queries);
    }
    _mm_sfence();  // lines that were streamed, before others are told that they are there
}

// As expect_rows(), into L2: what is needed later, and should not take the place of what is needed now.
inline void expect_rows_later(const float* rows, int64_t stride, int64_t count, int64_t dim) {
    for (int64_t r = 0; r < count; r++)
        for (int64_t d = 0; d < dim; d += 16) _mm_prefetch(rows + r * stride + d, _MM_HINT_T1);
}

// --- backward ---------------------------------------------------------------------------------------------------

template <>
struct BackwardMemory<TileProducts> {
    using P = TileProducts;
    static constexpr int64_t B = P::ATTENTION_BLOCK, QUERIES = 256, STRIP = 32;

    ScratchParts memory;
    int64_t k_size, k_across_size, q_size;       // of one block
    uint16_t *k, *v, *k_across;                  // A: K, V and K^T of every block
    uint16_t *q, *dout;                          // B: Q^T and dO^T of each block of the present queries
    uint16_t *q_across, *dout_across;            // B: Q and dO of all of them
    uint16_t *p, *ds, *ds_across;                // A: P^T, dS^T of a block of keys; B: dS^T of a block
    float *scores, *dp, *dq, *log_sums, *delta;  // dQ^T in blocks; log_sums in powers of 2, delta is scaled
    float *dk, *dv;                              // [seq] rows of `stride`
    int64_t stride;

    BackwardMemory(char* base, int64_t seq, int64_t head_dim) : memory{base} {
        const int64_t blocks = ceil_div(seq, B);
        k_size = P::a_size(B, head_dim), k_across_size = P::a_size(head_dim, B), q_size = P::b_size(B, head_dim);
        scores = memory.take<float>(STRIP * B), dp = memory.take<float>(STRIP * B);
        log_sums = memory.take<float>(QUERIES), delta = memory.take<float>(QUERIES);
        ds_across = memory.take<uint16_t>(P::b_size(B, B));
        p = memory.take<uint16_t>(P::a_size(B, QUERIES)), ds = memory.take<uint16_t>(P::a_size(B, QUERIES));
        q = memory.take<uint16_t>(QUERIES / B * q_size), dout = memory.take<uint16_t>(QUERIES / B * q_size);
        q_across = memory.take<uint16_t>(P::b_size(head_dim, QUERIES));
        dout_across = memory.take<uint16_t>(P::b_size(head_dim, QUERIES));
        dq = memory.take<float>(head_dim * QUERIES);
        stride = round_up(head_dim, AMX_COLUMNS);
        dk = memory.take<float>(blocks * B * stride), dv = memory.take<float>(blocks * B * stride);
        k = memory.take<uint16_t>(blocks * k_size), v = memory.take<uint16_t>(blocks * k_size);
        k_across = memory.take<uint16_t>(blocks * k_across_size);
    }
};

// Where a strip of 32 keys goes: its row of tiles in p and ds, whose next lies `next` elements after it, and its tiles
// of depth in ds_across, where columns are `across_next` apart.
struct StripPlace {
    uint16_t *p, *ds, *ds_across;
    int64_t next, across_next;
};

// S^T and dP^T of a strip become P^T and dS^T, packed. The first query is `ahead` after the first key; a strip that the
// DIAGONAL cuts hides keys after their queries.
template <bool DIAGONAL>
inline void soften_strip(const BackwardMemory<TileProducts>& m, const StripPlace& place, const float* log_sums,
                         const float* delta, int64_t keys, int64_t queries, float scale, int64_t ahead) {
    constexpr int64_t B = TileProducts::ATTENTION_BLOCK;
    const Native zero = {}, scales = zero + scale * LOG2_E, factor = zero + scale;
    for (int64_t c = 0; c < queries; c += AMX_DEPTH) {
        const __mmask16 inside[2] = {first_lanes(queries - c), first_lanes(queries - c - 16)};
        const Native log_sum[2] = {load_native(log_sums + c), load_native(log_sums + c + 16)};
        const Native pull[2] = {load_native(delta + c), load_native(delta + c + 16)};
        uint16_t* across = place.ds_across + c / AMX_COLUMNS * place.across_next;
        for (int64_t k = 0; k < AMX_DEPTH; k += 2) {
            Native p[4] = {zero, zero, zero, zero}, ds[4] = {zero, zero, zero, zero};
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                const int64_t key = k + i / 2, at = key * B + c + i % 2 * 16;
                if (key >= keys) continue;
                __mmask16 mask = inside[i % 2];
                if constexpr (DIAGONAL)
                    mask = static_cast<__mmask16>(mask & ~first_lanes(key - ahead - c - i % 2 * 16));
                const Native s = load_masked(m.scores + at, mask), gradient = load_masked(m.dp + at, mask);
                p[i] = power_of_two(fma_native(s, scales, zero - log_sum[i % 2]));
                if constexpr (DIAGONAL) p[i] = (Native)_mm512_maskz_mov_ps(mask, (__m512)p[i]);
                ds[i] = p[i] * fma_native(gradient, factor, zero - pull[i % 2]);
            }
            const int64_t line =
                k / AMX_ROWS * place.next + c / AMX_DEPTH * TileProducts::TILE_ELEMENTS + k % AMX_ROWS * AMX_DEPTH;
            TileProducts::words(place.p + line) = narrow(p[0], p[1]);
            TileProducts::words(place.p + line + AMX_DEPTH) = narrow(p[2], p[3]);
            TileProducts::words(place.ds + line) = narrow(ds[0], ds[1]);
            TileProducts::words(place.ds + line + AMX_DEPTH) = narrow(ds[2], ds[3]);
            TileProducts::words(across + k / 2 * AMX_DEPTH) = pair_steps(ds[0], ds[2]);
            TileProducts::words(across + place.across_next + k / 2 * AMX_DEPTH) = pair_steps(ds[1], ds[3]);
        }
    }
}

template <>
inline void attend_backward<TileProducts>(const PackedAttentionBackward& b, const BackwardMemory<TileProducts>& m,
                                          int64_t first, int64_t seq, int64_t head, bool fresh) {
    using P = TileProducts;
    using Memory = BackwardMemory<TileProducts>;
    constexpr int64_t B = P::ATTENTION_BLOCK, STRIP = Memory::STRIP, TILE = P::TILE_ELEMENTS;
    const PackedAttention& a = b.forward;
    const int64_t dim = a.head_dim, q_stride = a.heads * dim, k_stride = a.kv_heads * dim;
    const int64_t group = a.heads / a.kv_heads, kv_place = first * k_stride + head / group * dim;
    const int64_t dim_panel = ceil_div(dim, AMX_DEPTH) * TILE;
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(dim));

    for (int64_t j = 0; j < seq; j += Memory::QUERIES) {
        const int64_t queries = smaller(Memory::QUERIES, seq - j), place = (first + j) * q_stride + head * dim;
        const int64_t panel = ceil_div(queries, AMX_DEPTH) * TILE;  // of what has these queries as depth
        for (int64_t s = 0; s < queries; s += B) {
            const int64_t count = smaller(B, queries - s), row = s * q_stride + place;
            P::b_from_rows(m.q + s / B * m.q_size, a.q + row, q_stride, count, dim);
            P::b_from_rows(m.dout + s / B * m.q_size, b.dout + row, q_stride, count, dim);
            for (int64_t r = 0; r < count; r++) {
                const float *dout = b.dout + row + r * q_stride, *out = a.out + row + r * q_stride;
                Vec<16> delta = zeros<16>();
                each_vector<16>(dim, [&](auto at, auto) { delta = fma(P::operand(at(dout)), at(out), delta); });
                m.delta[s + r] = sum(delta) * scale;
                m.log_sums[s + r] = a.log_sums[(first + j + s + r) * a.heads + head] * LOG2_E;
            }
        }
        for (int64_t r = queries; r < round_up(queries, AMX_DEPTH); r++)
            m.delta[r] = 0.0f, m.log_sums[r] = __builtin_inff();  // no query: P = 0
        P::b_from_columns(m.q_across, a.q + place, q_stride, dim, queries);
        P::b_from_columns(m.dout_across, b.dout + place, q_stride, dim, queries);

        // The next queries are asked for while these are worked on, an equal part with every block of keys.
        const int64_t following = smaller(Memory::QUERIES, seq - j - queries);
        const int64_t part = ceil_div(following, ceil_div(j + queries, B));
        for (int64_t i = 0; i < j + queries; i += B) {
            const int64_t keys = smaller(B, seq - i), block = i / B, from = larger(0, i - j);
            const int64_t asked = block * part, count_asked = smaller(part, following - asked);
            const int64_t next = place + (queries + asked) * q_stride;
            expect_rows_later(a.q + next, q_stride, count_asked, dim);
            expect_rows_later(b.dout + next, q_stride, count_asked, dim);
            expect_rows_later(a.out + next, q_stride, count_asked, dim);
            for (int64_t s = from; s < queries; s += B) {
                const int64_t count = smaller(B, queries - s), columns = round_up(count, AMX_COLUMNS);
                const int64_t across_panel = ceil_div(keys, AMX_DEPTH) * TILE;
                for (int64_t h = 0; h < keys; h += STRIP) {
                    const int64_t strip = smaller(STRIP, keys - h), rows = round_up(strip, AMX_ROWS);
                    const int64_t key_place = block * m.k_size + h / AMX_ROWS * dim_panel;
                    P::multiply(m.scores, B, m.k + key_place, m.q + s / B * m.q_size, rows, columns, dim, Start::Fresh);
                    P::multiply(m.dp, B, m.v + key_place, m.dout + s / B * m.q_size, rows, columns, dim, Start::Fresh);
                    const int64_t line = h / AMX_ROWS * panel + s / AMX_DEPTH * TILE;
                    const StripPlace to = {m.p + line, m.ds + line, m.ds_across + h / AMX_DEPTH * TILE, panel,
                                           across_panel};
                    if (j + s == i)
                        soften_strip<true>(m, to, m.log_sums + s, m.delta + s, strip, count, scale, -h);
                    else
                        soften_strip<false>(m, to, m.log_sums + s, m.delta + s, strip, count, scale, 0);
                }
                P::multiply(m.dq + s * dim, B, m.k_across + block * m.k_across_size, m.ds_across, dim, columns, keys,
                            i == 0 ? Start::Fresh : Start::Continue);
            }
            const Start start = fresh && i >= j ? Start::Fresh : Start::Continue;
            const int64_t skipped = from / AMX_DEPTH * TILE, tiles = panel / TILE - from / AMX_DEPTH;
            float *dv = m.dv + i * m.stride, *dk = m.dk + i * m.stride;
            const int64_t rows = round_up(keys, AMX_ROWS);
            P::multiply_tiles(dv, m.stride, m.p + skipped, m.dout_across + skipped, rows, m.stride, tiles, panel,
                              start);
            P::multiply_tiles(dk, m.stride, m.ds + skipped, m.q_across + skipped, rows, m.stride, tiles, panel, start);
        }
        for (int64_t s = 0; s < queries; s += B)
            copy_columns(b.dq + place + s * q_stride, q_stride, m.dq + s * dim, B, dim, smaller(B, queries - s));
    }
    if (head % group + 1 == group) {
        copy_rows(b.dk + kv_place, k_stride, m.dk, m.stride, seq, dim);
        copy_rows(b.dv + kv_place, k_stride, m.dv, m.stride, seq, dim);
    }
    _mm_sfence();
}

}  // namespace
}  // namespace leon
