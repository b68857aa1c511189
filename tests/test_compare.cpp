// Two models compared: against themselves, against sums written out here, and refused where they have nothing in
// common.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tasks/compare.h"
#include "tasks/workbench.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_model.h"
#include "weights_converter/convert.h"
#include "weights_converter/random_model.h"

#include "tests/testing.h"

using namespace leon;

namespace {

std::vector<double> log_softmax(const std::vector<float>& logits, size_t row, size_t vocab) {
    std::vector<double> logs;
    double sum = 0;
    for (size_t i = 0; i < vocab; i++) sum += std::exp(double{logits[row * vocab + i]});
    for (size_t i = 0; i < vocab; i++) logs.push_back(logits[row * vocab + i] - std::log(sum));
    return logs;
}

}  // namespace

TEST_CASE("compare: a model is no distance from itself, and some from its int8") {
    const TinyModel tiny(Layout::CM3Leon);
    const TemporaryFolder folder;
    convert(tiny->path(), folder / "narrow.leon", {.dtype = "int8"}, nullptr);
    const Model narrow(folder / "narrow.leon", cpu_kernels());
    const std::vector<std::string> texts = {"a dog", "a cat"};
    const Material material = drawn_by(*tiny, texts, {});
    REQUIRE(material.streams.size() == 2);
    CHECK(material.grids[0].codes != material.grids[1].codes);
    CHECK(material.streams[0].size() > static_cast<size_t>(TINY_GRID * TINY_GRID));

    const ModelComparison same = compare(*tiny, *tiny, material);
    CHECK(same.largest == 0);
    CHECK(same.kl == 0);
    CHECK(same.agreement == 1);
    CHECK(same.perplexity_a == same.perplexity_b);
    CHECK(std::isinf(same.psnr.value()));
    CHECK(same.tokens == material.streams[0].size() + material.streams[1].size());

    const ModelComparison cached = compare(*tiny, *tiny, material, {}, DType::I8);
    CHECK(cached.largest > 0);
    CHECK(cached.largest < 0.1);
    CHECK(std::isinf(cached.psnr.value()));

    size_t last = 0;
    const ModelComparison c = compare(*tiny, narrow, material, [&](size_t done, size_t total) {
        CHECK(done > last);
        CHECK(total == same.tokens);
        last = done;
    });
    CHECK(last == same.tokens);
    double largest = 0, mean = 0, kl = 0, agreed = 0, surprise[2] = {};
    size_t judged = 0;
    const size_t vocab = static_cast<size_t>(tiny->config().transformer.vocab);
    for (const std::vector<int32_t>& stream : material.streams) {
        const std::vector<float> a = logits(*tiny, stream, "a"), b = logits(narrow, stream, "b");
        for (size_t t = 0; t < stream.size(); t++) {
            const std::vector<double> p = log_softmax(a, t, vocab), q = log_softmax(b, t, vocab);
            for (size_t i = 0; i < vocab; i++) {
                const double difference = std::fabs(double{a[t * vocab + i]} - b[t * vocab + i]);
                largest = std::max(largest, difference);
                mean += difference;
                kl += std::exp(p[i]) * (p[i] - q[i]);
            }
            agreed +=
                std::max_element(p.begin(), p.end()) - p.begin() == std::max_element(q.begin(), q.end()) - q.begin();
            if (t + 1 == stream.size()) continue;
            surprise[0] -= p[static_cast<size_t>(stream[t + 1])];
            surprise[1] -= q[static_cast<size_t>(stream[t + 1])];
            judged++;
        }
    }
    const double tokens = static_cast<double>(same.tokens);
    CHECK(c.largest == largest);
    CHECK(c.largest > 0);
    CHECK(c.mean == doctest::Approx(mean / tokens / static_cast<double>(vocab)));
    CHECK(c.kl == doctest::Approx(kl / tokens).epsilon(1e-6));
    CHECK(c.agreement == agreed / tokens);
    CHECK(c.perplexity_a == doctest::Approx(std::exp(surprise[0] / static_cast<double>(judged))));
    CHECK(c.perplexity_b == doctest::Approx(std::exp(surprise[1] / static_cast<double>(judged))));

    const auto json = nlohmann::json::parse(comparison_json(*tiny, narrow, c));
    CHECK(json.at("KL divergence") == c.kl);
    CHECK(json.at("tokens") == same.tokens);
    CHECK(nlohmann::json::parse(comparison_json(*tiny, *tiny, same)).at("PSNR of pictures") == "equal");
}

TEST_CASE("compare: logits are the same whole and piece by piece") {
    const TinyModel tiny(Layout::CM3Leon);
    std::vector<int32_t> tokens;
    const int count = std::min(tiny->config().transformer.context, 150);
    for (int i = 0; i < count; i++) tokens.push_back(i % tiny->config().transformer.vocab);
    const std::vector<float> whole = logits(*tiny, tokens, "tokens");
    LogitReader reader(*tiny, tokens, "tokens");
    size_t at = 0;
    while (at < whole.size())
        for (float logit : reader.next()) CHECK(logit == whole[at++]);
    CHECK(at == whole.size());
}

TEST_CASE("compare: models without a vocabulary in common are refused, and so are strange tokens") {
    const TinyModel tiny(Layout::CM3Leon);
    const TemporaryFolder folder;
    ModelConfig config = tiny->config();
    config.transformer.vocab++;
    write_random_model(folder / "other.leon", config, DType::F32, 7, tiny->file().tokenizer_json());
    const Model other(folder / "other.leon", cpu_kernels());
    const Material material = {{{1, 2, 3}}, {}};
    CHECK(contains(error_of([&] { compare(*tiny, other, material); }), "vocabulary"));
    CHECK(contains(error_of([&] { compare(*tiny, *tiny, {{{1, -2}}, {}}); }), "outside the vocabulary"));
    CHECK(!compare(*tiny, *tiny, material).psnr);
}
