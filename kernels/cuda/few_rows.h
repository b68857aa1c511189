// Products with up to 16 rows on the left (decoding), all of them from one reading of the weight; see few_rows.cu.
#pragma once

#include "kernels/cuda/launchers.h"

namespace leon::LEON_CUDA {

constexpr int FEW_ROWS = 16;

enum class Store { Assign, Accumulate };

// out = x * weight^T, or out += it, for 1 to FEW_ROWS rows of x.
void few_rows(Tensor out, Tensor x, Tensor weight, Store store);

// project_qkv() and feed_forward() for 1 to FEW_ROWS rows of x, each in one launch.
void few_rows_qkv(Tensor q, Tensor k, Tensor v, Tensor x, const QkvWeights& weights);
void few_rows_feed_forward(Tensor out, Tensor x, const FeedForwardWeights& weights);

}  // namespace leon::LEON_CUDA
