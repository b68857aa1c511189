// How activations (float32) meet weights (any float) on tensor cores: the operands' form in shared memory, and one step
// of the product.
//
//   ProductsHalf<T>  bf16 or f16 weights, activations rounded to f16: 11 bits           1 mma, 16 deep
//   ProductsBf16     bf16 weights, x = high + middle + low, all bf16: its 24 bits       3
//   ProductsF16      f16 weights, exact in tf32; x = high + low, both tf32: 22 bits     2 of 8 deep, half as fast
//   ProductsF32      x and w = high + low, tf32: high high + high low + low high        3 of 8 deep
//
// A step is SLICE values of depth. In shared memory it is one row for every activation row and every weight row, as
// ldmatrix reads them: 64 bytes (16-bit values) or 128 (32-bit), cut into chunks of 16 that are rotated from row to
// row, so that any eight adjacent rows touch all banks, wherever the first one stands:
//
//   64 bytes    row r, chunk c at 64 r + 16 (c ^ (r / 2 % 4))       128 bytes   at 128 r + 16 (c ^ r % 8)
//
//   row 0   | 0 1 2 3 | row 1   | 0 1 2 3 |                         row 0   | 0 1 2 3 4 5 6 7 |
//   row 2   | 1 0 3 2 | row 3   | 1 0 3 2 |                         row 1   | 1 0 3 2 5 4 7 6 |
#pragma once

#include "kernels/cuda/element.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/split.h"
#include "kernels/operands.h"

namespace leon::LEON_CUDA {

constexpr int SLICE = 32;

template <int ROW_BYTES>
__device__ __forceinline__ int chunk_place(int row, int chunk) {
    static_assert(ROW_BYTES == 64 || ROW_BYTES == 128);
    return row * ROW_BYTES + ((chunk ^ (ROW_BYTES == 128 ? row & 7 : row >> 1 & 3)) << 4);
}

// What a lane passes to ldmatrix_x4. Activations: matrices (rows 0-7, first half), (8-15, first), (0-7, second), (8-15,
// second) are an mma's four registers. Weights: (rows 0-7, first half), (0-7, second), (8-15, first), (8-15, second)
// are the two registers of two mma.
struct LaneRows {
    int a_row, a_half, w_row, w_half;
};
__device__ __forceinline__ LaneRows lane_rows(int lane) {
    return {lane % 16, lane / 16, lane / 16 * 8 + lane % 8, lane / 8 % 2};
}

__device__ __forceinline__ unsigned low_word(__nv_bfloat162 pair) {
    unsigned word;
    memcpy(&word, &pair, sizeof word);
    return word;
}
__device__ __forceinline__ unsigned low_word(__half2 pair) {
    unsigned word;
    memcpy(&word, &pair, sizeof word);
    return word;
}

__device__ __forceinline__ unsigned tf32_rest(unsigned bits) {
    return split_tf32(__uint_as_float(bits)).low;
}

// --- 16-bit operands ---------------------------------------------------------------------------------------------

// sums += a * w^T for 16 M activation rows and 8 N weight rows, the smallest plane first. row[m]: the activation row
// whose address this lane passes for the mth 16 of them. multiply(sums, a, w0, w1): an mma, of what `weight` makes of
// two weights.
template <int PLANES, int M, int N, class Weight, class Multiply>
__device__ __forceinline__ void multiply_16_bit(float (&sums)[M][N][4], const char* rows, int plane_bytes,
                                                const int (&row)[M], const char* weights, int first_weight,
                                                const LaneRows& lane, Weight weight, Multiply multiply) {
    constexpr int ROW = 2 * SLICE;
#pragma unroll
    for (int k = 0; k < SLICE / 16; k++) {
        unsigned w[N / 2][4];
#pragma unroll
        for (int n = 0; n < N / 2; n++) {
            ldmatrix_x4(w[n], weights + chunk_place<ROW>(first_weight + 16 * n + lane.w_row, 2 * k + lane.w_half));
#pragma unroll
            for (int i = 0; i < 4; i++) w[n][i] = weight(w[n][i]);
        }
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int plane = PLANES - 1; plane >= 0; plane--) {
                unsigned a[4];
                ldmatrix_x4(a, rows + plane * plane_bytes + chunk_place<ROW>(row[m], 2 * k + lane.a_half));
#pragma unroll
                for (int n = 0; n < N; n++) multiply(sums[m][n], a, w[n / 2][n % 2 * 2], w[n / 2][n % 2 * 2 + 1]);
            }
    }
}

