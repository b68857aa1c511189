// The table of gradients that goes with a backend of kernels.
#pragma once

#include "training/grad_kernels.h"

namespace leon {

enum class Products;  // training/recipe.h

// Of the reference, of the CPU, whichever variant, and of the GPU.
const GradKernels& grad_backend(const Kernels& kernels, Products products);

// Whether the host can read and write what these kernels allocate, at any time.
bool in_host_memory(const Kernels& kernels);

}  // namespace leon
