// attention and attention_backward over an engine P (FloatProducts or TileProducts): causal, within documents, with no
// matrix larger than a block kept.
//
// Scores stand transposed, keys down and queries across: S^T = K Q^T. So maxima and sums over keys are element by
// element between rows, log_sums and delta of 16 queries are one vector, and P^T and dS^T are already the operand A, or
// by a cheap interleaving B, of the products that follow:
//
//   forward    S^T [keys, queries] = K Q^T       O^T [head_dim, queries] += V^T P^T
//   backward   S^T = K Q^T       dP^T = V dO^T       dV += P^T dO       dK += dS^T Q       dQ^T += K^T dS^T
//
// A task is one head of one document (backward: one key/value head, with all query heads that read it, so dK and dV
// have one writer). Longest documents first, so that threads end together. Blocks above the diagonal are skipped.
// Forward keeps the running maximum and sum of each query and rescales O^T, as FlashAttention does (Dao et al. 2022).
#pragma once

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/threads.h"
#include "training/cpu/grad_isa.h"
#include "training/cpu/rows.h"
#include "training/cpu/scratch_parts.h"

namespace leon {
namespace {

// to[c * to_stride + r] = from[r * from_stride + c]
inline void copy_transposed(float* to, int64_t to_stride, const float* from, int64_t from_stride, int64_t rows,
                            int64_t columns) {
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        const float* w = from + r * from_stride;
        int64_t c = 0;
        for (; c + 4 <= columns; c += 4) {
            Quad q0 = load_quad(w + c), q1 = load_quad(w + from_stride + c);
            Quad q2 = load_quad(w + 2 * from_stride + c), q3 = load_quad(w + 3 * from_stride + c);
            transpose(q0, q1, q2, q3);
            const Quad quads[4] = {q0, q1, q2, q3};
            for (int i = 0; i < 4; i++) *reinterpret_cast<QuadAt*>(to + (c + i) * to_stride + r) = quads[i];
        }
        for (; c < columns; c++)
            for (int i = 0; i < 4; i++) to[c * to_stride + r + i] = w[i * from_stride + c];
    }
    for (; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) to[c * to_stride + r] = from[r * from_stride + c];
}

// Rows of a head are short runs, far apart, which the processor does not foresee: they are asked for a block ahead.
enum class Use : uint8_t { Read, Write };
template <Use USE>
inline void expect_rows(const float* rows, int64_t stride, int64_t count, int64_t dim) {
    for (int64_t r = 0; r < count; r++)
        for (int64_t d = 0; d < dim; d += 16) __builtin_prefetch(rows + r * stride + d, USE == Use::Write);
}

// A diagonal block of S^T: keys after the query do not count.
template <class P>
inline void hide_later_keys(float* scores, int64_t keys) {
    for (int64_t k = 1; k < keys; k++)
        for (int64_t q = 0; q < k; q++) scores[k * P::ATTENTION_BLOCK + q] = -__builtin_inff();
}

// --- forward ----------------------------------------------------------------------------------------------------

template <class P>
struct AttentionMemory {
    using Element = typename P::Element;
    static constexpr int64_t B = P::ATTENTION_BLOCK;

    ScratchParts memory;
    int64_t k_size, v_size;  // of one block
    Element *k, *v, *q, *p;
    float *scores, *sums, *largest, *total, *factor;

