// CUDA on the CPU: the language that kernel sources are written in, for g++ and clang++ without a CUDA toolkit.
// Kernels reach this through kernels/cuda/gpu.h.
//
//   keywords, threadIdx and the like     below, first
//   barriers, shuffles, votes, atomics   a few lines each over the warp primitive of core.h
//   loads with cache hints, arithmetic   plain loads and libm: close to a GPU's, not equal to it
//   cudaMalloc, streams, graphs          runtime.h
//
// There is no __shared__: kernels take their shared memory from DYNAMIC_SHARED (gpu.h), whose bounds an address
// sanitizer sees and whose contents every block finds poisoned.
#pragma once

#include <cmath>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tests/cuda_on_cpu/core.h"
#include "tests/cuda_on_cpu/runtime.h"
#include "tests/cuda_on_cpu/types.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

#define DYNAMIC_SHARED(T, name) T* name = static_cast<T*>(::leon::cuda_emulated::emu::dynamic_shared())

namespace leon::cuda_emulated {

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace emu {

// An argument that is a pointer must point to device memory: a GPU would fault at the first access.
template <class T>
void check_argument(const T& argument) {
    if constexpr (std::is_pointer_v<T>)
        if (argument && !is_device_memory(argument))
            fail({"kernel launch", 0}, "%p is an address of the host", static_cast<const void*>(argument));
}

// The race detector hears of an atomic from atomic(), not from the compiler: hence the attribute.
template <class T, class F>
__attribute__((no_sanitize("thread"))) T read_modify_write(T* p, F f, Site site) {
    check_aligned(p, alignof(T), "atomic", site);
    atomic(p, sizeof *p);
    T old;
    __builtin_memcpy(static_cast<void*>(&old), p, sizeof old);
    const T now = f(old);
    __builtin_memcpy(static_cast<void*>(p), &now, sizeof now);
    return old;
}

template <class T>
struct Same {
    using type = T;
};

}  // namespace emu

// --- launch -----------------------------------------------------------------------------------------------------

template <class... Parameters, class... Arguments>
cudaError_t launch_kernel(Launch how, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                          cudaStream_t stream, Arguments&&... arguments) {
    std::tuple<Parameters...> values(std::forward<Arguments>(arguments)...);
    std::apply([](const auto&... each) { (emu::check_argument(each), ...); }, values);
    if (emu::is_capturing(stream)) {
        emu::record(stream, [=] { emu::run(grid, block, shared_bytes, how, [&] { std::apply(kernel, values); }); });
        return cudaSuccess;
    }
    emu::catch_up(stream);
    return emu::run(grid, block, shared_bytes, how, [&] { std::apply(kernel, values); });
}

// --- barriers and fences ----------------------------------------------------------------------------------------

inline void __syncthreads(Site site = Site::here()) {
    emu::barrier(0, 0, emu::Vote::None, 0, site);
}
inline int __syncthreads_or(int p, Site site = Site::here()) {
    return emu::barrier(0, 0, emu::Vote::Any, p, site);
}
inline int __syncthreads_and(int p, Site site = Site::here()) {
    return emu::barrier(0, 0, emu::Vote::All, p, site);
}
inline int __syncthreads_count(int p, Site site = Site::here()) {
    return emu::barrier(0, 0, emu::Vote::Count, p, site);
}
inline void __syncwarp(unsigned mask = ~0u, Site site = Site::here()) {
    emu::sync_warp(mask, site);
}
inline void grid_sync(Site site = Site::here()) {
    emu::grid_barrier(site);
}
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
inline void __nanosleep(unsigned, Site site = Site::here()) {
    emu::yield(site);
}

// --- shuffles, votes, reductions of a warp ----------------------------------------------------------------------

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, Site site = Site::here()) {
    emu::Exchange<T> x(mask, value, "__shfl_sync", site);
    return x[(emu::lane() & ~unsigned(width - 1)) | unsigned(source & (width - 1))];
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, Site site = Site::here()) {
    emu::Exchange<T> x(mask, value, "__shfl_xor_sync", site);
    const unsigned lane = emu::lane(), source = lane ^ unsigned(lane_mask);
    return source <= (lane | unsigned(width - 1)) ? x[source] : value;
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, Site site = Site::here()) {
    emu::Exchange<T> x(mask, value, "__shfl_down_sync", site);
    const unsigned lane = emu::lane(), source = lane + delta;
    return source <= (lane | unsigned(width - 1)) ? x[source] : value;
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, Site site = Site::here()) {
    emu::Exchange<T> x(mask, value, "__shfl_up_sync", site);
    const unsigned lane = emu::lane();
    return (lane & unsigned(width - 1)) >= delta ? x[lane - delta] : value;
}
inline unsigned __ballot_sync(unsigned mask, int predicate, Site site = Site::here()) {
    emu::Exchange<unsigned> x(mask, predicate ? 1u << emu::lane() : 0u, "__ballot_sync", site);
    return x.fold([](unsigned a, unsigned b) { return a | b; });
}
inline int __any_sync(unsigned mask, int predicate, Site site = Site::here()) {
    return __ballot_sync(mask, predicate, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, Site site = Site::here()) {
    return __ballot_sync(mask, !predicate, site) == 0;
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, Site site = Site::here()) {
    emu::Exchange<T> x(mask, value, "__match_any_sync", site);
    unsigned same = 0;
    for (unsigned l = 0; l < 32; l++)
        if (x.has(l) && x[l] == value) same |= 1u << l;
    return same;
}
template <class T>
T __reduce_add_sync(unsigned mask, T value, Site site = Site::here()) {
    return emu::Exchange<T>(mask, value, "__reduce_add_sync", site).fold([](T a, T b) { return a + b; });
}
template <class T>
T __reduce_min_sync(unsigned mask, T value, Site site = Site::here()) {
    return emu::Exchange<T>(mask, value, "__reduce_min_sync", site).fold([](T a, T b) { return a < b ? a : b; });
}
template <class T>
T __reduce_max_sync(unsigned mask, T value, Site site = Site::here()) {
    return emu::Exchange<T>(mask, value, "__reduce_max_sync", site).fold([](T a, T b) { return a > b ? a : b; });
}
template <class T>
T __reduce_or_sync(unsigned mask, T value, Site site = Site::here()) {
    return emu::Exchange<T>(mask, value, "__reduce_or_sync", site).fold([](T a, T b) { return a | b; });
}

// --- atomics: relaxed in CUDA, sequentially consistent here -----------------------------------------------------

template <class T>
T atomicAdd(T* p, typename emu::Same<T>::type v, Site site = Site::here()) {
    return emu::read_modify_write(
        p, [=](T old) -> T { return old + v; }, site);
}
template <class T>
T atomicSub(T* p, typename emu::Same<T>::type v, Site site = Site::here()) {
    return emu::read_modify_write(
        p, [=](T old) -> T { return old - v; }, site);
}
template <class T>
T atomicMin(T* p, typename emu::Same<T>::type v, Site site = Site::here()) {
    return emu::read_modify_write(
        p, [=](T old) -> T { return v < old ? v : old; }, site);
}
template <class T>
T atomicMax(T* p, typename emu::Same<T>::type v, Site site = Site::here()) {
    return emu::read_modify_write(
        p, [=](T old) -> T { return v > old ? v : old; }, site);
}
template <class T>
T atomicAnd(T* p, typename emu::Same<T>::type v, Site site = Site::here()) {
    return emu::read_modify_write(
        p, [=](T old) -> T { return old & v; }, site);
}
template <class T>
T atomicOr(T* p, typename emu::Same<T>::type v, Site site = Site::here()) {
    return emu::read_modify_write(
        p, [=](T old) -> T { return old | v; }, site);
}
template <class T>
T atomicExch(T* p, typename emu::Same<T>::type v, Site site = Site::here()) {
    const T old = emu::read_modify_write(
        p, [=](T) { return v; }, site);
    emu::yield(site);
    return old;
}
template <class T>
T atomicCAS(T* p, typename emu::Same<T>::type expected, typename emu::Same<T>::type v, Site site = Site::here()) {
    const T old = emu::read_modify_write(
        p, [=](T now) { return now == expected ? v : now; }, site);
    emu::yield(site);
    return old;
}

// --- loads and stores with cache hints; a GPU traps on a misaligned one -----------------------------------------

template <class T>
T load_aligned(const T* p, const char* what, Site site) {
    emu::check_aligned(p, sizeof(T), what, site);
    return *p;
}
template <class T>
T __ldg(const T* p, Site site = Site::here()) {
    return load_aligned(p, "__ldg", site);
}
template <class T>
T __ldcg(const T* p, Site site = Site::here()) {
    return load_aligned(p, "__ldcg", site);
}
template <class T>
T __ldcs(const T* p, Site site = Site::here()) {
    return load_aligned(p, "__ldcs", site);
}
template <class T>
void __stcs(T* p, typename emu::Same<T>::type value, Site site = Site::here()) {
    emu::check_aligned(p, sizeof(T), "__stcs", site);
    *p = value;
}
template <class T>
void __stcg(T* p, typename emu::Same<T>::type value, Site site = Site::here()) {
    emu::check_aligned(p, sizeof(T), "__stcg", site);
    *p = value;
}

// --- arithmetic -------------------------------------------------------------------------------------------------

inline float __expf(float x) {
    return ::expf(x);
}
inline float __logf(float x) {
    return ::logf(x);
}
inline float __sinf(float x) {
    return ::sinf(x);
}
inline float __cosf(float x) {
    return ::cosf(x);
}
inline float sinpif(float x) {
    return static_cast<float>(::sin(3.14159265358979324 * x));
}
inline float cospif(float x) {
    return static_cast<float>(::cos(3.14159265358979324 * x));
}
inline float __powf(float x, float y) {
    return ::powf(x, y);
}
inline float rsqrtf(float x) {
    return 1.0f / ::sqrtf(x);
}
inline float __fmul_rn(float a, float b) {
    return a * b;
}
inline float __fadd_rn(float a, float b) {
    return a + b;
}
inline float __fdividef(float a, float b) {
    return a / b;
}
inline float __saturatef(float x) {
    return x < 0 ? 0 : x > 1 ? 1 : x;
}
inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
inline int __clz(int x) {
    return x ? __builtin_clz(static_cast<unsigned>(x)) : 32;
}
inline int __ffs(int x) {
    return __builtin_ffs(x);
}
inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>(uint64_t{a} * b >> 32);
}

