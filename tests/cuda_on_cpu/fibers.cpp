// Fibers; see fibers.h. Never compiled with sanitizers, which are called through weak references instead.
#include "tests/cuda_on_cpu/fibers.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

extern "C" {
[[gnu::weak]] void __sanitizer_start_switch_fiber(void**, const void*, size_t);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void*, const void**, size_t*);
}

namespace leon::cuda_emulated::emu {
namespace {

Context scheduler;
const void* scheduler_stack;
size_t scheduler_stack_bytes;
bool from_scheduler;  // was the last switch

#if defined(__x86_64__) && !defined(EMU_UCONTEXT)

// Saves what a callee must preserve, swaps stacks, restores. The return address does the rest.
extern "C" void leon_emulator_switch(Context* from, Context to);
asm(R"(
.text
.globl leon_emulator_switch
.type leon_emulator_switch,@function
leon_emulator_switch:
    pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
    ret
.size leon_emulator_switch,.-leon_emulator_switch
)");
void switch_context(Context* from, Context& to) {
    leon_emulator_switch(from, to);
}
void prepare(Context& context, char* stack, size_t bytes, void (*entry)()) {
    void** top = reinterpret_cast<void**>(stack + bytes) - 1;  // entry() begins with rsp = 8 mod 16, as after a call
    *--top = reinterpret_cast<void*>(entry);
    context = top - 6;
    std::memset(context, 0, 6 * sizeof *top);
}

#else

void switch_context(Context* from, Context& to) {
    swapcontext(from, &to);
}
void prepare(Context& context, char* stack, size_t bytes, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = bytes;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
}

#endif

}  // namespace

void Fiber::start(void (*entry)(), unsigned colour) {
    if (!stack_) {
        const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        void* memory = mmap(nullptr, STACK_BYTES + page, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE)) {
            std::perror("emulator: memory for a stack");
            std::abort();
        }
        stack_ = static_cast<char*>(memory) + page;
    }
    prepare(context_, stack_, STACK_BYTES - colour % 61 * 64, entry);
}

void Fiber::resume() {
    void* fake = nullptr;
    if (__sanitizer_start_switch_fiber) __sanitizer_start_switch_fiber(&fake, stack_, STACK_BYTES);
    from_scheduler = true;
    switch_context(&scheduler, context_);
    if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
}

void Fiber::entered() {
    if (!__sanitizer_finish_switch_fiber) return;
    const void* stack;
    size_t bytes;
    __sanitizer_finish_switch_fiber(nullptr, &stack, &bytes);
    if (!from_scheduler) return;
    scheduler_stack = stack;
    scheduler_stack_bytes = bytes;
}

void Fiber::suspend(Fiber* next) {
    if (__sanitizer_start_switch_fiber)
        __sanitizer_start_switch_fiber(&fake_stack_, next ? next->stack_ : scheduler_stack,
                                       next ? STACK_BYTES : scheduler_stack_bytes);
    from_scheduler = false;
    switch_context(&context_, next ? next->context_ : scheduler);
    if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
}

void Fiber::finish(Fiber* next) {
    if (__sanitizer_start_switch_fiber)
        __sanitizer_start_switch_fiber(nullptr, next ? next->stack_ : scheduler_stack,
                                       next ? STACK_BYTES : scheduler_stack_bytes);
    from_scheduler = false;
    switch_context(&context_, next ? next->context_ : scheduler);
    std::abort();  // nobody resumes it
}

}  // namespace leon::cuda_emulated::emu
