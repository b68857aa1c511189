// Float32 activations for the tensor cores, which take narrower numbers: each is the sum of a high and a low part, and
// each part is multiplied. And weights of 8 and 4 bits as bf16, which holds them exactly.
#pragma once

#include "kernels/cuda/element.h"

namespace leon::LEON_CUDA {

// What is left of x when `high` is taken away; nothing of an infinity, whose high part says it all.
__device__ __forceinline__ float rest(float x, float high) {
    const float low = x - high;
    return fabsf(low) <= fabsf(x) ? low : 0.0f;
}

struct Split {
    unsigned high, low;
};

__device__ __forceinline__ __nv_bfloat162 bf16_of_word(unsigned word) {
    __nv_bfloat162 pair;
    memcpy(&pair, &word, sizeof pair);
    return pair;
}
__device__ __forceinline__ unsigned word_of_bf16(__nv_bfloat162 pair) {
    unsigned word;
    memcpy(&word, &pair, sizeof word);
    return word;
}

// Two floats as bf16 in a word, the first one in the low half.
__device__ __forceinline__ unsigned bf16_pair(float first, float second) {
    return word_of_bf16(__floats2bfloat162_rn(first, second));
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
    return word_of_bf16(__hfma2(bf16_of_word(top), __floats2bfloat162_rn(-1.0f, -1.0f), bf16_of_word(lower)));
}
// Bytes 0 and 2 of a word, and bytes 1 and 3.
__device__ __forceinline__ unsigned bf16_of_even_bytes(unsigned bytes) {
    return bf16_of_marked_bytes(__byte_perm(bytes, 0x43434343u, 0x4240u));
}
__device__ __forceinline__ unsigned bf16_of_odd_bytes(unsigned bytes) {
    return bf16_of_marked_bytes(__byte_perm(bytes, 0x43434343u, 0x4341u));
}

// Two e4m3 numbers, each in the upper half of 16 bits: four bits further down their exponent and mantissa stand where
// a bf16 has them, under a smaller exponent, 2^-120 of the number.
__device__ __forceinline__ unsigned bf16_of_raised_e4m3(unsigned raised) {
    const unsigned bits = (raised & 0x80008000u) | (raised & 0x7f007f00u) >> 4;
    return word_of_bf16(__hmul2(bf16_of_word(bits), __floats2bfloat162_rn(0x1p120f, 0x1p120f)));
}
__device__ __forceinline__ unsigned bf16_of_even_e4m3(unsigned bytes) {
    return bf16_of_raised_e4m3(bytes << 8);
}
__device__ __forceinline__ unsigned bf16_of_odd_e4m3(unsigned bytes) {
    return bf16_of_raised_e4m3(bytes);
}

// Four weights of 8 bits in a word: the even ones and the odd ones, as bf16.
__device__ __forceinline__ void even_and_odd(unsigned (&pairs)[2], unsigned word, int8_t) {
    pairs[0] = bf16_of_even_bytes(word), pairs[1] = bf16_of_odd_bytes(word);
}
__device__ __forceinline__ void even_and_odd(unsigned (&pairs)[2], unsigned word, E4m3) {
    pairs[0] = bf16_of_even_e4m3(word), pairs[1] = bf16_of_odd_e4m3(word);
}

// Four bits in each byte, of which two are taken, less 8 and times a factor of at most four significant bits. Under
// 0x43 they are the end of the mantissa of 128 + n.
__device__ __forceinline__ unsigned bf16_of_marked_nibbles(unsigned marked, __nv_bfloat162 factor) {
    return word_of_bf16(__hmul2(__hsub2(bf16_of_word(marked), __floats2bfloat162_rn(136.0f, 136.0f)), factor));
}
__device__ __forceinline__ unsigned bf16_of_even_nibbles(unsigned nibbles, __nv_bfloat162 factor) {
    return bf16_of_marked_nibbles((nibbles & 0x000f000fu) | 0x43004300u, factor);
}
__device__ __forceinline__ unsigned bf16_of_odd_nibbles(unsigned nibbles, __nv_bfloat162 factor) {
    return bf16_of_marked_nibbles((nibbles >> 8 & 0x000f000fu) | 0x43004300u, factor);
}
// Half `half` of every byte of a word, the low one first.
__device__ __forceinline__ unsigned nibbles_of(unsigned word, int half) {
    return word >> 4 * half & 0x0f0f0f0fu;
}

// Four weights of 4 bits: half `half` of every byte of a word, under the factor of their group.
__device__ __forceinline__ void even_and_odd(unsigned (&pairs)[2], unsigned word, int half, __nv_bfloat162 factor) {
    const unsigned nibbles = nibbles_of(word, half);
    pairs[0] = bf16_of_even_nibbles(nibbles, factor), pairs[1] = bf16_of_odd_nibbles(nibbles, factor);
}

}  // namespace leon::LEON_CUDA
