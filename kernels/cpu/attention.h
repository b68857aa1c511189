// Causal attention over a paged cache, with the softmax computed online: pages pass by once, nothing of length `seq`
// is stored.   per page and query:  s = q . k;  m' = max(m, s);  l = l e^(m - m') + sum e^(s - m');  same for out
//
// A task owns one kv head and a run of rows of one stream: all their query heads read each page while it is in L1, four
// queries at a time. Decoding has one row per stream and is bound by reading the cache; prefill by arithmetic.
//
// The operations of one query are the same, in the same order, whatever other queries share its task, so a row gets the
// same bits in every batch. Positions beyond a row's own are never read, so stale pages cannot leak in.
#pragma once

#include "kernels/cpu/isa.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/threads.h"

namespace leon {
namespace {

constexpr int64_t PAGE = CACHE_PAGE;

constexpr int64_t TASK_QUERIES = 64;  // rows times grouped heads that share the reading of a page
constexpr int QUERIES_AT_ONCE = 4;

// The queries of one task, [queries, ...] each. Everything along head_dim is in pair order, padded to `stride`.
struct QueryTile {
    float *q, *out;          // [queries, stride]
    float *top, *total;      // [queries] the softmax so far: largest score, sum of exponentials
    const int32_t* visible;  // [queries] positions that this query may see
    int64_t head_dim, stride;
};

// weights[r][p] = q[r] . key[p] for p < count
template <int LANES, int QUERIES, int KEYS, class W>
[[gnu::always_inline]] inline void score_keys(float (*weights)[PAGE], const QueryTile& t, int64_t query, const W* keys,
                                              int64_t first) {
    constexpr int64_t STEP = 2 * LANES;
    const float* q = t.q + query * t.stride;
    Vec<LANES> dots[QUERIES][KEYS];
#pragma GCC unroll 4
    for (int r = 0; r < QUERIES; r++)
#pragma GCC unroll 4
        for (int p = 0; p < KEYS; p++) dots[r][p] = zeros<LANES>();

    auto multiply = [&](int p, const Pair<LANES>& key, int64_t i) __attribute__((always_inline)) {
#pragma GCC unroll 4
        for (int r = 0; r < QUERIES; r++) {
            dots[r][p] = fma(key.first, load<LANES>(q + r * t.stride + i), dots[r][p]);
            dots[r][p] = fma(key.second, load<LANES>(q + r * t.stride + i + LANES), dots[r][p]);
        }
    };
    int64_t i = 0;
    for (; i + STEP <= t.head_dim; i += STEP)
#pragma GCC unroll 4
        for (int p = 0; p < KEYS; p++) multiply(p, load_pair<LANES>(keys + (first + p) * t.head_dim + i), i);
    if (i < t.head_dim)
#pragma GCC unroll 4
        for (int p = 0; p < KEYS; p++)
            multiply(p, load_pair_some<LANES>(keys + (first + p) * t.head_dim + i, t.head_dim - i), i);

    if constexpr (KEYS == 4) {
#pragma GCC unroll 4
        for (int r = 0; r < QUERIES; r++)
            *reinterpret_cast<QuadAt*>(&weights[r][first]) = sums(dots[r][0], dots[r][1], dots[r][2], dots[r][3]);
    } else if constexpr (QUERIES == 4) {
#pragma GCC unroll 4
        for (int p = 0; p < KEYS; p++) {
            Quad column = sums(dots[0][p], dots[1][p], dots[2][p], dots[3][p]);
#pragma GCC unroll 4
            for (int r = 0; r < QUERIES; r++) weights[r][first + p] = column[r];
        }
    } else {
        for (int r = 0; r < QUERIES; r++)
            for (int p = 0; p < KEYS; p++) weights[r][first + p] = sum(dots[r][p]);
    }
}

template <int LANES, int QUERIES, class W>
inline void score_page(float (*weights)[PAGE], const QueryTile& t, int64_t query, const W* keys, int64_t count) {
    constexpr int KEYS = QUERIES == 1 ? 4 : 2;
    int64_t p = 0;
    for (; p + KEYS <= count; p += KEYS) score_keys<LANES, QUERIES, KEYS>(weights, t, query, keys, p);
    for (; p < count; p++) score_keys<LANES, QUERIES, 1>(weights, t, query, keys, p);
}

// Scores of one query become weights; returns what its sums so far must be multiplied by.
template <int LANES>
inline float soften(float* weights, int64_t count, float& top, float& total) {
    for (int64_t p = count; p < PAGE; p++) weights[p] = -__builtin_inff();
    Vec<LANES> high = load<LANES>(weights);
    for (int64_t p = LANES; p < PAGE; p += LANES) high = max(high, load<LANES>(weights + p));
    const float highest = largest(high), new_top = highest > top ? highest : top;

    Vec<LANES> added = zeros<LANES>(), shift = broadcast<LANES>(new_top);
    for (int64_t p = 0; p < PAGE; p += LANES) {
        Vec<LANES> e = exp(load<LANES>(weights + p) - shift);
        store(weights + p, e);
        added = added + e;
    }
    const float fade = exp_native(Native{} + (top - new_top))[0];
    total = total * fade + sum(added);
    top = new_top;
    return fade;
}

// out[r] = out[r] * fade[r] + sum_p weights[r][p] value[p], where query r sees counts[r] of the page.
template <int LANES, int QUERIES, int PAIRS, class W>
[[gnu::always_inline]] inline void mix_columns(const float (*weights)[PAGE], const float* fade, const QueryTile& t,
                                               int64_t query, const W* values, int64_t count, int64_t column,
                                               int64_t width) {
    constexpr int64_t STEP = 2 * LANES;
    float* out = t.out + query * t.stride + column;
    Vec<LANES> mixed[QUERIES][2 * PAIRS];
#pragma GCC unroll 4
    for (int r = 0; r < QUERIES; r++)
#pragma GCC unroll 8
        for (int i = 0; i < 2 * PAIRS; i++)
            mixed[r][i] = load<LANES>(out + r * t.stride + i * LANES) * broadcast<LANES>(fade[r]);

    for (int64_t p = 0; p < count; p++)
#pragma GCC unroll 4
        for (int i = 0; i < PAIRS; i++) {
            const W* value = values + p * t.head_dim + column + i * STEP;
            Pair<LANES> pair = width == 0 ? load_pair<LANES>(value) : load_pair_some<LANES>(value, width);
#pragma GCC unroll 4
            for (int r = 0; r < QUERIES; r++) {
                Vec<LANES> weight = broadcast<LANES>(weights[r][p]);
                mixed[r][2 * i] = fma(weight, pair.first, mixed[r][2 * i]);
                mixed[r][2 * i + 1] = fma(weight, pair.second, mixed[r][2 * i + 1]);
            }
        }
#pragma GCC unroll 4
    for (int r = 0; r < QUERIES; r++)
#pragma GCC unroll 8
        for (int i = 0; i < 2 * PAIRS; i++) store(out + r * t.stride + i * LANES, mixed[r][i]);
}

template <int LANES, int QUERIES, class W>
inline void mix_page(const float (*weights)[PAGE], const float* fade, const QueryTile& t, int64_t query,
                     const W* values, int64_t count) {
    constexpr int64_t STEP = 2 * LANES;
    constexpr int PAIRS = QUERIES == 1 ? 4 : 1;
    int64_t i = 0;
    for (; i + PAIRS * STEP <= t.head_dim; i += PAIRS * STEP)
        mix_columns<LANES, QUERIES, PAIRS>(weights, fade, t, query, values, count, i, 0);
    for (; i + STEP <= t.head_dim; i += STEP)
        mix_columns<LANES, QUERIES, 1>(weights, fade, t, query, values, count, i, 0);
    if (i < t.head_dim) mix_columns<LANES, QUERIES, 1>(weights, fade, t, query, values, count, i, t.head_dim - i);
}

// One page for queries that all see `count` of its positions.
template <int LANES, int QUERIES, class W>
inline void attend_page(const QueryTile& t, int64_t query, const W* keys, const W* values, int64_t count) {
    alignas(64) float weights[QUERIES][PAGE];
    float fade[QUERIES];
    score_page<LANES, QUERIES>(weights, t, query, keys, count);
    for (int r = 0; r < QUERIES; r++) fade[r] = soften<LANES>(weights[r], count, t.top[query + r], t.total[query + r]);
    mix_page<LANES, QUERIES>(weights, fade, t, query, values, count);
}

inline int64_t visible_in(const QueryTile& t, int64_t query, int64_t first) {
    return smaller(PAGE, larger(0, t.visible[query] - first));
}

// Every query of the tile sees the page that starts at position `first`.
template <int LANES, class W>
inline void attend_page(const QueryTile& t, int64_t queries, const W* keys, const W* values, int64_t first) {
    for (int64_t i = 0; i < PAGE * t.head_dim; i += 64 / static_cast<int64_t>(sizeof(W)))
        __builtin_prefetch(values + i);
    for (int64_t query = 0; query < queries;) {
        const int64_t count = visible_in(t, query, first);
        bool alike = query + QUERIES_AT_ONCE <= queries;
        for (int r = 1; alike && r < QUERIES_AT_ONCE; r++) alike = visible_in(t, query + r, first) == count;
        if (alike && count > 0) attend_page<LANES, QUERIES_AT_ONCE>(t, query, keys, values, count);
        if (!alike && count > 0) attend_page<LANES, 1>(t, query, keys, values, count);
        query += alike ? QUERIES_AT_ONCE : 1;
    }
}

// Rows [row, row + rows) of one stream against kv head `head`.
template <int LANES, class W>
inline void attend(const AttentionArguments& a, QueryTile& t, int32_t* visible, int64_t row, int64_t rows,
                   int64_t head) {
    const int64_t group = a.heads / a.kv_heads, queries = rows * group;
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(a.head_dim));
    for (int64_t i = 0; i < queries; i++) {
        const int64_t place = ((row + i / group) * a.heads + head * group + i % group) * a.head_dim;
        to_pair_order<LANES, W>(t.q + i * t.stride, a.q + place, a.head_dim, scale);
        for (int64_t j = 0; j < t.stride; j++) t.out[i * t.stride + j] = 0.0f;
        t.top[i] = -__builtin_inff();
        t.total[i] = 0.0f;
        visible[i] = a.position[row + i / group] + 1;
    }

