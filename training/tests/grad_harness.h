// How the tables of GradKernels are held to the definition: the cases of test_grad_kernels.cpp run on the reference and
// on every other table, on the CPU with one, two and three threads, on the emulated GPU with the threads scheduled
// forward, in reverse and at random. Tables of bf16 are held to the reference over rounded operands.
// Arrays stand between guards (tests/kernel_harness.h); outputs that are assigned begin as NaN, and those that
// accumulate begin as numbers, so the law of gradients is part of every comparison.
#pragma once

#include "training/grad_kernels.h"

#include "tests/kernel_harness.h"

namespace leon {

// One call with its data, ready for any table. Results come in an order that is the same every time.
struct GradCase {
    const char* operation;
    std::string what;
    std::function<std::vector<Tensor>(const GradKernels&, Memory&)> call;
    double scale = 1;  // of a typical element of the results
};

void hold(const std::vector<GradCase>& cases);

// A table and the kernels whose memory it works on.
struct GradTable {
    const Kernels* kernels;
    const GradKernels* grads;

    bool is_bf16() const { return std::string_view(grads->name).find("bf16") != std::string_view::npos; }
};

// All of this machine but the definitions, GPUs and the emulated one, too; or those whose kernels the variable
// LEON_TEST_BACKEND names (tests/kernel_harness.h). Says once if the machine lacks what AMX needs.
std::vector<GradTable> grad_tables();

// Ways to run a table that must not show in the results; the last one leaves everything as it was.
struct GradWay {
    std::string name;
    std::function<void()> choose;
};
std::vector<GradWay> ways(const GradTable& table);

}  // namespace leon
