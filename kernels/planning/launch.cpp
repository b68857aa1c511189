// The time of a launch: the longest of its streams of work, after the waits that nothing hides; see launch.h.
#include "kernels/planning/launch.h"

#include <algorithm>

namespace leon {
namespace {

double peak_of(Unit unit, const Machine& m) {
    switch (unit) {
        case Unit::Half:
            return m.half_peak * TENSOR_SHARE;
        case Unit::Tf32:
            return m.tf32_peak * TENSOR_SHARE;
        case Unit::Float:
        case Unit::None:
            break;
    }
    return m.float_peak * FLOAT_SHARE;
}

// Blocks of this size that fit onto one multiprocessor. Registers are left out: kernels that need many of them are
// bound by arithmetic, where one block keeps a multiprocessor busy.
int64_t resident_blocks(const Launch& l, const Machine& m) {
    int64_t blocks = l.threads > 0 ? m.threads / l.threads : 1;
    if (l.shared_bytes > 0) blocks = std::min<int64_t>(blocks, m.shared_bytes / l.shared_bytes);
    return std::clamp<int64_t>(blocks, 1, 32);
}

}  // namespace

const char* name_of(Bound bound) {
    switch (bound) {
        case Bound::Memory:
            return "memory";
        case Bound::L2:
            return "L2";
        case Bound::Arithmetic:
            return "arithmetic";
        case Bound::Instructions:
            return "instructions";
        case Bound::Latency:
            break;
    }
    return "latency";
}

double memory_bytes(const Launch& l, const Machine& m) {
    double bytes = l.weight_bytes;
    for (double activations : {l.input_bytes, l.output_bytes})
        if (activations > m.l2_bytes / 2) bytes += activations;
    return bytes;
}

LaunchTime time_of(const Launch& l, const Machine& m) {
    const double blocks = static_cast<double>(std::max<int64_t>(l.blocks, 1));
    const int64_t resident = resident_blocks(l, m);
    const double at_once = std::min(blocks, static_cast<double>(m.multiprocessors * resident));

    // Little's law: a stream is no faster than what is under way, divided by how long it is.
    double bandwidth = m.memory_bandwidth * READABLE_SHARE;
    if (l.in_flight_bytes > 0) bandwidth = std::min(bandwidth, at_once * l.in_flight_bytes / MEMORY_SECONDS);
    const double memory = memory_bytes(l, m) / bandwidth;
    const double l2 = (l.l2_bytes > 0 ? l.l2_bytes : l.load_bytes + l.store_bytes) / m.l2_bandwidth;

    // The multiprocessor with the most blocks decides.
    const int64_t most_blocks = (l.blocks + m.multiprocessors - 1) / m.multiprocessors;
    const double arithmetic =
        static_cast<double>(most_blocks) * l.flops / blocks / (peak_of(l.unit, m) / m.multiprocessors);

    const double issue = l.instructions / (4 * ISSUE_SHARE * m.clock * m.multiprocessors);

    const double waves = std::max(1.0, blocks / at_once);
    const double barriers = static_cast<double>(l.barriers) / blocks * waves * BARRIER_SECONDS;
    const double first = memory_bytes(l, m) > 0 && l.ahead_bytes == 0 ? MEMORY_SECONDS : L2_SECONDS;
    const double waits = (l.early ? EARLY_GAP_SECONDS : GRAPH_GAP_SECONDS) +
                         (l.trips > 0 ? first + (l.trips - 1) * L2_SECONDS : 0) +
                         static_cast<double>(l.grid_barriers) * GRID_BARRIER_SECONDS;

    // What was asked for before the predecessor ended streams in while the rest is waited for.
    const double rest = std::max(0.0, memory - l.ahead_bytes / bandwidth);
    const double work = std::max({rest, l2, arithmetic, issue, barriers}), seconds = std::max(waits + work, memory);
    LaunchTime time{seconds, Bound::Latency};
    const double longest = std::max({memory, l2, arithmetic, issue});
    if (longest > seconds / 2)
        time.bound = longest == memory       ? Bound::Memory
                     : longest == l2         ? Bound::L2
                     : longest == arithmetic ? Bound::Arithmetic
                                             : Bound::Instructions;
    return time;
}

}  // namespace leon
