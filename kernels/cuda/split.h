// Float32 activations for the tensor cores, which take narrower numbers: each is the sum of a high and a low part, and
// each part is multiplied. And int8 weights as bf16, which holds them exactly.
#pragma once

#include "kernels/cuda/gpu.h"

namespace leon::LEON_CUDA {

// What is left of x when `high` is taken away; nothing of an infinity, whose high part says it all.
__device__ __forceinline__ float rest(float x, float high) {
    const float low = x - high;
    return fabsf(low) <= fabsf(x) ? low : 0.0f;
}

struct Split {
    unsigned high, low;
};

// Two floats as bf16 in a word, the first one in the low half.
__device__ __forceinline__ unsigned bf16_pair(float first, float second) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
    unsigned word;
    memcpy(&word, &pair, sizeof word);
    return word;
}

// The same with what bf16 leaves of them: together 16 bits of mantissa.
__device__ __forceinline__ Split split_bf16(float first, float second) {
    const unsigned high = bf16_pair(first, second);
    return {high,
            bf16_pair(rest(first, __uint_as_float(high << 16)), rest(second, __uint_as_float(high & 0xffff0000u)))};
}

// A float as two tf32: its upper 11 bits of mantissa, and the next 11, rounded by adding half of what tf32 leaves off.
__device__ __forceinline__ Split split_tf32(float x) {
    const unsigned high = __float_as_uint(x) & 0xffffe000u;
    return {high, __float_as_uint(rest(x, __uint_as_float(high))) + 0x1000u};
}

// Two signed bytes as bf16, each standing in the low half of 16 bits under 0x43. Its lower seven bits are then the
// mantissa of 128 + b; its top bit, worth -128, makes 128 of 0 and 256 of 1 as the lowest bit of the exponent; the
// difference of the two is the signed byte.
__device__ __forceinline__ unsigned bf16_of_marked_bytes(unsigned marked) {
    const unsigned lower = marked & 0xff7fff7fu, top = marked & 0xff80ff80u;
    __nv_bfloat162 l, t;
    memcpy(&l, &lower, sizeof l);
    memcpy(&t, &top, sizeof t);
    const __nv_bfloat162 value = __hfma2(t, __floats2bfloat162_rn(-1.0f, -1.0f), l);
    unsigned word;
    memcpy(&word, &value, sizeof word);
    return word;
}
// Bytes 0 and 2 of a word, and bytes 1 and 3.
__device__ __forceinline__ unsigned bf16_of_even_bytes(unsigned bytes) {
    return bf16_of_marked_bytes(__byte_perm(bytes, 0x43434343u, 0x4240u));
}
__device__ __forceinline__ unsigned bf16_of_odd_bytes(unsigned bytes) {
    return bf16_of_marked_bytes(__byte_perm(bytes, 0x43434343u, 0x4341u));
}

}  // namespace leon::LEON_CUDA
