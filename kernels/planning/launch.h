// What one launch of a kernel asks of a GPU, and how long that takes on a given one.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/planning/machine.h"

namespace leon {

// Where the arithmetic is done.
enum class Unit { None, Float, Half, Tf32 };

struct Launch {
    const char* kernel = "";  // its name in kernels/cuda
    int64_t blocks = 1;
    int threads = 0, shared_bytes = 0;  // of a block

    // Bytes that the operation must read or write at least once. Weights and the key-value cache come from memory; an
    // activation does if it is larger than half the L2, since the kernel before has just written it.
    double weight_bytes = 0, input_bytes = 0, output_bytes = 0;
    double load_bytes = 0, store_bytes = 0;  // that its instructions ask global memory for
    double l2_bytes = 0;                     // of these, what the L1 does not serve; 0: all

    Unit unit = Unit::None;
    double flops = 0;            // every term of a product of split numbers counts
    double instructions = 0;     // of all warps together, where they may take longer than the bytes; 0: not counted
    int64_t barriers = 0;        // of all blocks together
    int64_t grid_barriers = 0;   // of the whole grid
    int trips = 1;               // loads that a block must wait for one after another before its stream of data flows
    double in_flight_bytes = 0;  // that a block keeps under way; 0: as many as the memory takes
    bool early = false;          // launched before its predecessor has ended, and waits for that inside
    double ahead_bytes = 0;      // early: of its weights, what it asks for before it waits
};
using Launches = std::vector<Launch>;

enum class Bound { Memory, L2, Arithmetic, Instructions, Latency };
const char* name_of(Bound bound);

struct LaunchTime {
    double seconds;  // from the end of the launch before it to its own end
    Bound bound;     // what takes most of it
};

LaunchTime time_of(const Launch& launch, const Machine& m);

// Bytes of `launch` that come from or go to memory rather than the L2.
double memory_bytes(const Launch& launch, const Machine& m);

}  // namespace leon
