// log p of given tokens: against one token at a time on the reference, on every backend; alone and together.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "runtime/score.h"
#include "tests/kernel_harness.h"
#include "tests/tiny_transformer.h"

#include "tests/testing.h"

using namespace leon;
using Ids = std::vector<int32_t>;
using Ranges = std::vector<std::pair<int32_t, int32_t>>;

namespace {

constexpr int VOCAB = 61, CONTEXT = 360;

bool is_in(const Ranges& ranges, int32_t id) {
    return ranges.empty() ||
           std::any_of(ranges.begin(), ranges.end(), [id](auto& r) { return r.first <= id && id <= r.second; });
}

// A forward pass a token, on the reference.
std::vector<double> one_by_one(const TinyTransformer& tiny, const Ids& prompt, const Ids& tokens,
                               const Ranges& allowed = {}) {
    Transformer network(tiny.config, tiny.weights, reference_kernels(), 1, 1);
    KvCache cache(tiny.config, reference_kernels(), 1, CONTEXT, CONTEXT / PAGE_TOKENS + 1, DType::F32);
    const int stream = cache.add_stream();
    Ids all = prompt;
    all.insert(all.end(), tokens.begin(), tokens.end());
    std::vector<double> result;
    for (size_t i = 0; i + 1 < all.size(); i++) {
        Batch batch;
        batch.add(all[i], stream, static_cast<int32_t>(i), WantLogits::Yes);
        const float* logits = network.forward(cache, batch);
        if (i + 1 < prompt.size()) continue;
        double total = 0;
        for (int32_t id = 0; id < VOCAB; id++)
            if (is_in(allowed, id)) total += std::exp(static_cast<double>(logits[id]));
        result.push_back(is_in(allowed, all[i + 1]) ? logits[all[i + 1]] - std::log(total) : -INFINITY);
    }
    return result;
}

void check_close(const std::vector<double>& got, const std::vector<double>& want, double tolerance) {
    REQUIRE(got.size() == want.size());
    double worst = 0;
    for (size_t i = 0; i < got.size(); i++)
        if (got[i] != want[i]) worst = std::max(worst, std::abs(got[i] - want[i]));  // both may be -inf
    CHECK(worst <= tolerance);
}

// Texts that begin alike, of many lengths: empty, longer than a batch, twice the same.
std::vector<Continuation> some_texts() {
    std::vector<Continuation> texts;
    const Ids common = random_tokens(45, VOCAB, 1);
    for (int i = 0; i < 22; i++) {
        Continuation& text = texts.emplace_back();
        text.prompt = common;
        for (int32_t id : random_tokens(i % 4, VOCAB, 10 + i)) text.prompt.push_back(id);
        text.tokens = random_tokens(i == 20 ? 310 : i * 7 % 20, VOCAB, 50 + i);
    }
    texts.push_back(texts[5]);
    return texts;
}

// The processor's table, counting the rows that the layers see.
int rows_seen = 0;
Kernels counting() {
    Kernels k = cpu_kernels();
    k.project_qkv = [](Tensor q, Tensor keys, Tensor v, Tensor x, const QkvWeights& w, Tensor scratch) {
        rows_seen += static_cast<int>(x.rows());
        cpu_kernels().project_qkv(q, keys, v, x, w, scratch);
    };
    return k;
}

}  // namespace

TEST_CASE("score: log p equals one token at a time, on every backend") {
    std::vector<const Kernels*> all = backends();
    all.push_back(&reference_kernels());
    for (const Kernels* k : all) {
        CAPTURE(std::string(k->name));
        const bool is_gpu = contains(std::string(k->name), "cuda");
        for (Family family : {Family::Chameleon, Family::ChameleonSwin, Family::CM3Leon, Family::TwoAxes}) {
            const TinyTransformer tiny(family, VOCAB, CONTEXT, is_gpu ? DType::BF16 : DType::F32);
            for (auto [prompt_tokens, tokens] : {std::pair(1, 1), {5, 12}, {3, 90}}) {
                const Ids prompt = random_tokens(prompt_tokens, VOCAB, 2), rest = random_tokens(tokens, VOCAB, 3);
                for (const Ranges& allowed : {Ranges{}, Ranges{{40, 60}, {0, 5}, {3, 20}}}) {
                    ScoreOptions options;
                    options.allowed = allowed;
                    check_close(log_probabilities(tiny.config, tiny.on(*k), *k, prompt, rest, options),
                                one_by_one(tiny, prompt, rest, allowed), is_gpu ? 4e-4 : 2e-5);
                }
            }
        }
    }
}

