// activate and swiglu: element by element, in place.
//
// GELU takes erfc(z) = exp(-z^2) t P(t) with t = 1 / (1 + 0.3 z), for z >= 0; P has degree 8 and was fitted to a
// relative error of 2e-8 over z in [0, 10]. What is left is the rounding of float32: 8e-8 of 1 + |x|. Bound by memory,
// GELU by arithmetic.
#pragma once

#include "kernels/activation.h"
#include "kernels/cpu/norms.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/threads.h"

namespace leon {
namespace {

template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> gelu(const Vec<LANES>& x) {
    constexpr float P[] = {0.169188006f, 0.170715212f,  0.148339283f, 0.21492561f,  -0.0946496525f,
                           0.547718447f, -0.512276683f, 0.48556252f,  -0.129522761f};
    const Vec<LANES> one = broadcast<LANES>(1.0f), half = broadcast<LANES>(0.5f);
    const Vec<LANES> z = max(x, zeros<LANES>() - x) * broadcast<LANES>(0.707106781f);
    const Vec<LANES> t = one / fma(z, broadcast<LANES>(0.3f), one);
    Vec<LANES> p = broadcast<LANES>(P[8]);
    for (int i = 7; i >= 0; i--) p = fma(p, t, broadcast<LANES>(P[i]));
    const Vec<LANES> tail = half * t * p * exp(zeros<LANES>() - z * z);  // the normal distribution's, beyond |x|
    return x * below_zero(x, tail, one - tail);
}

// x[r, c] = f(x[r, c]) over rows of `cols`.
template <int LANES, class F>
void map_rows(float* x, int64_t rows, int64_t cols, F f) {
    const int64_t chunk = larger(1, GRAIN / larger(cols, 1));
    parallel(ceil_div(rows, chunk), [=](int64_t task, int) {
        for (int64_t r = task * chunk; r < smaller(rows, (task + 1) * chunk); r++)
            map_over<LANES>(x + r * cols, x + r * cols, cols, f);
    });
}
// x[i] = f(x[i])
template <int LANES, class F>
void map_elements(float* x, int64_t count, F f) {
    parallel(ceil_div(count, GRAIN), [=](int64_t task, int) {
        float* first = x + task * GRAIN;
        map_over<LANES>(first, first, smaller(GRAIN, count - task * GRAIN), f);
    });
}

// slope [cols], of Leaky only
template <int LANES>
void activate(float* x, Activation kind, const float* slope, int64_t rows, int64_t cols) {
    using V = Vec<LANES>;
    const int64_t count = rows * cols;
    switch (kind) {
        case Activation::None:
            return;
        case Activation::Swish:
            return map_elements<LANES>(x, count, [](V v, auto) { return swish(v); });
        case Activation::ReLU:
            return map_elements<LANES>(x, count, [](V v, auto) { return below_zero(v, zeros<LANES>(), v); });
        case Activation::QuickGELU:
            return map_elements<LANES>(
                x, count, [](V v, auto) { return v / (broadcast<LANES>(1.0f) + exp(v * broadcast<LANES>(-1.702f))); });
        case Activation::GELU:
            return map_elements<LANES>(x, count, [](V v, auto) { return gelu(v); });
        case Activation::Leaky:
            return map_rows<LANES>(x, rows, cols, [=](V v, auto other) { return below_zero(v, v * other(slope), v); });
    }
}

template <int LANES>
void swiglu(float* out, const float* gate, const float* up, int64_t count) {
    parallel(ceil_div(count, GRAIN), [=](int64_t task, int) {
        const int64_t first = task * GRAIN;
        map_over<LANES>(out + first, gate + first, smaller(GRAIN, count - first),
                        [&](Vec<LANES> v, auto other) { return swish(v) * other(up + first); });
    });
}

}  // namespace
}  // namespace leon