// Byte i of the result is that of the eight bytes of y:x which the i-th four bits of `selector` name.
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
    const uint64_t bytes = uint64_t{y} << 32 | x;
    unsigned result = 0;
    for (unsigned i = 0; i < 4; i++)
        result |= static_cast<unsigned>(bytes >> (selector >> 4 * i & 7) * 8 & 255) << 8 * i;
    return result;
}

inline int __float_as_int(float x) {
    return same_bits<int>(x);
}
inline unsigned __float_as_uint(float x) {
    return same_bits<unsigned>(x);
}
inline float __int_as_float(int x) {
    return same_bits<float>(x);
}
inline float __uint_as_float(unsigned x) {
    return same_bits<float>(x);
}

template <class T>
constexpr std::enable_if_t<std::is_integral_v<T>, T> min(T a, T b) {
    return b < a ? b : a;
}
template <class T>
constexpr std::enable_if_t<std::is_integral_v<T>, T> max(T a, T b) {
    return a < b ? b : a;
}
inline float min(float a, float b) {
    return ::fminf(a, b);
}
inline float max(float a, float b) {
    return ::fmaxf(a, b);
}

inline __nv_bfloat162 __hfma2(__nv_bfloat162 a, __nv_bfloat162 b, __nv_bfloat162 c) {
    return __floats2bfloat162_rn(::fmaf(__low2float(a), __low2float(b), __low2float(c)),
                                 ::fmaf(__high2float(a), __high2float(b), __high2float(c)));
}
inline __nv_bfloat162 __hmul2(__nv_bfloat162 a, __nv_bfloat162 b) {
    return __floats2bfloat162_rn(__low2float(a) * __low2float(b), __high2float(a) * __high2float(b));
}
inline __nv_bfloat162 __hsub2(__nv_bfloat162 a, __nv_bfloat162 b) {
    return __floats2bfloat162_rn(__low2float(a) - __low2float(b), __high2float(a) - __high2float(b));
}
inline __half2 __hfma2(__half2 a, __half2 b, __half2 c) {
    return __floats2half2_rn(::fmaf(__low2float(a), __low2float(b), __low2float(c)),
                             ::fmaf(__high2float(a), __high2float(b), __high2float(c)));
}

}  // namespace leon::cuda_emulated
