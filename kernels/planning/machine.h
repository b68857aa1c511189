// What a GPU offers to the performance model, as data: each figure stands beside its source in machine.cpp.
//
//   const Machine& h200 = machine("h200");   // also "sm_90", "h100", "b200", "4090", "a100", ...
//
// And what the model assumes about all of them alike. None of it was measured by us: where no GPU is at hand, a plan is
// arithmetic on published figures, and it prints them with every result.
#pragma once

#include <span>
#include <string>

namespace leon {

struct Machine {
    const char* name;          // "H200"
    const char* option;        // "h200"
    const char* architecture;  // "sm_90", "" if another machine is the default of its architecture
    int multiprocessors;
    double clock;               // hertz, the one that the peaks below are told for
    int threads, shared_bytes;  // of one multiprocessor, at most
    double memory_bytes;        // that fit into it
    double memory_bandwidth;    // bytes a second, as on the data sheet
    double l2_bytes, l2_bandwidth;
    double float_peak;   // operations a second (a multiply-add is two), float32 outside the tensor cores
    double half_peak;    // bf16 or f16 with float32 sums by mma.sync, which these kernels use
    double tf32_peak;    // the same for tf32
    const char* source;  // of the figures
};

// Error naming those that there are for any other name.
const Machine& machine(const std::string& option);
std::span<const Machine> machines();

// --- assumptions, the same for every machine --------------------------------------------------------------------

// Of the data sheet's bandwidth, what a kernel that only reads can get: refresh and row changes take the rest. Copies
// measured on H100 (3.0 to 3.1 of 3.35 TB/s) say 0.90 to 0.93.
constexpr double READABLE_SHARE = 0.92;
// Of the peak of mma.sync, what a tiled kernel gets beside its loads from shared memory, barriers and the epilogue.
constexpr double TENSOR_SHARE = 0.75;
constexpr double FLOAT_SHARE = 0.70;  // and of the peak outside the tensor cores
// Of the four instructions a clock that a multiprocessor can issue, what a loop of loads, conversions and products
// gets.
constexpr double ISSUE_SHARE = 0.90;
constexpr double MEMORY_SECONDS = 0.70e-6;   // until a load from memory comes back, on a machine that is busy
constexpr double L2_SECONDS = 0.27e-6;       // and one from the L2
constexpr double BARRIER_SECONDS = 0.02e-6;  // until a block is past a barrier at which all its threads have arrived
constexpr double GRID_BARRIER_SECONDS = 1.0e-6;
// From the end of one kernel to the first instruction of the next: by a graph's own edges, and where the next one was
// launched early (programmatic dependent launch) and waits in griddepcontrol.wait.
constexpr double GRAPH_GAP_SECONDS = 1.3e-6;  // measured on H100 by HazyResearch, "Look Ma, No Bubbles"
constexpr double EARLY_GAP_SECONDS = 0.6e-6;
constexpr double HOST_LAUNCH_SECONDS = 2.5e-6;  // of the host's time for a launch outside a graph
constexpr double GRAPH_LAUNCH_SECONDS = 6e-6;   // of the host's time for a whole graph, hidden behind the one before it
constexpr double HOST_WAIT_SECONDS = 10e-6;     // a copy to or from the host that is waited for
constexpr double HOST_BANDWIDTH = 25e9;         // bytes a second between host and device, PCIe 4 x16

}  // namespace leon
