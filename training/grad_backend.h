// The table of gradients that goes with a backend of kernels.
#pragma once

#include "training/grad_kernels.h"

namespace leon {

enum class Products;  // training/recipe.h

// reference or the CPU's, any variant; Error for a device, which does not train.
const GradKernels& grad_backend(const Kernels& kernels, Products products);

}  // namespace leon
