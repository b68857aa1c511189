// Every CPU table of gradients that this machine can run, the best first: for tests, which hold each to the reference.
#pragma once

#include <span>

namespace leon {

struct GradKernels;

std::span<const GradKernels* const> cpu_grad_variants();       // float32
std::span<const GradKernels* const> cpu_bf16_grad_variants();  // operands of products rounded to bf16

}  // namespace leon
