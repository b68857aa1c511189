// The types that CUDA's headers bring: dim3, short vectors, and the two 16-bit floats with their conversions.
//
// Only what kernels use. Conversions to 16 bits round to nearest, ties to even, as the hardware's *_rn do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace leon::cuda_emulated {

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x = 1, y = 1, z = 1;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// A vector is loaded and stored as a whole. The compiler would take it apart into its members; in the instrumented
// build, which counts accesses, its copies keep it from that.
#if defined(__SANITIZE_THREAD__)
template <size_t BYTES>
struct Word {
    typedef uint32_t Type __attribute__((vector_size(BYTES), may_alias));
};
template <class T>
__attribute__((always_inline)) inline void copy_whole(T* to, const T* from) {
    using Type = typename Word<sizeof(T)>::Type;
    *reinterpret_cast<volatile Type*>(to) = *reinterpret_cast<const volatile Type*>(from);
}
#define COPIED_WHOLE(name)                                             \
    name() = default;                                                  \
    __attribute__((always_inline)) name(const name& from) {            \
        copy_whole(this, &from);                                       \
    }                                                                  \
    __attribute__((always_inline)) name& operator=(const name& from) { \
        copy_whole(this, &from);                                       \
        return *this;                                                  \
    }
#define VECTOR_OF_2(name, T, alignment)              \
    struct alignas(alignment) name {                 \
        T x, y;                                      \
        constexpr name(T x_, T y_) : x(x_), y(y_) {} \
        COPIED_WHOLE(name)                           \
    };
#define VECTOR_OF_4(name, T, alignment)                                        \
    struct alignas(alignment) name {                                           \
        T x, y, z, w;                                                          \
        constexpr name(T x_, T y_, T z_, T w_) : x(x_), y(y_), z(z_), w(w_) {} \
        COPIED_WHOLE(name)                                                     \
    };
#else
#define VECTOR_OF_2(name, T, alignment) \
    struct alignas(alignment) name {    \
        T x, y;                         \
    };
#define VECTOR_OF_4(name, T, alignment) \
    struct alignas(alignment) name {    \
        T x, y, z, w;                   \
    };
#endif

VECTOR_OF_2(int2, int, 8)
VECTOR_OF_4(int4, int, 16)
VECTOR_OF_2(uint2, unsigned, 8)
VECTOR_OF_4(uint4, unsigned, 16)
VECTOR_OF_2(float2, float, 8)
VECTOR_OF_4(float4, float, 16)
VECTOR_OF_4(uchar4, unsigned char, 4)

constexpr int2 make_int2(int x, int y) {
    return {x, y};
}
constexpr int4 make_int4(int x, int y, int z, int w) {
    return {x, y, z, w};
}
constexpr uint2 make_uint2(unsigned x, unsigned y) {
    return {x, y};
}
constexpr uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return {x, y, z, w};
}
constexpr float2 make_float2(float x, float y) {
    return {x, y};
}
constexpr float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}
constexpr uchar4 make_uchar4(unsigned char x, unsigned char y, unsigned char z, unsigned char w) {
    return {x, y, z, w};
}

template <class To, class From>
inline To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

// --- bf16: the upper half of a float ----------------------------------------------------------------------------

struct __nv_bfloat16 {
    uint16_t bits;
};
VECTOR_OF_2(__nv_bfloat162, __nv_bfloat16, 4)

inline float __bfloat162float(__nv_bfloat16 h) {
    return same_bits<float>(uint32_t{h.bits} << 16);
}
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
    const uint32_t bits = same_bits<uint32_t>(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fff};  // NaN
    return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}
inline __nv_bfloat16 __float2bfloat16(float value) {
    return __float2bfloat16_rn(value);
}
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
    return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}
inline __nv_bfloat162 __float2bfloat162_rn(float value) {
    return __floats2bfloat162_rn(value, value);
}
inline float2 __bfloat1622float2(__nv_bfloat162 v) {
    return {__bfloat162float(v.x), __bfloat162float(v.y)};
}
inline float __low2float(__nv_bfloat162 v) {
    return __bfloat162float(v.x);
}
inline float __high2float(__nv_bfloat162 v) {
    return __bfloat162float(v.y);
}

// --- f16: 1 sign, 5 exponent, 10 mantissa bits ------------------------------------------------------------------

struct __half {
    uint16_t bits;
};
VECTOR_OF_2(__half2, __half, 4)

inline float __half2float(__half h) {
    const uint32_t sign = uint32_t{h.bits} >> 15 << 31, exponent = h.bits >> 10 & 31u, mantissa = h.bits & 1023u;
    if (exponent == 31) return same_bits<float>(sign | 0x7f800000u | mantissa << 13);
    if (exponent == 0) return same_bits<float>(sign | same_bits<uint32_t>(static_cast<float>(mantissa) * 0x1p-24f));
    return same_bits<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}
inline __half __float2half_rn(float value) {
    const uint32_t bits = same_bits<uint32_t>(value), sign = bits >> 31 << 15, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return {0x7fff};                                  // NaN
    if (magnitude >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00u)};  // 65,520 and above
    if (magnitude < 0x38800000u) {                                                 // below 2^-14: subnormal
        const float scaled = same_bits<float>(magnitude) + 0.5f;  // ulp of 0.5 is 2^-24: the sum rounds to nearest even
        return {static_cast<uint16_t>(sign | (same_bits<uint32_t>(scaled) - 0x3f000000u))};
    }
    return {static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13))};
}
inline __half __float2half(float value) {
    return __float2half_rn(value);
}
inline __half2 __floats2half2_rn(float x, float y) {
    return {__float2half_rn(x), __float2half_rn(y)};
}
inline float2 __half22float2(__half2 v) {
    return {__half2float(v.x), __half2float(v.y)};
}
inline float __low2float(__half2 v) {
    return __half2float(v.x);
}
inline float __high2float(__half2 v) {
    return __half2float(v.y);
}
inline __half2 operator+(__half2 a, __half2 b) {
    return __floats2half2_rn(__low2float(a) + __low2float(b), __high2float(a) + __high2float(b));
}

}  // namespace leon::cuda_emulated
