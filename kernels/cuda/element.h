// Elements of a weight or of the cache: widened to float as they are read, rounded as they are written; and the one
// place where a launcher turns a Tensor's dtype into a type.
#pragma once

#include "kernels/cuda/gpu.h"
#include "kernels/tensor.h"

namespace leon::LEON_CUDA {

__device__ __forceinline__ float widen(float value) {
    return value;
}
__device__ __forceinline__ float widen(__nv_bfloat16 value) {
    return __bfloat162float(value);
}

__device__ __forceinline__ float widen(__half value) {
    return __half2float(value);
}
__device__ __forceinline__ float widen(int8_t value) {
    return static_cast<float>(value);
}
// Of F8; tensor.h has the rule.
struct E4m3 {
    uint8_t bits;
};
__device__ __forceinline__ float widen(E4m3 value) {
    const unsigned byte = value.bits;
    return __uint_as_float((byte & 0x7fu) << 20 | (byte & 0x80u) << 24) * 0x1p120f;
}
// Two weights of I4; the factor of their group stands elsewhere.
struct Nibbles {
    uint8_t pair;
};

template <class T>
__device__ __forceinline__ T narrow(float value);
template <>
__device__ __forceinline__ float narrow<float>(float value) {
    return value;
}
template <>
__device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16>(float value) {
    return __float2bfloat16_rn(value);
}

template <>
__device__ __forceinline__ __half narrow<__half>(float value) {
    return __float2half_rn(value);
}

template <>
__device__ __forceinline__ int8_t narrow<int8_t>(float value) {  // of a whole number
    return static_cast<int8_t>(rintf(value));
}

// A word as two halves, the first one low.
__device__ __forceinline__ __half2 half2_of(unsigned word) {
    __half2 pair;
    memcpy(&pair, &word, sizeof pair);
    return pair;
}

// Elements of a T, in 16 bytes, and where element number i of a matrix stands.
template <class T>
constexpr int ELEMENTS = 1;
template <>
inline constexpr int ELEMENTS<Nibbles> = 2;
template <class T>
constexpr int CHUNK_ELEMENTS = 16 / static_cast<int>(sizeof(T)) * ELEMENTS<T>;
template <class T>
__device__ __forceinline__ const T* element_at(const T* matrix, int64_t i) {
    return matrix + i / ELEMENTS<T>;
}

// 16 bytes of weights in registers: four floats, eight 16-bit floats, sixteen bytes or a group of 32 half bytes.
template <class T>
struct Pack {
    static constexpr int COUNT = CHUNK_ELEMENTS<T>;
    float value[COUNT];
};
__device__ __forceinline__ Pack<float> unpack(uint4 bits, float) {
    return {{__uint_as_float(bits.x), __uint_as_float(bits.y), __uint_as_float(bits.z), __uint_as_float(bits.w)}};
}
__device__ __forceinline__ Pack<__nv_bfloat16> unpack(uint4 bits, __nv_bfloat16) {
    // Two bf16 in a word, the first one low; a bf16 is the upper half of a float.
    Pack<__nv_bfloat16> pack;
    const unsigned words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        pack.value[2 * i] = __uint_as_float(words[i] << 16);
        pack.value[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
    return pack;
}

__device__ __forceinline__ Pack<__half> unpack(uint4 bits, __half) {
    Pack<__half> pack;
    const unsigned words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 pair = __half22float2(half2_of(words[i]));
        pack.value[2 * i] = pair.x;
        pack.value[2 * i + 1] = pair.y;
    }
    return pack;
}
__device__ __forceinline__ Pack<int8_t> unpack(uint4 bits, int8_t) {
    Pack<int8_t> pack;
    const unsigned words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 16; i++) pack.value[i] = static_cast<float>(static_cast<int8_t>(words[i / 4] >> i % 4 * 8));
    return pack;
}

__device__ __forceinline__ Pack<E4m3> unpack(uint4 bits, E4m3) {
    Pack<E4m3> pack;
    const unsigned words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 16; i++) pack.value[i] = widen(E4m3{static_cast<uint8_t>(words[i / 4] >> i % 4 * 8)});
    return pack;
}
__device__ __forceinline__ Pack<Nibbles> unpack_group(uint4 bits, E4m3 factor) {
    Pack<Nibbles> pack;
    const unsigned words[4] = {bits.x, bits.y, bits.z, bits.w};
    const float of_group = widen(factor);
#pragma unroll
    for (int i = 0; i < 32; i++)
        pack.value[i] = (static_cast<float>(words[i % 16 / 4] >> (i % 4 * 8 + i / 16 * 4) & 15) - 8.0f) * of_group;
    return pack;
}

// Calls `use(element)` with an element of the type that `dtype` names: of a convolution, of a cache, of a weight.
template <class Use>
void with_float(DType dtype, Use use) {
    if (dtype == DType::BF16) return use(__nv_bfloat16{});
    if (dtype == DType::F16) return use(__half{});
    use(float{});
}
template <class Use>
void with_cache(DType dtype, Use use) {
    if (dtype == DType::I8) return use(int8_t{});
    with_float(dtype, use);
}
template <class Use>
void with_weight(DType dtype, Use use) {
    if (dtype == DType::I8) return use(int8_t{});
    if (dtype == DType::F8) return use(E4m3{});
    if (dtype == DType::I4) return use(Nibbles{});
    with_float(dtype, use);
}

template <class T>
const T* data_of(const Tensor& t) {
    return static_cast<const T*>(t.data);
}
template <class T>
T* data_of(Tensor& t) {
    return static_cast<T*>(t.data);
}

}  // namespace leon::LEON_CUDA
