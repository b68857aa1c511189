// cuBLAS as the yardstick of the products of many rows, loaded when it is first asked for; nothing is linked.
//
// It is not used by the table. Its products take two operands of one type, so x would have to be split into two of the
// weight's type first, which needs memory beside x and out, and the library allocates a workspace of its own; a
// launcher allocates nothing. The kernel of gemm.cu splits x on its way through shared memory.
#pragma once

#include "kernels/cuda/launchers.h"

namespace leon::LEON_CUDA {

// Why it cannot be used, in one line; null if it can.
const char* why_no_cublas();

// out = x * weight^T by cuBLAS, which may allocate at the first call.
//   out [rows, n] f32    x [rows, depth] f32    weight [n, depth] bf16, f16 or f32
//   halves [2, rows, depth] of the weight's type: afterwards anything; not needed for f32
// As exact as gemm(): for bf16, x is split into high + low, and both products are added in f32; for f32, without tensor
// cores. For f16, x is split into two f16, so it must keep to their range.
void cublas_matmul(Tensor out, Tensor x, Tensor weight, Tensor halves);

// The same with an x of the weight's own type (bf16 or f16): half of the work, and what others mean by cuBLAS's speed.
void cublas_matmul_rounded(Tensor out, Tensor x, Tensor weight);

}  // namespace leon::LEON_CUDA
