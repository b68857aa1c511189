// Products with up to 16 rows on the left (decoding), all of them from one reading of the weight.
#pragma once

#include "kernels/cuda/launchers.h"

namespace leon::LEON_CUDA {

constexpr int FEW_ROWS = 16;

enum class Store { Assign, Accumulate };

// out = x * weight^T, or out += it, for 1 to FEW_ROWS rows of x.
void few_rows(Tensor out, Tensor x, Tensor weight, Store store);

}  // namespace leon::LEON_CUDA
