// Normalisation of a VQGAN's framed maps forward and backward, and the making of such maps, for one instruction set.
//
// Bound by memory: maps are read in rows, each row's sums of a channel are taken in float32 and added up in double, so
// that the picture's size costs no digits and the bits do not depend on how the work was cut.
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/cpu/threads.h"
#include "training/cpu/vqgan_isa.h"

namespace leon {
namespace {

typedef uint16_t NativeHalves __attribute__((vector_size(NATIVE_LANES * 2)));

// To bf16, nearest even; NaN becomes something that is no number. AVX-512's own instruction makes zero of what is
// subnormal, and so does the matrix unit.
[[gnu::always_inline]] inline NativeHalves to_bf16(Native value) {
#if defined(__AVX512BF16__)
    return (NativeHalves)_mm512_cvtneps_pbh(value);
#else
    const NativeBits bits = (NativeBits)value;
    return __builtin_convertvector((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16, NativeHalves);
#endif
}
template <int LANES>
[[gnu::always_inline]] inline void store_bf16(uint16_t* to, const Vec<LANES>& v) {
    for (int i = 0; i < Vec<LANES>::PARTS; i++)
        *reinterpret_cast<NativeHalvesAt*>(to + i * NATIVE_LANES) = to_bf16(v.part[i]);
}
inline uint16_t to_bf16(float value) {
    union {
        float value;
        uint32_t bits;
    } u = {value};
    return static_cast<uint16_t>((u.bits + 0x7fffu + (u.bits >> 16 & 1u)) >> 16);
}

[[gnu::always_inline]] inline Native load_native_bf16(const uint16_t* from) {
    return (Native)(__builtin_convertvector(*reinterpret_cast<const NativeHalvesAt*>(from), NativeBits) << 16);
}
template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> load_bf16(const uint16_t* from) {
    Vec<LANES> v;
    for (int i = 0; i < Vec<LANES>::PARTS; i++) v.part[i] = load_native_bf16(from + i * NATIVE_LANES);
    return v;
}

inline void clear(uint16_t* from, int64_t count) {
    __builtin_memset(from, 0, static_cast<size_t>(count) * sizeof(uint16_t));
}
inline void clear_frame(uint16_t* map, int64_t height, int64_t width, int64_t depth) {
    const int64_t line = (width + 2) * depth;
    clear(map, line);
    clear(map + (height + 1) * line, line);
    for (int64_t y = 1; y <= height; y++) {
        clear(map + y * line, depth);
        clear(map + (y + 1) * line - depth, depth);
    }
}
// Where a row's first pixel stands.
constexpr int64_t row_start(int64_t y, int64_t width, int64_t depth) {
    return ((y + 1) * (width + 2) + 1) * depth;
}

template <int LANES>
void frame(uint16_t* out, const float* x, int64_t height, int64_t width, int64_t channels, int64_t depth) {
    clear_frame(out, height, width, depth);
    for (int64_t y = 0; y < height; y++)
        for (int64_t i = 0; i < width; i++) {
            uint16_t* to = out + row_start(y, width, depth) + i * depth;
            const float* from = x + (y * width + i) * channels;
            int64_t c = 0;
            for (; c + LANES <= channels; c += LANES) store_bf16(to + c, load<LANES>(from + c));
            for (; c < channels; c++) to[c] = to_bf16(from[c]);
            if (c < depth) clear(to + c, depth - c);
        }
}

// sums[c] += sum over the pixels of the map.
template <int LANES>
void sum_pixels(float* sums, const uint16_t* map, int64_t height, int64_t width, int64_t channels, int64_t depth) {
    for (int64_t c = 0; c < channels; c += 2 * LANES) {  // depth is a multiple of 32
        double total[2 * LANES] = {};
        for (int64_t y = 1; y <= height; y++) {
            Pair<LANES> row = {zeros<LANES>(), zeros<LANES>()};
            const uint16_t* from = map + (y * (width + 2) + 1) * depth + c;
            for (int64_t x = 0; x < width; x++) {
                const Pair<LANES> pixel = load_pair<LANES>(from + x * depth);
                row.first = row.first + pixel.first, row.second = row.second + pixel.second;
            }
            float even[LANES], odd[LANES];
            store(even, row.first), store(odd, row.second);
            for (int i = 0; i < LANES; i++) total[2 * i] += even[i], total[2 * i + 1] += odd[i];
        }
        for (int64_t i = 0; i < 2 * LANES && c + i < channels; i++) sums[c + i] += static_cast<float>(total[i]);
    }
}

// Two sums a channel of what f makes of a pixel: f(place in the map, c, first, second) adds to two vectors.
// sums [2][channels].
template <int LANES, class F>
[[gnu::always_inline]] inline void sum_rows(double* sums, const VqganNormArguments& n, F f) {
    for (int64_t c = 0; c < 2 * n.channels; c++) sums[c] = 0;
    for (int64_t y = 0; y < n.height; y++)
        for (int64_t c = 0; c < n.channels; c += LANES) {
            Vec<LANES> first[2] = {zeros<LANES>(), zeros<LANES>()}, second[2] = {zeros<LANES>(), zeros<LANES>()};
            const int64_t start = row_start(y, n.width, n.depth) + c;
            int64_t x = 0;
            for (; x + 2 <= n.width; x += 2)
#pragma GCC unroll 2
                for (int i = 0; i < 2; i++) f(start + (x + i) * n.depth, c, first[i], second[i]);
            if (x < n.width) f(start + x * n.depth, c, first[0], second[0]);
            float a[LANES], b[LANES];
            store(a, first[0] + first[1]), store(b, second[0] + second[1]);
            for (int i = 0; i < LANES; i++) sums[c + i] += a[i], sums[n.channels + c + i] += b[i];
        }
}
// out = f(place in the map, c) for every pixel, framed.
template <int LANES, class F>
[[gnu::always_inline]] inline void map_pixels(const VqganNormArguments& n, F f) {
    clear_frame(n.out, n.height, n.width, n.depth);
    for (int64_t y = 0; y < n.height; y++)
        for (int64_t x = 0; x < n.width; x++) {
            const int64_t pixel = row_start(y, n.width, n.depth) + x * n.depth;
            for (int64_t c = 0; c < n.channels; c += LANES) store_bf16(n.out + pixel + c, f(pixel + c, c));
            if (n.channels < n.depth) clear(n.out + pixel + n.channels, n.depth - n.channels);
        }
}

// 1 / x to about two units in the last place; AVX-512 divides a vector in the time of sixteen multiplications.
[[gnu::always_inline]] inline Native reciprocal(Native x) {
    const Native one = Native{} + 1.0f;
#if defined(__AVX512F__)
    const Native guess = _mm512_maskz_rcp14_ps(0xffff, x);
    return fma_native(guess, fma_native(-guess, x, one), guess);
#else
    return one / x;
#endif
}
template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> sigmoid(Vec<LANES> x) {
    for (int i = 0; i < Vec<LANES>::PARTS; i++) x.part[i] = reciprocal(exp_native(-x.part[i]) + 1.0f);
    return x;
}

template <int LANES>
void norm_map(const VqganNormArguments& n) {
    const int64_t width = n.channels / n.groups;
    double* sums =
        static_cast<double*>(scratch(static_cast<size_t>(n.channels) * (2 * sizeof(double) + 3 * sizeof(float))));
    float *scale = reinterpret_cast<float*>(sums + 2 * n.channels), *offset = scale + n.channels;
    float* centre = offset + n.channels;
    // About the first pixel: a large common value would eat the digits of a float.
    for (int64_t c = 0; c < n.channels; c++) centre[c] = widen(n.x[row_start(0, n.width, n.depth) + c]);
    sum_rows<LANES>(sums, n, [&](int64_t at, int64_t c, Vec<LANES>& sum, Vec<LANES>& squares) {
        const Vec<LANES> v = load_bf16<LANES>(n.x + at) - load<LANES>(centre + c);
        sum = sum + v;
        squares = fma(v, v, squares);
    });
    const double pixels = static_cast<double>(n.height * n.width), count = pixels * static_cast<double>(width);
    for (int64_t g = 0; g < n.groups; g++) {
        double mean = 0, squares = 0;
        for (int64_t c = g * width; c < (g + 1) * width; c++) mean += sums[c] + pixels * centre[c];
        mean /= count;
        for (int64_t c = g * width; c < (g + 1) * width; c++) {
            const double slip = centre[c] - mean;
            squares += sums[n.channels + c] + 2 * slip * sums[c] + pixels * slip * slip;
        }
        const double variance = squares > 0 ? squares / count : 0;
        const double deviation = 1.0 / __builtin_sqrt(variance + static_cast<double>(n.eps));
        n.statistics[2 * g] = static_cast<float>(mean), n.statistics[2 * g + 1] = static_cast<float>(deviation);
        for (int64_t c = g * width; c < (g + 1) * width; c++) {
            scale[c] = static_cast<float>(deviation * n.weight[c]);
            offset[c] = static_cast<float>(n.bias[c] - mean * deviation * n.weight[c]);
        }
    }
    map_pixels<LANES>(n, [&](int64_t at, int64_t c) {
        const Vec<LANES> u = fma(load_bf16<LANES>(n.x + at), load<LANES>(scale + c), load<LANES>(offset + c));
        return n.swish ? u * sigmoid(u) : u;
    });
}

template <int LANES>
void d_norm_map(const VqganNormArguments& n) {
    const int64_t width = n.channels / n.groups;
    double* sums =
        static_cast<double*>(scratch(static_cast<size_t>(n.channels) * (2 * sizeof(double) + 5 * sizeof(float))));
    float* deviation = reinterpret_cast<float*>(sums + 2 * n.channels);    // xhat = x deviation + centre
    float *centre = deviation + n.channels, *scale = centre + n.channels;  // dx = g scale + xhat slope + offset
    float *slope = scale + n.channels, *offset = slope + n.channels;
    for (int64_t c = 0; c < n.channels; c++) {
        const float* statistics = n.statistics + 2 * (c / width);
        deviation[c] = statistics[1], centre[c] = -statistics[0] * statistics[1];
    }
    auto normed = [&](int64_t at, int64_t c) {
        return fma(load_bf16<LANES>(n.x + at), load<LANES>(deviation + c), load<LANES>(centre + c));
    };
    // g = dy * activation'(xhat weight + bias) waits in the result's place, rounded, for its second use: an exponential
    // costs more than that.
    sum_rows<LANES>(sums, n, [&](int64_t at, int64_t c, Vec<LANES>& sum, Vec<LANES>& products) {
        const Vec<LANES> xhat = normed(at, c);
        Vec<LANES> g = load_bf16<LANES>(n.dy + at);
        if (n.swish) {
            const Vec<LANES> u = fma(xhat, load<LANES>(n.weight + c), load<LANES>(n.bias + c)), s = sigmoid(u);
            g = g * fma(u, s - s * s, s);
            store_bf16(n.out + at, g);
        }
        sum = sum + g;
        products = fma(g, xhat, products);
    });
    const uint16_t* kept = n.swish ? n.out : n.dy;
    const double count = static_cast<double>(n.height * n.width * width);
    for (int64_t g = 0; g < n.groups; g++) {
        double mean = 0, product = 0;
        for (int64_t c = g * width; c < (g + 1) * width; c++)
            mean += sums[c] * n.weight[c], product += sums[n.channels + c] * n.weight[c];
        for (int64_t c = g * width; c < (g + 1) * width; c++) {
            scale[c] = deviation[c] * n.weight[c];
            slope[c] = static_cast<float>(-deviation[c] * product / count);
            offset[c] = static_cast<float>(-deviation[c] * mean / count);
        }
    }
    if (n.dweight)
        for (int64_t c = 0; c < n.channels; c++) {
            n.dbias[c] += static_cast<float>(sums[c]);
            n.dweight[c] += static_cast<float>(sums[n.channels + c]);
        }
    map_pixels<LANES>(n, [&](int64_t at, int64_t c) {
        const Vec<LANES> inner = fma(normed(at, c), load<LANES>(slope + c), load<LANES>(offset + c));
        const Vec<LANES> dx = fma(load_bf16<LANES>(kept + at), load<LANES>(scale + c), inner);
        return n.residual ? dx + load_bf16<LANES>(n.residual + at) : dx;
    });
}

}  // namespace
}  // namespace leon
