// Chains as rules for the kernels, and what the kernels' sampling is when it is called on plain rows: see sampler.h.
//
// The mathematics stands in kernels/: sample_math.h has what is done to one id, reference/sample.cpp is the definition,
// cpu/sample.cpp the fast path. Here are the parameters' translation and the errors.
#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "kernels/check.h"
#include "kernels/sample_host.h"

namespace leon {
namespace {

constexpr float EXCLUDED = -std::numeric_limits<float>::infinity();

using Ranges = std::vector<std::pair<int32_t, int32_t>>;

// A rule in the making: appends steps and the ranges that they name.
class Compiler {
public:
    explicit Compiler(std::vector<int32_t>& ranges) : ranges_(ranges) {}

    void add(const std::vector<SamplerOp>& ops, SampleStep* steps, int32_t& count) {
        count = 0;
        for (const SamplerOp& operation : ops) {
            const std::optional<SampleStep> step = compile_op(operation);
            if (!step) continue;
            CHECK(count < MAX_SAMPLE_STEPS);
            steps[count++] = *step;
        }
    }

private:
    // Nothing for an operation that is off.
    std::optional<SampleStep> compile_op(const SamplerOp& operation) {
        using Step = std::optional<SampleStep>;
        const auto value = [](SampleOp op, float v) { return SampleStep{op, v, 0, 0, 0}; };
        return std::visit(
            Overloaded{
                [&](const op::Temperature& o) {
                    return Step(value(o.t == 0 ? SampleOp::Greedy : SampleOp::Temperature, o.t));
                },
                [&](const op::TopK& o) {
                    return o.k > 0 ? Step(SampleStep{SampleOp::TopK, 0, o.k, 0, 0}) : Step();
                },
                [&](const op::TopP& o) { return o.p < 1 ? Step(value(SampleOp::TopP, o.p)) : Step(); },
                [&](const op::TopPBefore& o) { return o.p < 1 ? Step(value(SampleOp::TopPBefore, o.p)) : Step(); },
                [&](const op::RepetitionPenalty& o) { return Step(value(SampleOp::RepetitionPenalty, o.penalty)); },
                [&](const op::Allow& o) { return Step(name_ranges(SampleOp::Allow, o.ranges)); },
                [&](const op::Forbid& o) {
                    Ranges ids;
                    for (int32_t id : o.ids) ids.emplace_back(id, id);
                    return Step(name_ranges(SampleOp::Forbid, ids));
                },
                [&](const op::Greedy&) { return Step(value(SampleOp::Greedy, 0)); },
            },
            operation);
    }

    SampleStep name_ranges(SampleOp op, Ranges ranges) {
        std::sort(ranges.begin(), ranges.end());
        const int32_t start = static_cast<int32_t>(ranges_.size() / 2);
        for (auto [first, last] : ranges) {
            if (static_cast<int32_t>(ranges_.size() / 2) > start && first <= ranges_.back() + 1)
                ranges_.back() = std::max(ranges_.back(), last);
            else
                ranges_.insert(ranges_.end(), {first, last});
        }
        return {op, 0, 0, start, static_cast<int32_t>(ranges_.size() / 2)};
    }

