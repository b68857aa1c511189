// The pool behind parallel(): see threads.h.
//
// Who owns what: the thread that holds run_mutex owns the job. It publishes the job by storing `open` (a fresh number),
// takes indices itself like everybody else, stores 0 when none is left, and then waits until nobody is `inside`. A
// worker counts itself inside before it reads `open`; so either it sees the job closed, or the owner sees it inside.
// A worker that sleeps through a whole job is therefore never waited for.
//
// Idle workers spin for SPIN_TIME, long enough to bridge the small serial steps of a forward pass, then sleep.
#include "kernels/cpu/threads.h"

#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cpu/memory.h"
#include "kernels/kernels.h"

namespace leon {
namespace {

constexpr int MAX_THREADS = 1024;
constexpr auto SPIN_TIME = std::chrono::microseconds(50);
constexpr int PAUSES_PER_LOOK = 32;  // between two looks at the clock

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Returns as soon as done() holds, or false after SPIN_TIME.
template <class Done>
bool spin_until(Done done) {
    auto start = std::chrono::steady_clock::now();
    do {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            if (done()) return true;
            pause();
        }
    } while (std::chrono::steady_clock::now() - start < SPIN_TIME);
    return false;
}

thread_local bool in_a_job = false;  // this thread is within a body of parallel()

class Pool {
public:
    ~Pool() { stop(); }

    void run(int64_t count, ThreadTask task, void* context) {
        std::unique_lock<std::mutex> owner(run_mutex, std::defer_lock);
        if (in_a_job || !owner.try_lock() || workers_wanted() == 1) {
            for (int64_t i = 0; i < count; i++) task(context, i, 0);
            return;
        }
        if (threads.empty()) start();
        job_task = task, job_context = context, job_count = count;
        next.store(0, std::memory_order_relaxed);
        uint32_t number = ++jobs == 0 ? ++jobs : jobs;  // 0 means closed
        open.store(number);
        open.notify_all();
        take(0);
        open.store(0);
        if (!spin_until([&] { return inside.load() == 0; }))
            for (int now; (now = inside.load()) != 0;) inside.wait(now);
    }

    int workers_wanted() {
        int n = wanted.load(std::memory_order_relaxed);
        if (n == 0) wanted.store(n = processors());
        return n;
    }

    void set(int n) {
        std::unique_lock<std::mutex> owner(run_mutex);
        stop();
        wanted.store(n);
    }

private:
    // Processors that this process may use: the affinity mask, as containers and taskset narrow it.
    static int processors() {
        cpu_set_t set;
        if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
        int n = static_cast<int>(std::thread::hardware_concurrency());
        return n > 0 ? n : 1;
    }

    void start() {
        leaving = false;
        int n = workers_wanted();
        for (int worker = 1; worker < n; worker++) threads.emplace_back([this, worker] { work(worker); });
    }

    void stop() {
        leaving = true;
        open.store(++jobs == 0 ? ++jobs : jobs);
        open.notify_all();
        for (std::thread& t : threads) t.join();
        threads.clear();
        open.store(0);
    }

    void take(int worker) {
        in_a_job = true;
        for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < job_count;)
            job_task(job_context, i, worker);
        in_a_job = false;
    }

    void work(int worker) {
        uint32_t seen = 0;  // the last job that was worked on
        while (true) {
            auto something_new = [&] {
                uint32_t now = open.load(std::memory_order_relaxed);
                return now != 0 && now != seen;
            };
            if (!spin_until(something_new))
                for (uint32_t now; (now = open.load()) == 0 || now == seen;) open.wait(now);
            inside.fetch_add(1);
            uint32_t now = open.load();
            if (leaving) {
                leave();
                return;
            }
            if (now != 0 && now != seen) take(worker);
            if (now != 0) seen = now;
            leave();
        }
    }

    void leave() {
        if (inside.fetch_sub(1) == 1) inside.notify_one();
    }

    std::mutex run_mutex;
    std::vector<std::thread> threads;
    std::atomic<int> wanted{0};  // 0: not decided yet
    std::atomic<bool> leaving{false};
    ThreadTask job_task = nullptr;
    void* job_context = nullptr;
    int64_t job_count = 0;
    uint32_t jobs = 0;
    alignas(64) std::atomic<uint32_t> open{0};  // the number of the open job
    alignas(64) std::atomic<int64_t> next{0};
    alignas(64) std::atomic<int> inside{0};
};

Pool& pool() {
    static Pool the_pool;
    return the_pool;
}

struct Scratch {
    void* memory = nullptr;
    size_t bytes = 0;
    ~Scratch() { release_memory(memory); }
};

}  // namespace

void run_tasks(int64_t count, ThreadTask task, void* context) {
    if (count <= 1) {
        if (count == 1) task(context, 0, 0);
        return;
    }
    pool().run(count, task, context);
}

int cpu_workers() {
    return pool().workers_wanted();
}

int cpu_threads() {
    return cpu_workers();
}

void set_cpu_threads(int threads) {
    if (threads < 0 || threads > MAX_THREADS)
        throw Error("cannot use " + std::to_string(threads) + " threads", "",
                    "give a number from 1 to " + std::to_string(MAX_THREADS) + ", or 0 for one per processor");
    pool().set(threads);
}

void* scratch(size_t bytes) {
    thread_local Scratch mine;
    if (bytes > mine.bytes) {
        release_memory(mine.memory);
        mine.memory = nullptr, mine.bytes = 0;
        mine.memory = allocate_memory(bytes);
        mine.bytes = bytes;
    }
    return mine.memory;
}

float* scratch_floats(int64_t count) {
    return static_cast<float*>(scratch(static_cast<size_t>(count) * sizeof(float)));
}

}  // namespace leon
