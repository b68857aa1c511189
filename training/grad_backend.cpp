#include "training/grad_backend.h"

#include <algorithm>

#include "training/recipe.h"

namespace leon {

// By the function that allocates: a table that was copied, to be renamed or measured, has it, too.
bool in_host_memory(const Kernels& kernels) {
    const std::span<const Kernels* const> variants = cpu_variants();
    return kernels.allocate == reference_kernels().allocate ||
           std::any_of(variants.begin(), variants.end(),
                       [&](const Kernels* k) { return kernels.allocate == k->allocate; });
}

const GradKernels& grad_backend(const Kernels& kernels, Products products) {
    const bool bf16 = products == Products::BFloat16;
    if (&kernels == &reference_kernels()) return bf16 ? reference_bf16_grad_kernels() : reference_grad_kernels();
    if (in_host_memory(kernels)) return bf16 ? cpu_bf16_grad_kernels() : cpu_grad_kernels();
    CHECK(&kernels == cuda_kernels());
    return bf16 ? *cuda_bf16_grad_kernels() : *cuda_grad_kernels();
}

}  // namespace leon
