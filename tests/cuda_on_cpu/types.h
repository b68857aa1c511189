// The types that CUDA's headers bring: dim3, short vectors, and the two 16-bit floats with their conversions.
//
// Only what kernels use. Conversions to 16 bits round to nearest, ties to even, as the hardware's *_rn do.
#pragma once

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

struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct uchar4 {
    unsigned char x, y, z, w;
};

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
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

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
struct alignas(4) __half2 {
    __half x, y;
};

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
