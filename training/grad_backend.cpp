#include "training/grad_backend.h"

#include <algorithm>

#include "training/recipe.h"

namespace leon {

const GradKernels& grad_backend(const Kernels& kernels, Products products) {
    const bool bf16 = products == Products::BFloat16;
    if (&kernels == &reference_kernels()) return bf16 ? reference_bf16_grad_kernels() : reference_grad_kernels();
    const std::span<const Kernels* const> variants = cpu_variants();
    if (std::find(variants.begin(), variants.end(), &kernels) != variants.end())
        return bf16 ? cpu_bf16_grad_kernels() : cpu_grad_kernels();
    throw Error(std::string("'") + kernels.name + "' computes no gradients", "--backend", "use cpu or reference");
}

}  // namespace leon
