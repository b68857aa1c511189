// What the emulated GPU must refuse, each in a process that dies of it: the faults that a real one answers with a hang,
// a fault address, or a wrong result now and then.
#include <csignal>
#include <string>

#include "kernels/cuda/launchers.h"
#include "kernels/cuda/ptx.h"
#include "tests/cuda_on_cpu/child.h"

#include "tests/testing.h"

namespace leon::LEON_CUDA {
namespace {

template <class F>
std::string last_words(F action) {
    const Ending end = in_a_child([&] {
        for (int signal : {SIGABRT, SIGSEGV, SIGBUS}) ::signal(signal, SIG_DFL);
        action();
        return 0;
    });
    return end.status == 0 ? "nothing: it went well" : end.said;
}

#define DIES(message, ...)                                        \
    do {                                                          \
        const std::string said = last_words([] { __VA_ARGS__; }); \
        CHECK_MESSAGE(contains(said, message), said);             \
    } while (0)

__global__ void divergent_barriers() {
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
}
__global__ void half_a_barrier() {
    if (threadIdx.x < 32)
        __syncthreads();
    else
        bar_sync(1, 64);
}
__global__ void mask_without_me() {
    __shfl_sync(1u, 1, 0);
}
__global__ void mixed_warp() {
    if (threadIdx.x % 2)
        __shfl_sync(~0u, 1, 0);
    else
        __ballot_sync(~0u, 1);
}
__global__ void endless(unsigned* flag) {
    while (ld_acquire(flag) == 0) {
    }
}
__global__ void needs_cooperation() {
    grid_sync();
}
__attribute__((noinline)) int deep(volatile int* p, int n) {
    volatile int filler[1000] = {n};
    return *p > n ? deep(p, n + 1) + filler[n % 1000] : filler[0];
}
__global__ void overflow(int* p) {
    *p = deep(p, 0);
}
__global__ void crooked_row() {
    DYNAMIC_SHARED(char, shared);
    unsigned r[4];
    ldmatrix_x4(r, shared + threadIdx.x * 16 + 8);
}
__global__ void crooked_load(const float* x) {
    load_streaming(x + 1);
}
__global__ void copy_to_global(float* x) {
    cp_async<4>(x, x, true);
}
__global__ void nothing(float*) {}
__global__ void never_waits(float* x) {
    *x = 1;
}

template <class T>
T* zeros(size_t count) {
    return static_cast<T*>(allocate(count * sizeof(T), Reach::Device));
}

TEST_CASE("cuda emulator: barriers that threads do not reach together") {
    DIES("divergent __syncthreads()", (void)launch(divergent_barriers, 1, 64, 0));
    DIES("DEADLOCK", (void)launch(half_a_barrier, 1, 64, 0));
    DIES("cooperative launch", (void)launch(needs_cooperation, 2, 32, 0));
}

TEST_CASE("cuda emulator: warp functions that lanes do not call together") {
    DIES("not in the mask", (void)launch(mask_without_me, 1, 32, 0));
    DIES("while other lanes", (void)launch(mixed_warp, 1, 32, 0));
}

TEST_CASE("cuda emulator: a dependent launch that does not wait for the one before") {
    DIES("never called grid_dependency_wait()", (void)launch_dependent(never_waits, 1, 1, 0, zeros<float>(1)));
}

TEST_CASE("cuda emulator: a wait without end") {
    DIES("LIVELOCK", (void)launch(endless, 1, 32, 0, zeros<unsigned>(1)));
}

TEST_CASE("cuda emulator: crooked addresses, and addresses of the wrong kind") {
    DIES("ldmatrix: ", (void)launch(crooked_row, 1, 32, 1024));
    DIES("load_streaming: ", (void)launch(crooked_load, 1, 1, 0, zeros<float>(8)));
    DIES("not in shared memory", (void)launch(copy_to_global, 1, 1, 0, zeros<float>(8)));
    DIES("an address of the host", float host = 0; (void)launch(nothing, 1, 1, 0, &host));
}

TEST_CASE("cuda emulator: a crash names its thread") {
    DIES("in CUDA thread (0,0,0) of block (0,0,0)", int* p = zeros<int>(1); const int many = 1000000;
         upload(p, &many, sizeof many); (void)launch(overflow, 1, 1, 0, p));
}

}  // namespace
}  // namespace leon::LEON_CUDA