// Beyond f16's range its largest number stands; a NaN stays. Weights are within the range, or no network.
__device__ __forceinline__ unsigned f16_pair(float x, float y) {
    const auto within = [](float v) { return v > 65504.0f ? 65504.0f : v < -65504.0f ? -65504.0f : v; };
    return low_word(__floats2half2_rn(within(x), within(y)));
}
// Two weights as f16. bf16's eight bits fit; what is below 2^-14 loses some, and is next to nothing.
__device__ __forceinline__ unsigned f16_weights(unsigned pair, __half) {
    return pair;
}
__device__ __forceinline__ unsigned f16_weights(unsigned pair, __nv_bfloat16) {
    return low_word(__floats2half2_rn(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)));
}

template <class T>
struct ProductsHalf {
    using Weight = T;
    static constexpr int PLANES = 1, ROW = 2 * SLICE, WEIGHT_ROW = 2 * SLICE;

    // Four adjacent activations, the `quad`th of row `row`.
    __device__ __forceinline__ static void put(char* rows, int, int row, int quad, const float (&v)[4]) {
        *reinterpret_cast<uint2*>(rows + chunk_place<ROW>(row, quad / 2) + quad % 2 * 8) =
            make_uint2(f16_pair(v[0], v[1]), f16_pair(v[2], v[3]));
    }

    template <int M, int N>
    __device__ __forceinline__ static void multiply(float (&sums)[M][N][4], const char* rows, int plane_bytes,
                                                    const int (&row)[M], const char* weights, int first_weight,
                                                    const LaneRows& lane) {
        multiply_16_bit<PLANES>(
            sums, rows, plane_bytes, row, weights, first_weight, lane,
            [](unsigned pair) { return f16_weights(pair, T{}); },
            [](float(&d)[4], const unsigned(&a)[4], unsigned w0, unsigned w1) { mma_f16(d, a, w0, w1); });
    }
};

struct ProductsBf16 {
    using Weight = __nv_bfloat16;
    static constexpr int PLANES = 3, ROW = 2 * SLICE, WEIGHT_ROW = 2 * SLICE;

    // A bf16 is the upper half of a float, so what rounding took away is a subtraction, exact.
    __device__ __forceinline__ static void put(char* rows, int plane_bytes, int row, int quad, const float (&v)[4]) {
        rows += chunk_place<ROW>(row, quad / 2) + quad % 2 * 8;
        float left[4] = {v[0], v[1], v[2], v[3]};
#pragma unroll
        for (int plane = 0; plane < PLANES; plane++) {
            const uint2 part = make_uint2(low_word(__floats2bfloat162_rn(left[0], left[1])),
                                          low_word(__floats2bfloat162_rn(left[2], left[3])));
            *reinterpret_cast<uint2*>(rows + plane * plane_bytes) = part;
            left[0] = rest(left[0], __uint_as_float(part.x << 16));
            left[1] = rest(left[1], __uint_as_float(part.x & 0xffff0000u));
            left[2] = rest(left[2], __uint_as_float(part.y << 16));
            left[3] = rest(left[3], __uint_as_float(part.y & 0xffff0000u));
        }
    }

    template <int M, int N>
    __device__ __forceinline__ static void multiply(float (&sums)[M][N][4], const char* rows, int plane_bytes,
                                                    const int (&row)[M], const char* weights, int first_weight,
                                                    const LaneRows& lane) {
        multiply_16_bit<PLANES>(
            sums, rows, plane_bytes, row, weights, first_weight, lane, [](unsigned pair) { return pair; },
            [](float(&d)[4], const unsigned(&a)[4], unsigned w0, unsigned w1) { mma_bf16(d, a, w0, w1); });
    }
};

// --- 32-bit operands ---------------------------------------------------------------------------------------------

struct ProductsF32 {
    using Weight = float;
    static constexpr int PLANES = 1, ROW = 4 * SLICE, WEIGHT_ROW = 4 * SLICE;

    __device__ __forceinline__ static void put(char* rows, int, int row, int quad, const float (&v)[4]) {
        *reinterpret_cast<float4*>(rows + chunk_place<ROW>(row, quad)) = make_float4(v[0], v[1], v[2], v[3]);
    }

