// From logits to a token, as pure functions: the mathematics of decoding, with no model and no state.
//
// A chain says what happens, in this order: `per_stream` on the logits of every stream, `mix` to one row, `ops` in
// order. compile() turns it into plain numbers for the operation `sample` of the kernels (kernels/sampling.h), which
// runs on every backend. Here the same mathematics works on plain rows: score() and draw() are the definition, in full
// sorts over the whole vocabulary; sample() is the fast path, and gives exactly the id that draw(score(...), u) gives.
//
// Laws that hold for every operation
//   excluded   An id whose logit is -inf is excluded, and stays so. An id excluded in one stream of a mix is excluded
//              from the result, whatever the scales say: no inf - inf, and no infinite winner.
//   empty      A chain can exclude every id (two streams with disjoint top-k sets). score() is then all -inf and
//              softmax() all zero; draw() and sample() throw an Error, for there is nothing to draw.
//   broken     A logit that is NaN or +inf, allowed or not, is an Error: "the model produced NaN".
//   range      Finite scores that leave the range of float stay at its end; they never turn into infinities.
//   one        A guidance whose scales are all 1 gives the bits of its first stream alone (but for `excluded`), scale 0
//              the value of the last: from + 1 * (to - from), rounded, would miss the last bits.
//   equals     Among equal logits the lowest id counts as the largest, for Greedy as for the order of top-p.
//   bits       Equal logits give equal ids on every backend: kernels/sample_math.h says how.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/random.h"
#include "kernels/sampling.h"

namespace leon {

// A visitor for the variants below out of one lambda per alternative.
template <class... Functions>
struct Overloaded : Functions... {
    using Functions::operator()...;
};
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

namespace op {
// l / t; t = 0 means Greedy.
struct Temperature {
    float t;
};
// Keep l >= the k-th largest (ties stay); k <= 0 or k >= vocab: off.
struct TopK {
    int k;
};
// The nucleus: the most probable ids up to and including the one with which their mass reaches p; never empty, p = 1 is
// off. Two sources word it differently (and differ only in rounding). Chameleon: sort ascending, drop while the
// cumulative mass <= 1 - p, the last one stays. CM3Leon: sort descending, keep while the mass before the id < p.
struct TopP {
    float p;
};
struct TopPBefore {
    float p;
};
// l < 0 ? l * penalty : l / penalty, for every id present in the sequence so far, once.
struct RepetitionPenalty {
    float penalty;
};
// Inclusive ranges, in any order; all other ids become -inf.
struct Allow {
    std::vector<std::pair<int32_t, int32_t>> ranges;
};
// These ids become -inf.
struct Forbid {
    std::vector<int32_t> ids;
};
// All mass on the first maximum.
struct Greedy {};
}  // namespace op
using SamplerOp = std::variant<op::Temperature, op::TopK, op::TopP, op::TopPBefore, op::RepetitionPenalty, op::Allow,
                               op::Forbid, op::Greedy>;

namespace mix {
// One stream.
struct None {};
// Streams (c, u): u + scale * (c - u).
struct Guidance {
    float scale;
};
// Streams (full, img, unc): unc + scale_image * (img - unc) + scale_text * (full - img).
struct Guidance3 {
    float scale_image, scale_text;
};
// Streams (c, u): log p_c - log p_u where p_c >= alpha * (k-th largest p_c), else -inf. With fewer than k ids left in
// c, or alpha = 0, every id that is left in both streams stays. p_u = softmax(u / student_temperature): above 1 the
// student knows less than it does. A temperature of the expert stands in per_stream, where it divides both streams; the
// student's own is then relative to it.
// k = 1 is contrastive decoding as first published (Li et al., arXiv 2210.15097), with its amateur temperature; k > 1
// is CM3Leon's (arXiv 2309.02591, equation 3).
struct ContrastiveTopK {
    int k;
    float alpha;
    float student_temperature = 1;
};
}  // namespace mix
using Mix = std::variant<mix::None, mix::Guidance, mix::Guidance3, mix::ContrastiveTopK>;

struct SamplerChain {
    std::vector<SamplerOp> per_stream;
    Mix mix;
    std::vector<SamplerOp> ops;
};

int streams_of(const Mix& mix);  // 1, 2 or 3

// The chain as JSON: {"per_stream": [...], "mix": {"mix": "cfg", "scale": 3} or null, "ops": [{"op": "top_k", "k": 8}]}
//   ops    temperature t   top_k k   top_p p   top_p_before p   repetition_penalty penalty   allow ranges   forbid ids
//          greedy          mixes    cfg scale   cfg3 scale_image scale_text   cdk k alpha student_temperature
// All three keys must be there, and unknown names are an Error; cdk may leave out student_temperature, which is then 1.
// A whole sampling case (tests/vectors/sampling) is accepted: "kind" must then be "sampling", "streams" must name as
// many streams as the mix has, and the case's file names and measurements are passed over.
SamplerChain parse_chain(const std::string& json, const std::string& where);

// Error naming the parameter, unless every one is in its range: t >= 0, penalty > 0, p and alpha in [0, 1], k >= 1 and
// student_temperature > 0 for cdk, scales finite, ids and ranges within the vocabulary and not reversed, at most
// MAX_CHAIN_OPS operations in each list. After it, score() fails only for what the model or the sequence hold (laws
// "broken" above, and an id of the sequence outside the vocabulary).
constexpr int MAX_CHAIN_OPS = MAX_SAMPLE_STEPS - 1;  // the decode loop adds the ids that a task allows
void check_chain(const SamplerChain& chain, int vocab, const std::string& where);

// The chain as the kernels read it: operations that are off left out, ids and ranges sorted into one table of disjoint
// ranges [n, 2]. A bug if a list has more than MAX_SAMPLE_STEPS operations.
struct CompiledChain {
    SampleRule rule;
    std::vector<int32_t> ranges;
};
CompiledChain compile(const SamplerChain& chain);

// Final scores [vocab], -inf = excluded; softmax(scores) are the probabilities. In float32, as the logits are.
//   logits   one row of `vocab` per stream, in the mix's order          ids   the sequence so far (repetition penalty)
std::vector<float> score(const SamplerChain& chain, std::span<const float* const> logits, int vocab,
                         std::span<const int32_t> ids);
std::vector<float> softmax(std::span<const float> scores);

// The generator of kernels/random.h, which has uniform(seed, lane, counter).
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Inverse-CDF draw in id order: the first id whose cumulative probability exceeds u, 0 <= u < 1. Never an excluded id,
// nor one whose probability is less than 2^-37 of the largest.
int32_t draw(std::span<const float> scores, double u);

// Equal to draw(score(chain, logits, vocab, ids), u), but works on the surviving ids only and sorts nothing.
int32_t sample(const SamplerChain& chain, std::span<const float* const> logits, int vocab, std::span<const int32_t> ids,
               double u);

}  // namespace leon