    std::vector<int32_t>& ranges_;
};

void refuse_broken(std::span<const float> logits) {
    if (!plain::is_broken(logits)) return;
    size_t first = 0;
    while (!plain::is_broken({&logits[first], 1})) first++;
    throw Error(std::string("the model produced ") + (std::isnan(logits[first]) ? "NaN" : "an infinite logit") +
                    " for token " + std::to_string(first),
                "", "the weights are damaged or overflow in this precision");
}

[[noreturn]] void refuse_to_draw() {
    throw Error("no token is left to draw: the sampler chain excludes them all");
}

// What the kernels take for granted.
SampleRows checked_rows(const CompiledChain& compiled, std::span<const float* const> logits, int vocab,
                        std::span<const int32_t> ids) {
    CHECK(vocab > 0 && vocab <= MAX_SAMPLE_VOCAB);
    CHECK(static_cast<int>(logits.size()) == streams_of(compiled.rule.mix));
    SampleRows rows{{}, vocab, 0, compiled.ranges.data(), ids};
    for (size_t s = 0; s < logits.size(); s++) {
        refuse_broken({logits[s], static_cast<size_t>(vocab)});
        rows.row[s] = logits[s];
    }
    const auto penalises = [](const SampleStep* steps, int32_t count) {
        return std::any_of(steps, steps + count, [](auto& s) { return s.op == SampleOp::RepetitionPenalty; });
    };
    if (penalises(compiled.rule.per_stream, compiled.rule.per_stream_count) ||
        penalises(compiled.rule.steps, compiled.rule.step_count))
        for (int32_t id : ids)
            if (id < 0 || id >= vocab)
                throw Error("token " + std::to_string(id) + " of the sequence is outside the vocabulary of " +
                            std::to_string(vocab));
    return rows;
}

uint64_t bits_of(double u) {
    CHECK(u >= 0 && u < 1);
    return static_cast<uint64_t>(u * 0x1p53);
}

}  // namespace

int streams_of(const Mix& mix) {
    return std::visit(Overloaded{
                          [](const mix::None&) { return 1; },
                          [](const mix::Guidance&) { return 2; },
                          [](const mix::Guidance3&) { return 3; },
                          [](const mix::ContrastiveTopK&) { return 2; },
                      },
                      mix);
}

CompiledChain compile(const SamplerChain& chain) {
    CompiledChain result{};
    SampleRule& rule = result.rule;
    Compiler compiler(result.ranges);
    compiler.add(chain.per_stream, rule.per_stream, rule.per_stream_count);
    compiler.add(chain.ops, rule.steps, rule.step_count);
    std::visit(Overloaded{
                   [&](const mix::None&) { rule.mix = SampleMix::None; },
                   [&](const mix::Guidance& m) {
                       rule.mix = SampleMix::Guidance;
                       rule.scale = m.scale;
                   },
                   [&](const mix::Guidance3& m) {
                       rule.mix = SampleMix::Guidance3;
                       rule.scale = m.scale_image;
                       rule.scale_text = m.scale_text;
                   },
                   [&](const mix::ContrastiveTopK& m) {
                       rule.mix = SampleMix::ContrastiveTopK;
                       rule.scale = static_cast<float>(std::log(static_cast<double>(m.alpha)));
                       rule.k = m.k;
                       rule.student_temperature = m.student_temperature;
                   },
               },
               chain.mix);
    return result;
}

std::vector<float> score(const SamplerChain& chain, std::span<const float* const> logits, int vocab,
                         std::span<const int32_t> ids) {
    const CompiledChain compiled = compile(chain);
    return reference::score(compiled.rule, checked_rows(compiled, logits, vocab, ids));
}

std::vector<float> softmax(std::span<const float> scores) {
    std::vector<float> probabilities(scores.size(), 0.0f);
    const auto best = std::max_element(scores.begin(), scores.end());
    if (best == scores.end() || *best == EXCLUDED) return probabilities;
    const double maximum = *best;
    double total = 0;
    for (float score : scores) total += score == EXCLUDED ? 0.0 : std::exp(score - maximum);
    for (size_t id = 0; id < scores.size(); id++)
        if (scores[id] != EXCLUDED) probabilities[id] = static_cast<float>(std::exp(scores[id] - maximum) / total);
    return probabilities;
}

int32_t draw(std::span<const float> scores, double u) {
    refuse_broken(scores);
    const int32_t id = reference::draw(scores, bits_of(u));
    if (id == DREW_NOTHING) refuse_to_draw();
    return id;
}

int32_t sample(const SamplerChain& chain, std::span<const float* const> logits, int vocab, std::span<const int32_t> ids,
               double u) {
    const CompiledChain compiled = compile(chain);
    const int32_t id = plain::draw_column(compiled.rule, checked_rows(compiled, logits, vocab, ids), bits_of(u));
    if (id == DREW_NOTHING) refuse_to_draw();
    return id;
}

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
    const PhiloxWords words = philox4x32({{counter[0], counter[1], counter[2], counter[3]}}, key[0], key[1]);
    return {words.word[0], words.word[1], words.word[2], words.word[3]};
}

}  // namespace leon