    AttentionMemory(char* base, int64_t seq, int64_t head_dim) : memory{base} {
        const int64_t blocks = ceil_div(seq, B);
        k_size = P::a_size(B, head_dim), v_size = P::a_size(head_dim, B);
        k = memory.take<Element>(blocks * k_size), v = memory.take<Element>(blocks * v_size);
        q = memory.take<Element>(P::b_size(B, head_dim)), p = memory.take<Element>(P::b_size(B, B));
        scores = memory.take<float>(B * B), sums = memory.take<float>(head_dim * B);
        largest = memory.take<float>(B), total = memory.take<float>(B), factor = memory.take<float>(B);
    }
};

// S^T of one block becomes P^T: exp(scale S - largest). largest and total are brought up to date; what was summed under
// the old largest is to be multiplied by factor.
template <class P>
inline void soften(const AttentionMemory<P>& m, int64_t keys, int64_t queries, float scale) {
    constexpr int LANES = P::LANES, GROUP = 2;  // vectors side by side: their chains of maxima overlap
    constexpr int64_t B = P::ATTENTION_BLOCK;
    using V = Vec<LANES>;
    const V scales = broadcast<LANES>(scale);
    for (int64_t j = 0; j < queries; j += GROUP * LANES) {
        float* column = m.scores + j;
        V best[GROUP], old[GROUP], sum[GROUP];
#pragma GCC unroll 2
        for (int g = 0; g < GROUP; g++) best[g] = load<LANES>(column + g * LANES);
        for (int64_t k = 1; k < keys; k++)
#pragma GCC unroll 2
            for (int g = 0; g < GROUP; g++) best[g] = max(best[g], load<LANES>(column + k * B + g * LANES));
#pragma GCC unroll 2
        for (int g = 0; g < GROUP; g++) {
            old[g] = load<LANES>(m.largest + j + g * LANES);
            best[g] = max(old[g], best[g] * scales);
            sum[g] = zeros<LANES>();
        }
        for (int64_t k = 0; k < keys; k++)
#pragma GCC unroll 2
            for (int g = 0; g < GROUP; g++) {
                float* at = column + k * B + g * LANES;
                const V p = exp(load<LANES>(at) * scales - best[g]);
                sum[g] = sum[g] + p;
                store(at, p);
            }
#pragma GCC unroll 2
        for (int g = 0; g < GROUP; g++) {
            const int64_t at = j + g * LANES;
            const V factor = exp(old[g] - best[g]);
            store(m.total + at, fma(load<LANES>(m.total + at), factor, sum[g]));
            store(m.factor + at, factor);
            store(m.largest + at, best[g]);
        }
    }
}

template <class P>
inline void attend(const PackedAttention& a, const AttentionMemory<P>& m, int64_t first, int64_t seq, int64_t head) {
    constexpr int64_t B = P::ATTENTION_BLOCK;
    constexpr int LANES = P::LANES;
    const int64_t dim = a.head_dim, q_stride = a.heads * dim, k_stride = a.kv_heads * dim;
    const int64_t kv_head = head / (a.heads / a.kv_heads);
    const float* k = a.k + first * k_stride + kv_head * dim;
    const float* v = a.v + first * k_stride + kv_head * dim;
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(dim));

    for (int64_t i = 0; i < seq; i += B) {
        const int64_t keys = smaller(B, seq - i);
        P::a_from_rows(m.k + i / B * m.k_size, k + i * k_stride, k_stride, keys, dim);
        P::a_from_columns(m.v + i / B * m.v_size, v + i * k_stride, k_stride, dim, keys);
    }
    for (int64_t j = 0; j < seq; j += B) {
        const int64_t queries = smaller(B, seq - j), row = first + j, place = row * q_stride + head * dim;
        expect_rows<Use::Write>(a.out + place, q_stride, queries, dim);
        expect_rows<Use::Read>(a.q + place + B * q_stride, q_stride, smaller(B, seq - j - queries), dim);
        P::b_from_rows(m.q, a.q + place, q_stride, queries, dim);
        for (int64_t i = 0; i < B; i++) m.largest[i] = -__builtin_inff(), m.total[i] = 0.0f;
        for (int64_t i = 0; i <= j; i += B) {
            const int64_t keys = smaller(B, seq - i);
            P::multiply(m.scores, B, m.k + i / B * m.k_size, m.q, keys, queries, dim, Start::Fresh);
            if (i == j) hide_later_keys<P>(m.scores, keys);
            soften<P>(m, keys, queries, scale);
            P::b_from_columns(m.p, m.scores, B, queries, keys);
            if (i > 0)
                for (int64_t d = 0; d < dim; d++)
                    for (int64_t q = 0; q < B; q += LANES) {
                        float* at = m.sums + d * B + q;
                        store(at, load<LANES>(at) * load<LANES>(m.factor + q));
                    }
            P::multiply(m.sums, B, m.v + i / B * m.v_size, m.p, dim, queries, keys,
                        i == 0 ? Start::Fresh : Start::Continue);
        }
        for (int64_t q = 0; q < queries; q++) {
            a.log_sums[(row + q) * a.heads + head] = m.largest[q] + __builtin_logf(m.total[q]);
            m.factor[q] = 1.0f / m.total[q];
        }
        for (int64_t d = 0; d < dim; d++)
            for (int64_t q = 0; q < queries; q++) m.sums[d * B + q] *= m.factor[q];
        copy_transposed(a.out + place, q_stride, m.sums, B, dim, queries);
    }
}

