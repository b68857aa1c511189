// A detector of data races among CUDA threads; it passes their accesses on to the counter of traffic (traffic.h).
//
// The instrumented build compiles kernels with -fsanitize=thread, so that the compiler reports every access to memory
// by calling __tsan_readN or __tsan_writeN; those are defined here instead of in libtsan, which knows nothing of blocks
// and warps. Two accesses race if they touch the same byte, at least one writes, not both are atomic, and no
// __syncthreads, __syncwarp, named barrier, grid barrier or atomic orders them. Since one thread of the system runs
// everything, "ordered" is a comparison of times: a warp knows, for every other warp, up to what time it has seen that
// warp's accesses. So a race is found in any schedule, within a block and between blocks.
//
// A dependent launch may overlap with all launches since the last one that was not dependent: their accesses are
// ordered before a thread's only once it, or a thread that it has met at a barrier, has called grid_dependency_wait().
#include "tests/cuda_on_cpu/race.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "tests/cuda_on_cpu/core.h"
#include "tests/cuda_on_cpu/traffic.h"

extern "C" const char __ehdr_start[];  // where the program lies: addresses are reported relative to it

namespace leon::cuda_emulated::emu {
namespace {

struct Clock {
    std::vector<uint32_t> seen;  // by resident warp; its own entry: its last __syncwarp
    uint32_t others = 0;         // blocks that ended before
    unsigned waited = 0;         // lanes that have seen the launches before
    void join(const Clock& other) {
        for (size_t i = 0; i < seen.size() && i < other.seen.size(); i++) seen[i] = std::max(seen[i], other.seen[i]);
        others = std::max(others, other.others);
        if (other.waited) waited = ~0u;
    }
};
struct Released {
    Clock clock;
    unsigned first_block;
    uint32_t time;
};

std::vector<Clock> clocks;  // by resident warp
std::unordered_map<void*, Released> atomics;
unsigned first_block;
uint32_t launch_time, overlap_time;  // of this launch, and of the first one that it may overlap with
const char *ignore_begin, *ignore_end;
int races;

struct Access {
    uint32_t time = 0, block = 0, pc = 0;
    uint16_t thread = 0;
    uint8_t bytes = 0;  // of the four, as a mask
    bool atomic = false;
};
struct Cell {  // four bytes of memory: the last two accesses of each kind
    Access write[2], read[2];
};
struct Page {
    Cell cells[1024];
};
std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages;
constexpr size_t MOST_PAGES = 4096;  // 256 MiB; beyond, the memory is given back where nothing in it counts any more
uintptr_t recent_number;
Page* recent_page;

Cell& cell_of(uintptr_t word) {
    if (word >> 10 != recent_number || !recent_page) {
        recent_number = word >> 10;
        std::unique_ptr<Page>& found = pages[recent_number];
        if (!found) found = std::make_unique<Page>();
        recent_page = found.get();
    }
    return recent_page->cells[word & 1023];
}

unsigned warp_of(unsigned block, unsigned thread) {
    return (block - first_block) * 32 + thread / 32;
}

bool is_ordered(const Access& a, bool shared) {
    if (a.time <= overlap_time) return true;
    if (a.time <= launch_time)  // another launch's shared memory may have stood here
        return shared || clocks[warp_of(place.block, place.thread)].waited >> place.thread % 32 & 1;
    if (a.block == place.block && a.thread == place.thread) return true;
    if (shared && a.block != place.block) return true;  // another block's memory, at the same address
    const Clock& mine = clocks[warp_of(place.block, place.thread)];
    if (a.block < first_block) return a.time <= mine.others;
    return a.time <= mine.seen[warp_of(a.block, a.thread)];
}

void describe(const char* what, const Access& a) {
    char program[4000], command[4200], line[1000] = "?\n";
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = 0;
    std::snprintf(command, sizeof command, "addr2line -s -e '%s' -i 0x%x 2>/dev/null | paste -sd' '", program,
                  a.pc - 1);
    if (FILE* pipe = popen(command, "r")) {
        if (!std::fgets(line, sizeof line, pipe)) std::strcpy(line, "?\n");
        pclose(pipe);
    }
    std::fprintf(stderr, "  %s by thread %u of block %u at %s", what, a.thread, a.block, line);
}

void report(const Access& a, bool a_writes, const Access& b, bool b_writes, uintptr_t address, bool shared) {
    static std::set<std::pair<uint32_t, uint32_t>> known;
    if (!known.insert({a.pc, b.pc}).second) return;
    const char* names[4] = {"read", "write", "atomic", "atomic"};
    std::fprintf(stderr, "emulator: DATA RACE on %s memory 0x%lx%s\n", shared ? "shared" : "global",
                 static_cast<unsigned long>(address),
                 a.time <= launch_time ? " with an earlier kernel, before grid_dependency_wait()" : "");
    describe(names[a_writes + 2 * a.atomic], a);
    describe(names[b_writes + 2 * b.atomic], b);
    if (std::getenv("EMU_STOP_AT_RACE")) _exit(66);
    if (races++ == 0)
        std::atexit([] {
            std::fprintf(stderr, "emulator: %d data races\n", races);
            _exit(66);
        });
}

void remember(Access (&last)[2], const Access& a) {
    if (last[0].block != a.block || last[0].thread != a.thread || last[0].bytes != a.bytes) last[1] = last[0];
    last[0] = a;
}

// Arguments and threadIdx are read from the host's memory here: they do not count.
void count(const void* p, bool shared, bool writes, size_t bytes, void* pc) {
    if (!counting || (!shared && !is_device_memory(p))) return;
    traffic_access(shared ? Space::Shared : Space::Global, writes ? Direction::Write : Direction::Read, p, bytes,
                   reinterpret_cast<uintptr_t>(pc));
}

void access(uintptr_t p, size_t size, bool writes, bool atomic, void* pc) {
    if (!place.active) return;
    const char* c = reinterpret_cast<const char*>(p);
    if ((c >= place.stack && c < place.stack_end) || (c >= ignore_begin && c < ignore_end)) return;
    const bool shared = c >= place.shared && c < place.shared_end;
    count(c, shared, writes, size, pc);
    Access me;
    me.time = race_time;
    me.block = place.block;
    me.pc = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(pc) - reinterpret_cast<uintptr_t>(__ehdr_start));
    me.thread = static_cast<uint16_t>(place.thread);
    me.atomic = atomic;
    for (uintptr_t at = p; at < p + size;) {
        const unsigned from = at & 3, bytes = static_cast<unsigned>(std::min<uintptr_t>(4 - from, p + size - at));
        me.bytes = static_cast<uint8_t>(((1u << bytes) - 1) << from);
        Cell& cell = cell_of(at >> 2);
        const auto conflicts = [&](const Access& a) {
            return a.bytes & me.bytes && !(a.atomic && atomic) && !is_ordered(a, shared);
        };
        for (const Access& a : cell.write)
            if (conflicts(a)) report(a, true, me, writes, at, shared);
        if (writes)
            for (const Access& a : cell.read)
                if (conflicts(a)) report(a, false, me, true, at, shared);
        remember(writes ? cell.write : cell.read, me);
        at += bytes;
    }
}

}  // namespace

