// A stand-in for the three functions of cuBLAS that kernels/cuda/cublas.cu finds by name: plain loops with the
// library's conventions (matrices column by column, leading dimensions), so that a wrong transposition or order shows.
#pragma once

#include "tests/cuda_on_cpu/emu.h"

namespace leon::cuda_emulated::emu {

struct CublasHandle {
    cudaStream_t stream = nullptr;
};

inline int cublas_create(void** handle) {
    static CublasHandle only;
    *handle = &only;
    return 0;
}
inline int cublas_set_stream(void* handle, cudaStream_t stream) {
    static_cast<CublasHandle*>(handle)->stream = stream;
    return 0;
}

struct CublasMatrix {
    const void* data;
    int type;  // 0 f32, 2 f16, 14 bf16
    int ld;
    bool transposed;

    float at(int row, int col) const {
        const int64_t i = transposed ? col + static_cast<int64_t>(row) * ld : row + static_cast<int64_t>(col) * ld;
        if (type == 0) return static_cast<const float*>(data)[i];
        if (type == 2) return __half2float(static_cast<const __half*>(data)[i]);
        return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[i]);
    }
};

inline void cublas_kernel(float* c, CublasMatrix a, CublasMatrix b, int m, int n, int k, int ldc, float alpha,
                          float beta) {
    const int row = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x), col = static_cast<int>(blockIdx.y);
    if (row >= m || col >= n) return;
    float sum = 0;
    for (int i = 0; i < k; i++) sum += a.at(row, i) * b.at(i, col);
    float& to = c[row + static_cast<int64_t>(col) * ldc];
    to = alpha * sum + (beta == 0 ? 0 : beta * to);
}

inline int cublas_gemm_ex(void* handle, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a,
                          int type_a, int lda, const void* b, int type_b, int ldb, const void* beta, void* c,
                          int type_c, int ldc, int compute, int) {
    constexpr int INVALID_VALUE = 7, COMPUTE_32F = 68;
    if (type_a != type_b || type_c != 0 || compute != COMPUTE_32F) return INVALID_VALUE;
    if (lda < (op_a ? k : m) || ldb < (op_b ? n : k) || ldc < m) return INVALID_VALUE;
    const dim3 grid(static_cast<unsigned>(m + 31) / 32, static_cast<unsigned>(n));
    return launch_kernel(Launch::Plain, cublas_kernel, grid, 32, 0, static_cast<CublasHandle*>(handle)->stream,
                         static_cast<float*>(c), CublasMatrix{a, type_a, lda, op_a != 0},
                         CublasMatrix{b, type_b, ldb, op_b != 0}, m, n, k, ldc, *static_cast<const float*>(alpha),
                         *static_cast<const float*>(beta)) == cudaSuccess
               ? 0
               : INVALID_VALUE;
}

}  // namespace leon::cuda_emulated::emu
