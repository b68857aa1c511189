// The heart of the emulator, as kernels see it: a place in the source, barriers, and the one warp primitive.
//
// A kernel is an ordinary function here. run() calls it once per CUDA thread, each call on a fiber of its own; a fiber
// gives up the processor only in a barrier, in a warp collective or while it spins. One thread of the system runs
// everything, so that a run is a pure function of its schedule, and an address sanitizer sees plain code.
//
// Everything that the emulator stands in for lives in leon::cuda_emulated, where the kernels of kernels/cuda are
// compiled a second time: one program can hold both, and nothing here meets the CUDA runtime's own names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#include "tests/cuda_on_cpu/types.h"

namespace leon::cuda_emulated {

enum cudaError_t : int;
struct Stream;

enum class Launch { Plain, Cooperative, Dependent };

// A place in a kernel, taken where a default argument is evaluated: how a stuck or wrong thread says where it is.
struct Site {
    const char* file;
    int line;
    static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
        return {file, line};
    }
};

namespace emu {

// --- schedules --------------------------------------------------------------------------------------------------

// The order in which warps, lanes and blocks run. Forward and Reverse show both orders of any two accesses that
// conflict; Random also splits warps. The environment variable EMU_SCHED (forward, reverse, random:SEED) sets the first
// one.
enum class Order { Forward, Reverse, Random };
struct Schedule {
    Order order = Order::Forward;
    uint32_t seed = 1;
};
void set_schedule(Schedule schedule);
Schedule schedule();

// --- launches ---------------------------------------------------------------------------------------------------

// What the launches did since reset_counters(). The instrumented build adds the traffic to memory (traffic.h): there, a
// request is one load or store of a whole warp.
struct Counters {
    uint64_t launches, blocks, threads;
    uint64_t barriers;          // __syncthreads and named barriers, once per block
    uint64_t warp_collectives;  // shuffles, votes, __syncwarp, ldmatrix, mma: once per warp
    uint64_t matrix_loads;      // of these, ldmatrix
    uint64_t matrix_products;   // of these, mma
    uint64_t async_bytes;       // copied by cp.async

    uint64_t global_read_bytes, global_write_bytes;      // as the lanes ask for them
    uint64_t global_read_sectors, global_write_sectors;  // of 32 bytes, as the requests touch them
    uint64_t footprint_sectors;                          // those that a launch touches, each counted once
    uint64_t global_requests, shared_requests;
    uint64_t shared_read_bytes, shared_write_bytes;
    uint64_t shared_wavefronts;      // turns of the 32 banks
    uint64_t bank_conflicts;         // of these, the ones that a better layout would save
    uint64_t longest_warp_requests;  // to both memories by the busiest warp of each launch

    bool operator==(const Counters&) const = default;
};
extern Counters counters;
inline void reset_counters() {
    counters = {};
}

cudaError_t run(dim3 grid, dim3 block, size_t shared_bytes, Launch how, const std::function<void()>& thread);
void stand_still();  // the host has waited for the stream, or something that is no kernel has run in it
bool is_capturing(Stream* stream);
void record(Stream* stream, std::function<void()> operation);
bool is_device_memory(const void* pointer);

// --- what a running thread calls --------------------------------------------------------------------------------

[[noreturn]] void fail(Site site, const char* format, ...) __attribute__((format(printf, 2, 3)));
inline void check_aligned(const void* p, size_t alignment, const char* what, Site site) {
    if (reinterpret_cast<uintptr_t>(p) % alignment)
        fail(site, "%s: %p is not aligned to %zu bytes", what, p, alignment);
}

// How the instrumented build counts what is one instruction on a GPU and many accesses here: count_access() for the
// whole, Uncounted while the parts are done.
enum class Direction { Read, Write };
[[gnu::weak]] void count_access(const void* p, size_t bytes, Direction direction);
void set_counting(bool on);
class Uncounted {
public:
    Uncounted() { set_counting(false); }
    ~Uncounted() { set_counting(true); }
    Uncounted(const Uncounted&) = delete;
};

void* dynamic_shared();
bool in_shared(const void* p);
unsigned lane();
void yield(Site site);  // a thread that spins must let the others run
void atomic(void* p, size_t bytes);

enum class Vote { None, Any, All, Count };
int barrier(int id, int threads, Vote vote, int predicate, Site site);  // threads 0: the whole block
void grid_barrier(Site site);
void dependency_wait();

// The warp primitive: every lane of the mask brings a value, waits for the others, then can read all of them.
// `combine`, if any, runs once on the complete set.
struct alignas(16) Slot {
    unsigned char bytes[64];
};
struct Collected {
    const Slot* slots;
    unsigned active;
};
Collected collect(unsigned mask, const void* value, size_t bytes, const char* operation, Site site,
                  void (*combine)(Slot*));
void leave();
void sync_warp(unsigned mask, Site site);

template <class T>
class Exchange {
public:
    static_assert(sizeof(T) <= sizeof(Slot));
    Exchange(unsigned mask, const T& value, const char* operation, Site site, void (*combine)(Slot*) = nullptr) {
        all_ = collect(mask, &value, sizeof value, operation, site, combine);
    }
    ~Exchange() { leave(); }
    Exchange(const Exchange&) = delete;

    bool has(unsigned lane) const { return all_.active >> lane & 1; }
    T operator[](unsigned lane) const {
        T value;
        if (has(lane))
            std::memcpy(&value, all_.slots[lane].bytes, sizeof value);
        else
            std::memset(static_cast<void*>(&value), 0xff, sizeof value);  // CUDA: undefined. Here: NaN, -1
        return value;
    }
    template <class F>
    T fold(F combine) const {
        bool first = true;
        T result{};
        for (unsigned l = 0; l < 32; l++) {
            if (!has(l)) continue;
            result = first ? (*this)[l] : combine(result, (*this)[l]);
            first = false;
        }
        return result;
    }

private:
    Collected all_;
};

// --- copies in the background (cp.async) -------------------------------------------------------------------------

// The destination is NaN from the issue to the wait: who reads it early, or overwrites a tile in use, is found out.
struct AsyncCopy {
    void* to;
    const void* from;  // null: fill with zero
    uint32_t bytes;
};
void async_issue(AsyncCopy copy);
void async_commit();
bool async_pending(int groups_left_open);
AsyncCopy async_take();

// --- tensor cores: `combine` functions over the 32 lanes' operands -----------------------------------------------

// Where one lane keeps the fragments of `count` products d[i] += a * b[i]: while the lanes wait for each other, their
// registers lie still, so the results are written straight into them.
struct MmaOperands {
    float (*d)[4];
    const uint32_t* a;  // [4]: 16-bit pairs of m16n8k16, or tf32 of m16n8k8
    const uint32_t (*b)[2];
    int count;
};
void mma_m16n8k16_bf16(Slot* slots);
void mma_m16n8k16_f16(Slot* slots);
void mma_m16n8k8_tf32(Slot* slots);

}  // namespace emu
}  // namespace leon::cuda_emulated