void race_begin(unsigned first, unsigned blocks, NewLaunch launch) {
    if (launch != NewLaunch::No) {
        launch_time = race_time++;
        if (launch == NewLaunch::Ordered) {  // all that was done before is over
            overlap_time = launch_time;
            if (pages.size() > MOST_PAGES) {
                pages.clear();
                recent_page = nullptr;
            }
        }
        atomics.clear();
    }
    first_block = first;
    clocks.assign(blocks * 32, Clock{std::vector<uint32_t>(blocks * 32), 0, 0});
}
void race_join(const unsigned* warps, size_t count) {
    Clock all = clocks[warps[0]];
    for (size_t i = 0; i < count; i++) all.join(clocks[warps[i]]);
    for (size_t i = 0; i < count; i++) all.seen[warps[i]] = race_time;
    for (size_t i = 0; i < count; i++) clocks[warps[i]] = all;
}
void race_sync_warp(unsigned warp) {
    clocks[warp].seen[warp] = race_time;
    if (clocks[warp].waited) clocks[warp].waited = ~0u;
}
void race_dependency_wait(unsigned warp, unsigned lane) {
    clocks[warp].waited |= 1u << lane;
}
void race_atomic(void* p, size_t bytes, void* pc) {
    access(reinterpret_cast<uintptr_t>(p), bytes, true, true, pc);
    const unsigned warp = warp_of(place.block, place.thread);
    Clock& mine = clocks[warp];
    auto found = atomics.find(p);
    if (found != atomics.end()) {
        if (found->second.first_block == first_block)
            mine.join(found->second.clock);
        else
            mine.others = std::max(mine.others, found->second.time);
    }
    Clock released = mine;
    released.seen[warp] = race_time;
    atomics[p] = {released, first_block, race_time};
    race_time++;  // what follows is not released
}
void race_ignore(const void* begin, const void* end) {
    ignore_begin = static_cast<const char*>(begin);
    ignore_end = static_cast<const char*>(end);
}
int race_reports() {
    return races;
}

}  // namespace leon::cuda_emulated::emu

