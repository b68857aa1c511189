// The emulator's scheduler: blocks, warps, barriers, warp collectives. Never compiled with sanitizers (fibers.h).
//
// Blocks run one after another, or all together in a cooperative launch. Within a block, one warp runs until each of
// its lanes waits for something, then the next: so warps drift apart as far as the barriers let them. Lanes are
// independent, as on a GPU since Volta: a missing __syncwarp shows.
#include <signal.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "tests/cuda_on_cpu/core.h"
#include "tests/cuda_on_cpu/fibers.h"
#include "tests/cuda_on_cpu/race.h"
#include "tests/cuda_on_cpu/runtime.h"
#include "tests/cuda_on_cpu/traffic.h"

extern "C" [[gnu::weak]] void __sanitizer_set_death_callback(void (*)());

namespace leon::cuda_emulated {

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emu {

Place place;
uint32_t race_time;
Counters counters;
bool counting = true;

namespace {

constexpr size_t SHARED_LIMIT = 227 << 10;  // sm_90's; a block of sm_80 may have 163 KiB
constexpr int BARRIERS = 16;                // that a block has
constexpr int LIVELOCK_PASSES = 20000;      // rounds in which every thread only spins

// --- settings ---------------------------------------------------------------------------------------------------

Schedule from_environment() {
    const char* text = std::getenv("EMU_SCHED");
    if (!text) return {};
    if (!std::strcmp(text, "reverse")) return {Order::Reverse, 1};
    if (!std::strncmp(text, "random", 6)) return {Order::Random, text[6] ? uint32_t(std::atoi(text + 7)) : 1u};
    return {};
}
Schedule chosen = from_environment();
std::mt19937 generator{chosen.seed};
unsigned below(unsigned n) {
    return static_cast<unsigned>(uint64_t{generator()} * n >> 32);
}

// --- state ------------------------------------------------------------------------------------------------------

// Texts of the source: mostly the same one, at the same address.
bool differ(const char* a, const char* b) {
    return a != b && std::strcmp(a, b) != 0;
}

struct Block;

struct Collective {
    unsigned mask = 0, arrived = 0, left = 0;  // lanes
    const char* operation = nullptr;
    Site site{};
    void (*combine)(Slot*) = nullptr;
    Slot slots[32];
    bool complete = false;
};

struct Warp {
    unsigned lanes = 0;                         // that it began with
    unsigned live = 0, ready = 0, yielded = 0;  // lanes
    unsigned here = 0;                          // lanes in the barrier that is being released
    std::vector<Collective*> open;
};

struct Thread {
    Fiber fiber;
    uint3 index{};
    unsigned linear = 0, lane = 0;
    Block* block = nullptr;
    Warp* warp = nullptr;
    bool live = false;
    const char* waits_for = nullptr;
    Site site{};
    Collective* in = nullptr;
    unsigned votes = 0, voters = 0;  // of the last barrier: those with a true predicate, and all
    std::deque<AsyncCopy> copies;
    std::deque<size_t> groups;  // sizes of the committed groups of copies, oldest first
    size_t uncommitted = 0;
};

struct Barrier {
    unsigned count = 0, votes = 0;
    Site site{};
    std::vector<Thread*> waiting;
};

struct Block {
    uint3 index{};
    unsigned number = 0;  // in the order of execution
    std::vector<Thread*> threads;
    std::vector<Warp> warps;
    unsigned live = 0;
    Barrier barriers[BARRIERS];
    void* shared = nullptr;
};

struct Grid {
    std::vector<Block> blocks;  // the resident ones
    Block* in = nullptr;
    Barrier barrier;
    const std::function<void()>* thread = nullptr;
    size_t shared_bytes = 0;
    bool waited = false;  // grid_dependency_wait() has been called
};

Grid* grid;
bool stands_still = true;  // no kernel runs that a dependent launch could overlap with
Thread* current;
bool only_yields;
Collective collectives[1024];
std::vector<Collective*> idle_collectives;

// --- messages ---------------------------------------------------------------------------------------------------

void say_where() {
    if (!current) return;
    const uint3 t = current->index, b = current->block->index;
    std::fprintf(stderr, "  in CUDA thread (%u,%u,%u) of block (%u,%u,%u)\n", t.x, t.y, t.z, b.x, b.y, b.z);
}

// While a kernel runs, a crash says in which thread. On a stack of its own: the fiber's may have overflowed.
class CrashWatch {
public:
    CrashWatch() {
        if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(say_where);
        static char stack[64 << 10];
        stack_t ours{};
        ours.ss_sp = stack;
        ours.ss_size = sizeof stack;
        sigaltstack(&ours, &stack_before_);
        struct sigaction action {};
        action.sa_handler = [](int signal) {
            say_where();
            sigaction(signal, &before_[index_of(signal)], nullptr);
            raise(signal);
        };
        action.sa_flags = SA_ONSTACK;
        for (int i = 0; i < COUNT; i++) sigaction(SIGNALS[i], &action, &before_[i]);
    }
    ~CrashWatch() {
        for (int i = 0; i < COUNT; i++) sigaction(SIGNALS[i], &before_[i], nullptr);
        sigaltstack(&stack_before_, nullptr);
    }

private:
    static constexpr int COUNT = 4;
    static constexpr int SIGNALS[COUNT] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE};
    static int index_of(int signal) {
        return static_cast<int>(std::find(SIGNALS, SIGNALS + COUNT - 1, signal) - SIGNALS);
    }
    static inline struct sigaction before_[COUNT];
    stack_t stack_before_{};
};

// One line for each run of threads that wait at the same place.
[[noreturn]] void report_stuck() {
    std::fprintf(stderr, "emulator: DEADLOCK: no thread can run. Waiting:\n");
    int lines = 0;
    for (const Block& b : grid->blocks)
        for (size_t first = 0; first < b.threads.size() && lines < 40; first++) {
            const Thread* t = b.threads[first];
            if (!t->live) continue;
            size_t last = first;
            while (last + 1 < b.threads.size() && b.threads[last + 1]->live &&
                   b.threads[last + 1]->site.line == t->site.line)
                last++;
            std::fprintf(stderr, "  block (%u,%u,%u) threads %zu-%zu in %s at %s:%d\n", b.index.x, b.index.y, b.index.z,
                         first, last, t->waits_for ? t->waits_for : "?", t->site.file ? t->site.file : "?",
                         t->site.line);
            first = last;
            lines++;
        }
    std::abort();
}

// --- threads ----------------------------------------------------------------------------------------------------

// The lanes of a warp that are about to run, one after the other.
struct Batch {
    Block* block = nullptr;
    size_t warp = 0;
    unsigned lanes = 0;
} batch;

unsigned next_lane(unsigned lanes, unsigned turn) {
    if (chosen.order == Order::Reverse) return 31 - static_cast<unsigned>(__builtin_clz(lanes));
    const unsigned rotated = turn ? lanes >> turn | lanes << (32 - turn) : lanes;
    return (static_cast<unsigned>(__builtin_ctz(rotated)) + turn) & 31;
}

// Makes the next thread of the batch the running one; null: there is none left. Its fiber must be switched to next.
Fiber* begin_next() {
    if (!batch.lanes) {
        current = nullptr;
        place.active = false;
        return nullptr;
    }
    const unsigned lane = next_lane(batch.lanes, chosen.order == Order::Random ? below(32) : 0);
    batch.lanes &= ~(1u << lane);
    Thread* t = batch.block->threads[batch.warp * 32 + lane];
    current = t;
    threadIdx = t->index;
    race_time++;
    place.active = true;
    place.thread = t->linear;
    place.stack = t->fiber.stack();
    place.stack_end = place.stack + STACK_BYTES;
    return &t->fiber;
}

void suspend(const char* what, Site site, bool yielding = false) {
    Thread* t = current;
    t->waits_for = what;
    t->site = site;
    if (!yielding) only_yields = false;
    t->fiber.suspend(begin_next());
    t->waits_for = nullptr;
}

unsigned live_threads() {
    unsigned count = 0;
    for (const Block& b : grid->blocks) count += b.live;
    return count;
}

unsigned warp_number(const Block* b, size_t warp) {
    return static_cast<unsigned>((b - grid->blocks.data()) * 32 + static_cast<ptrdiff_t>(warp));
}

void release_if_full(Barrier& barrier, unsigned expected) {
    if (barrier.waiting.empty() || barrier.waiting.size() < expected) return;
    counters.barriers++;
    if (race_join) {
        std::vector<unsigned> warps;
        for (const Thread* t : barrier.waiting) {
            const unsigned number = warp_number(t->block, t->linear / 32);
            if (warps.empty() || warps.back() != number) warps.push_back(number);
        }
        race_join(warps.data(), warps.size());
    }
    // The result goes to each thread: a fast one may be in the next barrier before a slow one has read it.
    for (Thread* t : barrier.waiting) {
        t->votes = barrier.votes;
        t->voters = static_cast<unsigned>(barrier.waiting.size());
        t->warp->ready |= 1u << t->lane;
    }
    if (traffic_meet) {
        for (Thread* t : barrier.waiting) t->warp->here |= 1u << t->lane;
        for (Thread* t : barrier.waiting) {
            const unsigned all = barrier.count ? t->warp->lanes : t->warp->live;  // a named barrier, or the whole block
            if (std::exchange(t->warp->here, 0) == all) traffic_meet(warp_number(t->block, t->linear / 32));
        }
    }
    barrier.waiting.clear();
    barrier.votes = 0;
}

void complete_if_full(Warp* w, Collective* c) {
    const unsigned needed = c->mask & w->live;
    if (c->complete || !c->arrived || (c->arrived & needed) != needed) return;
    c->complete = true;
    counters.warp_collectives++;
    if (c->combine) c->combine(c->slots);
    counters.matrix_loads += !std::strcmp(c->operation, "ldmatrix");
    if (traffic_meet && (c->mask & w->lanes) == w->lanes)
        traffic_meet(warp_number(grid->in, static_cast<size_t>(w - grid->in->warps.data())));
    if (race_sync_warp && !std::strcmp(c->operation, "__syncwarp"))
        race_sync_warp(warp_number(grid->in, static_cast<size_t>(w - grid->in->warps.data())));
    w->ready |= c->arrived;
}

void thread_main() {
    Fiber::entered();
    Thread* t = current;
    (*grid->thread)();
    if (t->in) fail(t->site, "returned from within a collective");
    t->live = false;
    t->warp->live &= ~(1u << t->lane);
    t->block->live--;
    // Others may have waited for this thread only.
    release_if_full(t->block->barriers[0], t->block->live);
    release_if_full(grid->barrier, live_threads());
    for (Collective* c : t->warp->open) complete_if_full(t->warp, c);
    only_yields = false;
    t->fiber.finish(begin_next());
}

// --- the scheduler ----------------------------------------------------------------------------------------------

void run_warp(Block& b, size_t w) {
    Warp& warp = b.warps[w];
    unsigned lanes = warp.ready;
    if (chosen.order == Order::Random && below(4) == 0) {  // sometimes only a few lanes
        const unsigned some = lanes & generator();
        if (some) lanes = some;
    }
    warp.ready &= ~lanes;
    batch = {&b, w, lanes};
    place.block = b.number;
    place.shared = static_cast<char*>(b.shared);
    place.shared_end = place.shared + grid->shared_bytes;
    begin_next()->resume();
}

bool run_block(Block& b) {
    const size_t count = b.warps.size();
    for (bool ran = false;; ran = true) {
        const size_t from = chosen.order == Order::Random ? below(static_cast<unsigned>(count)) : 0;
        size_t next = count;
        for (size_t i = 0; i < count && next == count; i++) {
            const size_t w = chosen.order == Order::Reverse ? count - 1 - i : (from + i) % count;
            if (b.warps[w].ready) next = w;
        }
        if (next == count) return ran;
        grid->in = &b;
        blockIdx = b.index;
        run_warp(b, next);
    }
}

void run_resident() {
    for (int idle_passes = 0;;) {
        unsigned live = 0, ready = 0;
        only_yields = true;
        for (Block& b : grid->blocks) {
            run_block(b);
            live += b.live;
            for (Warp& w : b.warps) {
                w.ready |= w.yielded;
                w.yielded = 0;
            }
        }
        for (const Block& b : grid->blocks)
            for (const Warp& w : b.warps) ready |= w.ready;
        if (!live) return;
        if (!ready) report_stuck();
        idle_passes = only_yields ? idle_passes + 1 : 0;
        if (idle_passes > LIVELOCK_PASSES) {
            std::fprintf(stderr, "emulator: LIVELOCK: threads only spin\n");
            report_stuck();
        }
    }
}

std::vector<std::vector<std::unique_ptr<Thread>>> pool;  // [resident block][thread]: stacks are kept

void start_block(Block& b, size_t slot, dim3 block, size_t threads) {
    b.live = static_cast<unsigned>(threads);
    b.warps.resize((threads + 31) / 32);
    b.threads.resize(threads);
    if (grid->shared_bytes) std::memset(b.shared, 0xff, grid->shared_bytes);
    for (unsigned i = 0; i < threads; i++) {
        if (pool[slot].size() <= i) pool[slot].push_back(std::make_unique<Thread>());
        Thread* t = b.threads[i] = pool[slot][i].get();
        t->index = {i % block.x, i / block.x % block.y, i / block.x / block.y};
        t->linear = i;
        t->lane = i % 32;
        t->block = &b;
        t->warp = &b.warps[i / 32];
        t->live = true;
        t->in = nullptr;
        t->copies.clear();
        t->groups.clear();
        t->uncommitted = 0;
        t->fiber.start(thread_main, i);
    }
    for (size_t w = 0; w < b.warps.size(); w++) {
        const size_t lanes = std::min<size_t>(32, threads - w * 32);
        b.warps[w].lanes = b.warps[w].live = b.warps[w].ready = lanes == 32 ? ~0u : (1u << lanes) - 1;
        b.warps[w].yielded = 0;
    }
}

}  // namespace

void set_schedule(Schedule schedule) {
    chosen = schedule;
    generator.seed(schedule.seed);
}
Schedule schedule() {
    return chosen;
}

void stand_still() {
    stands_still = true;
}

cudaError_t run(dim3 g, dim3 b, size_t shared_bytes, Launch how, const std::function<void()>& thread) {
    const size_t blocks = size_t{g.x} * g.y * g.z, threads = size_t{b.x} * b.y * b.z;
    if (!blocks || !threads || threads > 1024 || b.z > 64 || g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535 ||
        shared_bytes > SHARED_LIMIT)
        return cudaErrorInvalidConfiguration;
    if (grid) std::abort();  // kernels do not launch kernels
    if (idle_collectives.empty())
        for (Collective& c : collectives) idle_collectives.push_back(&c);
    if (race_ignore) race_ignore(collectives, collectives + 1024);
    const CrashWatch watch;
    Grid state;
    grid = &state;
    state.thread = &thread;
    state.shared_bytes = shared_bytes;
    gridDim = g;
    blockDim = b;
    const bool overlaps = how == Launch::Dependent && !stands_still;
    stands_still = false;
    const size_t resident = how == Launch::Cooperative ? blocks : 1;
    state.blocks.resize(resident);
    if (pool.size() < resident) pool.resize(resident);
    for (Block& block : state.blocks)
        if (shared_bytes && posix_memalign(&block.shared, 1024, shared_bytes)) std::abort();
    std::vector<size_t> order(blocks);
    for (size_t i = 0; i < blocks; i++) order[i] = chosen.order == Order::Reverse ? blocks - 1 - i : i;
    if (chosen.order == Order::Random) std::shuffle(order.begin(), order.end(), generator);

    for (size_t first = 0; first < blocks; first += resident) {
        for (size_t slot = 0; slot < resident; slot++) {
            Block& block = state.blocks[slot];
            const size_t i = order[first + slot];
            block.index = {unsigned(i % g.x), unsigned(i / g.x % g.y), unsigned(i / g.x / g.y)};
            block.number = static_cast<unsigned>(first + slot);
            start_block(block, slot, b, threads);
        }
        const NewLaunch launch = first != 0 ? NewLaunch::No : overlaps ? NewLaunch::Overlapping : NewLaunch::Ordered;
        if (race_begin) race_begin(static_cast<unsigned>(first), static_cast<unsigned>(resident), launch);
        if (traffic_begin)
            traffic_begin(static_cast<unsigned>(first), static_cast<unsigned>(resident),
                          static_cast<unsigned>(threads));
        run_resident();
        if (traffic_end) traffic_end(first + resident == blocks);
    }
    if (how == Launch::Dependent && !state.waited)
        fail({"kernel launch", 0}, "a dependent launch whose kernel never called grid_dependency_wait()");
    for (Block& block : state.blocks) std::free(block.shared);
    grid = nullptr;
    counters.launches++;
    counters.blocks += blocks;
    counters.threads += blocks * threads;
    return cudaSuccess;
}

// --- what kernels call ------------------------------------------------------------------------------------------

void fail(Site site, const char* format, ...) {
    std::fprintf(stderr, "emulator: ");
    va_list arguments;
    va_start(arguments, format);
    std::vfprintf(stderr, format, arguments);
    va_end(arguments);
    std::fprintf(stderr, "\n  at %s:%d\n", site.file, site.line);
    std::abort();
}

void set_counting(bool on) {
    counting = on;
}
void* dynamic_shared() {
    return current->block->shared;
}
bool in_shared(const void* p) {
    const char* c = static_cast<const char*>(p);
    return c >= place.shared && c < place.shared_end;
}
unsigned lane() {
    return current->lane;
}

void yield(Site site) {
    current->warp->yielded |= 1u << current->lane;
    suspend("a spin", site, true);
}
void atomic(void* p, size_t bytes) {
    if (race_atomic) race_atomic(p, bytes, __builtin_return_address(0));
}

int barrier(int id, int threads, Vote vote, int predicate, Site site) {
    Thread* t = current;
    Barrier& barrier = t->block->barriers[id];
    if (barrier.waiting.empty()) {
        barrier.site = site;
        barrier.count = static_cast<unsigned>(threads);
    } else if (id == 0 && (barrier.site.line != site.line || differ(barrier.site.file, site.file))) {
        fail(site, "divergent __syncthreads(): another thread of the block is in the one at %s:%d", barrier.site.file,
             barrier.site.line);
    } else if (barrier.count != static_cast<unsigned>(threads)) {
        fail(site, "barrier %d for %d threads: another thread said %u at %s:%d", id, threads, barrier.count,
             barrier.site.file, barrier.site.line);
    }
    barrier.votes += predicate != 0;
    barrier.waiting.push_back(t);
    release_if_full(barrier, threads ? static_cast<unsigned>(threads) : t->block->live);
    suspend("a barrier", site);
    switch (vote) {
        case Vote::Any:
            return t->votes != 0;
        case Vote::All:
            return t->votes == t->voters;
        case Vote::Count:
            return static_cast<int>(t->votes);
        case Vote::None:
            break;
    }
    return 0;
}

void grid_barrier(Site site) {
    if (grid->blocks.size() < size_t{gridDim.x} * gridDim.y * gridDim.z)
        fail(site, "grid_sync() needs a cooperative launch");
    grid->barrier.waiting.push_back(current);
    release_if_full(grid->barrier, live_threads());
    suspend("grid_sync()", site);
}

void dependency_wait() {
    grid->waited = true;
    if (race_dependency_wait) race_dependency_wait(warp_number(current->block, current->linear / 32), current->lane);
}

Collected collect(unsigned mask, const void* value, size_t bytes, const char* operation, Site site,
                  void (*combine)(Slot*)) {
    Thread* t = current;
    Warp* w = t->warp;
    const unsigned bit = 1u << t->lane;
    if (!(mask & bit)) fail(site, "%s: the calling lane %u is not in the mask %08x", operation, t->lane, mask);
    Collective* c = nullptr;
    for (Collective* open : w->open) {
        if (open->complete || !(open->mask & mask)) continue;
        if (open->mask != mask || differ(open->operation, operation) || open->site.line != site.line)
            fail(site, "%s mask %08x, while other lanes of the warp are in %s mask %08x at %s:%d", operation, mask,
                 open->operation, open->mask, open->site.file, open->site.line);
        c = open;
    }
    if (!c) {
        if (idle_collectives.empty()) fail(site, "too many warp collectives under way");
        c = idle_collectives.back();
        idle_collectives.pop_back();
        w->open.push_back(c);
        c->mask = mask;
        c->arrived = c->left = 0;
        c->operation = operation;
        c->site = site;
        c->combine = combine;
        c->complete = false;
    }
    if (bytes == sizeof(uint32_t))
        std::memcpy(c->slots[t->lane].bytes, value, sizeof(uint32_t));
    else
        std::memcpy(c->slots[t->lane].bytes, value, bytes);
    c->arrived |= bit;
    t->in = c;
    complete_if_full(w, c);
    suspend(operation, site);
    return {c->slots, c->arrived};
}

void leave() {
    Thread* t = current;
    Collective* c = t->in;
    t->in = nullptr;
    c->left |= 1u << t->lane;
    if (c->left != c->arrived) return;
    auto& open = t->warp->open;
    *std::find(open.begin(), open.end(), c) = open.back();
    open.pop_back();
    idle_collectives.push_back(c);
}

void sync_warp(unsigned mask, Site site) {
    collect(mask, &mask, 0, "__syncwarp", site, nullptr);
    leave();
}

void async_issue(AsyncCopy copy) {
    if (copy.from) counters.async_bytes += copy.bytes;
    current->copies.push_back(copy);
    current->uncommitted++;
}
void async_commit() {
    current->groups.push_back(current->uncommitted);
    current->uncommitted = 0;
}
bool async_pending(int groups_left_open) {
    auto& groups = current->groups;
    while (!groups.empty() && groups.front() == 0) groups.pop_front();
    return groups.size() > static_cast<size_t>(groups_left_open);
}
AsyncCopy async_take() {
    Thread* t = current;
    const AsyncCopy copy = t->copies.front();
    t->copies.pop_front();
    t->groups.front()--;
    return copy;
}

}  // namespace emu
}  // namespace leon::cuda_emulated
