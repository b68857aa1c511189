// What the operation `sample` works on: a rule as plain numbers, and the state of a decode loop in device memory.
//
// runtime/sampler.h says what every step of a rule means and which laws hold (excluded, empty, broken, range, equals);
// a rule is a SamplerChain of it without vectors and variants, so that a GPU can read it: compile() there makes it.
//
//   logits of a candidate's streams -> `per_stream` steps on each -> `mix` to one row -> `steps` on it -> draw
//
// The state lives in device memory, so that a whole decode step, drawing included, can be recorded once and replayed
// for every token: the drawn token becomes the input of the next step where it stands.
#pragma once

#include "kernels/segments.h"
#include "kernels/tensor.h"

namespace leon {

enum class SampleOp : int32_t {
    Temperature,        // value > 0
    TopK,               // count >= 1
    TopP,               // value in [0, 1)
    TopPBefore,         // the same
    RepetitionPenalty,  // value > 0
    Allow,              // ranges [first, last) of the table of ranges
    Forbid,             // the same
    Greedy,
};
struct SampleStep {
    SampleOp op;
    float value;
    int32_t count;
    int32_t first, last;  // rows of Draws::ranges: inclusive, sorted, disjoint
};

enum class SampleMix : int32_t { None, Guidance, Guidance3, ContrastiveTopK };

constexpr int MAX_SAMPLE_STEPS = 16;
struct SampleRule {
    SampleStep per_stream[MAX_SAMPLE_STEPS];
    SampleStep steps[MAX_SAMPLE_STEPS];
    int32_t per_stream_count, step_count;
    SampleMix mix;
    float scale;                // Guidance: scale    Guidance3: scale_image    ContrastiveTopK: log(alpha)
    float scale_text;           // Guidance3
    int32_t k;                  // ContrastiveTopK
    float student_temperature;  // ContrastiveTopK, > 0: divides the second stream
};

constexpr int streams_of(SampleMix mix) {
    return mix == SampleMix::None ? 1 : mix == SampleMix::Guidance3 ? 3 : 2;
}

constexpr int64_t MAX_SAMPLE_VOCAB = 1 << 20;  // the sum of so many masses fits 64 bits (sample_math.h)

// Bytes of a candidate's scratch memory: where the blocks of a GPU that draw one token together meet.
constexpr int64_t SAMPLE_SCRATCH = 64 << 10;

// What the ring holds in place of a token that could not be drawn. The candidate's next input is then token 0.
constexpr int32_t DREW_BROKEN = -1;   // a logit is NaN or +inf
constexpr int32_t DREW_NOTHING = -2;  // every id is excluded

// One call draws for every candidate c, with u = uniform(seed[c], 0, length[c] - prompt[c]) of kernels/random.h:
//   token = draw(rule, logits of c's streams, sequence[c], u)
//   ring[*ring_written % slots][c] = token, for all c; then *ring_written += 1, seen by the host after the tokens
//   if a token was drawn: sequence[c][length[c]] = token; length[c] += 1
//   for each lane l of c: tokens[c * lanes + l] = token (0 if none was drawn); position[c * lanes + l] += 1; where the
//   network asks for places, (segment, code)[c * lanes + l] becomes that token's place behind what it was
// There is room for it: length[c] < capacity. Rows c * lanes + s of the logits are stream s of the mix; lanes beyond
// the mix's streams are only fed.
struct Draws {
    Tensor logits;            // [candidates * lanes, ids] f32; column i is id first_id + i; other ids count as excluded
    int32_t first_id, vocab;  // first_id + ids <= vocab <= MAX_SAMPLE_VOCAB
    int32_t lanes;
    Tensor ranges;            // [n, 2] i32, what Allow and Forbid refer to; null if none does
    Tensor seed;              // [candidates, 2] i32: low and high word of the seed
    Tensor sequence;          // [candidates, capacity] i32: all ids so far, prompt included
    Tensor length, prompt;    // [candidates] i32: ids in sequence, and how many there were before the first draw
    Tensor tokens, position;  // [candidates * lanes] i32: the input of the next step
    SegmentRule segments;
    Tensor segment, code;  // the same, its place in its segment; null where nobody asks
    Tensor ring;           // [slots, candidates] i32, Reach::Shared
    Tensor ring_written;   // [1] i32, Reach::Shared: calls so far
    Tensor scratch;        // [candidates, SAMPLE_SCRATCH] u8: zero before the first call, then sample's own

    int64_t candidates() const { return length.elements(); }
};

inline bool are_draws(const Draws& d, const SampleRule& rule) {
    const auto is_steps = [](int32_t count) { return count >= 0 && count <= MAX_SAMPLE_STEPS; };
    const auto is_state = [](const Tensor& t, int64_t n) { return t.dtype == DType::I32 && t.elements() == n; };
    const int64_t n = d.candidates(), rows = n * d.lanes;
    return n > 0 && d.lanes >= streams_of(rule.mix) && d.logits.dtype == DType::F32 && d.logits.rank == 2 &&
           d.logits.shape[0] == rows && d.first_id >= 0 && d.first_id + d.logits.cols() <= d.vocab &&
           d.vocab <= MAX_SAMPLE_VOCAB && is_state(d.seed, 2 * n) && is_state(d.length, n) && is_state(d.prompt, n) &&
           is_state(d.tokens, rows) && is_state(d.position, rows) &&
           (!d.segments || (is_state(d.segment, rows) && is_state(d.code, rows))) && d.sequence.dtype == DType::I32 &&
           d.sequence.shape[0] == n && d.ring.dtype == DType::I32 && d.ring.rank == 2 && d.ring.shape[1] == n &&
           is_state(d.ring_written, 1) && d.scratch.dtype == DType::U8 && d.scratch.elements() == n * SAMPLE_SCRATCH &&
           is_steps(rule.step_count) && is_steps(rule.per_stream_count);
}

}  // namespace leon
