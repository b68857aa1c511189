// rmsnorm, layernorm, head_norm: one block per row (or per head of a row), float32 statistics in two passes.
//
//   rmsnorm    out = x / sqrt(mean(x^2) + eps) * weight
//   layernorm  out = (x - mean) / sqrt(mean((x - mean)^2) + eps)
//   head_norm  the same per head, in place, then * weight + bias
//
// Bound by latency in decode (a row is 16 KiB) and by bytes in prefill: a row is read from memory once, and again from
// the cache.
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/reduce.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int ROW_WARPS = 8;   // a row of 4096: 16 elements for each thread
constexpr int HEAD_WARPS = 1;  // a head of 128: 4 elements for each thread, no barrier across warps to speak of

__global__ void __launch_bounds__(ROW_WARPS* WARP) rmsnorm_kernel(float* out,           // [rows, dim], may alias x
                                                                  const float* x,       // [rows, dim]
                                                                  const float* weight,  // [dim]
                                                                  float eps, int64_t dim) {
    DYNAMIC_SHARED(float, partial);  // [ROW_WARPS]
    const int64_t row = static_cast<int64_t>(blockIdx.x) * dim;
    float squares = 0;
    for (int64_t i = threadIdx.x; i < dim; i += blockDim.x) squares = fmaf(x[row + i], x[row + i], squares);
    squares = block_sum<ROW_WARPS>(squares, partial);
    const float scale = 1.0f / sqrtf(squares / static_cast<float>(dim) + eps);
    for (int64_t i = threadIdx.x; i < dim; i += blockDim.x) out[row + i] = x[row + i] * scale * weight[i];
}

struct Moments {
    float mean, scale;
};

// The mean first and the squares around it second: one pass over sums of squares would cancel.
template <int WARPS>
__device__ Moments moments(const float* x, int64_t count, float eps, float* partial) {
    float sum = 0, squares = 0;
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += x[i];
    const float mean = block_sum<WARPS>(sum, partial) / static_cast<float>(count);
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) squares = fmaf(x[i] - mean, x[i] - mean, squares);
    squares = block_sum<WARPS>(squares, partial);
    return {mean, 1.0f / sqrtf(squares / static_cast<float>(count) + eps)};
}

__global__ void __launch_bounds__(ROW_WARPS* WARP) layernorm_kernel(float* out,      // [rows, dim], may alias x
                                                                    const float* x,  // [rows, dim]
                                                                    float eps, int64_t dim) {
    DYNAMIC_SHARED(float, partial);  // [ROW_WARPS]
    const int64_t row = static_cast<int64_t>(blockIdx.x) * dim;
    const Moments m = moments<ROW_WARPS>(x + row, dim, eps, partial);
    for (int64_t i = threadIdx.x; i < dim; i += blockDim.x) out[row + i] = (x[row + i] - m.mean) * m.scale;
}

__global__ void __launch_bounds__(HEAD_WARPS* WARP) head_norm_kernel(float* x,             // [rows, heads, head_dim]
                                                                     const float* weight,  // [heads, head_dim]
                                                                     const float* bias,    // [heads, head_dim]
                                                                     float eps, int heads, int head_dim) {
    DYNAMIC_SHARED(float, partial);  // [HEAD_WARPS]
    float* channels = x + static_cast<int64_t>(blockIdx.x) * head_dim;
    const int parameters = static_cast<int>(blockIdx.x) % heads * head_dim;
    const Moments m = moments<HEAD_WARPS>(channels, head_dim, eps, partial);
    for (int i = static_cast<int>(threadIdx.x); i < head_dim; i += static_cast<int>(blockDim.x))
        channels[i] = (channels[i] - m.mean) * m.scale * weight[parameters + i] + bias[parameters + i];
}

}  // namespace

void rmsnorm(Tensor out, Tensor x, Tensor weight, float eps) {
    const dim3 grid(static_cast<unsigned>(x.rows())), block(ROW_WARPS * WARP);
    const size_t shared_bytes = ROW_WARPS * sizeof(float);
    if (x.elements() == 0) return;
    CUDA_CHECK(launch(rmsnorm_kernel, grid, block, shared_bytes, out.f32(), x.f32(), weight.f32(), eps, x.cols()));
}

void layernorm(Tensor out, Tensor x, float eps) {
    const dim3 grid(static_cast<unsigned>(x.rows())), block(ROW_WARPS * WARP);
    const size_t shared_bytes = ROW_WARPS * sizeof(float);
    if (x.elements() == 0) return;
    CUDA_CHECK(launch(layernorm_kernel, grid, block, shared_bytes, out.f32(), x.f32(), eps, x.cols()));
}

void head_norm(Tensor x, Tensor weight, Tensor bias, float eps) {
    const int heads = static_cast<int>(x.shape[1]), head_dim = static_cast<int>(x.shape[2]);
    const dim3 grid(static_cast<unsigned>(x.rows())), block(HEAD_WARPS * WARP);
    const size_t shared_bytes = HEAD_WARPS * sizeof(float);
    if (x.elements() == 0) return;
    CUDA_CHECK(
        launch(head_norm_kernel, grid, block, shared_bytes, x.f32(), weight.f32(), bias.f32(), eps, heads, head_dim));
}

}  // namespace leon::LEON_CUDA
