// A fiber: a stack of its own, and a switch that costs fourteen instructions.
//
// A fiber that waits hands over to the next one directly: its callers' return addresses are those that the processor
// has just predicted, since the threads of a warp stand in the same functions. Over the scheduler, each would be
// missed.
//
// On x86-64 the switch is written by hand; elsewhere, or with -DEMU_UCONTEXT, ucontext does it, ten times slower. Below
// each stack lies a page that traps. Sanitizers are told of every switch.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) || defined(EMU_UCONTEXT)
#include <ucontext.h>
#endif

namespace leon::cuda_emulated::emu {

constexpr size_t STACK_BYTES = 256 << 10;

#if defined(__x86_64__) && !defined(EMU_UCONTEXT)
using Context = void*;  // the saved stack pointer
#else
using Context = ucontext_t;
#endif

class Fiber {
public:
    // Ready to run entry() from its beginning; `colour` staggers the stacks, which would share cache sets otherwise.
    void start(void (*entry)(), unsigned colour);
    void resume();                          // from the scheduler, until a fiber hands over to null
    void suspend(Fiber* next);              // from this fiber: hands over to the next one, or (null) to the scheduler
    [[noreturn]] void finish(Fiber* next);  // the last suspend()
    static void entered();                  // the first thing entry() does
    const char* stack() const { return stack_; }

private:
    Context context_{};
    char* stack_ = nullptr;
    void* fake_stack_ = nullptr;  // AddressSanitizer's
};

}  // namespace leon::cuda_emulated::emu