// --- what -fsanitize=thread makes the compiler call --------------------------------------------------------------

namespace {
void seen(const void* p, size_t bytes, bool writes, void* pc) {
    leon::cuda_emulated::emu::access(reinterpret_cast<uintptr_t>(p), bytes, writes, false, pc);
}
}  // namespace

#define ACCESS(name, bytes, writes)                          \
    void __tsan_##name(void* p) {                            \
        seen(p, bytes, writes, __builtin_return_address(0)); \
    }
#define ACCESSES(bytes)                         \
    ACCESS(read##bytes, bytes, false)           \
    ACCESS(write##bytes, bytes, true)           \
    ACCESS(unaligned_read##bytes, bytes, false) \
    ACCESS(unaligned_write##bytes, bytes, true) \
    ACCESS(volatile_read##bytes, bytes, false)  \
    ACCESS(volatile_write##bytes, bytes, true)  \
    ACCESS(read_write##bytes, bytes, true)      \
    ACCESS(unaligned_read_write##bytes, bytes, true)
// Copies of 16 bytes and more. The Makefile renames the kernels' calls to these: what else calls memcpy is no CUDA
// thread's doing.
#define COPY(name)                                                     \
    void* leon_race_##name(void* to, const void* from, size_t bytes) { \
        seen(from, bytes, false, __builtin_return_address(0));         \
        seen(to, bytes, true, __builtin_return_address(0));            \
        return std::memmove(to, from, bytes);                          \
    }

extern "C" {
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
COPY(memcpy)
COPY(memmove)
void* leon_race_memset(void* to, int value, size_t bytes) {
    seen(to, bytes, true, __builtin_return_address(0));
    return std::memset(to, value, bytes);
}
void __tsan_read_range(void* p, size_t bytes) {
    seen(p, bytes, false, __builtin_return_address(0));
}
void __tsan_write_range(void* p, size_t bytes) {
    seen(p, bytes, true, __builtin_return_address(0));
}
void __tsan_init() {}
void __tsan_func_entry(void* caller) {
    leon::cuda_emulated::emu::traffic_call(reinterpret_cast<uintptr_t>(caller));
}
void __tsan_func_exit() {
    leon::cuda_emulated::emu::traffic_return();
}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
char __tsan_atomic8_load(const volatile char* p, int) {
    return *p;
}  // guards of static variables
}