    template <int M, int N>
    __device__ __forceinline__ static void multiply(float (&sums)[M][N][4], const char* rows, int, const int (&row)[M],
                                                    const char* weights, int first_weight, const LaneRows& lane) {
#pragma unroll
        for (int k = 0; k < SLICE / 8; k++) {
            unsigned w[N / 2][4];
#pragma unroll
            for (int n = 0; n < N / 2; n++)
                ldmatrix_x4(w[n],
                            weights + chunk_place<WEIGHT_ROW>(first_weight + 16 * n + lane.w_row, 2 * k + lane.w_half));
#pragma unroll
            for (int m = 0; m < M; m++) {
                unsigned a[4], rest[4];
                ldmatrix_x4(a, rows + chunk_place<ROW>(row[m], 2 * k + lane.a_half));
#pragma unroll
                for (int i = 0; i < 4; i++) rest[i] = tf32_rest(a[i]);
#pragma unroll
                for (int n = 0; n < N; n++) {
                    const unsigned w0 = w[n / 2][n % 2 * 2], w1 = w[n / 2][n % 2 * 2 + 1];
                    mma_tf32(sums[m][n], rest, w0, w1);
                    mma_tf32(sums[m][n], a, tf32_rest(w0), tf32_rest(w1));
                    mma_tf32(sums[m][n], a, w0, w1);
                }
            }
        }
    }
};

// f16 weights stay 16 bits in shared memory. A lane reads two adjacent ones, 2t and 2t + 1, where an mma wants t and t
// + 4: so the activations stand in that order, too, the even ones of each eight before the odd ones.
struct ProductsF16 {
    using Weight = __half;
    static constexpr int PLANES = 1, ROW = 4 * SLICE, WEIGHT_ROW = 2 * SLICE;

    __device__ __forceinline__ static void put(char* rows, int, int row, int quad, const float (&v)[4]) {
        const int chunk = quad / 2 * 2, half = quad % 2 * 8;
        *reinterpret_cast<float2*>(rows + chunk_place<ROW>(row, chunk) + half) = make_float2(v[0], v[2]);
        *reinterpret_cast<float2*>(rows + chunk_place<ROW>(row, chunk + 1) + half) = make_float2(v[1], v[3]);
    }

    template <int M, int N>
    __device__ __forceinline__ static void multiply(float (&sums)[M][N][4], const char* rows, int, const int (&row)[M],
                                                    const char* weights, int first_weight, const LaneRows& lane) {
#pragma unroll
        for (int k = 0; k < SLICE / 16; k++) {
            unsigned w[N / 2][4];
#pragma unroll
            for (int n = 0; n < N / 2; n++)
                ldmatrix_x4(w[n],
                            weights + chunk_place<WEIGHT_ROW>(first_weight + 16 * n + lane.w_row, 2 * k + lane.w_half));
#pragma unroll
            for (int eight = 0; eight < 2; eight++) {
                float2 pair[N];
#pragma unroll
                for (int n = 0; n < N; n++) pair[n] = __half22float2(half2_of(w[n / 2][n % 2 * 2 + eight]));
#pragma unroll
                for (int m = 0; m < M; m++) {
                    unsigned a[4], rest[4];
                    ldmatrix_x4(a, rows + chunk_place<ROW>(row[m], 4 * k + 2 * eight + lane.a_half));
#pragma unroll
                    for (int i = 0; i < 4; i++) rest[i] = tf32_rest(a[i]);
#pragma unroll
                    for (int n = 0; n < N; n++) {
                        const unsigned w0 = __float_as_uint(pair[n].x), w1 = __float_as_uint(pair[n].y);
                        mma_tf32(sums[m][n], rest, w0, w1);
                        mma_tf32(sums[m][n], a, w0, w1);
                    }
                }
            }
        }
    }
};

// use(products) for the weights' type.
template <class Use>
void with_products(DType dtype, Exactness exactness, Use use) {
    const bool half = exactness == Exactness::Half;
    if (dtype == DType::BF16) return half ? use(ProductsHalf<__nv_bfloat16>{}) : use(ProductsBf16{});
    if (dtype == DType::F16) return half ? use(ProductsHalf<__half>{}) : use(ProductsF16{});
    use(ProductsF32{});
}

}  // namespace leon::LEON_CUDA
