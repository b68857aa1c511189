// rmsnorm, layernorm, norm_add: one block per row, float32 statistics.
//
//   rmsnorm    out = x / sqrt(mean(x^2) + eps) * weight
//   layernorm  out = (x - mean) / sqrt(mean((x - mean)^2) + eps) * weight + bias, or without the two
//   norm_add   x += either of y, or y itself
//
// A row is read once, in 16-byte loads, and stays in registers: up to 8192 elements; what is longer is read again, from
// the cache. Bound by bytes in prefill, and by latency in decode (a row is 16 KiB): the launch is a dependent one and
// has the weight in registers when it waits for the kernel before it. The bias comes from the cache at the end.
#include "kernels/cuda/element.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/reduce.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int WARPS = 8;
constexpr int THREADS = WARPS * WARP;
constexpr int QUADS = 8;  // of four elements, of a row, in a thread's registers: 8192 elements a block

using Kind = RowNorm::Kind;

struct Row {
    float* out;           // [rows, dim], may alias x
    const float* x;       // [rows, dim]
    const float* weight;  // [dim]; of layernorm perhaps null
    const float* bias;    // [dim], of layernorm; null like weight
    float eps;
    int64_t dim;
    bool adds;     // out += the result
    bool aligned;  // rows start at multiples of 16 bytes
};

__device__ __forceinline__ float4 load_quad(const float* row, int64_t d, const Row& r) {
    if (r.aligned) return *reinterpret_cast<const float4*>(row + d);
    const int64_t last = r.dim - 1;  // stands for what lies beyond, and is not used there
    return make_float4(row[d], row[min(d + 1, last)], row[min(d + 2, last)], row[min(d + 3, last)]);
}

// Calls use(d, four elements of x) for each quad of this thread: those in registers, then those that are read again.
template <class Use>
__device__ __forceinline__ void for_each_quad(const float4 (&kept)[QUADS], const float* x, const Row& r, Use use) {
#pragma unroll
    for (int q = 0; q < QUADS; q++) {
        const int64_t d = (q * THREADS + threadIdx.x) * int64_t{4};
        if (d < r.dim) use(d, kept[q], q);
    }
    for (int64_t d = (QUADS * THREADS + threadIdx.x) * int64_t{4}; d < r.dim; d += THREADS * 4)
        use(d, load_quad(x, d, r), QUADS);
}

template <class Term>
__device__ __forceinline__ float sum_of(float4 v, int64_t d, int64_t dim, Term term) {
    float sum = term(v.x);
    if (d + 1 < dim) sum += term(v.y);
    if (d + 2 < dim) sum += term(v.z);
    if (d + 3 < dim) sum += term(v.w);
    return sum;
}

// GAIN: there is a weight, and for Layer a bias. A parameter of the template, since the gain takes 32 registers.
template <Kind KIND, bool GAIN>
__global__ void __launch_bounds__(THREADS) norm_kernel(Row r) {
    DYNAMIC_SHARED(float, partial);  // [WARPS]
    const float* x = r.x + blockIdx.x * r.dim;
    float* out = r.out + blockIdx.x * r.dim;
    float4 gain[QUADS], kept[QUADS];
    if (GAIN)
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
            const int64_t d = (q * THREADS + threadIdx.x) * int64_t{4};
            if (d < r.dim) gain[q] = load_quad(r.weight, d, r);
        }
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before the reads of x
#pragma unroll
    for (int q = 0; q < QUADS; q++) {
        const int64_t d = (q * THREADS + threadIdx.x) * int64_t{4};
        if (d < r.dim) kept[q] = load_quad(x, d, r);
    }

    // The mean first and the squares around it second: one pass over both sums would cancel.
    const float count = static_cast<float>(r.dim);
    float mean = 0, factor = 1;
    if (KIND == Kind::Layer) {
        float sum = 0;
        for_each_quad(kept, x, r,
                      [&](int64_t d, float4 v, int) { sum += sum_of(v, d, r.dim, [](float e) { return e; }); });
        mean = block_sum<WARPS>(sum, partial) / count;
    }
    if (KIND != Kind::None) {
        float squares = 0;
        for_each_quad(kept, x, r, [&](int64_t d, float4 v, int) {
            squares += sum_of(v, d, r.dim, [=](float e) { return (e - mean) * (e - mean); });
        });
        factor = 1.0f / sqrtf(block_sum<WARPS>(squares, partial) / count + r.eps);
    }

    for_each_quad(kept, x, r, [&](int64_t d, float4 v, int q) {
        float4 w = make_float4(1, 1, 1, 1);
        if (GAIN) w = q < QUADS ? gain[q] : load_quad(r.weight, d, r);
        float result[4] = {(v.x - mean) * factor * w.x, (v.y - mean) * factor * w.y, (v.z - mean) * factor * w.z,
                           (v.w - mean) * factor * w.w};
        if (KIND == Kind::Layer && GAIN) {
            const float4 shift = load_quad(r.bias, d, r);
            result[0] += shift.x, result[1] += shift.y, result[2] += shift.z, result[3] += shift.w;
        }
        if (r.adds) {
            const float4 before = load_quad(out, d, r);
            result[0] += before.x, result[1] += before.y, result[2] += before.z, result[3] += before.w;
        }
        if (r.aligned) {
            *reinterpret_cast<float4*>(out + d) = make_float4(result[0], result[1], result[2], result[3]);
            return;
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (d + i < r.dim) out[d + i] = result[i];
    });
}

// weight, bias: null where there are none
void run(Kind kind, Tensor out, const Tensor& x, const Tensor& weight, const Tensor& bias, float eps, bool adds) {
    if (x.elements() == 0) return;
    Row r{out.f32(), x.f32(), weight.f32(), bias.f32(), eps, x.cols(), adds, false};
    r.aligned = r.dim % 4 == 0 && is_aligned(r.out) && is_aligned(r.x) && is_aligned(r.weight) && is_aligned(r.bias);
    const auto kernel = kind == Kind::RMS    ? norm_kernel<Kind::RMS, true>
                        : kind == Kind::None ? norm_kernel<Kind::None, false>
                        : r.weight           ? norm_kernel<Kind::Layer, true>
                                             : norm_kernel<Kind::Layer, false>;
    const dim3 grid(static_cast<unsigned>(x.rows())), block(THREADS);
    const size_t shared_bytes = WARPS * sizeof(float);
    CUDA_CHECK(launch_dependent(kernel, grid, block, shared_bytes, r));
}

}  // namespace

void rmsnorm(Tensor out, Tensor x, Tensor weight, float eps) {
    run(Kind::RMS, out, x, weight, {}, eps, false);
}

void layernorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float eps) {
    run(Kind::Layer, out, x, weight, bias, eps, false);
}

void norm_add(Tensor x, Tensor y, const RowNorm& norm) {
    run(norm.kind, x, y, norm.kind == Kind::RMS ? norm.weight : Tensor(), {}, norm.eps, true);
}

}  // namespace leon::LEON_CUDA
