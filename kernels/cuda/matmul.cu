// matmul, matmul_add: out = x * weight^T, or out += it.
//
// Up to 16 rows (decoding): few_rows.cu. Bound by the bytes of the weight.
// More rows (prefill): tiles through shared memory, tiled_gemm.h. Bound by arithmetic.
#include "kernels/cuda/few_rows.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/tiled_gemm.h"

namespace leon::LEON_CUDA {
namespace {

__device__ __forceinline__ void put(float& target, float sum, Store store) {
    target = store == Store::Assign ? sum : target + sum;
}

template <class T>
__global__ void __launch_bounds__(GEMM_THREADS) many_rows_kernel(float* out,          // [rows, n]
                                                                 const float* x,      // [rows, depth]
                                                                 const T* weight,     // [n, depth]
                                                                 const float* scale,  // [n], or null
                                                                 int64_t rows, int64_t n, int64_t depth, Store store) {
    DYNAMIC_SHARED(float, shared);
    tiled_gemm(
        [=](int64_t row, int64_t d) { return x[row * depth + d]; }, weight, rows, n, depth,
        [=](int64_t row, int64_t col, float sum) { put(out[row * n + col], scale ? sum * scale[col] : sum, store); },
        shared);
}

void run(Tensor out, Tensor x, Tensor weight, Store store) {
    const int64_t rows = x.rows();
    if (out.elements() == 0) return;
    if (rows <= FEW_ROWS) return few_rows(out, x, weight, store);
    with_weight(weight.dtype, [&](auto element) {
        using T = decltype(element);
        CUDA_CHECK(launch(many_rows_kernel<T>, gemm_grid(rows, weight.rows()), GEMM_THREADS, GEMM_SHARED_BYTES,
                          out.f32(), x.f32(), data_of<T>(weight), weight.scale, rows, weight.rows(), weight.cols(),
                          store));
    });
}

}  // namespace

void matmul(Tensor out, Tensor x, Tensor weight) {
    run(out, x, weight, Store::Assign);
}

void matmul_add(Tensor out, Tensor x, Tensor weight) {
    run(out, x, weight, Store::Accumulate);
}

}  // namespace leon::LEON_CUDA
