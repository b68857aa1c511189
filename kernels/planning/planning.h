// A table that carries nothing out, but writes down what kernels/cuda would launch for each call.
//
//   Work work = work_of(machine("h200"), [&] { network.forward(cache, batch); });   // all on planning_kernels()
//   double seconds = seconds_of(work, machine("h200"));
//
// The callers are the product's own: whatever Transformer, Vqgan and generate() call is what is planned, so a plan
// cannot drift from the program. What each entry launches says kernels/planning/cost.h, which
// tests/test_planning.cpp holds to the emulated GPU's counters.
//
// Memory is real but never touched beyond what is uploaded, so models larger than this machine's memory can be planned:
// the system gives pages when they are first written. sample() draws no token, but moves the decode loop's state on as
// if it had drawn the first id of the slice, so that a recorded loop runs to its end.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/planning/launch.h"

namespace leon {

struct PlannedCall {
    const char* operation;  // the entry of the table
    bool replayed;          // as part of a recording
    Launches launches;
};

struct Work {
    std::vector<PlannedCall> calls;
    int64_t replays = 0;         // of recordings
    int64_t host_waits = 0;      // uploads, downloads and finish()
    double host_bytes = 0;       // uploaded and downloaded
    double allocated_bytes = 0;  // at the end, beyond what was there at the beginning
};

const Kernels& planning_kernels();

// What `work` makes planning_kernels() do. Not from several threads at a time.
Work work_of(const Machine& m, const std::function<void()>& work);

// Of all launches, one after the other.
double device_seconds(const Work& work, const Machine& m);

// The same, or on the host if it takes longer to launch them one by one; and what is waited for.
double seconds_of(const Work& work, const Machine& m);

// The launches of a model's pass, gathered by operation and kernel, in the order of their first appearance.
struct KernelSum {
    std::string operation, kernel;
    int64_t launches = 0, blocks = 0, barriers = 0;
    double memory_bytes = 0, load_bytes = 0, store_bytes = 0, flops = 0, seconds = 0;
    Bound bound = Bound::Latency;  // of the longest
    double longest = 0;
};
std::vector<KernelSum> by_kernel(const Work& work, const Machine& m);

}  // namespace leon
