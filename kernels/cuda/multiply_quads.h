// Four elements of the depth of up to 32 rows of a weight, times the same four of up to 16 rows of x, on the tensor
// cores: what few_rows.cu adds up, for each type that a weight may have.
//
// A lane multiplies 16 bytes (a chunk) of each of its lines of the weight. Where in the depth its elements stand inside
// an instruction is arbitrary, as long as those of x stand in the same places.
#pragma once

#include "kernels/cuda/element.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/split.h"

namespace leon::LEON_CUDA {

// sums[p] += lines 2p and 2p + 1 of the weight, times x.
//   chunk[l]: 16 bytes of line l, of which quad number q is multiplied    x[h]: of row lane / 4 + 8 h
template <int LINES, int HALVES>
using Sums = float[(LINES + 1) / 2][HALVES][4];

__device__ __forceinline__ unsigned word_of(const uint4& chunk, int i) {
    return i == 0 ? chunk.x : i == 1 ? chunk.y : i == 2 ? chunk.z : chunk.w;
}

template <int LINES, int HALVES>
__device__ __forceinline__ void multiply_bf16(Sums<LINES, HALVES>& sums, const unsigned (&w)[LINES][2],
                                              const Split (&x)[HALVES][2]) {
#pragma unroll
    for (int p = 0; p < LINES; p += 2) {
        const unsigned a[4] = {w[p][0], p + 1 < LINES ? w[p + 1][0] : 0, w[p][1], p + 1 < LINES ? w[p + 1][1] : 0};
#pragma unroll
        for (int h = 0; h < HALVES; h++) {
            mma_bf16(sums[p / 2][h], a, x[h][0].low, x[h][1].low);
            mma_bf16(sums[p / 2][h], a, x[h][0].high, x[h][1].high);
        }
    }
}

template <int LINES, int HALVES>
__device__ __forceinline__ void multiply_quad(Sums<LINES, HALVES>& sums, const uint4 (&chunk)[LINES], int q,
                                              const float4 (&x)[HALVES], __nv_bfloat16) {
    unsigned w[LINES][2];
    Split split[HALVES][2];
#pragma unroll
    for (int l = 0; l < LINES; l++) w[l][0] = word_of(chunk[l], 2 * q), w[l][1] = word_of(chunk[l], 2 * q + 1);
#pragma unroll
    for (int h = 0; h < HALVES; h++) split[h][0] = split_bf16(x[h].x, x[h].y), split[h][1] = split_bf16(x[h].z, x[h].w);
    multiply_bf16<LINES, HALVES>(sums, w, split);
}

// What is narrower than 16 bits stands four to a word; the even and the odd ones come out of it, and x in that order.
template <int LINES, int HALVES>
__device__ __forceinline__ void multiply_even_odd(Sums<LINES, HALVES>& sums, const unsigned (&w)[LINES][2],
                                                  const float4 (&x)[HALVES]) {
    Split split[HALVES][2];
#pragma unroll
    for (int h = 0; h < HALVES; h++) split[h][0] = split_bf16(x[h].x, x[h].z), split[h][1] = split_bf16(x[h].y, x[h].w);
    multiply_bf16<LINES, HALVES>(sums, w, split);
}
template <int LINES, int HALVES, class T>
__device__ __forceinline__ void multiply_bytes(Sums<LINES, HALVES>& sums, const uint4 (&chunk)[LINES], int q,
                                               const float4 (&x)[HALVES], T type) {
    unsigned w[LINES][2];
#pragma unroll
    for (int l = 0; l < LINES; l++) even_and_odd(w[l], word_of(chunk[l], q), type);
    multiply_even_odd<LINES, HALVES>(sums, w, x);
}
template <int LINES, int HALVES>
__device__ __forceinline__ void multiply_quad(Sums<LINES, HALVES>& sums, const uint4 (&chunk)[LINES], int q,
                                              const float4 (&x)[HALVES], int8_t type) {
    multiply_bytes<LINES, HALVES>(sums, chunk, q, x, type);
}
template <int LINES, int HALVES>
__device__ __forceinline__ void multiply_quad(Sums<LINES, HALVES>& sums, const uint4 (&chunk)[LINES], int q,
                                              const float4 (&x)[HALVES], E4m3 type) {
    multiply_bytes<LINES, HALVES>(sums, chunk, q, x, type);
}
// Half `half` of each byte of word q: columns 16 half + 4 q and on of the group.
template <int LINES, int HALVES>
__device__ __forceinline__ void multiply_nibbles(Sums<LINES, HALVES>& sums, const uint4 (&chunk)[LINES], int q,
                                                 int half, const __nv_bfloat162 (&factor)[LINES],
                                                 const float4 (&x)[HALVES]) {
    unsigned w[LINES][2];
#pragma unroll
    for (int l = 0; l < LINES; l++) even_and_odd(w[l], word_of(chunk[l], q), half, factor[l]);
    multiply_even_odd<LINES, HALVES>(sums, w, x);
}

// tf32 holds an f16 exactly; a float32 weight is split as x is, and the product of both low parts left out.
template <int LINES, int HALVES, class T>
__device__ __forceinline__ void multiply_quad(Sums<LINES, HALVES>& sums, const uint4 (&chunk)[LINES], int q,
                                              const float4 (&x)[HALVES], T) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        Split right[HALVES][2];
#pragma unroll
        for (int h = 0; h < HALVES; h++) {
            right[h][0] = split_tf32(i == 0 ? x[h].x : x[h].z);
            right[h][1] = split_tf32(i == 0 ? x[h].y : x[h].w);
        }
#pragma unroll
        for (int p = 0; p < LINES; p += 2) {
            unsigned high[4] = {}, low[4] = {};
#pragma unroll
            for (int l = p; l < p + 2 && l < LINES; l++) {
                if constexpr (sizeof(T) == 4) {
#pragma unroll
                    for (int j = 0; j < 2; j++) {
                        const Split w = split_tf32(__uint_as_float(word_of(chunk[l], 2 * i + j)));
                        high[l - p + 2 * j] = w.high, low[l - p + 2 * j] = w.low;
                    }
                } else {
                    const float2 w = __half22float2(half2_of(word_of(chunk[l], 2 * q + i)));
                    high[l - p] = __float_as_uint(w.x), high[l - p + 2] = __float_as_uint(w.y);
                }
            }
#pragma unroll
            for (int h = 0; h < HALVES; h++) {
                if constexpr (sizeof(T) == 4) mma_tf32(sums[p / 2][h], low, right[h][0].high, right[h][1].high);
                mma_tf32(sums[p / 2][h], high, right[h][0].low, right[h][1].low);
                mma_tf32(sums[p / 2][h], high, right[h][0].high, right[h][1].high);
            }
        }
    }
}

}  // namespace leon::LEON_CUDA
