// Causal attention over a paged cache, with the softmax computed online: the cache passes by once, nothing of length
// `seq` is stored.   per span and query:  s = q . k;  m' = max(m, s);  l = l e^(m - m') + sum e^(s - m');  same for out
//
// A task owns one kv head and a run of rows of one stream: all their query heads read each span of four pages while it
// is in L2, four queries at a time. Pages lie anywhere, so the processor cannot guess what comes next: each is
// prefetched while the one before it is read. Decoding has one row per stream and is bound by reading the cache; many
// rows by arithmetic, a good part of it sums over lanes.
// 2026-11-23, one core of an AMD EPYC (Zen 5), 4,096 positions: 1 row, 32 heads of 128, f32 31 GB/s (AVX-512: 73% of
// the roof) and 30 (AVX2: 72%), bf16 28 (67%) and 26 (63%); 256 rows 142 GFLOP/s (59%) and 75 (62%). docs/kernels.md
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

// Pages whose scores become weights together: what a softmax costs besides its exponentials is spread over 128
// positions, and the keys of a span, 64 KB for heads of 128 in f32, are still in L2 for the next four queries.
constexpr int64_t SPAN_PAGES = 4, SPAN = SPAN_PAGES * PAGE;

constexpr int64_t TASK_QUERIES = 64;  // rows times grouped heads that share the reading of a span
constexpr int QUERIES_AT_ONCE = 4;
constexpr int64_t LINE_BYTES = 64;

// The queries of one task, [queries, ...] each. Everything along head_dim is in pair order, padded to `stride`.
struct QueryTile {
    float *q, *out;          // [queries, stride]
    float *top, *total;      // [queries] the softmax so far: largest score, sum of exponentials
    const int32_t* visible;  // [queries] positions that this query may see
    int64_t head_dim, stride;
};

// Adjacent pages of one stream and kv head, in the order in which they are read: the keys of the span, then its values,
// then the next span's keys, as far ahead as they are prefetched. Null: there is no such page.
constexpr int64_t PAGES_AHEAD = 1;
template <class W>
struct Span {
    const W* page[2 * SPAN_PAGES + PAGES_AHEAD];
};

// Of an i8 cache, the scales of each page's rows.
template <>
struct Span<int8_t> {
    const int8_t* page[2 * SPAN_PAGES + PAGES_AHEAD];
    const float* scale[2 * SPAN_PAGES];
};

// weights[p] *= the scale of the key (first_page 0) or value (SPAN_PAGES) at position p of the span, if it has scales
template <class W>
inline void apply_scales(float* weights, const Span<W>& span, int64_t first_page, int64_t count) {
    if constexpr (sizeof(W) == 1)
        for (int64_t first = 0; first < count; first += PAGE) {
            const float* scale = span.scale[first_page + first / PAGE];
            for (int64_t p = 0; p < smaller(PAGE, count - first); p++) weights[first + p] *= scale[p];
        }
}

// Asks for `count` values of a page that is read later.
template <class W>
[[gnu::always_inline]] inline void prefetch(const W* from, int64_t count) {
    for (int64_t i = 0; i < count; i += LINE_BYTES / static_cast<int64_t>(sizeof(W))) __builtin_prefetch(from + i);
}

// scores[r][p] = q[r] . key[p] for KEYS adjacent keys
template <int LANES, int QUERIES, int KEYS, class W>
[[gnu::always_inline]] inline void score_keys(float (*scores)[SPAN], const QueryTile& t, int64_t query, const W* keys) {
    constexpr int64_t STEP = 2 * LANES;
    const float* q = t.q + query * t.stride;
    Vec<LANES> dots[QUERIES][KEYS];
#pragma GCC unroll 4
    for (int r = 0; r < QUERIES; r++)
#pragma GCC unroll 8
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
#pragma GCC unroll 8
        for (int p = 0; p < KEYS; p++) multiply(p, load_pair<LANES>(keys + p * t.head_dim + i), i);
    if (i < t.head_dim)
#pragma GCC unroll 8
        for (int p = 0; p < KEYS; p++) multiply(p, load_pair_some<LANES>(keys + p * t.head_dim + i, t.head_dim - i), i);

    if constexpr (KEYS % 4 == 0) {
#pragma GCC unroll 4
        for (int r = 0; r < QUERIES; r++)
#pragma GCC unroll 2
            for (int p = 0; p < KEYS; p += 4)
                *reinterpret_cast<QuadAt*>(&scores[r][p]) =
                    sums(dots[r][p], dots[r][p + 1], dots[r][p + 2], dots[r][p + 3]);
    } else if constexpr (QUERIES == 4) {
#pragma GCC unroll 4
        for (int p = 0; p < KEYS; p++) {
            Quad column = sums(dots[0][p], dots[1][p], dots[2][p], dots[3][p]);
#pragma GCC unroll 4
            for (int r = 0; r < QUERIES; r++) scores[r][p] = column[r];
        }
    } else {
        for (int r = 0; r < QUERIES; r++)
            for (int p = 0; p < KEYS; p++) scores[r][p] = sum(dots[r][p]);
    }
}

