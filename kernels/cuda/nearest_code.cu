// nearest_code: one warp per pixel; each lane measures every 32nd code, then the warp agrees on the nearest.
//
//   codes[i] = argmin_n |z[i] - codebook[n]|^2, the first of equals
//
// Distances are summed in float32, in the order of the channels, for every code alike: equal codes tie exactly. Bound
// by reading the codebook from L2 once per pixel.
#include "kernels/cuda/launchers.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int WARPS = 4;  // pixels of a block

__global__ void __launch_bounds__(WARPS* WARP) nearest_code_kernel(int* codes,             // [pixels]
                                                                   const float* z,         // [pixels, width]
                                                                   const float* codebook,  // [entries, width]
                                                                   int64_t pixels, int entries, int width) {
    const int64_t pixel = static_cast<int64_t>(blockIdx.x) * WARPS + threadIdx.x / WARP;
    const int lane = static_cast<int>(threadIdx.x) % WARP;
    if (pixel >= pixels) return;
    float best = INFINITY;
    int best_code = entries;  // no code: loses every tie
    for (int n = lane; n < entries; n += WARP) {
        float distance = 0;
        for (int i = 0; i < width; i++) {
            const float difference = z[pixel * width + i] - codebook[static_cast<int64_t>(n) * width + i];
            distance = fmaf(difference, difference, distance);
        }
        if (distance < best) {
            best = distance;
            best_code = n;
        }
    }
    for (int apart = WARP / 2; apart > 0; apart /= 2) {
        const float other = __shfl_xor_sync(~0u, best, apart);
        const int other_code = __shfl_xor_sync(~0u, best_code, apart);
        if (other < best || (other == best && other_code < best_code)) {
            best = other;
            best_code = other_code;
        }
    }
    if (lane == 0) codes[pixel] = best_code < entries ? best_code : 0;  // 0 if every distance is NaN
}

}  // namespace

void nearest_code(Tensor codes, Tensor z, Tensor codebook) {
    const dim3 grid(static_cast<unsigned>(divide_up(z.rows(), WARPS))), block(WARPS * WARP);
    if (z.elements() == 0) return;
    CUDA_CHECK(launch(nearest_code_kernel, grid, block, 0, codes.i32(), z.f32(), codebook.f32(), z.rows(),
                      static_cast<int>(codebook.rows()), static_cast<int>(z.cols())));
}

}  // namespace leon::LEON_CUDA
