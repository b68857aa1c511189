// The one header that every kernel source includes.
//
//   nvcc         the CUDA toolkit; the kernels live in leon::cuda
//   g++, clang++ the emulator of tests/cuda_on_cpu, which runs the same source on the processor, one fiber per CUDA
//                thread; the kernels live in leon::cuda_emulated, so that one program can hold both
//
// What the compilers cannot spell alike is wrapped here (launches, shared memory, the grid's barrier) and in ptx.h
// (inline assembly). Rules for kernels: shared memory comes from DYNAMIC_SHARED only, carved by hand; launches go
// through launch(); assembly stands in ptx.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#ifdef __CUDACC__

#include <cooperative_groups.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <utility>

#define LEON_CUDA cuda

// T* name = this launch's shared memory. Each block finds arbitrary contents.
#define DYNAMIC_SHARED(T, name)                                        \
    extern __shared__ __align__(1024) unsigned char dynamic_shared_[]; \
    T* name = reinterpret_cast<T*>(dynamic_shared_)

namespace leon::LEON_CUDA {

struct Site {  // the emulator's way to say where a thread waits; nothing here
    __host__ __device__ static constexpr Site here() { return {}; }
};

enum class Launch { Plain, Cooperative, Dependent };

// Before sm_90 a kernel cannot begin under the one before it.
inline bool can_overlap_launches() {
    static const bool can = [] {
        int device = 0, major = 0;
        return cudaGetDevice(&device) == cudaSuccess &&
               cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess && major >= 9;
    }();
    return can;
}

template <class... Parameters, class... Arguments>
cudaError_t launch_kernel(Launch how, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                          cudaStream_t stream, Arguments&&... arguments) {
    if (shared_bytes > 48 * 1024) {  // more must be asked for
        const cudaError_t error =
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
        if (error != cudaSuccess) return error;
    }
    cudaLaunchAttribute attribute{};
    if (how == Launch::Cooperative) {
        attribute.id = cudaLaunchAttributeCooperative;
        attribute.val.cooperative = 1;
    } else {
        attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attribute.val.programmaticStreamSerializationAllowed = 1;
    }
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = how == Launch::Cooperative || (how == Launch::Dependent && can_overlap_launches()) ? 1 : 0;
    return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

__device__ inline void grid_sync() {
    cooperative_groups::this_grid().sync();
}

}  // namespace leon::LEON_CUDA

#else

#include <cuda_on_cpu/emu.h>

#define LEON_CUDA cuda_emulated

#endif

namespace leon::LEON_CUDA {

// A failure of the device in the middle of the work: there is no way on, and the launchers do not throw.
[[noreturn]] inline void cuda_failed(const char* file, int line, const char* call, cudaError_t error) {
    std::fprintf(stderr, "%s:%d: CUDA failed: %s: %s\n", file, line, cudaGetErrorString(error), call);
    std::abort();
}

// The stream that everything runs on; not the default one, which no graph can capture.
cudaStream_t stream();

template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                   Arguments&&... arguments) {
    return launch_kernel(Launch::Plain, kernel, grid, block, shared_bytes, stream(),
                         std::forward<Arguments>(arguments)...);
}
// All blocks are resident at once, so that grid_sync() may be called.
template <class... Parameters, class... Arguments>
cudaError_t launch_cooperative(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                               Arguments&&... arguments) {
    return launch_kernel(Launch::Cooperative, kernel, grid, block, shared_bytes, stream(),
                         std::forward<Arguments>(arguments)...);
}

// The kernel may begin while the ones before it still run. Before it calls grid_dependency_wait() (ptx.h), which every
// thread must do, it may touch nothing that any kernel has written since the stream last stood still: only weights.
template <class... Parameters, class... Arguments>
cudaError_t launch_dependent(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                             Arguments&&... arguments) {
    return launch_kernel(Launch::Dependent, kernel, grid, block, shared_bytes, stream(),
                         std::forward<Arguments>(arguments)...);
}

constexpr int WARP = 32;

__host__ __device__ constexpr int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

}  // namespace leon::LEON_CUDA

#define CUDA_CHECK(...)                                                                                      \
    do {                                                                                                     \
        const auto cuda_error_ = (__VA_ARGS__);                                                              \
        if (cuda_error_ != 0) ::leon::LEON_CUDA::cuda_failed(__FILE__, __LINE__, #__VA_ARGS__, cuda_error_); \
    } while (0)
