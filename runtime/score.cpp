// Texts as rows of prefill batches; the contract is in score.h.
//
//   text 0   = = = = = p p p c c          =  common to all texts, computed once and forked
//   text 1   = = = = = p c c c c          p  rest of the prompt; logits are wanted of the last one
//   text 2   = = = = = p p c              c  continuation; the last one is not read, of the others logits are wanted
//
// Texts are taken in groups whose rests fill a batch, which bounds the cache: a long text is a group of its own.
#include "runtime/score.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace leon {
namespace {

constexpr int ROWS = 256;    // of a batch: enough for the matrix kernels to be compute-bound
constexpr int OUTPUTS = 64;  // rows of logits at a time: 16 MB with the largest vocabulary
constexpr size_t TEXTS_TOGETHER = 16;

using Ranges = std::vector<std::pair<int32_t, int32_t>>;

int pages_of(size_t positions) {
    return static_cast<int>((positions + PAGE_TOKENS - 1) / PAGE_TOKENS);
}

// What the network reads of a text.
size_t length_of(const Continuation& text) {
    return text.prompt.size() + text.tokens.size() - 1;
}
int32_t token_at(const Continuation& text, size_t position) {
    return position < text.prompt.size() ? text.prompt[position] : text.tokens[position - text.prompt.size()];
}

// Of all texts; short of each one's first row of logits.
size_t common_prefix(std::span<const Continuation> texts) {
    size_t common = texts[0].prompt.size() - 1;
    for (const Continuation& text : texts) {
        const size_t most = std::min(common, text.prompt.size() - 1);
        common = std::mismatch(text.prompt.begin(), text.prompt.begin() + static_cast<std::ptrdiff_t>(most),
                               texts[0].prompt.begin())
                     .first -
                 text.prompt.begin();
    }
    return common;
}

void check(const TransformerConfig& config, std::span<const Continuation> texts, const Ranges& allowed) {
    const auto is_id = [&](int32_t id) { return id >= 0 && id < config.vocab; };
    for (const auto& [first, last] : allowed) CHECK(is_id(first) && is_id(last) && first <= last);
    for (const Continuation& text : texts) {
        CHECK(std::all_of(text.prompt.begin(), text.prompt.end(), is_id));
        CHECK(std::all_of(text.tokens.begin(), text.tokens.end(), is_id));
        if (text.prompt.empty()) throw Error("the prompt is empty", "prompt");
        if (length_of(text) > static_cast<size_t>(config.context))
            throw Error("the prompt has " + std::to_string(text.prompt.size()) + " tokens and " +
                            std::to_string(text.tokens.size()) + " follow, but the model's context is " +
                            std::to_string(config.context),
                        "prompt", "shorten the text");
    }
}

class Scorer {
public:
    Scorer(const TransformerConfig& config, const TransformerWeights& weights, const Kernels& kernels,
           std::span<const Continuation> texts, const ScoreOptions& options)
        : texts_(texts),
          allowed_(options.allowed),
          prefix_(common_prefix(texts)),
          groups_(grouped()),
          network_(config, weights, kernels, ROWS, OUTPUTS),
          cache_(config, kernels, TEXTS_TOGETHER + 1, longest(), pages(), options.cache_dtype),
          result_(texts.size()) {
        if (allowed_.empty()) allowed_ = {{0, config.vocab - 1}};
        lowest_ = std::min_element(allowed_.begin(), allowed_.end())->first;
        for (const auto& range : allowed_) highest_ = std::max(highest_, range.second);
        // Ranges may overlap, and an id counts once.
        is_allowed_.assign(static_cast<size_t>(highest_ - lowest_) + 1, false);
        for (const auto& [first, last] : allowed_)
            std::fill(is_allowed_.begin() + (first - lowest_), is_allowed_.begin() + (last - lowest_) + 1, true);
    }

