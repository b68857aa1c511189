// WIDTH floats of a row for each lane of a warp: four in a 16-byte access, or one.
#pragma once

#include "kernels/cuda/gpu.h"

namespace leon::LEON_CUDA::grad {

template <int WIDTH>
struct Lane {
    float value[WIDTH];
};

template <int WIDTH>
__device__ __forceinline__ Lane<WIDTH> load_lane(const float* from) {
    static_assert(WIDTH == 1 || WIDTH == 4);
    if constexpr (WIDTH == 4) {
        const float4 four = *reinterpret_cast<const float4*>(from);
        return {{four.x, four.y, four.z, four.w}};
    } else {
        return {{*from}};
    }
}

template <int WIDTH>
__device__ __forceinline__ void store_lane(float* to, const Lane<WIDTH>& from) {
    if constexpr (WIDTH == 4)
        *reinterpret_cast<float4*>(to) = make_float4(from.value[0], from.value[1], from.value[2], from.value[3]);
    else
        *to = from.value[0];
}

// Blocks of `threads` that take `count` floats, `width` a thread.
inline dim3 blocks_of(int64_t count, int width, int threads) {
    return dim3(static_cast<unsigned>(divide_up(count, int64_t{width} * threads)));
}

}  // namespace leon::LEON_CUDA::grad
