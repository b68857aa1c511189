// Products on tensor cores whose left side is float32 (queries, weights of a softmax) and whose right side is of the
// cache's type: the left side is cut in two (split.h), and the products of the parts are added.
//
//   right side              left side         products                       error of an element of the left side
//   bf16, exact             high + low bf16   low, high                      2^-16 at most
//   i8, as bf16 exact       the same
//   f16, exact              high + low f16    low, high                      2^-22
//   f32 = high + low tf32   high + low tf32   low high, high low, high high  2^-22 of the product
//
// f16 as it is, not as tf32, which would need twice as many instructions and a conversion of every element of the right
// side. But its range is short: whoever makes the left side brings it into [-2, 2] by a power of two (RANGE_IS_SHORT).
#pragma once

#include "kernels/cuda/ptx.h"
#include "kernels/cuda/split.h"

namespace leon::LEON_CUDA {

// What a lane holds of 16 rows x DEPTH columns of the left side, with g = lane / 4, c = lane % 4.
//   16-bit: register i is two adjacent columns; rows g, g+8, g, g+8 and columns 2c, 2c, 2c+8, 2c+8
//   f32:    value i is of rows g, g+8, g, g+8 and columns c, c, c+4, c+4
template <class T>
struct Left;

template <>
struct Left<__nv_bfloat16> {
    static constexpr int DEPTH = 16;
    static constexpr bool RANGE_IS_SHORT = false;
    unsigned high[4], low[4];

    __device__ __forceinline__ void set(int i, float x, float y) {
        const Split split = split_bf16(x, y);
        high[i] = split.high;
        low[i] = split.low;
    }
    __device__ __forceinline__ const Left& inside_a_loop() const { return *this; }
};

template <>
struct Left<__half> {
    static constexpr int DEPTH = 16;
    static constexpr bool RANGE_IS_SHORT = true;
    unsigned high[4], low[4];

    __device__ __forceinline__ void set(int i, float x, float y) {
        const __half2 rounded = __floats2half2_rn(x, y);
        const __half2 left_over = __floats2half2_rn(x - __low2float(rounded), y - __high2float(rounded));
        memcpy(&high[i], &rounded, sizeof rounded);
        memcpy(&low[i], &left_over, sizeof left_over);
    }
    __device__ __forceinline__ const Left& inside_a_loop() const { return *this; }
};

template <>
struct Left<int8_t> : Left<__nv_bfloat16> {};

template <>
struct Left<float> {
    static constexpr int DEPTH = 8;
    static constexpr bool RANGE_IS_SHORT = false;
    float value[4];  // cut where it is used: four registers in place of eight

    // The same for use inside a loop, which keeps the compiler from cutting ahead of it.
    __device__ __forceinline__ Left inside_a_loop() const {
        Left here = *this;
#pragma unroll
        for (int i = 0; i < 4; i++) compute_here(here.value[i]);
        return here;
    }
};

// d[n] [16, 8] += left [16, DEPTH] * right[n] [DEPTH, 8]; of the right side a lane holds columns g and, of each, rows
// 2c, 2c+1 and 2c+8, 2c+9 in 16 bits, or rows c and c+4 of f32.
template <int COUNT>
__device__ __forceinline__ void multiply(float (&d)[COUNT][4], const Left<__nv_bfloat16>& left,
                                         const unsigned (&right)[COUNT][2]) {
    mma_bf16(d, left.low, right);
    mma_bf16(d, left.high, right);
}
template <int COUNT>
__device__ __forceinline__ void multiply(float (&d)[COUNT][4], const Left<__half>& left,
                                         const unsigned (&right)[COUNT][2]) {
    mma_f16(d, left.low, right);
    mma_f16(d, left.high, right);
}
template <int COUNT>
__device__ __forceinline__ void multiply(float (&d)[COUNT][4], const Left<float>& left,
                                         const unsigned (&right)[COUNT][2]) {
    unsigned left_high[4], left_low[4], right_high[COUNT][2], right_low[COUNT][2];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const Split split = split_tf32(left.value[i]);
        left_high[i] = split.high;
        left_low[i] = split.low;
    }
#pragma unroll
    for (int n = 0; n < COUNT; n++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const Split split = split_tf32(__uint_as_float(right[n][i]));
            right_high[n][i] = split.high;
            right_low[n][i] = split.low;
        }
    mma_tf32(d, left_low, right_high);
    mma_tf32(d, left_high, right_low);
    mma_tf32(d, left_high, right_high);
}

// Two neighbouring parts of the right side from the four registers that ldmatrix brings.
__device__ __forceinline__ void load_two(unsigned (&first)[2], unsigned (&second)[2], const unsigned (&r)[4]) {
    first[0] = r[0], first[1] = r[1];
    second[0] = r[2], second[1] = r[3];
}

}  // namespace leon::LEON_CUDA
