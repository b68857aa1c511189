// swiglu_backward, relu_backward: four elements for each thread in 16-byte accesses, where the arrays begin at
// multiples of 16 bytes. Bound by bytes.
#include "kernels/cuda/ptx.h"
#include "training/cuda/lanes.h"
#include "training/cuda/launchers.h"

namespace leon::LEON_CUDA::grad {
namespace {

constexpr int THREADS = 256;

// dgate may be gate or dout, dup may be up: an element is read before it is written.
template <int WIDTH>
__global__ void __launch_bounds__(THREADS) swiglu_backward_kernel(float* dgate, float* dup, const float* dout,
                                                                  const float* gate, const float* up, int64_t count) {
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    const int64_t at = (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x) * WIDTH;
    if (at >= count) return;
    const Lane<WIDTH> d = load_lane<WIDTH>(dout + at), g = load_lane<WIDTH>(gate + at), u = load_lane<WIDTH>(up + at);
    Lane<WIDTH> dg, du;
#pragma unroll
    for (int i = 0; i < WIDTH; i++) {
        const float sigmoid = 1.0f / (1.0f + expf(-g.value[i]));
        dg.value[i] = d.value[i] * u.value[i] * sigmoid * (1.0f + g.value[i] * (1.0f - sigmoid));
        du.value[i] = d.value[i] * g.value[i] * sigmoid;
    }
    store_lane(dgate + at, dg);
    store_lane(dup + at, du);
}

template <int WIDTH>
__global__ void __launch_bounds__(THREADS) relu_backward_kernel(float* dx, const float* out, int64_t count) {
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    const int64_t at = (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x) * WIDTH;
    if (at >= count) return;
    Lane<WIDTH> d = load_lane<WIDTH>(dx + at);
    const Lane<WIDTH> o = load_lane<WIDTH>(out + at);
#pragma unroll
    for (int i = 0; i < WIDTH; i++) d.value[i] = o.value[i] > 0 ? d.value[i] : 0.0f;
    store_lane(dx + at, d);
}

}  // namespace

void swiglu_backward(Tensor dgate, Tensor dup, Tensor dout, Tensor gate, Tensor up) {
    const int64_t count = dout.elements();
    if (count == 0) return;
    const bool wide = count % 4 == 0 && is_aligned(dgate.data) && is_aligned(dup.data) && is_aligned(dout.data) &&
                      is_aligned(gate.data) && is_aligned(up.data);
    CUDA_CHECK(launch_dependent(wide ? swiglu_backward_kernel<4> : swiglu_backward_kernel<1>,
                                blocks_of(count, wide ? 4 : 1, THREADS), dim3(THREADS), 0, dgate.f32(), dup.f32(),
                                dout.f32(), gate.f32(), up.f32(), count));
}

void relu_backward(Tensor dx, Tensor out) {
    const int64_t count = dx.elements();
    if (count == 0) return;
    const bool wide = count % 4 == 0 && is_aligned(dx.data) && is_aligned(out.data);
    CUDA_CHECK(launch_dependent(wide ? relu_backward_kernel<4> : relu_backward_kernel<1>,
                                blocks_of(count, wide ? 4 : 1, THREADS), dim3(THREADS), 0, dx.f32(), out.f32(), count));
}

}  // namespace leon::LEON_CUDA::grad