    std::vector<std::vector<double>> run() {
        const std::span<const int32_t> first_prompt(texts_[0].prompt);
        const int shared = cache_.add_stream();
        prefill(network_, cache_, shared, first_prompt.first(prefix_));
        for (const auto& [first, last] : groups_) {
            std::vector<int> streams;
            for (size_t t = first; t < last; t++) streams.push_back(cache_.fork(shared));
            for (size_t t = first; t < last; t++) add(t, streams[t - first]);
            flush();
            for (int stream : streams) cache_.remove(stream);
        }
        return std::move(result_);
    }

private:
    // [first, last): together no more rows than a batch has, unless it is one text alone.
    std::vector<std::pair<size_t, size_t>> grouped() const {
        std::vector<std::pair<size_t, size_t>> groups;
        size_t rows = 0;
        for (size_t t = 0; t < texts_.size(); t++) {
            const size_t rest = length_of(texts_[t]) - prefix_;
            const bool joins = t > 0 && rows + rest <= ROWS && t - groups.back().first < TEXTS_TOGETHER;
            if (!joins) {
                groups.emplace_back(t, t);
                rows = 0;
            }
            groups.back().second = t + 1;
            rows += rest;
        }
        return groups;
    }
    int longest() const {
        size_t longest = 1;
        for (const Continuation& text : texts_) longest = std::max(longest, length_of(text));
        return static_cast<int>(longest);
    }
    // The prefix, and what a group adds: one page more a text, its copy of the prefix's last one.
    int pages() const {
        int most = 0;
        for (const auto& [first, last] : groups_) {
            int pages = 0;
            for (size_t t = first; t < last; t++) pages += pages_of(length_of(texts_[t]) - prefix_) + 1;
            most = std::max(most, pages);
        }
        return pages_of(prefix_) + most;
    }

    void add(size_t t, int stream) {
        const Continuation& text = texts_[t];
        if (text.tokens.empty()) return;
        for (size_t position = prefix_; position < length_of(text); position++) {
            const bool wanted = position + 1 >= text.prompt.size();
            if (batch_.rows() == ROWS || (wanted && batch_.outputs.size() == OUTPUTS)) flush();
            batch_.add(token_at(text, position), stream, static_cast<int32_t>(position),
                       wanted ? WantLogits::Yes : WantLogits::No);
            if (wanted) judged_.push_back({t, token_at(text, position + 1)});
        }
    }

    void flush() {
        if (batch_.rows() == 0) return;
        batch_.first_id = lowest_;
        batch_.ids = highest_ - lowest_ + 1;
        const float* logits = network_.forward(cache_, batch_);
        for (const Judged& judged : judged_) {
            result_[judged.text].push_back(log_probability(logits, judged.token));
            logits += batch_.ids;
        }
        batch_ = {};
        judged_.clear();
    }

    double log_probability(const float* logits, int32_t token) const {  // logits [highest - lowest + 1]
        double maximum = -std::numeric_limits<double>::infinity(), sum = 0;
        for (size_t i = 0; i < is_allowed_.size(); i++) {
            if (!std::isfinite(logits[i]))
                throw Error("the model produced NaN or an infinite logit", "",
                            "the weights are damaged or overflow in this precision");
            if (is_allowed_[i]) maximum = std::max<double>(maximum, logits[i]);
        }
        for (size_t i = 0; i < is_allowed_.size(); i++)
            if (is_allowed_[i]) sum += std::exp(logits[i] - maximum);
        if (token < lowest_ || token > highest_ || !is_allowed_[token - lowest_])
            return -std::numeric_limits<double>::infinity();
        return logits[token - lowest_] - maximum - std::log(sum);
    }

    struct Judged {  // by a row of the batch's logits
        size_t text;
        int32_t token;
    };

    std::span<const Continuation> texts_;
    Ranges allowed_;
    size_t prefix_;
    std::vector<std::pair<size_t, size_t>> groups_;
    Transformer network_;
    KvCache cache_;
    std::vector<std::vector<double>> result_;
    int32_t lowest_ = 0, highest_ = -1;
    std::vector<bool> is_allowed_;  // of ids lowest to highest
    Batch batch_;
    std::vector<Judged> judged_;
};

}  // namespace

std::vector<std::vector<double>> log_probabilities(const TransformerConfig& config, const TransformerWeights& weights,
                                                   const Kernels& kernels, std::span<const Continuation> texts,
                                                   const ScoreOptions& options) {
    check(config, texts, options.allowed);
    if (texts.empty()) return {};
    return Scorer(config, weights, kernels, texts, options).run();
}

std::vector<double> log_probabilities(const TransformerConfig& config, const TransformerWeights& weights,
                                      const Kernels& kernels, const std::vector<int32_t>& prompt,
                                      const std::vector<int32_t>& continuation, const ScoreOptions& options) {
    const Continuation text{prompt, continuation};
    return log_probabilities(config, weights, kernels, std::span(&text, 1), options)[0];
}

}  // namespace leon
