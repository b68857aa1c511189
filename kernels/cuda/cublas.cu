// cublas_matmul: see cublas.h. The library's functions are found by name, and declared here as far as they are needed,
// so that neither its headers nor the library must be there when leon is built.
#include "kernels/cuda/cublas.h"

#ifdef __CUDACC__
#include <dlfcn.h>
#else
#include <cuda_on_cpu/cublas.h>
#endif

#include "kernels/cuda/element.h"

namespace leon::LEON_CUDA {
namespace {

// Of cublas_api.h and library_types.h.
constexpr int OP_N = 0, OP_T = 1;
constexpr int R_32F = 0, R_16F = 2, R_16BF = 14;
constexpr int COMPUTE_32F = 68;
constexpr int GEMM_DEFAULT = -1;

struct Library {
    using Create = int (*)(void** handle);
    using SetStream = int (*)(void* handle, cudaStream_t stream);
    // C = alpha * op(A) * op(B) + beta * C, all of them column by column: C [m, n], op(A) [m, k], op(B) [k, n].
    using GemmEx = int (*)(void* handle, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a,
                           int type_a, int lda, const void* b, int type_b, int ldb, const void* beta, void* c,
                           int type_c, int ldc, int compute, int algorithm);
    void* handle = nullptr;
    GemmEx gemm = nullptr;
    const char* fault = nullptr;
};

Library load() {
    Library library;
    Library::Create create = nullptr;
    Library::SetStream set_stream = nullptr;
#ifdef __CUDACC__
    void* file = nullptr;
    for (const char* name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"})
        if (!file) file = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!file) {
        library.fault = "libcublas.so is not there";
        return library;
    }
    create = reinterpret_cast<Library::Create>(dlsym(file, "cublasCreate_v2"));
    set_stream = reinterpret_cast<Library::SetStream>(dlsym(file, "cublasSetStream_v2"));
    library.gemm = reinterpret_cast<Library::GemmEx>(dlsym(file, "cublasGemmEx"));
#else
    create = emu::cublas_create, set_stream = emu::cublas_set_stream, library.gemm = emu::cublas_gemm_ex;
#endif
    if (!create || !set_stream || !library.gemm)
        library.fault = "libcublas.so lacks a function";
    else if (create(&library.handle) != 0 || set_stream(library.handle, stream()) != 0)
        library.fault = "cuBLAS does not start on this device";
    return library;
}

const Library& cublas() {
    static const Library loaded = load();
    return loaded;
}

int type_of(DType dtype) {
    return dtype == DType::BF16 ? R_16BF : dtype == DType::F16 ? R_16F : R_32F;
}

// out = x * weight^T + beta * out. Column by column, as the library counts, out is [n, rows], and x and the weight are
// already turned: out = (weight^T)^T * x.
void multiply(Tensor out, Tensor x, Tensor weight, float beta) {
    const float one = 1;
    const int rows = static_cast<int>(x.rows()), n = static_cast<int>(weight.rows());
    const int depth = static_cast<int>(x.cols());
    CHECK(!why_no_cublas() && x.dtype == weight.dtype && is_float(weight));
    CHECK(cublas().gemm(cublas().handle, OP_T, OP_N, n, rows, depth, &one, weight.data, type_of(weight.dtype), depth,
                        x.data, type_of(x.dtype), depth, &beta, out.f32(), R_32F, n, COMPUTE_32F, GEMM_DEFAULT) == 0);
}

constexpr int THREADS = 256;

template <class T>
__global__ void __launch_bounds__(THREADS) split_kernel(T* high, T* low, const float* x, int64_t count) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= count) return;
    high[i] = narrow<T>(x[i]);
    low[i] = narrow<T>(x[i] - widen(high[i]));
}

}  // namespace

const char* why_no_cublas() {
    return cublas().fault;
}

void cublas_matmul_rounded(Tensor out, Tensor x, Tensor weight) {
    multiply(out, x, weight, 0);
}

void cublas_matmul(Tensor out, Tensor x, Tensor weight, Tensor halves) {
    if (weight.dtype == DType::F32) return multiply(out, x, weight, 0);
    CHECK(halves.dtype == weight.dtype && halves.elements() == 2 * x.elements());
    const Tensor both = halves.as({2 * x.rows(), x.cols()});
    const Tensor high = both.slice(0, x.rows()), low = both.slice(x.rows(), x.rows());
    const int64_t count = x.elements();
    with_float(weight.dtype, [&](auto element) {
        using T = decltype(element);
        CUDA_CHECK(launch(split_kernel<T>, dim3(static_cast<unsigned>(divide_up(count, THREADS))), THREADS, 0,
                          static_cast<T*>(high.data), static_cast<T*>(low.data), x.f32(), count));
    });
    multiply(out, low, weight, 0);
    multiply(out, high, weight, 1);
}

}  // namespace leon::LEON_CUDA
