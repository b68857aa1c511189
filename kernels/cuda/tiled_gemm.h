// out = a * weight^T in tiles through shared memory: what matmul does for many rows, and conv2d for every pixel.
//
// A block makes 64 x 64 results from slices of 16 columns; a thread makes 4 x 4 of them in registers.
//
//   shared:  a    [16][64 + 4]  transposed, so that a thread's four rows are adjacent
//            w    [16][64 + 4]  the same; 4 floats of padding keep 16-byte loads aligned and spread the banks
//
// Bound by float32 arithmetic outside the tensor cores.
#pragma once

#include "kernels/cuda/element.h"

namespace leon::LEON_CUDA {

constexpr int GEMM_TILE = 64;   // rows and columns of a block's results
constexpr int GEMM_SLICE = 16;  // of the depth, at a time
constexpr int GEMM_SIDE = 4;    // rows and columns of a thread's results
constexpr int GEMM_THREADS = GEMM_TILE / GEMM_SIDE * (GEMM_TILE / GEMM_SIDE);
constexpr int GEMM_PITCH = GEMM_TILE + 4;
constexpr size_t GEMM_SHARED_BYTES = 2 * GEMM_SLICE * GEMM_PITCH * sizeof(float);

inline dim3 gemm_grid(int64_t rows, int64_t cols) {
    return dim3(static_cast<unsigned>(divide_up(cols, GEMM_TILE)), static_cast<unsigned>(divide_up(rows, GEMM_TILE)));
}

// load_a(row, d): element of the left side, called for row < rows and d < depth
// store(row, col, sum): takes each result once
template <class T, class LoadA, class Store>
__device__ void tiled_gemm(LoadA load_a, const T* weight, int64_t rows, int64_t cols, int64_t depth, Store store,
                           float* shared) {
    float* a = shared;
    float* w = shared + GEMM_SLICE * GEMM_PITCH;
    const int64_t first_row = static_cast<int64_t>(blockIdx.y) * GEMM_TILE;
    const int64_t first_col = static_cast<int64_t>(blockIdx.x) * GEMM_TILE;
    const int thread = static_cast<int>(threadIdx.x);
    const int my_row = thread / (GEMM_TILE / GEMM_SIDE) * GEMM_SIDE;
    const int my_col = thread % (GEMM_TILE / GEMM_SIDE) * GEMM_SIDE;

    float sums[GEMM_SIDE][GEMM_SIDE] = {};
    for (int64_t first = 0; first < depth; first += GEMM_SLICE) {
        for (int i = thread; i < GEMM_TILE * GEMM_SLICE; i += GEMM_THREADS) {
            const int line = i / GEMM_SLICE, d = i % GEMM_SLICE;
            const bool inside = first + d < depth;
            a[d * GEMM_PITCH + line] = inside && first_row + line < rows ? load_a(first_row + line, first + d) : 0.0f;
            w[d * GEMM_PITCH + line] =
                inside && first_col + line < cols ? widen(weight[(first_col + line) * depth + first + d]) : 0.0f;
        }
        __syncthreads();  // orders the writes of the slices before all threads' reads
        for (int d = 0; d < GEMM_SLICE; d++) {
            const float4 left = *reinterpret_cast<const float4*>(a + d * GEMM_PITCH + my_row);
            const float4 right = *reinterpret_cast<const float4*>(w + d * GEMM_PITCH + my_col);
            const float l[GEMM_SIDE] = {left.x, left.y, left.z, left.w};
            const float r[GEMM_SIDE] = {right.x, right.y, right.z, right.w};
#pragma unroll
            for (int i = 0; i < GEMM_SIDE; i++)
#pragma unroll
                for (int j = 0; j < GEMM_SIDE; j++) sums[i][j] = fmaf(l[i], r[j], sums[i][j]);
        }
        __syncthreads();  // orders these reads before the next slice's writes
    }
#pragma unroll
    for (int i = 0; i < GEMM_SIDE; i++)
#pragma unroll
        for (int j = 0; j < GEMM_SIDE; j++)
            if (first_row + my_row + i < rows && first_col + my_col + j < cols)
                store(first_row + my_row + i, first_col + my_col + j, sums[i][j]);
}

}  // namespace leon::LEON_CUDA