inline int64_t longest_document(const PackedAttention& a) {
    return a.starts[a.longest[0] + 1] - a.starts[a.longest[0]];
}

template <class P>
void attention(const PackedAttention& a) {
    const int64_t seq = longest_document(a);
    const size_t bytes = AttentionMemory<P>(nullptr, seq, a.head_dim).memory.bytes;
    char* memory = static_cast<char*>(scratch(bytes * static_cast<size_t>(cpu_workers())));
    parallel(a.documents * a.heads, [&](int64_t task, int worker) {
        typename P::Scope scope;
        const AttentionMemory<P> mine(memory + bytes * static_cast<size_t>(worker), seq, a.head_dim);
        const int32_t* start = a.starts + a.longest[task / a.heads];
        attend<P>(a, mine, start[0], start[1] - start[0], task % a.heads);
    });
}

// --- backward ---------------------------------------------------------------------------------------------------

template <class P>
struct BackwardMemory {
    using Element = typename P::Element;
    static constexpr int64_t B = P::ATTENTION_BLOCK;

    ScratchParts memory;
    int64_t k_size, k_across_size;               // of one block
    Element *k, *v, *k_across;                   // A: K, V and K^T of every block
    Element *q, *dout, *q_across, *dout_across;  // B: Q^T, dO^T, Q and dO of the present block
    Element *p, *ds, *ds_across;                 // A: P^T, dS^T; B: dS^T
    float *scores, *dp, *dq, *log_sums, *delta;

    BackwardMemory(char* base, int64_t seq, int64_t head_dim) : memory{base} {
        const int64_t blocks = ceil_div(seq, B);
        k_size = P::a_size(B, head_dim), k_across_size = P::a_size(head_dim, B);
        k = memory.take<Element>(blocks * k_size), v = memory.take<Element>(blocks * k_size);
        k_across = memory.take<Element>(blocks * k_across_size);
        q = memory.take<Element>(P::b_size(B, head_dim)), dout = memory.take<Element>(P::b_size(B, head_dim));
        q_across = memory.take<Element>(P::b_size(head_dim, B));
        dout_across = memory.take<Element>(P::b_size(head_dim, B));
        p = memory.take<Element>(P::a_size(B, B)), ds = memory.take<Element>(P::a_size(B, B));
        ds_across = memory.take<Element>(P::b_size(B, B));
        scores = memory.take<float>(B * B), dp = memory.take<float>(B * B), dq = memory.take<float>(head_dim * B);
        log_sums = memory.take<float>(B), delta = memory.take<float>(B);
    }
};

// S^T becomes P^T, and dP^T becomes dS^T.
template <class P>
inline void soften_backward(const BackwardMemory<P>& m, int64_t keys, int64_t queries, float scale) {
    constexpr int LANES = P::LANES;
    constexpr int64_t B = P::ATTENTION_BLOCK;
    const Vec<LANES> scales = broadcast<LANES>(scale);
    for (int64_t j = 0; j < queries; j += LANES) {
        const Vec<LANES> log_sums = load<LANES>(m.log_sums + j), delta = load<LANES>(m.delta + j);
        for (int64_t k = 0; k < keys; k++) {
            float *s = m.scores + k * B + j, *dp = m.dp + k * B + j;
            const Vec<LANES> p = exp(load<LANES>(s) * scales - log_sums);
            store(s, p);
            store(dp, p * (load<LANES>(dp) - delta) * scales);
        }
    }
}

