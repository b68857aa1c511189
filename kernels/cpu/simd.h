// A vector of LANES floats, and the few things that plain C++ cannot say about it.
//
// Kernels are templates over LANES. A Vec is one native register, or several side by side when LANES is wider than the
// registers of this compilation: that is how the 16-lane code of AVX-512 also runs, and is tested, on AVX2.
// Arithmetic is GCC/clang vector extensions, so the same source serves SSE2, AVX2, AVX-512 and NEON.
//
// Everything here and in the kernel headers lives in an anonymous namespace on purpose: each instruction set is a
// translation unit of its own, and no function compiled for AVX-512 may ever be linked into the baseline. For the same
// reason these headers include no inline function of the standard library or of leon.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "kernels/cpu/isa.h"

namespace leon {
namespace {

#if defined(__AVX512F__)
constexpr int NATIVE_LANES = 16;
#elif defined(__AVX2__)
constexpr int NATIVE_LANES = 8;
#else
constexpr int NATIVE_LANES = 4;
#endif

typedef float Native __attribute__((vector_size(NATIVE_LANES * 4)));
typedef uint32_t NativeBits __attribute__((vector_size(NATIVE_LANES * 4)));
typedef int32_t NativeInts __attribute__((vector_size(NATIVE_LANES * 4)));
typedef float NativeAt __attribute__((vector_size(NATIVE_LANES * 4), aligned(4), may_alias));
typedef uint32_t NativeBitsAt __attribute__((vector_size(NATIVE_LANES * 4), aligned(2), may_alias));

// Four floats or words: what transposes and sums across lanes are made of on every instruction set.
typedef float Quad __attribute__((vector_size(16)));
typedef uint32_t QuadBits __attribute__((vector_size(16)));
typedef int32_t QuadInts __attribute__((vector_size(16)));
typedef float QuadAt __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint32_t QuadBitsAt __attribute__((vector_size(16), aligned(2), may_alias));

// Elements of weights and caches: float, uint16_t for bf16, F16; under a scale per row int8_t and F8 (e4m3); and I4,
// which has no address of its own: Nibbles stand in for a pointer to it.
struct F16 {
    uint16_t bits;
};
struct F8 {
    uint8_t bits;
};
struct I4;
typedef uint16_t NativeHalvesAt __attribute__((vector_size(NATIVE_LANES * 2), aligned(2), may_alias));
typedef int8_t NativeBytesAt __attribute__((vector_size(NATIVE_LANES), aligned(1), may_alias));
typedef uint16_t QuadHalvesAt __attribute__((vector_size(8), aligned(2), may_alias));
typedef int8_t QuadBytesAt __attribute__((vector_size(4), aligned(1), may_alias));
typedef uint8_t NativeMarksAt __attribute__((vector_size(NATIVE_LANES), aligned(1), may_alias));
typedef uint8_t QuadMarksAt __attribute__((vector_size(4), aligned(1), may_alias));

template <int LANES>
struct Vec {
    static_assert(LANES % NATIVE_LANES == 0);
    static constexpr int PARTS = LANES / NATIVE_LANES;
    Native part[PARTS];
};

// --- memory -----------------------------------------------------------------------------------------------------

template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> load(const float* from) {
    Vec<LANES> v;
    for (int i = 0; i < Vec<LANES>::PARTS; i++) v.part[i] = *reinterpret_cast<const NativeAt*>(from + i * NATIVE_LANES);
    return v;
}

template <int LANES>
[[gnu::always_inline]] inline void store(float* to, const Vec<LANES>& v) {
    for (int i = 0; i < Vec<LANES>::PARTS; i++) *reinterpret_cast<NativeAt*>(to + i * NATIVE_LANES) = v.part[i];
}

template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> broadcast(float value) {
    Vec<LANES> v;
    // Not zero + value, which would cost an addition: it turns -0 into +0. Subtracting nothing is no instruction.
    for (int i = 0; i < Vec<LANES>::PARTS; i++) v.part[i] = value - Native{};
    return v;
}

template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> zeros() {
    Vec<LANES> v;
    for (int i = 0; i < Vec<LANES>::PARTS; i++) v.part[i] = Native{};
    return v;
}

// The first `count` < LANES values, the rest zero; and their way back.
template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> load_some(const float* from, int64_t count) {
    float lanes[LANES] = {};
    for (int64_t i = 0; i < count; i++) lanes[i] = from[i];
    return load<LANES>(lanes);
}
template <int LANES>
[[gnu::always_inline]] inline void store_some(float* to, const Vec<LANES>& v, int64_t count) {
    float lanes[LANES];
    store(lanes, v);
    for (int64_t i = 0; i < count; i++) to[i] = lanes[i];
}

// --- arithmetic -------------------------------------------------------------------------------------------------

template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> operator+(Vec<LANES> a, const Vec<LANES>& b) {
    for (int i = 0; i < Vec<LANES>::PARTS; i++) a.part[i] += b.part[i];
    return a;
}
template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> operator-(Vec<LANES> a, const Vec<LANES>& b) {
    for (int i = 0; i < Vec<LANES>::PARTS; i++) a.part[i] -= b.part[i];
    return a;
}
template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> operator*(Vec<LANES> a, const Vec<LANES>& b) {
    for (int i = 0; i < Vec<LANES>::PARTS; i++) a.part[i] *= b.part[i];
    return a;
}
template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> operator/(Vec<LANES> a, const Vec<LANES>& b) {
    for (int i = 0; i < Vec<LANES>::PARTS; i++) a.part[i] /= b.part[i];
    return a;
}
template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> max(Vec<LANES> a, const Vec<LANES>& b) {
    for (int i = 0; i < Vec<LANES>::PARTS; i++) a.part[i] = a.part[i] > b.part[i] ? a.part[i] : b.part[i];
    return a;
}
template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> min(Vec<LANES> a, const Vec<LANES>& b) {
    for (int i = 0; i < Vec<LANES>::PARTS; i++) a.part[i] = a.part[i] < b.part[i] ? a.part[i] : b.part[i];
    return a;
}
// Lane by lane: `negative` where x < 0, `other` elsewhere, at a NaN too.
template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> below_zero(const Vec<LANES>& x, const Vec<LANES>& negative, Vec<LANES> other) {
    for (int i = 0; i < Vec<LANES>::PARTS; i++) other.part[i] = x.part[i] < 0.0f ? negative.part[i] : other.part[i];
    return other;
}

// a * b + c with one rounding where the processor can, with two elsewhere.
[[gnu::always_inline]] inline Native fma_native(Native a, Native b, Native c) {
#if defined(__AVX512F__)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__) && defined(__FMA__)
    return _mm256_fmadd_ps(a, b, c);
#elif defined(__aarch64__)
    return vfmaq_f32(c, a, b);
#else
    return a * b + c;
#endif
}
template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> fma(const Vec<LANES>& a, const Vec<LANES>& b, Vec<LANES> c) {
    for (int i = 0; i < Vec<LANES>::PARTS; i++) c.part[i] = fma_native(a.part[i], b.part[i], c.part[i]);
    return c;
}

// Sum over the lanes, always by the same tree: halves are added until four lanes are left, then (0 + 1) + (2 + 3).
[[gnu::always_inline]] inline Quad fold(Native v) {
#if defined(__AVX512F__)
    typedef float Octet __attribute__((vector_size(32)));
    Octet half = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                 __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    return __builtin_shufflevector(half, half, 0, 1, 2, 3) + __builtin_shufflevector(half, half, 4, 5, 6, 7);
#elif defined(__AVX2__)
    return __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
#else
    return v;
#endif
}
template <int LANES>
[[gnu::always_inline]] inline Quad fold(const Vec<LANES>& v) {
    Native sum = v.part[0];
    for (int i = 1; i < Vec<LANES>::PARTS; i++) sum += v.part[i];
    return fold(sum);
}
template <int LANES>
[[gnu::always_inline]] inline float sum(const Vec<LANES>& v) {
    Quad q = fold(v);
    return (q[0] + q[1]) + (q[2] + q[3]);
}

// Rows become columns: afterwards a holds the first lane of each, b the second, and so on.
[[gnu::always_inline]] inline void transpose(Quad& a, Quad& b, Quad& c, Quad& d) {
    Quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    Quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    a = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
    b = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
    c = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
    d = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

// Four sums over lanes at once, each by the same tree as sum().
template <int LANES>
[[gnu::always_inline]] inline Quad sums(const Vec<LANES>& a, const Vec<LANES>& b, const Vec<LANES>& c,
                                        const Vec<LANES>& d) {
    Quad w = fold(a), x = fold(b), y = fold(c), z = fold(d);
    transpose(w, x, y, z);
    return (w + x) + (y + z);
}

// The largest lane, by halves; of a NaN, anything.
[[gnu::always_inline]] inline Quad fold_largest(Native v) {
    auto larger_of = [](auto a, auto b) __attribute__((always_inline)) {
        return a > b ? a : b;
    };
#if defined(__AVX512F__)
    auto half = larger_of(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7),
                          __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
    return larger_of(__builtin_shufflevector(half, half, 0, 1, 2, 3), __builtin_shufflevector(half, half, 4, 5, 6, 7));
#elif defined(__AVX2__)
    return larger_of(__builtin_shufflevector(v, v, 0, 1, 2, 3), __builtin_shufflevector(v, v, 4, 5, 6, 7));
#else
    return larger_of(v, v);
#endif
}
template <int LANES>
[[gnu::always_inline]] inline float largest(const Vec<LANES>& v) {
    Vec<NATIVE_LANES> best = {{v.part[0]}};
    for (int i = 1; i < Vec<LANES>::PARTS; i++) best = max(best, Vec<NATIVE_LANES>{{v.part[i]}});
    Quad q = fold_largest(best.part[0]);
    const float low = q[0] > q[1] ? q[0] : q[1], high = q[2] > q[3] ? q[2] : q[3];
    return low > high ? low : high;
}

// e^x to about one unit in the last place for -87.3 <= x <= 88.3; 0 below, saturated (2.3e38) above, NaN stays NaN.
// x = n ln 2 + r, |r| <= ln 2 / 2; e^r by a polynomial of degree 6; 2^n through the exponent bits.
[[gnu::always_inline]] inline Native exp_native(Native x) {
    Native zero = {}, clamped = x > 88.3f ? zero + 88.3f : x;
    const Native round = zero + 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    Native shifted = fma_native(clamped, zero + 1.44269504f, round), n = shifted - round;
    Native r = fma_native(n, zero - 0.693359375f, clamped);  // ln 2 in two parts: n times the first is exact
    r = fma_native(n, zero + 2.12194440e-4f, r);
    Native p = zero + 1.9875691500e-4f;
    p = fma_native(p, r, zero + 1.3981999507e-3f);
    p = fma_native(p, r, zero + 8.3334519073e-3f);
    p = fma_native(p, r, zero + 4.1665795894e-2f);
    p = fma_native(p, r, zero + 1.6666665459e-1f);
    p = fma_native(p, r, zero + 5.0000001201e-1f);
    p = fma_native(p, r * r, r) + 1.0f;
    // Unsigned: far below -87.3 this wraps, and is not taken.
    NativeBits scale = ((NativeBits)shifted - 0x4b400000u + 127u) << 23;
    return x < -87.3f ? zero : p * (Native)scale;
}
template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> exp(Vec<LANES> v) {
    for (int i = 0; i < Vec<LANES>::PARTS; i++) v.part[i] = exp_native(v.part[i]);
    return v;
}

// --- widening ---------------------------------------------------------------------------------------------------

// f16 bits in 32-bit words -> floats, as arithmetic: the exponent is moved by a multiplication, which also normalises
// subnormal numbers; infinities and NaN keep the largest exponent.
template <class Floats, class Bits>
[[gnu::always_inline]] inline Floats widen_f16(Bits half) {
    const Bits magnitude = (half & 0x7fffu) << 13, sign = (half & 0x8000u) << 16;
    const Floats scaled = (Floats)magnitude * 0x1p112f;
    const Bits special = (Bits)(magnitude >= 0x0f800000u) & 0x7f800000u;
    return (Floats)((Bits)scaled | special | sign);
}

[[gnu::always_inline]] inline Native load_native(const float* from) {
    return *reinterpret_cast<const NativeAt*>(from);
}
[[gnu::always_inline]] inline Native load_native(const F16* from) {
#if defined(__AVX512F__)
    // maskz, here and below: g++ 12 warns of its own undefined register in the plain form
    return _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#elif defined(__F16C__) && defined(__AVX2__)
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#else
    const auto halves = *reinterpret_cast<const NativeHalvesAt*>(from);
    return widen_f16<Native>(__builtin_convertvector(halves, NativeBits));
#endif
}
[[gnu::always_inline]] inline Native load_native(const int8_t* from) {
#if defined(__AVX512F__)
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return _mm512_maskz_cvtepi32_ps(0xffff, _mm512_maskz_cvtepi8_epi32(0xffff, bytes));
#elif defined(__AVX2__)
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
#else
    return __builtin_convertvector(*reinterpret_cast<const NativeBytesAt*>(from), Native);
#endif
}

// e4m3 in 32-bit words -> floats; tensor.h has the rule.
template <class Floats, class Bits>
[[gnu::always_inline]] inline Floats widen_f8(Bits byte) {
    return (Floats)((byte & 0x7fu) << 20 | (byte & 0x80u) << 24) * 0x1p120f;
}
[[gnu::always_inline]] inline NativeBits load_marks(const uint8_t* from) {
#if defined(__AVX512F__)
    return (NativeBits)_mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#elif defined(__AVX2__)
    return (NativeBits)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
#else
    return __builtin_convertvector(*reinterpret_cast<const NativeMarksAt*>(from), NativeBits);
#endif
}
[[gnu::always_inline]] inline Native load_native(const F8* from) {
    return widen_f8<Native>(load_marks(&from->bits));
}

[[gnu::always_inline]] inline Quad load_quad(const float* from) {
    return *reinterpret_cast<const QuadAt*>(from);
}
[[gnu::always_inline]] inline Quad load_quad(const F16* from) {
#if defined(__F16C__)
    return _mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
#else
    const auto halves = *reinterpret_cast<const QuadHalvesAt*>(from);
    return widen_f16<Quad>(__builtin_convertvector(halves, QuadBits));
#endif
}
[[gnu::always_inline]] inline Quad load_quad(const int8_t* from) {
    return __builtin_convertvector(*reinterpret_cast<const QuadBytesAt*>(from), Quad);
}
[[gnu::always_inline]] inline Quad load_quad(const F8* from) {
    return widen_f8<Quad>(__builtin_convertvector(*reinterpret_cast<const QuadMarksAt*>(from), QuadBits));
}

inline float widen(float value) {
    return value;
}
inline float widen(uint16_t half) {
    union {
        uint32_t bits;
        float value;
    } u = {static_cast<uint32_t>(half) << 16};
    return u.value;
}
inline float widen(F16 half) {
    const F16 four[4] = {half, {}, {}, {}};
    return load_quad(four)[0];
}
inline float widen(int8_t value) {
    return value;
}
inline float widen(F8 value) {
    const F8 four[4] = {value, {}, {}, {}};
    return load_quad(four)[0];
}

// --- four bits ----------------------------------------------------------------------------------------------------

constexpr int64_t GROUP = 32;  // GROUP of tensor.h, which these units do not see

// What e4m3 numbers are worth.
struct F8Values {
    float of[256];
};
constexpr F8Values f8_values() {
    F8Values values = {};
    for (int i = 0; i < 256; i++) {
        const int exponent = i >> 3 & 15;
        float value = static_cast<float>(exponent ? 8 + i % 8 : i % 8) * 0x1p-9f;
        for (int e = 1; e < exponent; e++) value *= 2;
        values.of[i] = i < 128 ? value : -value;
    }
    return values;
}
constexpr F8Values F8_VALUES = f8_values();

// Where a group of I4 weights stands. Adding goes on by whole groups.
struct Nibbles {
    const uint8_t* group;   // 16 bytes
    const uint8_t* factor;  // e4m3

    Nibbles operator+(int64_t count) const { return {group + count / 2, factor + count / GROUP}; }
};

// Weights 4 q to 4 q + 3 of a group.
[[gnu::always_inline]] inline Quad load_quad(const Nibbles& from, int q) {
    const auto pairs = *reinterpret_cast<const QuadMarksAt*>(from.group + q % 4 * 4);
    const QuadBits four = __builtin_convertvector(pairs, QuadBits) >> (q / 4 * 4) & 15u;
    return (__builtin_convertvector((QuadInts)four, Quad) - 8.0f) * F8_VALUES.of[*from.factor];
}

// LANES adjacent weights of one half of a group, times its factor, exactly.
template <int LANES>
[[gnu::always_inline]] inline Vec<LANES> load_nibbles(const uint8_t* bytes, bool high, float factor) {
    Vec<LANES> v;
    for (int i = 0; i < Vec<LANES>::PARTS; i++) {
        const NativeBits pairs = load_marks(bytes + i * NATIVE_LANES);
        const NativeBits four = (high ? pairs >> 4 : pairs) & 15u;
        v.part[i] = (__builtin_convertvector((NativeInts)four, Native) - 8.0f) * factor;
    }
    return v;
}

// --- two vectors of weights at once -----------------------------------------------------------------------------
//
// 2 LANES adjacent weights, in the order in which they widen for free. Two bf16 share a 32-bit word, so a shift and a
// mask give the even and the odd ones; the other operand of a dot product is brought into that "pair order" once:
//
//   bf16     first = w0 w2 w4 ...   second = w1 w3 w5 ...
//   others   first = w0 w1 w2 ...   second = wLANES ...        (they widen by an instruction of their own, in order)

template <int LANES>
struct Pair {
    Vec<LANES> first, second;
};
template <int LANES, class W>
[[gnu::always_inline]] inline Pair<LANES> load_pair(const W* from) {
    Pair<LANES> pair;
    for (int i = 0; i < Vec<LANES>::PARTS; i++) {
        pair.first.part[i] = load_native(from + i * NATIVE_LANES);
        pair.second.part[i] = load_native(from + LANES + i * NATIVE_LANES);
    }
    return pair;
}
template <int LANES>
[[gnu::always_inline]] inline Pair<LANES> load_pair(const uint16_t* from) {
    Pair<LANES> pair;
    for (int i = 0; i < Vec<LANES>::PARTS; i++) {
        NativeBits bits = *reinterpret_cast<const NativeBitsAt*>(from + 2 * i * NATIVE_LANES);
        pair.first.part[i] = (Native)(bits << 16);
        pair.second.part[i] = (Native)(bits & 0xffff0000u);
    }
    return pair;
}
// The same from column k of a row on, a multiple of 2 LANES.
template <int LANES, class W>
[[gnu::always_inline]] inline Pair<LANES> load_pair_at(const W* row, int64_t k) {
    return load_pair<LANES>(row + k);
}
template <int LANES>
[[gnu::always_inline]] inline Pair<LANES> load_pair_at(const Nibbles& row, int64_t k) {
    static_assert(GROUP % (2 * LANES) == 0);
    constexpr uint64_t HALF = GROUP / 2;  // not below zero, so that dividing is shifting
    const uint64_t at = static_cast<uint64_t>(k), group = at / GROUP;
    const uint8_t* bytes = row.group + group * HALF + at % HALF;
    const float factor = F8_VALUES.of[row.factor[group]];
#if defined(__AVX512F__)
    // Sixteen numbers fit a register: the group's factor times each of the sixteen, of which a permutation picks.
    if constexpr (LANES == 16) {
        const Native numbers = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7}, table = numbers * factor;
        const NativeBits pairs = load_marks(bytes);
        const auto pick = [&](NativeBits four) __attribute__((always_inline)) {
            return Vec<LANES>{{(Native)_mm512_maskz_permutexvar_ps(0xffff, (__m512i)four, (__m512)table)}};
        };
        return {pick(pairs), pick(pairs >> 4)};
    }
#endif
    if constexpr (LANES == 16) return {load_nibbles<16>(bytes, false, factor), load_nibbles<16>(bytes, true, factor)};
    const bool high = at % GROUP >= HALF;
    return {load_nibbles<LANES>(bytes, high, factor), load_nibbles<LANES>(bytes + LANES, high, factor)};
}
// The last count < 2 LANES weights of a row, zeros behind them.
template <int LANES, class W>
[[gnu::always_inline]] inline Pair<LANES> load_pair_some(const W* from, int64_t count) {
    W lanes[2 * LANES] = {};
    for (int64_t i = 0; i < count; i++) lanes[i] = from[i];
    return load_pair<LANES>(lanes);
}

// Where value i of a row stands once the row is in pair order for weights of type W.
template <int LANES, class W>
constexpr int64_t pair_place(int64_t i, const W*) {
    return i;
}
template <int LANES>
constexpr int64_t pair_place(int64_t i, const uint16_t*) {
    int64_t within = i % (2 * LANES);
    return i - within + within / 2 + (within % 2) * LANES;
}
// out [round_up(count, 2 LANES)] = x * factor in pair order, zeros behind.
template <int LANES, class W>
inline void to_pair_order(float* __restrict__ out, const float* __restrict__ x, int64_t count, float factor) {
    int64_t whole = count - count % (2 * LANES);
    for (int64_t block = 0; block < whole; block += 2 * LANES)
        for (int64_t i = 0; i < 2 * LANES; i++)
            out[block + pair_place<LANES>(i, static_cast<const W*>(nullptr))] = x[block + i] * factor;
    if (whole == count) return;
    for (int64_t i = 0; i < 2 * LANES; i++) {
        float value = whole + i < count ? x[whole + i] * factor : 0.0f;
        out[whole + pair_place<LANES>(i, static_cast<const W*>(nullptr))] = value;
    }
}

// --- from an element's name to its type ---------------------------------------------------------------------------

template <class T>
struct PointeeOf;
template <class T>
struct PointeeOf<T*> {
    using Type = T;
};
template <class Pointer>
using Pointee = typename PointeeOf<Pointer>::Type;

// What stands for a pointer to weights of type W: where a matrix of them begins.
template <class W>
struct Begin {
    static const W* of(const void* data, const uint8_t*) { return static_cast<const W*>(data); }
};
template <>
struct Begin<I4> {
    static Nibbles of(const void* data, const uint8_t* groups) { return {static_cast<const uint8_t*>(data), groups}; }
};
// How many adjacent weights take so many bytes. TAILS: whether rows may end anywhere; those of I4 are whole groups.
template <class Pointer>
struct Density {
    static constexpr bool TAILS = true;
    static constexpr int64_t in(int64_t bytes) { return bytes / static_cast<int64_t>(sizeof(*Pointer{})); }
};
template <>
struct Density<Nibbles> {
    static constexpr bool TAILS = false;
    static constexpr int64_t in(int64_t bytes) { return bytes * 2; }
};
template <class Pointer>
Density<Pointer> density_of(Pointer);
// Where column k of a row is read from memory.
template <class W>
inline const void* address_of(const W* row, int64_t k) {
    return row + k;
}
inline const void* address_of(const Nibbles& row, int64_t k) {
    return row.group + (static_cast<uint64_t>(k) >> 1);
}

// use(null pointer to the type of the element): of caches and convolutions, and of all weights.
template <class Use>
inline void with_float(Element element, Use use) {
    if (element == Element::BF16) return use(static_cast<uint16_t*>(nullptr));
    if (element == Element::F16) return use(static_cast<F16*>(nullptr));
    use(static_cast<float*>(nullptr));
}
template <class Use>
inline void with_cache(Element element, Use use) {
    if (element == Element::I8) return use(static_cast<int8_t*>(nullptr));
    with_float(element, use);
}
template <class Use>
inline void with_weight(Element element, Use use) {
    if (element == Element::I8) return use(static_cast<int8_t*>(nullptr));
    if (element == Element::F8) return use(static_cast<F8*>(nullptr));
    if (element == Element::I4) return use(static_cast<I4*>(nullptr));
    with_float(element, use);
}

// --- small integers ---------------------------------------------------------------------------------------------

constexpr int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}
constexpr int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}
constexpr int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
constexpr int64_t round_up(int64_t a, int64_t b) {
    return ceil_div(a, b) * b;
}

}  // namespace
}  // namespace leon
