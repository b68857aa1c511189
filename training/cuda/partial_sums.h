// Sums over many rows in an order that shapes alone decide: every part of the rows has a row of sums in the workspace,
// and one more launch adds these.
//
//   rows   | part 0 | part 1 | ... |      a block each, its warps' sums added in their order
//   sums   [parts, stride]               then out[i] += sums[0][i] + sums[1][i] + ...
#pragma once

#include <algorithm>

#include "training/cuda/launchers.h"

namespace leon::LEON_CUDA::grad {

constexpr int MOST_PARTS = 528;  // four blocks for each multiprocessor of an H100: not asked for, since it decides sums

// How many rows a part has, at least `least`, so that the parts' sums of `stride` floats fit into the workspace.
inline int64_t rows_of_part(int64_t rows, int64_t least, int64_t stride) {
    const int64_t room = static_cast<int64_t>(WORKSPACE_BYTES / sizeof(float)) / stride;
    return std::max(least, divide_up(rows, std::min<int64_t>(MOST_PARTS, room)));
}

// out[i] += the sum over p of sums[p * stride + i], i < count.
void add_partial_sums(float* out, const float* sums, int parts, int64_t stride, int64_t count);

}  // namespace leon::LEON_CUDA::grad
