// rope: one block per row, one thread per pair of channels; an angle is computed once for all heads.
//
// Angles are reduced to [-pi, pi] in double: at position 100,000 a float angle would be off by 0.004. The sine itself
// is float. Bound by the double arithmetic for one head, by bytes for many.
#include "kernels/cuda/launchers.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int THREADS = 64;  // half of a head of 128

__global__ void __launch_bounds__(THREADS) rope_kernel(float* x,             // [rows, heads, 2 * half]
                                                       const int* position,  // [rows]
                                                       double log2_theta, int heads, int half) {
    const int64_t row = blockIdx.x;
    for (int i = static_cast<int>(threadIdx.x); i < half; i += THREADS) {
        const double turn = 0.15915494309189535;  // 1 / (2 pi)
        const double turns = position[row] * exp2(-log2_theta * i / half) * turn;
        const float angle = static_cast<float>((turns - rint(turns)) / turn);
        const float c = cosf(angle), s = sinf(angle);
        for (int h = 0; h < heads; h++) {
            float* head = x + (row * heads + h) * 2 * half;
            const float u = head[i], v = head[i + half];
            head[i] = u * c - v * s;
            head[i + half] = u * s + v * c;
        }
    }
}

}  // namespace

void rope(Tensor x, Tensor position, float theta) {
    const int heads = static_cast<int>(x.shape[1]), half = static_cast<int>(x.shape[2] / 2);
    const dim3 grid(static_cast<unsigned>(x.shape[0])), block(THREADS);
    if (x.elements() == 0) return;
    CUDA_CHECK(
        launch(rope_kernel, grid, block, 0, x.f32(), position.i32(), log2(static_cast<double>(theta)), heads, half));
}

}  // namespace leon::LEON_CUDA