// The registers decide: accumulators of QUERIES x KEYS.
template <int QUERIES>
constexpr int KEYS_AT_ONCE = QUERIES == 1         ? 8
                             : NATIVE_LANES == 16 ? 4
                                                  : 2;

// scores[r][p] for the first `count` positions of the span; `first_reader` prefetches what is read next.
template <int LANES, int QUERIES, class W>
inline void score_span(float (*scores)[SPAN], const QueryTile& t, int64_t query, const Span<W>& span, int64_t count,
                       bool first_reader) {
    constexpr int KEYS = KEYS_AT_ONCE<QUERIES>;
    for (int64_t page = 0; page * PAGE < count; page++) {
        const W *keys = span.page[page], *ahead = first_reader ? span.page[page + PAGES_AHEAD] : nullptr;
        const int64_t first = page * PAGE, end = smaller(PAGE, count - first);
        auto to = [&](int64_t p) { return reinterpret_cast<float(*)[SPAN]>(&scores[0][first + p]); };
        int64_t p = 0;
        for (; p + KEYS <= end; p += KEYS) {
            if (ahead != nullptr) prefetch(ahead + p * t.head_dim, KEYS * t.head_dim);
            score_keys<LANES, QUERIES, KEYS>(to(p), t, query, keys + p * t.head_dim);
        }
        for (; p < end; p++) score_keys<LANES, QUERIES, 1>(to(p), t, query, keys + p * t.head_dim);
    }
}

// Scores of one query become weights; returns what its sums so far must be multiplied by.
template <int LANES>
inline float soften(float* weights, int64_t count, float& top, float& total) {
    const int64_t end = round_up(count, LANES);
    for (int64_t p = count; p < end; p++) weights[p] = -__builtin_inff();
    Vec<LANES> high = broadcast<LANES>(top);
    for (int64_t p = 0; p < end; p += LANES) high = max(high, load<LANES>(weights + p));
    const float new_top = largest(high);

    Vec<LANES> added = zeros<LANES>(), shift = broadcast<LANES>(new_top);
    for (int64_t p = 0; p < end; p += LANES) {
        Vec<LANES> e = exp(load<LANES>(weights + p) - shift);
        store(weights + p, e);
        added = added + e;
    }
    const float fade = exp_native(Native{} + (top - new_top))[0];
    total = total * fade + sum(added);
    top = new_top;
    return fade;
}

