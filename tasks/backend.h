// Backends by the name that a person types.
#pragma once

#include <string>

#include "kernels/kernels.h"

namespace leon {

// "reference", "cpu", "cuda", or one of the CPU's variants ("cpu-avx2"); Error listing what there is otherwise.
const Kernels& backend(const std::string& name);

}  // namespace leon
