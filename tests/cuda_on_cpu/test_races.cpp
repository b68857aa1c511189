// The race detector against races that do no harm in the forward schedule, and against their repaired twins. Linked
// only into the program of `make test-races`, whose kernels are instrumented.
#include <string>
#include <vector>

#include "kernels/cuda/launchers.h"
#include "kernels/cuda/ptx.h"
#include "tests/cuda_on_cpu/child.h"
#include "tests/cuda_on_cpu/race.h"

#include "tests/testing.h"

namespace leon::LEON_CUDA {
namespace {

__global__ void neighbour(int* out, bool repaired) {
    DYNAMIC_SHARED(int, shared);
    shared[threadIdx.x] = static_cast<int>(threadIdx.x);
    if (repaired) __syncthreads();
    out[threadIdx.x] = threadIdx.x ? shared[threadIdx.x - 1] : 0;
}
__global__ void lanes(int* out, bool repaired) {
    DYNAMIC_SHARED(int, shared);
    shared[threadIdx.x] = static_cast<int>(threadIdx.x);
    if (repaired)
        __syncwarp();
    else
        __shfl_sync(~0u, 0, 0);  // moves values, orders nothing
    out[threadIdx.x] = shared[31 - threadIdx.x];
}
__global__ void blocks(int* out, bool repaired) {
    if (repaired)
        atomicAdd(out, 1);
    else
        *out = 1;
}
__global__ void handover(int* out, bool repaired) {  // warp 0 to warp 1, while warp 2 is elsewhere
    DYNAMIC_SHARED(int, shared);
    const unsigned t = threadIdx.x % 32;
    if (threadIdx.x < 32) {
        shared[t] = static_cast<int>(t);
        bar_sync(1, 64);
    } else if (threadIdx.x < 64) {
        bar_sync(1, 64);
        out[t] = shared[31 - t];
    } else if (!repaired && t == 0) {
        shared[5] = 5;
    }
}
__global__ void overwritten_tile(int* out, bool repaired) {  // a copy lands where another warp still reads
    DYNAMIC_SHARED(int, shared);
    for (int round = 0; round < 2; round++) {
        cp_async<4>(shared + threadIdx.x, out + threadIdx.x, true);
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        out[64 + threadIdx.x] = shared[63 - threadIdx.x];
        if (repaired) __syncthreads();
    }
}
__global__ void wide_store(int* out, bool repaired) {  // 16 bytes at a time
    DYNAMIC_SHARED(uint4, shared);
    shared[threadIdx.x] = make_uint4(1, 2, 3, 4);
    if (repaired) __syncthreads();
    const uint4 other = shared[blockDim.x - 1 - threadIdx.x];
    out[threadIdx.x] = static_cast<int>(other.x + other.w);
}

struct Specimen {
    const char* name;
    void (*kernel)(int*, bool);
    unsigned grid, block;
};
const Specimen SPECIMENS[] = {
    {"neighbour", neighbour, 1, 64},
    {"lanes", lanes, 1, 32},
    {"blocks", blocks, 2, 64},
    {"handover", handover, 1, 96},
    {"overwritten tile", overwritten_tile, 1, 64},
    {"wide store", wide_store, 1, 64},
};

// What a process that runs the kernel says at its end, and its exit status.
Ending run_alone(const Specimen& s, bool repaired) {
    return in_a_child([&] {
        int* out = static_cast<int*>(allocate(256 * sizeof(int), Reach::Device));
        CUDA_CHECK(launch(s.kernel, s.grid, s.block, 1024, out, repaired));
        return emu::race_reports();
    });
}

TEST_CASE("cuda races: each is reported with both places, whatever the schedule") {
    for (emu::Order order : {emu::Order::Forward, emu::Order::Reverse, emu::Order::Random}) {
        emu::set_schedule({order, 3});
        for (const Specimen& s : SPECIMENS) {
            CAPTURE(s.name);
            const Ending end = run_alone(s, false);
            const std::string& said = end.said;
            CHECK_MESSAGE(end.status != 0, said);
            const size_t first = said.find(".cpp:");
            CHECK_MESSAGE(said.find("DATA RACE") != std::string::npos, said);
            CHECK_MESSAGE((first != std::string::npos || said.find("ptx.h:") != std::string::npos), said);
        }
    }
    emu::set_schedule({});
}

TEST_CASE("cuda races: repaired kernels are not reported") {
    for (const Specimen& s : SPECIMENS) {
        const Ending end = run_alone(s, true);
        CAPTURE(s.name);
        CHECK_MESSAGE(end.status == 0, end.said);
    }
}

// Kernels that begin under the one before, which writes out[0..63] and reads out[64..127].
__global__ void first_half(int* out) {
    DYNAMIC_SHARED(int, shared);
    grid_dependency_wait();
    shared[threadIdx.x] = out[64 + threadIdx.x];
    out[threadIdx.x] = shared[threadIdx.x];
}
__global__ void bystander(int*) {
    grid_dependency_wait();
}
__global__ void reads_early(int* out, bool repaired) {
    if (repaired) grid_dependency_wait();
    const int early = out[threadIdx.x];
    grid_dependency_wait();
    out[128 + threadIdx.x] = early;
}
__global__ void writes_early(int* out, bool repaired) {
    if (repaired) grid_dependency_wait();
    out[64 + threadIdx.x] = 1;
    grid_dependency_wait();
}
__global__ void uses_shared_memory(int* out, bool repaired) {  // where the kernel before had its own
    DYNAMIC_SHARED(int, shared);
    shared[threadIdx.x] = static_cast<int>(threadIdx.x);
    if (repaired) grid_dependency_wait();
    out[threadIdx.x] = shared[threadIdx.x];
    grid_dependency_wait();
}
__global__ void one_waits_for_all(int* out, bool repaired) {
    if (threadIdx.x == 0) grid_dependency_wait();
    if (repaired) __syncthreads();
    out[128 + threadIdx.x] = out[threadIdx.x];
}

TEST_CASE("cuda races: a kernel that begins early is ordered after the ones before only by its wait") {
    struct Pair {
        const char* name;
        void (*kernel)(int*, bool);
    };
    for (const Pair& p : {Pair{"reads early", reads_early},
                          {"writes early", writes_early},
                          {"one waits for all", one_waits_for_all},
                          {"uses shared memory", uses_shared_memory}})
        for (bool repaired : {false, true})
            for (bool one_between : {false, true})
                for (bool finished : {false, true}) {
                    const Ending end = in_a_child([&] {
                        int* out = static_cast<int*>(allocate(256 * sizeof(int), Reach::Device));
                        CUDA_CHECK(launch_dependent(first_half, 1, 64, 1024, out));
                        if (one_between) CUDA_CHECK(launch_dependent(bystander, 1, 64, 0, out));
                        if (finished) finish();
                        CUDA_CHECK(launch_dependent(p.kernel, 1, 64, 1024, out, repaired));
                        return emu::race_reports();
                    });
                    CAPTURE(p.name);
                    CAPTURE(repaired);
                    CAPTURE(one_between);
                    CAPTURE(finished);
                    CHECK_MESSAGE((end.status == 0) == (repaired || finished), end.said);
                    const bool said = end.said.find("before grid_dependency_wait()") != std::string::npos;
                    CHECK_MESSAGE(said == (end.status != 0), end.said);
                }
}

TEST_CASE("cuda races: traffic is counted") {
    int* out = static_cast<int*>(allocate(256 * sizeof(int), Reach::Device));
    emu::reset_counters();
    CUDA_CHECK(launch(neighbour, 1, 64, 1024, out, true));
    CHECK(emu::counters.shared_write_bytes == 64 * sizeof(int));
    CHECK(emu::counters.shared_read_bytes == 63 * sizeof(int));
    CHECK(emu::counters.global_write_bytes == 64 * sizeof(int));
    CHECK(emu::counters.global_read_bytes == 0);
    release(out, Reach::Device);
}

}  // namespace
}  // namespace leon::LEON_CUDA
