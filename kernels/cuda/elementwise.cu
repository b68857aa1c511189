// add, swiglu, relu: four elements for each thread in 16-byte accesses, if the arrays begin at multiples of 16 bytes.
// Bound by bytes; the transformer has them fused into their neighbours.
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/ptx.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int THREADS = 256;

struct Add {
    __device__ __forceinline__ float operator()(float x, float y) const { return x + y; }
};
struct Swiglu {
    __device__ __forceinline__ float operator()(float gate, float up) const { return gate / (1.0f + expf(-gate)) * up; }
};
struct Relu {
    __device__ __forceinline__ float operator()(float x, float) const { return x < 0 ? 0.0f : x; }  // a NaN stays
};

// out = operation(a, b), element by element; out may alias either.
template <class Operation>
__global__ void __launch_bounds__(THREADS)
    elementwise_kernel(float* out, const float* a, const float* b, int64_t count, bool aligned) {
    const Operation operation{};
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    const int64_t first = (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x) * 4;
    if (aligned && first + 4 <= count) {
        const float4 u = *reinterpret_cast<const float4*>(a + first), v = *reinterpret_cast<const float4*>(b + first);
        *reinterpret_cast<float4*>(out + first) =
            make_float4(operation(u.x, v.x), operation(u.y, v.y), operation(u.z, v.z), operation(u.w, v.w));
        return;
    }
    for (int64_t i = first; i < first + 4 && i < count; i++) out[i] = operation(a[i], b[i]);
}

template <class Operation>
void run(Tensor out, Tensor a, Tensor b) {
    const int64_t count = out.elements();
    const bool aligned = is_aligned(out.data) && is_aligned(a.data) && is_aligned(b.data);
    const dim3 grid(static_cast<unsigned>(divide_up(count, 4 * THREADS))), block(THREADS);
    if (count == 0) return;
    CUDA_CHECK(
        launch_dependent(elementwise_kernel<Operation>, grid, block, 0, out.f32(), a.f32(), b.f32(), count, aligned));
}

}  // namespace

void add(Tensor x, Tensor y) {
    run<Add>(x, x, y);
}

void swiglu(Tensor out, Tensor gate, Tensor up) {
    run<Swiglu>(out, gate, up);
}

void relu(Tensor x) {
    run<Relu>(x, x, x);
}

}  // namespace leon::LEON_CUDA
