// The softmax of a row that is seen piece by piece: one state, and one rule by which states are joined.
//
//   out = sum_j w_j v_j / sum_j w_j,   w_j = e^(score_j) = 2^(score_j * log2 e)
//
// A state holds the largest score so far, the sum of 2^(score - largest), and, wherever the row's channels lie, the sum
// of 2^(score - largest) v: nothing overflows, whatever the scores. Two states become one by shrinking each to the
// larger maximum. That is how a tile of keys joins a row (raise), how the warps of a block join, and how the blocks
// join that have each seen a part of the keys (join). Scores are in units of log2(e), so that a weight is one exp2.
#pragma once

#include "kernels/cuda/reduce.h"

namespace leon::LEON_CUDA {

constexpr float LOG2_E = 1.4426950408889634f;

// 2^(score - top), where top >= score; 0 for a score of -infinity, even if there is nothing larger.
__device__ __forceinline__ float softmax_weight(float score, float top) {
    return exp2f(score - (top == -INFINITY ? 0.0f : top));
}

struct SoftmaxState {
    float top = -INFINITY;  // the largest score
    float total = 0;        // sum of 2^(score - top)

    // Makes room for scores up to `score`. Returns the factor by which the sums over the values shrink.
    __device__ __forceinline__ float raise(float score) {
        const float higher = fmaxf(top, score), shrink = softmax_weight(top, higher);
        top = higher;
        total *= shrink;
        return shrink;
    }
};

// As it is kept in static memory of the device: a type without initial values, which would fill the binary.
__device__ __forceinline__ float2 stored(const SoftmaxState& state) {
    return make_float2(state.top, state.total);
}
__device__ __forceinline__ SoftmaxState restored(float2 state) {
    return {state.x, state.y};
}

// One channel of a row, with the row's state.
struct SoftmaxSum {
    SoftmaxState state;
    float value = 0;  // sum of 2^(score - top) v

    __device__ __forceinline__ float result() const { return value / state.total; }
};

// Joins `count` states of one row in their order, which fixes the bits of the result.
//   state_of(i), value_of(i): the i-th state, and its sum over one channel of the values
template <class StateOf, class ValueOf>
__device__ __forceinline__ SoftmaxSum join(int count, StateOf state_of, ValueOf value_of) {
    SoftmaxSum all;
    for (int i = 0; i < count; i++) all.state.top = fmaxf(all.state.top, state_of(i).top);
#pragma unroll 4
    for (int i = 0; i < count; i++) {  // loads of different states do not wait for each other
        const SoftmaxState one = state_of(i);
        const float shrink = softmax_weight(one.top, all.state.top);
        all.state.total = fmaf(one.total, shrink, all.state.total);
        all.value = fmaf(value_of(i), shrink, all.value);
    }
    return all;
}

}  // namespace leon::LEON_CUDA
