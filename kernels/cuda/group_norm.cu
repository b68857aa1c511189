// group_norm: one block per group, three passes over its elements: the mean, the squares around it, the result.
//
//   out = activation((x - mean_g) / sqrt(variance_g + eps) * weight[c] + bias[c]),  group g = c / (channels/groups)
//
// A group's channels are adjacent in each pixel: runs of 4 to 16 floats. Bound by bytes; the second and third pass find
// small pictures in L2.
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/reduce.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int WARPS = 8;

__global__ void __launch_bounds__(WARPS* WARP)
    group_norm_kernel(float* out,           // [pixels, channels]
                      const float* x,       // the same, may be out
                      const float* weight,  // [channels]
                      const float* bias,    // [channels]
                      int64_t pixels, int channels, float eps, Activation activation) {
    DYNAMIC_SHARED(float, partial);  // [WARPS]
    const int width = channels / static_cast<int>(gridDim.x), first = static_cast<int>(blockIdx.x) * width;
    const int64_t count = pixels * width;
    const auto index = [=](int64_t i) { return i / width * channels + first + i % width; };

    float sum = 0, squares = 0;
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += x[index(i)];
    const float mean = block_sum<WARPS>(sum, partial) / static_cast<float>(count);
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
        const float centred = x[index(i)] - mean;
        squares = fmaf(centred, centred, squares);
    }
    const float variance = block_sum<WARPS>(squares, partial) / static_cast<float>(count);
    const float scale = 1.0f / sqrtf(variance + eps);
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
        const int channel = first + static_cast<int>(i % width);
        float value = (x[index(i)] - mean) * scale * weight[channel] + bias[channel];
        if (activation == Activation::Swish) value /= 1.0f + expf(-value);
        out[index(i)] = value;
    }
}

}  // namespace

void group_norm(Tensor out, Tensor x, Tensor weight, Tensor bias, int groups, float eps, Activation activation) {
    const dim3 grid(static_cast<unsigned>(groups)), block(WARPS * WARP);
    const size_t shared_bytes = WARPS * sizeof(float);
    if (x.elements() == 0) return;
    CUDA_CHECK(launch(group_norm_kernel, grid, block, shared_bytes, out.f32(), x.f32(), weight.f32(), bias.f32(),
                      x.rows(), static_cast<int>(x.cols()), eps, activation));
}

}  // namespace leon::LEON_CUDA
