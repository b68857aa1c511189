// What the model thinks of tokens that are given: log p of a continuation behind its prompt, teacher-forced.
//
//   log_probabilities(config, weights, kernels, {{picture_and_question, answer}})[0]   // one number a token of answer
//
// Nothing is drawn, so all rows of a text go through the network together, as in a prefill, and logits are computed
// only for the rows in front of a continuation's tokens. Several texts are scored as one: what all of them begin with
// is computed once, and short ones share a batch, so that the weights are read once for all. This is what an answer's
// probability, a choice among given answers and re-ranking by log p(caption | picture) are made of.
//
// log p is that of the plain softmax: no temperature, no guidance, no cuts.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "runtime/transformer.h"

namespace leon {

// Not empty: prompt. Together at most one token more than the context: the last token is judged, but never read.
struct Continuation {
    std::vector<int32_t> prompt, tokens;
};

struct ScoreOptions {
    // Inclusive ranges of the ids that the softmax runs over, as for a run that may draw no others; in any order;
    // empty: the whole vocabulary. A token outside has probability 0, log p = -inf.
    std::vector<std::pair<int32_t, int32_t>> allowed;
    DType cache_dtype = DType::F32;  // f32, bf16, f16 or i8
};

// For each text the natural logarithm of p(token | prompt and the tokens before) of each of its tokens. Error if a
// prompt is empty, if a text does not fit into the context, or if the model produces NaN. All ids must be within the
// vocabulary (CHECKed).
std::vector<std::vector<double>> log_probabilities(const TransformerConfig& config, const TransformerWeights& weights,
                                                   const Kernels& kernels, std::span<const Continuation> texts,
                                                   const ScoreOptions& options = {});

// Of one text.
std::vector<double> log_probabilities(const TransformerConfig& config, const TransformerWeights& weights,
                                      const Kernels& kernels, const std::vector<int32_t>& prompt,
                                      const std::vector<int32_t>& continuation, const ScoreOptions& options = {});

}  // namespace leon
