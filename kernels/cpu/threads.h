// The threads of the CPU backend, and the scratch memory of an operation.
//
// parallel(count, body) calls body(index, worker) once for every index below count, on the calling thread and on a pool
// of persistent workers that starts with the first use. Indices are handed out one at a time by an atomic counter, so a
// thread that the system slows down simply takes fewer. Which thread computes an index never changes its result.
//
// 2026-11-23, two cores of an AMD EPYC (Zen 5): a job of nothing costs 0.36 microseconds, the median of 20,000.
//
// Two operations at the same time, or one within the body of another, are correct: the later runs on its caller alone.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace leon {

using ThreadTask = void (*)(void* context, int64_t index, int worker);

// The type-erased form of parallel(). count <= 1 wakes nobody.
void run_tasks(int64_t count, ThreadTask task, void* context);

// body(int64_t index, int worker), with 0 <= worker < cpu_workers(); worker 0 is the caller.
template <class Body>
void parallel(int64_t count, Body body) {
    ThreadTask call = [](void* context, int64_t index, int worker) { (*static_cast<Body*>(context))(index, worker); };
    run_tasks(count, call, &body);
}

// How many different values `worker` may take: what per-worker scratch is multiplied by.
int cpu_workers();

// Scratch memory of the calling thread, 64-byte aligned, contents undefined, valid until its next call. It grows to the
// largest request and stays, so that a forward pass allocates only while it warms up.
void* scratch(size_t bytes);
float* scratch_floats(int64_t count);

}  // namespace leon