TEST_CASE("score: a text longer than a batch, and narrower caches") {
    const TinyTransformer tiny(Family::CM3Leon, VOCAB, CONTEXT);
    const Ids prompt = random_tokens(300, VOCAB, 4), tokens = random_tokens(61, VOCAB, 5);  // the last is not read
    const std::vector<double> want = one_by_one(tiny, prompt, tokens);
    for (auto [dtype, tolerance] :
         {std::pair(DType::F32, 2e-5), {DType::F16, 5e-3}, {DType::BF16, 4e-2}, {DType::I8, 4e-2}}) {
        ScoreOptions options;
        options.cache_dtype = dtype;
        const auto got = log_probabilities(tiny.config, tiny.weights, cpu_kernels(), prompt, tokens, options);
        check_close(got, want, tolerance);
        CHECK((got == log_probabilities(tiny.config, tiny.weights, cpu_kernels(), prompt, tokens)) ==
              (dtype == DType::F32));
    }
}

TEST_CASE("score: texts together equal texts alone, and their common beginning is computed once") {
    for (Family family : {Family::Chameleon, Family::CM3Leon}) {
        const TinyTransformer tiny(family, VOCAB, CONTEXT);
        std::vector<Continuation> texts = some_texts();
        const Kernels k = counting();
        rows_seen = 0;
        auto together = log_probabilities(tiny.config, tiny.weights, k, texts);
        int rows = 44;
        for (const Continuation& text : texts)
            if (!text.tokens.empty()) rows += static_cast<int>(text.prompt.size() + text.tokens.size()) - 1 - 44;
        CHECK(rows_seen == rows * tiny.config.layers);
        REQUIRE(together.size() == texts.size());
        for (size_t i = 0; i < texts.size(); i++)
            check_close(together[i],
                        log_probabilities(tiny.config, tiny.weights, cpu_kernels(), texts[i].prompt, texts[i].tokens),
                        2e-5);
        CHECK(together[5] == together.back());

        // Nothing in common, and a prompt of one token; the third is the first to differ; one begins as all of another.
        for (const std::vector<Continuation>& three :
             {std::vector<Continuation>{{{7}, {1, 2, 3}}, {{8, 9}, {4}}, {{7}, {}}},
              {{{5, 6, 7, 8}, {1}}, {{5, 6, 7, 9}, {2}}, {{5, 4, 7, 8}, {3, 1}}},
              {{{5, 6, 7}, {1}}, {{5, 6}, {7, 1}}, {{5, 6, 7, 1, 1}, {3}}}}) {
            together = log_probabilities(tiny.config, tiny.weights, cpu_kernels(), three);
            for (size_t i = 0; i < 3; i++)
                check_close(together[i], one_by_one(tiny, three[i].prompt, three[i].tokens), 2e-5);
        }
    }
    const TinyTransformer tiny(Family::CM3Leon, VOCAB, CONTEXT);
    CHECK(log_probabilities(tiny.config, tiny.weights, cpu_kernels(), std::span<const Continuation>()).empty());
}

TEST_CASE("score: the probabilities of all that is allowed add up to one, the rest has none") {
    const TinyTransformer tiny(Family::Chameleon, VOCAB, CONTEXT);
    const Ranges allowed = {{10, 20}, {40, 40}, {15, 25}};
    std::vector<Continuation> texts;
    for (int32_t id = 0; id < VOCAB; id++) texts.push_back({random_tokens(9, VOCAB, 6), {id}});
    ScoreOptions options;
    options.allowed = allowed;
    double total = 0;
    const auto scored = log_probabilities(tiny.config, tiny.weights, cpu_kernels(), texts, options);
    for (int32_t id = 0; id < VOCAB; id++) {
        REQUIRE(scored[id].size() == 1);
        CHECK(std::isfinite(scored[id][0]) == is_in(allowed, id));
        total += std::exp(scored[id][0]);
    }
    CHECK(std::abs(total - 1) < 1e-6);
}

TEST_CASE("score: bad input is an error") {
    const TinyTransformer tiny(Family::CM3Leon, VOCAB, 64);
    const auto error = [&](const Ids& prompt, const Ids& tokens) {
        return error_of([&] { log_probabilities(tiny.config, tiny.weights, cpu_kernels(), prompt, tokens); });
    };
    CHECK(contains(error({}, {1}), "the prompt is empty"));
    CHECK(error(random_tokens(60, VOCAB), random_tokens(5, VOCAB)).empty());
    CHECK(contains(error(random_tokens(60, VOCAB), random_tokens(6, VOCAB)), "context is 64"));
    TinyTransformer broken(Family::CM3Leon, VOCAB, 64);
    broken.weights.embedding.f32()[0] = std::numeric_limits<float>::quiet_NaN();
    CHECK(contains(error_of([&] { log_probabilities(broken.config, broken.weights, cpu_kernels(), Ids{0}, {1}); }),
                   "NaN"));
}