// One query head of one document; `fresh` if dK and dV of its key/value head hold nothing yet.
template <class P>
inline void attend_backward(const PackedAttentionBackward& b, const BackwardMemory<P>& m, int64_t first, int64_t seq,
                            int64_t head, bool fresh) {
    constexpr int64_t B = P::ATTENTION_BLOCK;
    constexpr int LANES = P::LANES;
    const PackedAttention& a = b.forward;
    const int64_t dim = a.head_dim, q_stride = a.heads * dim, k_stride = a.kv_heads * dim;
    const int64_t kv_place = first * k_stride + head / (a.heads / a.kv_heads) * dim;
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(dim));

    for (int64_t j = 0; j < seq; j += B) {
        const int64_t queries = smaller(B, seq - j), place = (first + j) * q_stride + head * dim;
        const float *q = a.q + place, *dout = b.dout + place, *out = a.out + place;
        const int64_t key_place = kv_place + j * k_stride;
        expect_rows<Use::Write>(b.dq + place, q_stride, queries, dim);
        expect_rows<Use::Write>(b.dk + key_place, k_stride, queries, dim);
        expect_rows<Use::Write>(b.dv + key_place, k_stride, queries, dim);
        const int64_t next = smaller(B, seq - j - queries);
        expect_rows<Use::Read>(q + B * q_stride, q_stride, next, dim);
        expect_rows<Use::Read>(dout + B * q_stride, q_stride, next, dim);
        expect_rows<Use::Read>(out + B * q_stride, q_stride, next, dim);
        P::b_from_rows(m.q, q, q_stride, queries, dim);
        P::b_from_rows(m.dout, dout, q_stride, queries, dim);
        P::b_from_columns(m.q_across, q, q_stride, dim, queries);
        P::b_from_columns(m.dout_across, dout, q_stride, dim, queries);
        for (int64_t r = 0; r < queries; r++) {
            Vec<LANES> delta = zeros<LANES>();
            each_vector<LANES>(dim, [&](auto at, auto) {
                delta = fma(P::operand(at(dout + r * q_stride)), at(out + r * q_stride), delta);
            });
            m.delta[r] = sum(delta);
            m.log_sums[r] = a.log_sums[(first + j + r) * a.heads + head];
        }
        for (int64_t i = 0; i <= j; i += B) {
            const int64_t keys = smaller(B, seq - i), block = i / B;
            P::multiply(m.scores, B, m.k + block * m.k_size, m.q, keys, queries, dim, Start::Fresh);
            P::multiply(m.dp, B, m.v + block * m.k_size, m.dout, keys, queries, dim, Start::Fresh);
            if (i == j) hide_later_keys<P>(m.scores, keys);
            soften_backward<P>(m, keys, queries, scale);
            P::a_from_rows(m.p, m.scores, B, keys, queries);
            P::a_from_rows(m.ds, m.dp, B, keys, queries);
            P::b_from_columns(m.ds_across, m.dp, B, queries, keys);
            const Start start = fresh && i == j ? Start::Fresh : Start::Continue;
            P::multiply(b.dv + kv_place + i * k_stride, k_stride, m.p, m.dout_across, keys, dim, queries, start);
            P::multiply(b.dk + kv_place + i * k_stride, k_stride, m.ds, m.q_across, keys, dim, queries, start);
            P::multiply(m.dq, B, m.k_across + block * m.k_across_size, m.ds_across, dim, queries, keys,
                        i == 0 ? Start::Fresh : Start::Continue);
        }
        copy_transposed(b.dq + place, q_stride, m.dq, B, dim, queries);
    }
}

template <class P>
void attention_backward(const PackedAttentionBackward& b) {
    constexpr int64_t B = P::ATTENTION_BLOCK;
    const PackedAttention& a = b.forward;
    const int64_t longest = longest_document(a), dim = a.head_dim, k_stride = a.kv_heads * dim;
    const size_t bytes = BackwardMemory<P>(nullptr, longest, dim).memory.bytes;
    char* memory = static_cast<char*>(scratch(bytes * static_cast<size_t>(cpu_workers())));
    parallel(a.documents * a.kv_heads, [&](int64_t task, int worker) {
        typename P::Scope scope;
        const BackwardMemory<P> m(memory + bytes * static_cast<size_t>(worker), longest, dim);
        const int32_t* start = a.starts + a.longest[task / a.kv_heads];
        const int64_t first = start[0], seq = start[1] - first, kv_head = task % a.kv_heads;
        const float *k = a.k + first * k_stride + kv_head * dim, *v = a.v + first * k_stride + kv_head * dim;
        for (int64_t i = 0; i < seq; i += B) {
            const int64_t keys = smaller(B, seq - i), block = i / B, next = smaller(B, seq - i - keys);
            expect_rows<Use::Read>(k + (i + B) * k_stride, k_stride, next, dim);
            expect_rows<Use::Read>(v + (i + B) * k_stride, k_stride, next, dim);
            P::a_from_rows(m.k + block * m.k_size, k + i * k_stride, k_stride, keys, dim);
            P::a_from_rows(m.v + block * m.k_size, v + i * k_stride, k_stride, keys, dim);
            P::a_from_columns(m.k_across + block * m.k_across_size, k + i * k_stride, k_stride, dim, keys);
        }
        const int64_t group = a.heads / a.kv_heads;
        for (int64_t h = 0; h < group; h++) attend_backward<P>(b, m, first, seq, kv_head * group + h, h == 0);
    });
}

}  // namespace
}  // namespace leon
