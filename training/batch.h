// One batch of training: tokens of documents that stand side by side, and what is to be learnt from each.
#pragma once

#include <cstdint>
#include <vector>

namespace leon {

constexpr int32_t NO_TARGET = -1;

// Documents do not see one another: starts says where each begins. Where a stream of documents is packed into blocks
// (the paper's way), a block is one document.
struct PackedBatch {
    std::vector<int32_t> tokens, position;  // [rows]
    std::vector<int32_t> targets;           // [rows] the token that follows, or NO_TARGET
    std::vector<float> weights;             // [rows] of the targets' losses
    std::vector<int32_t> starts = {0};      // [documents + 1], rising from 0 to rows

    int rows() const { return static_cast<int>(tokens.size()); }
    int documents() const { return static_cast<int>(starts.size()) - 1; }
};

}  // namespace leon
