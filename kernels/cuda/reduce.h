// Sums and maxima over a warp and over a block. Every thread gets the result; all threads must take part.
#pragma once

#include "kernels/cuda/gpu.h"

namespace leon::LEON_CUDA {

__device__ __forceinline__ float warp_sum(float value) {
    for (int distance = WARP / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(~0u, value, distance);
    return value;
}
__device__ __forceinline__ float warp_max(float value) {
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value = fmaxf(value, __shfl_xor_sync(~0u, value, distance));
    return value;
}

// partial: shared memory for one float per warp. WARPS of them in the block.
template <int WARPS>
__device__ float block_sum(float value, float* partial) {
    const int warp = static_cast<int>(threadIdx.x) / WARP, lane = static_cast<int>(threadIdx.x) % WARP;
    value = warp_sum(value);
    if (lane == 0) partial[warp] = value;
    __syncthreads();  // orders the write of each warp's sum before all threads' reads
    float sum = 0;
    for (int i = 0; i < WARPS; i++) sum += partial[i];
    __syncthreads();  // orders these reads before the next caller's writes
    return sum;
}

}  // namespace leon::LEON_CUDA
