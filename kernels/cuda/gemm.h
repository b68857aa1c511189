// Products with many rows, on the tensor cores: out = x * weight^T and what the transformer does with it. For any
// number of rows, but made for more than 16; see gemm.cu for how, few_rows for fewer.
#pragma once

#include "kernels/cuda/launchers.h"

namespace leon::LEON_CUDA {

// What becomes of a sum: out = sum, out += sum, out = max(sum, 0).
enum class Ending { Assign, Accumulate, Relu };

// How much of out a block makes: 128 x 256 (128 x 128 for f32 and f16, 64 x 256 for int4), 64 x 128, or 32 x 64.
enum class GemmShape { Large, Medium, Small };

// The one that takes the least time by the estimate in gemm.cu, for n columns of all products together.
GemmShape choose_gemm_shape(DType weight, int64_t rows, int64_t n);

// out [rows, n]    x [rows, depth] f32    weight [n, depth], any weight type
void gemm(Tensor out, Tensor x, Tensor weight, Ending ending);
void gemm(Tensor out, Tensor x, Tensor weight, Ending ending, GemmShape shape);

// out = swish(x * gate^T) * (x * up^T) in one launch, no products in memory.
//   out [rows, n]    x [rows, depth] f32    gate, up [n, depth] of one type
void gemm_swiglu(Tensor out, Tensor x, Tensor gate, Tensor up);
void gemm_swiglu(Tensor out, Tensor x, Tensor gate, Tensor up, GemmShape shape);

// Three products of the same x in one launch: q = x * wq^T and so on; the weights are of one type.
void gemm_qkv(Tensor q, Tensor k, Tensor v, Tensor x, Tensor wq, Tensor wk, Tensor wv);
void gemm_qkv(Tensor q, Tensor k, Tensor v, Tensor x, Tensor wq, Tensor wk, Tensor wv, GemmShape shape);

}  // namespace leon::LEON_CUDA
