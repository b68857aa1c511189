// How the tables of GradKernels are held to the definition: the cases of test_grad_kernels.cpp run on the reference and
// on every other table with one, two and three threads. Tables of bf16 are held to the reference over rounded operands.
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

// All tables of this machine but the definitions. Says once if it lacks the one for AMX.
std::vector<const GradKernels*> grad_tables();
bool is_bf16(const GradKernels& table);

}  // namespace leon
