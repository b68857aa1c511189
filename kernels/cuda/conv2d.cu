// conv2d as one product (implicit GEMM): every pixel of the output is a row, its window of the input the depth.
//
//   out[y,x,o] = bias[o] + sum_{i,j,c} weight[o,i,j,c] * padded(upsampled(x))[y*stride + i, x*stride + j, c]
//
// The window is gathered while a tile is loaded; upsampling and padding are arithmetic on its coordinates, so no
// enlarged picture is ever written. Bound by arithmetic.
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/tiled_gemm.h"

namespace leon::LEON_CUDA {
namespace {

struct Picture {
    int height, width, channels;  // of the input
    int out_width;
};

template <class T>
__global__ void __launch_bounds__(GEMM_THREADS)
    conv2d_kernel(float* out,         // [height', width', out_channels]
                  const float* x,     // [height, width, channels]
                  const T* weight,    // [out_channels, kernel^2 * channels]
                  const float* bias,  // [out_channels]
                  Picture picture, Convolution shape, int64_t pixels, int64_t out_channels) {
    DYNAMIC_SHARED(float, shared);
    const auto window = [=](int64_t pixel, int64_t d) {
        const int tap = static_cast<int>(d) / picture.channels, channel = static_cast<int>(d) % picture.channels;
        const int y = static_cast<int>(pixel / picture.out_width), column = static_cast<int>(pixel % picture.out_width);
        const int row = y * shape.stride + tap / shape.kernel - shape.pad_before;
        const int col = column * shape.stride + tap % shape.kernel - shape.pad_before;
        if (row < 0 || col < 0 || row >= picture.height * shape.upsample || col >= picture.width * shape.upsample)
            return 0.0f;
        const int64_t source = static_cast<int64_t>(row / shape.upsample) * picture.width + col / shape.upsample;
        return x[source * picture.channels + channel];
    };
    const int64_t depth = static_cast<int64_t>(shape.kernel) * shape.kernel * picture.channels;
    tiled_gemm(
        window, weight, pixels, out_channels, depth,
        [=](int64_t pixel, int64_t o, float sum) { out[pixel * out_channels + o] = sum + bias[o]; }, shared);
}

}  // namespace

void conv2d(Tensor out, Tensor x, Tensor weight, Tensor bias, Convolution shape) {
    const Picture picture = {static_cast<int>(x.shape[0]), static_cast<int>(x.shape[1]), static_cast<int>(x.shape[2]),
                             static_cast<int>(out.shape[1])};
    if (out.elements() == 0) return;
    with_float(weight.dtype, [&](auto element) {
        using T = decltype(element);
        CUDA_CHECK(launch(conv2d_kernel<T>, gemm_grid(out.rows(), out.cols()), GEMM_THREADS, GEMM_SHARED_BYTES,
                          out.f32(), x.f32(), data_of<T>(weight), bias.f32(), picture, shape, out.rows(), out.cols()));
    });
}

}  // namespace leon::LEON_CUDA