// out[r] = out[r] * fade[r] + sum_p weights[r][p] value[p] over positions [from, to) of the span
template <int LANES, int QUERIES, int PAIRS, class W>
[[gnu::always_inline]] inline void mix_columns(const float (*weights)[SPAN], const float* fade, const QueryTile& t,
                                               int64_t query, const Span<W>& span, int64_t from, int64_t to,
                                               int64_t column, int64_t width, bool first_reader) {
    constexpr int64_t STEP = 2 * LANES;
    float* out = t.out + query * t.stride + column;
    Vec<LANES> mixed[QUERIES][2 * PAIRS];
#pragma GCC unroll 4
    for (int r = 0; r < QUERIES; r++)
#pragma GCC unroll 8
        for (int i = 0; i < 2 * PAIRS; i++)
            mixed[r][i] = load<LANES>(out + r * t.stride + i * LANES) * broadcast<LANES>(fade[r]);

    for (int64_t p = from; p < to;) {
        const int64_t page = p / PAGE, end = smaller(to, (page + 1) * PAGE);
        const int64_t place = p % PAGE * t.head_dim + column;
        const W* value = span.page[SPAN_PAGES + page] + place;
        const W* ahead = first_reader ? span.page[SPAN_PAGES + page + PAGES_AHEAD] : nullptr;
        const W* next = ahead == nullptr ? value : ahead + place;  // what is here already costs little to ask for
        for (; p < end; p++, value += t.head_dim, next += t.head_dim) {
            if (first_reader) prefetch(next, PAIRS * STEP);
#pragma GCC unroll 4
            for (int i = 0; i < PAIRS; i++) {
                Pair<LANES> pair =
                    width == 0 ? load_pair<LANES>(value + i * STEP) : load_pair_some<LANES>(value, width);
#pragma GCC unroll 4
                for (int r = 0; r < QUERIES; r++) {
                    Vec<LANES> weight = broadcast<LANES>(weights[r][p]);
                    mixed[r][2 * i] = fma(weight, pair.first, mixed[r][2 * i]);
                    mixed[r][2 * i + 1] = fma(weight, pair.second, mixed[r][2 * i + 1]);
                }
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < QUERIES; r++)
#pragma GCC unroll 8
        for (int i = 0; i < 2 * PAIRS; i++) store(out + r * t.stride + i * LANES, mixed[r][i]);
}

template <int LANES, int QUERIES, class W>
inline void mix_span(const float (*weights)[SPAN], const float* fade, const QueryTile& t, int64_t query,
                     const Span<W>& span, int64_t from, int64_t to, bool first_reader) {
    constexpr int64_t STEP = 2 * LANES;
    constexpr int MANY = QUERIES == 1 ? 4 : NATIVE_LANES == 16 ? 2 : 1, SOME = larger(1, MANY / 2);
    int64_t i = 0;
    for (; i + MANY * STEP <= t.head_dim; i += MANY * STEP)
        mix_columns<LANES, QUERIES, MANY>(weights, fade, t, query, span, from, to, i, 0, first_reader);
    for (; i + SOME * STEP <= t.head_dim; i += SOME * STEP)
        mix_columns<LANES, QUERIES, SOME>(weights, fade, t, query, span, from, to, i, 0, first_reader);
    for (; i + STEP <= t.head_dim; i += STEP)
        mix_columns<LANES, QUERIES, 1>(weights, fade, t, query, span, from, to, i, 0, first_reader);
    if (i < t.head_dim)
        mix_columns<LANES, QUERIES, 1>(weights, fade, t, query, span, from, to, i, t.head_dim - i, first_reader);
}

inline int64_t visible_in(const QueryTile& t, int64_t query, int64_t first) {
    return smaller(SPAN, larger(0, t.visible[query] - first));
}

// Queries [query, query + QUERIES), in rising position, see the span that starts at position `first`.
template <int LANES, int QUERIES, class W>
inline void attend_span(const QueryTile& t, int64_t query, const Span<W>& span, int64_t first, bool first_reader) {
    alignas(64) float weights[QUERIES][SPAN];
    float fade[QUERIES];
    const int64_t least = visible_in(t, query, first), most = visible_in(t, query + QUERIES - 1, first);
    score_span<LANES, QUERIES>(weights, t, query, span, most, first_reader);
    for (int r = 0; r < QUERIES; r++) {
        const int64_t visible = visible_in(t, query + r, first);
        apply_scales(weights[r], span, 0, visible);
        fade[r] = soften<LANES>(weights[r], visible, t.top[query + r], t.total[query + r]);
        apply_scales(weights[r], span, SPAN_PAGES, visible);
    }
    mix_span<LANES, QUERIES>(weights, fade, t, query, span, 0, least, first_reader);
    const float kept = 1.0f;
    if (least < most)
        for (int r = 1; r < QUERIES; r++)
            mix_span<LANES, 1>(weights + r, &kept, t, query + r, span, least, visible_in(t, query + r, first), false);
}

// Every query of the tile sees positions [from, to) of its stream; `from` starts a page.
template <int LANES, class W>
inline void attend_positions(const QueryTile& t, int64_t queries, const AttentionArguments& a, const int32_t* pages,
                             int64_t head, int64_t from, int64_t to) {
    auto row_at = [&](int64_t first) { return (pages[first / PAGE] * a.kv_heads + head) * PAGE; };
    auto page_at = [&](const void* memory, int64_t first) {
        const W* none = nullptr;
        return first >= to ? none : static_cast<const W*>(memory) + row_at(first) * a.head_dim;
    };
    for (int64_t first = from; first < to; first += SPAN) {
        Span<W> span;
        for (int64_t i = 0; i < SPAN_PAGES; i++) {
            span.page[i] = page_at(a.keys, first + i * PAGE);
            span.page[SPAN_PAGES + i] = page_at(a.values, first + i * PAGE);
            if constexpr (sizeof(W) == 1) {
                const int64_t row = first + i * PAGE < to ? row_at(first + i * PAGE) : 0;
                span.scale[i] = a.key_scales + row;
                span.scale[SPAN_PAGES + i] = a.value_scales + row;
            }
        }
        for (int64_t i = 0; i < PAGES_AHEAD; i++)
            span.page[2 * SPAN_PAGES + i] = page_at(a.keys, first + SPAN + i * PAGE);
        int64_t query = 0;
        for (; query + QUERIES_AT_ONCE <= queries; query += QUERIES_AT_ONCE)
            attend_span<LANES, QUERIES_AT_ONCE>(t, query, span, first, query == 0);
        for (; query < queries; query++) attend_span<LANES, 1>(t, query, span, first, query == 0);
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

    attend_positions<LANES, W>(t, queries, a, a.page_table + a.stream[row] * a.max_pages, head, 0,
                               visible[queries - 1]);

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
    with_cache(a.element, [&](auto* element) { attention_of<LANES, Pointee<decltype(element)>>(a); });
}

}  // namespace
}  // namespace leon
