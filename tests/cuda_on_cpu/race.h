// What the scheduler tells the race detector (race.cpp), which only the instrumented build links.
#pragma once

#include <cstddef>
#include <cstdint>

namespace leon::cuda_emulated::emu {

struct Place {  // the CUDA thread that is running
    bool active = false;
    unsigned block = 0, thread = 0;  // block: its number in the order of execution
    const char *stack = nullptr, *stack_end = nullptr, *shared = nullptr, *shared_end = nullptr;
};
extern Place place;
extern uint32_t race_time;  // grows whenever another thread runs

// Whether a set of resident blocks is the first of its launch, and whether the launches before may still be running.
enum class NewLaunch { No, Ordered, Overlapping };

// A warp is numbered (block - first resident block) * 32 + its number in the block.
[[gnu::weak]] void race_begin(unsigned first_block, unsigned resident_blocks, NewLaunch launch);
[[gnu::weak]] void race_join(const unsigned* warps, size_t count);  // these met at a barrier
[[gnu::weak]] void race_sync_warp(unsigned warp);
[[gnu::weak]] void race_dependency_wait(unsigned warp, unsigned lane);
[[gnu::weak]] void race_atomic(void* p, size_t bytes, void* pc);  // the running thread acquires and releases *p
[[gnu::weak]] void race_ignore(const void* begin, const void* end);
[[gnu::weak]] int race_reports();

}  // namespace leon::cuda_emulated::emu
