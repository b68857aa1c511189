// add, swiglu, relu, to_u8: one thread per element. Bound by bytes; fused into their neighbours where speed counts.
#include "kernels/cuda/launchers.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int THREADS = 256;

__device__ __forceinline__ int64_t element_index() {
    return static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
}

__global__ void __launch_bounds__(THREADS) add_kernel(float* x, const float* y, int64_t count) {
    const int64_t i = element_index();
    if (i < count) x[i] += y[i];
}

__global__ void __launch_bounds__(THREADS) swiglu_kernel(float* out,  // may alias gate or up
                                                         const float* gate, const float* up, int64_t count) {
    const int64_t i = element_index();
    if (i < count) out[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

__global__ void __launch_bounds__(THREADS) relu_kernel(float* x, int64_t count) {
    const int64_t i = element_index();
    if (i < count && x[i] < 0) x[i] = 0;  // a NaN stays
}

__global__ void __launch_bounds__(THREADS) to_u8_kernel(unsigned char* out, const float* x, int64_t count) {
    const int64_t i = element_index();
    if (i >= count) return;
    const float clamped = x[i] >= 1.0f ? 1.0f : x[i] > -1.0f ? x[i] : -1.0f;
    out[i] = static_cast<unsigned char>((clamped + 1.0f) / 2.0f * 255.0f);
}

dim3 grid_for(int64_t count) {
    return dim3(static_cast<unsigned>(divide_up(count, THREADS)));
}

}  // namespace

void add(Tensor x, Tensor y) {
    const int64_t count = x.elements();
    if (count == 0) return;
    CUDA_CHECK(launch(add_kernel, grid_for(count), THREADS, 0, x.f32(), y.f32(), count));
}

void swiglu(Tensor out, Tensor gate, Tensor up) {
    const int64_t count = out.elements();
    if (count == 0) return;
    CUDA_CHECK(launch(swiglu_kernel, grid_for(count), THREADS, 0, out.f32(), gate.f32(), up.f32(), count));
}

void relu(Tensor x) {
    const int64_t count = x.elements();
    if (count == 0) return;
    CUDA_CHECK(launch(relu_kernel, grid_for(count), THREADS, 0, x.f32(), count));
}

void to_u8(Tensor out, Tensor x) {
    const int64_t count = x.elements();
    if (count == 0) return;
    CUDA_CHECK(
        launch(to_u8_kernel, grid_for(count), THREADS, 0, static_cast<unsigned char*>(out.data), x.f32(), count));
}

}  // namespace leon::LEON_CUDA
