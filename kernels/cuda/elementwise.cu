// add, swiglu, activate: four elements for each thread in 16-byte accesses, if the arrays, and the rows of what is
// repeated for each row, begin at multiples of 16 bytes.
// Bound by bytes; the transformer has them fused into their neighbours.
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/ptx.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int THREADS = 256;

struct Add {
    float scale;
    __device__ __forceinline__ float operator()(float x, float y) const { return fmaf(scale, y, x); }
};
struct Swiglu {
    __device__ __forceinline__ float operator()(float gate, float up) const { return gate / (1.0f + expf(-gate)) * up; }
};
struct Relu {
    __device__ __forceinline__ float operator()(float x, float) const { return x < 0 ? 0.0f : x; }  // a NaN stays
};
struct Leaky {
    __device__ __forceinline__ float operator()(float x, float slope) const { return x < 0 ? slope * x : x; }
};
struct Sigmoid {  // x * sigmoid(steepness * x): swish and QuickGELU
    float steepness;
    __device__ __forceinline__ float operator()(float x, float) const { return x / (1.0f + expf(-steepness * x)); }
};
struct Gelu {
    __device__ __forceinline__ float operator()(float x, float) const {
        return 0.5f * x * (1.0f + erff(0.707106781f * x));
    }
};

// out = operation(a, b), element by element; out may alias either. b is repeated after `period` elements.
template <class Operation>
__global__ void __launch_bounds__(THREADS) elementwise_kernel(float* out, const float* a, const float* b, int64_t count,
                                                              int64_t period, bool aligned, Operation operation) {
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    const int64_t first = (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x) * 4;
    const int64_t place = period == count ? first : first % period;  // in b
    if (aligned && first + 4 <= count) {
        const float4 u = *reinterpret_cast<const float4*>(a + first), v = *reinterpret_cast<const float4*>(b + place);
        *reinterpret_cast<float4*>(out + first) =
            make_float4(operation(u.x, v.x), operation(u.y, v.y), operation(u.z, v.z), operation(u.w, v.w));
        return;
    }
    for (int64_t i = 0; i < 4 && first + i < count; i++)
        out[first + i] = operation(a[first + i], b[(place + i) % period]);
}

// b has the size of out, or is one row of it.
template <class Operation>
void run(Tensor out, Tensor a, Tensor b, Operation operation) {
    const int64_t count = out.elements(), period = b.elements();
    const bool aligned =
        is_aligned(out.data) && is_aligned(a.data) && is_aligned(b.data) && (period == count || period % 4 == 0);
    const dim3 grid(static_cast<unsigned>(divide_up(count, 4 * THREADS))), block(THREADS);
    if (count == 0) return;
    CUDA_CHECK(launch_dependent(elementwise_kernel<Operation>, grid, block, 0, out.f32(), a.f32(), b.f32(), count,
                                period, aligned, operation));
}

}  // namespace

void add(Tensor x, Tensor y, float scale) {
    run(x, x, y, Add{scale});
}

void swiglu(Tensor out, Tensor gate, Tensor up) {
    run(out, gate, up, Swiglu{});
}

void activate(Tensor x, Activation kind, Tensor slope) {
    switch (kind) {
        case Activation::None:
            return;
        case Activation::Swish:
            return run(x, x, x, Sigmoid{1.0f});
        case Activation::ReLU:
            return run(x, x, x, Relu{});
        case Activation::QuickGELU:
            return run(x, x, x, Sigmoid{1.702f});
        case Activation::GELU:
            return run(x, x, x, Gelu{});
        case Activation::Leaky:
            return run(x, x, slope, Leaky{});
    }
}

}  // namespace leon::LEON_CUDA
