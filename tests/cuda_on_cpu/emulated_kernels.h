// The CUDA table, its kernels executed on this processor; see core.h.
#pragma once

#include "kernels/kernels.h"

namespace leon {

const Kernels& emulated_cuda_kernels();

}  // namespace leon