    const int32_t* pages = a.page_table + a.stream[row] * a.max_pages;
    const int64_t end = visible[queries - 1];
    for (int64_t first = 0; first < end; first += PAGE) {
        const int64_t page = (pages[first / PAGE] * a.kv_heads + head) * PAGE * a.head_dim;
        attend_page<LANES>(t, queries, static_cast<const W*>(a.keys) + page, static_cast<const W*>(a.values) + page,
                           first);
    }

    for (int64_t i = 0; i < queries; i++) {
        float* out = a.out + ((row + i / group) * a.heads + head * group + i % group) * a.head_dim;
        const float* mixed = t.out + i * t.stride;
        for (int64_t j = 0; j < a.head_dim; j++)
            out[j] = mixed[pair_place<LANES>(j, static_cast<const W*>(nullptr))] / t.total[i];
    }
}

template <int LANES, class W>
void attention_of(const AttentionArguments& a) {
    const int64_t group = a.heads / a.kv_heads, most_rows = larger(1, TASK_QUERIES / group);
    const int64_t queries = most_rows * group, stride = round_up(a.head_dim, 2 * LANES);
    const int64_t starts_floats = round_up(a.tokens + 1, 16);
    const int64_t worker_floats = round_up(queries * (2 * stride + 3), 16);
    float* memory = scratch_floats(starts_floats + cpu_workers() * worker_floats);

    // Runs of rows that share a task: same stream, at most most_rows.
    int32_t* starts = reinterpret_cast<int32_t*>(memory);
    int64_t runs = 0;
    for (int64_t row = 0; row < a.tokens; row++)
        if (row == 0 || a.stream[row] != a.stream[row - 1] || row - starts[runs - 1] == most_rows)
            starts[runs++] = static_cast<int32_t>(row);
    starts[runs] = static_cast<int32_t>(a.tokens);

    parallel(runs * a.kv_heads, [=, &a](int64_t task, int worker) {
        float* mine = memory + starts_floats + worker * worker_floats;
        const int64_t run = runs - 1 - task / a.kv_heads;  // later rows see more: they go first
        int32_t* visible = reinterpret_cast<int32_t*>(mine + queries * (2 * stride + 2));
        QueryTile t = {mine,
                       mine + queries * stride,
                       mine + 2 * queries * stride,
                       mine + queries * (2 * stride + 1),
                       visible,
                       a.head_dim,
                       stride};
        attend<LANES, W>(a, t, visible, starts[run], starts[run + 1] - starts[run], task % a.kv_heads);
    });
}

template <int LANES>
void attention(const AttentionArguments& a) {
    a.element == Element::BF16 ? attention_of<LANES, uint16_t>(a) : attention_of<LANES, float>(a);
}

}  // namespace
}  // namespace leon
