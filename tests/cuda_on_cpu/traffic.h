// The traffic to memory as a GPU would see it: by warp and instruction, not by thread and byte. Only the instrumented
// build (race.cpp) links traffic.cpp; the counts go to emu::counters.
//
// A GPU executes a load or a store for the 32 lanes of a warp at once, as one request. Here the lanes run one after the
// other, so their accesses are put together again: the n-th execution of an instruction by each lane since all lanes of
// the warp last met (in a barrier or a collective of the whole warp) is one request. An instruction is its address in
// the program together with the calls that led to it. So the counts do not depend on the schedule.
//
//   global memory   A request touches sectors of 32 bytes, the unit in which caches and memory move data. 32 lanes that
//                   read adjacent floats touch 4 sectors; a column of a matrix touches 32.
//   shared memory   32 banks of 4 bytes. Lanes that want different words of one bank wait for each other: the request
//                   takes as many wavefronts as the busiest bank has words. Accesses of 8 bytes go by half warps, of 16
//                   bytes (ldmatrix, too) by quarter warps, each at least one wavefront; what is beyond is a conflict.
//
// What it cannot know: which sectors a cache still holds (all are counted each time; counters.footprint_sectors counts
// each once a launch, as a cache without end would), what nvcc merges, splits, hoists or spills where g++ -O1 does not,
// and time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tests/cuda_on_cpu/core.h"

namespace leon::cuda_emulated::emu {

extern bool counting;  // false while Uncounted

enum class Space { Global, Shared };

// The running thread accesses memory at `pc`.
void traffic_access(Space space, Direction direction, const void* p, size_t bytes, uintptr_t pc);

// The running thread enters a function that was called from `pc`, and leaves it.
void traffic_call(uintptr_t pc);
void traffic_return();

// Called by the scheduler. Warps are numbered as in race.h.
[[gnu::weak]] void traffic_begin(unsigned first_block, unsigned resident_blocks, unsigned threads);
[[gnu::weak]] void traffic_meet(unsigned warp);  // all of its lanes that still run are here
[[gnu::weak]] void traffic_end(bool launch_is_over);

}  // namespace leon::cuda_emulated::emu
