// From logits to a token, as pure functions: the mathematics of decoding, with no model and no state.
//
// A chain says what happens, in this order: `per_stream` on the logits of every stream, `mix` to one row, `ops` in
// order. Sources: cm3leon.md §5 (guidance, CD-K), chameleon.md §6 (order of operations, three-stream guidance, both
// top-p rules). The parameters are checked by check_chain(); a chain that passes cannot fail in score().
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace leon {

namespace op {
struct Temperature {
    float t;
};  // l / t; t = 0 means Greedy
struct TopK {
    int k;
};  // keep l >= the k-th largest (ties stay); k <= 0 or k >= vocab: off
struct TopP {
    float p;
};  // Chameleon: sort ascending, drop while cumulative <= 1-p; the top one stays
struct TopPBefore {
    float p;
};  // CM3Leon: sort descending, keep while the mass before the token < p
struct RepetitionPenalty {
    float penalty;
};  // l < 0 ? l*r : l/r for every id present in the sequence so far, once
struct Allow {
    std::vector<std::pair<int32_t, int32_t>> ranges;
};  // inclusive; all other ids become -inf
struct Forbid {
    std::vector<int32_t> ids;
};                 // -inf
struct Greedy {};  // all mass on the first maximum
}  // namespace op
using SamplerOp = std::variant<op::Temperature, op::TopK, op::TopP, op::TopPBefore, op::RepetitionPenalty, op::Allow,
                               op::Forbid, op::Greedy>;

namespace mix {
struct None {};  // one stream
struct Guidance {
    float scale;
};  // streams (c, u): u + scale*(c - u)
struct Guidance3 {
    float scale_image, scale_text;
};  // streams (full, img, unc): unc + si*(img-unc) + st*(full-img)
struct ContrastiveTopK {
    int k;
    float alpha;
};  // streams (c, u): log p_c - log p_u where p_c >= alpha * kth(p_c)
}  // namespace mix
using Mix = std::variant<mix::None, mix::Guidance, mix::Guidance3, mix::ContrastiveTopK>;

struct SamplerChain {
    std::vector<SamplerOp> per_stream;
    Mix mix;
    std::vector<SamplerOp> ops;
};

int streams_of(const Mix& mix);  // 1, 2 or 3

// The chain as the golden cases write it: {"per_stream": [...], "mix": {...} or null, "ops": [...]}; unknown names are
// an Error.
SamplerChain parse_chain(const std::string& json, const std::string& where);
void check_chain(const SamplerChain& chain, int vocab, const std::string& where);

// Final scores [vocab], -inf = excluded; softmax(scores) are the probabilities. An id that is -inf in all streams stays
// so.
//   logits   one row of `vocab` per stream, in the mix's order          ids   the sequence so far (repetition penalty)
std::vector<float> score(const SamplerChain& chain, std::span<const float* const> logits, int vocab,
                         std::span<const int32_t> ids);
std::vector<float> softmax(std::span<const float> scores);

// Counter-based random numbers (Philox4x32-10): the same (seed, lane, counter) gives the same number on every machine.
//   lane     separates independent draws of one seed      counter   the position in the sequence
// Uniform in [0, 1).
double uniform(uint64_t seed, uint64_t lane, uint64_t counter);

// Inverse-CDF draw in id order: the first id whose cumulative probability exceeds u. Never an excluded id.
int32_t draw(std::span<const float> scores, double u);

// score + draw in one pass over the surviving ids only: what the decode loop calls. Equal to draw(score(...), u).
int32_t sample(const SamplerChain& chain, std::span<const float* const> logits, int vocab, std::span<const int32_t> ids,
               double u);

}  // namespace leon
