// Backward operations that work row by row or element by element: norms, swiglu, cross-entropy. Bound by memory, but
// for the exponentials.
//
// Gradients of norm weights are sums over all rows. Rows are divided into chunks whose size depends on nothing but the
// shape; a chunk sums into a row of its own, and these are added in their order: the same bits for any thread count.
#pragma once

#include "kernels/cpu/norms.h"
#include "kernels/cpu/threads.h"
#include "training/cpu/grad_isa.h"

namespace leon {
namespace {

constexpr int64_t MOST_CHUNKS = 64;  // of rows: what is added one after the other in the end

inline int64_t rows_in_chunk(int64_t rows, int64_t dim) {
    return larger(ceil_div(rows, MOST_CHUNKS), larger(1, GRAIN / larger(dim, 1)));
}

// to [dim] += the sum of `count` rows, whose stride is given.
template <int LANES>
inline void add_rows(float* to, const float* rows, int64_t stride, int64_t count, int64_t dim) {
    int64_t i = 0;
    for (; i + LANES <= dim; i += LANES) {
        Vec<LANES> sum = zeros<LANES>();
        for (int64_t r = 0; r < count; r++) sum = sum + load<LANES>(rows + r * stride + i);
        store(to + i, load<LANES>(to + i) + sum);
    }
    for (; i < dim; i++) {
        float sum = 0.0f;
        for (int64_t r = 0; r < count; r++) sum += rows[r * stride + i];
        to[i] += sum;
    }
}

// The sums of f(i) and g(i) over a row, where both map the place of a vector: `at` loads one of a row.
struct TwoSums {
    float first, second;
};
template <int LANES, class F>
[[gnu::always_inline]] inline TwoSums two_sums(int64_t dim, F f) {
    Vec<LANES> first[2] = {zeros<LANES>(), zeros<LANES>()}, second[2] = {zeros<LANES>(), zeros<LANES>()};
    int64_t i = 0;
    for (; i + 2 * LANES <= dim; i += 2 * LANES)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++)
            f([&](const float* row) { return load<LANES>(row + i + j * LANES); }, first[j], second[j]);
    for (; i + LANES <= dim; i += LANES) f([&](const float* row) { return load<LANES>(row + i); }, first[0], second[0]);
    if (i < dim) f([&](const float* row) { return load_some<LANES>(row + i, dim - i); }, first[1], second[1]);
    return {sum(first[0] + first[1]), sum(second[0] + second[1])};
}

// f(load, store) for every vector of a row; the last is loaded and stored in part.
template <int LANES, class F>
[[gnu::always_inline]] inline void each_vector(int64_t dim, F f) {
    int64_t i = 0;
    for (; i + LANES <= dim; i += LANES)
        f([&](const float* row) { return load<LANES>(row + i); },
          [&](float* row, const Vec<LANES>& v) { store(row + i, v); });
    if (i < dim)
        f([&](const float* row) { return load_some<LANES>(row + i, dim - i); },
          [&](float* row, const Vec<LANES>& v) { store_some(row + i, v, dim - i); });
}

// dx = s (dout w - x s^2 mean(dout w x)), dweight += dout x s
template <int LANES>
void rms_backward(const NormArguments& n) {
    using V = Vec<LANES>;
    const int64_t chunk = rows_in_chunk(n.rows, n.dim), chunks = ceil_div(n.rows, chunk);
    float* sums = scratch_floats(chunks * n.dim);
    parallel(chunks, [&](int64_t task, int) {
        float* dweight = sums + task * n.dim;
        clear_floats(dweight, n.dim);
        for (int64_t r = task * chunk; r < smaller(n.rows, (task + 1) * chunk); r++) {
            const float *x = n.x + r * n.dim, *dout = n.dout + r * n.dim;
            float* dx = n.dx + r * n.dim;
            const TwoSums total = two_sums<LANES>(n.dim, [&](auto at, V& first, V& second) {
                const V value = at(x);
                first = fma(value, value, first);
                second = fma(at(dout) * at(n.weight), value, second);
            });
            const float size = static_cast<float>(n.dim), s = 1.0f / __builtin_sqrtf(total.first / size + n.eps);
            const V scale = broadcast<LANES>(s), pull = broadcast<LANES>(-s * s * s * (total.second / size));
            each_vector<LANES>(n.dim, [&](auto at, auto put) {
                const V value = at(x), gradient = at(dout) * scale;
                put(dweight, fma(gradient, value, at(dweight)));
                const V back = fma(gradient, at(n.weight), value * pull);
                put(dx, n.into == Into::Add ? at(dx) + back : back);
            });
        }
    });
    add_rows<LANES>(n.dweight, sums, n.dim, chunks, n.dim);
}

// dx = s (dout - mean(dout) - n mean(dout n))
template <int LANES>
void layer_backward(const NormArguments& n) {
    using V = Vec<LANES>;
    const int64_t chunk = rows_in_chunk(n.rows, n.dim);
    parallel(ceil_div(n.rows, chunk), [&](int64_t task, int) {
        for (int64_t r = task * chunk; r < smaller(n.rows, (task + 1) * chunk); r++) {
            const float *x = n.x + r * n.dim, *dout = n.dout + r * n.dim;
            float* dx = n.dx + r * n.dim;
            const Moments m = moments<LANES>(x, n.dim, n.eps);
            const V centre = broadcast<LANES>(m.mean), scale = broadcast<LANES>(m.inverse_deviation);
            const TwoSums total = two_sums<LANES>(n.dim, [&](auto at, V& first, V& second) {
                const V gradient = at(dout);
                first = first + gradient;
                second = fma(gradient, (at(x) - centre) * scale, second);
            });
            const float size = static_cast<float>(n.dim);
            const V mean = broadcast<LANES>(total.first / size), pull = broadcast<LANES>(total.second / size);
            each_vector<LANES>(n.dim, [&](auto at, auto put) {
                const V back = (at(dout) - mean - (at(x) - centre) * scale * pull) * scale;
                put(dx, n.into == Into::Add ? at(dx) + back : back);
            });
        }
    });
}

// With s = sigmoid(gate): dup = dout gate s, dgate = dout up s (1 + gate (1 - s)). dgate may alias gate or dout, dup
// up.
template <int LANES>
void swiglu_backward(float* dgate, float* dup, const float* dout, const float* gate, const float* up, int64_t count) {
    using V = Vec<LANES>;
    parallel(ceil_div(count, GRAIN), [=](int64_t task, int) {
        const int64_t first = task * GRAIN;
        const V one = broadcast<LANES>(1.0f);
        each_vector<LANES>(smaller(GRAIN, count - first), [&](auto at, auto put) {
            const V g = at(gate + first), u = at(up + first), d = at(dout + first);
            const V s = one / (one + exp(zeros<LANES>() - g)), swish = g * s;
            put(dup + first, d * swish);
            put(dgate + first, d * u * fma(swish, one - s, s));
        });
    });
}

template <int LANES>
void cross_entropy(const CrossEntropyArguments& c) {
    using V = Vec<LANES>;
    const int64_t chunk = larger(1, GRAIN / larger(c.vocab, 1));
    parallel(ceil_div(c.rows, chunk), [&](int64_t task, int) {
        for (int64_t r = task * chunk; r < smaller(c.rows, (task + 1) * chunk); r++) {
            float* logits = c.logits + r * c.vocab;
            const int32_t target = c.targets[r];
            if (target < 0) {
                c.losses[r] = 0.0f;
                clear_floats(logits, c.vocab);
                continue;
            }
            const float wanted = logits[target];
            V best = broadcast<LANES>(wanted);
            int64_t i = 0;
            for (; i + LANES <= c.vocab; i += LANES) best = max(best, load<LANES>(logits + i));
            float most = largest(best);
            for (; i < c.vocab; i++) most = logits[i] > most ? logits[i] : most;

            V sums[2] = {zeros<LANES>(), zeros<LANES>()};
            const V shift = broadcast<LANES>(most);
            for (i = 0; i + 2 * LANES <= c.vocab; i += 2 * LANES)
#pragma GCC unroll 2
                for (int j = 0; j < 2; j++) {
                    const V e = exp(load<LANES>(logits + i + j * LANES) - shift);
                    store(logits + i + j * LANES, e);
                    sums[j] = sums[j] + e;
                }
            float total = sum(sums[0] + sums[1]);
            for (; i < c.vocab; i += LANES) {
                const int64_t count = smaller(LANES, c.vocab - i);
                store_some(logits + i, exp(load_some<LANES>(logits + i, count) - shift), count);
                for (int64_t j = 0; j < count; j++) total += logits[i + j];
            }
            const float log_z = most + __builtin_logf(total), weight = c.scale * c.weights[r];
            c.losses[r] = log_z - wanted + c.z_loss * log_z * log_z;
            const V factor = broadcast<LANES>(weight * (1.0f + 2.0f * c.z_loss * log_z) / total);
            each_vector<LANES>(c.vocab, [&](auto at, auto put) { put(logits, at(logits) * factor); });
            logits[target] -= weight;
        }
    });
}

}  // namespace
}  // namespace leon
