// The sampler: against golden cases, sample() against score() + draw() over random chains, and its laws.
#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <limits>
#include <random>

#include "kernels/sample_math.h"
#include "runtime/files.h"
#include "runtime/npy.h"
#include "runtime/sampler.h"
#include "tests/temporary_folder.h"
#include "tests/testing.h"

using namespace leon;

namespace {

constexpr float INF = std::numeric_limits<float>::infinity();
constexpr float NOT_A_NUMBER = std::numeric_limits<float>::quiet_NaN();

std::vector<const float*> rows_of(const std::vector<float>& logits, int vocab) {
    std::vector<const float*> rows;
    for (size_t i = 0; i < logits.size(); i += vocab) rows.push_back(logits.data() + i);
    return rows;
}

// One stream, ops only.
std::vector<float> apply(std::vector<SamplerOp> ops, const std::vector<float>& logits,
                         const std::vector<int32_t>& ids = {}) {
    const float* row = logits.data();
    return score({{}, mix::None{}, std::move(ops)}, {&row, 1}, static_cast<int>(logits.size()), ids);
}

std::vector<float> apply_mix(const Mix& mix, const std::vector<std::vector<float>>& logits) {
    std::vector<const float*> rows;
    for (const auto& row : logits) rows.push_back(row.data());
    return score({{}, mix, {}}, rows, static_cast<int>(logits[0].size()), {});
}

std::vector<int> kept(const std::vector<float>& scores) {
    std::vector<int> ids;
    for (size_t id = 0; id < scores.size(); id++)
        if (scores[id] != -INF) ids.push_back(static_cast<int>(id));
    return ids;
}

// --- random chains ----------------------------------------------------------------------------------------------

struct RandomChain {
    std::mt19937& random;
    int vocab;

    int below(int n) { return static_cast<int>(random() % n); }
    float real(float low, float high) { return low + (high - low) * static_cast<float>(random() / 4294967296.0); }
    template <class T>
    T pick(std::initializer_list<T> values) {
        return values.begin()[below(static_cast<int>(values.size()))];
    }

    SamplerOp op() {
        switch (below(9)) {
            case 0:
                return op::Temperature{pick({0.0f, 0.1f, 0.7f, 1.0f, 1e-30f, real(0.2f, 3.0f)})};
            case 1:
                return op::TopK{pick({-1, 0, 1, 2, vocab, below(vocab + 2)})};
            case 2:
                return op::TopP{pick({0.0f, 0.5f, 1.0f, real(0, 1), real(0.9f, 1)})};
            case 3:
                return op::TopPBefore{pick({0.0f, 0.5f, 1.0f, real(0, 1), real(0.9f, 1)})};
            case 4:
                return op::RepetitionPenalty{pick({1.2f, 0.8f, 1.0f, real(0.5f, 2)})};
            case 5: {
                op::Forbid forbid;
                for (int i = below(4); i > 0; i--) forbid.ids.push_back(below(vocab));
                return forbid;
            }
            case 6:
                return op::Greedy{};
            default: {
                op::Allow allow;
                for (int i = 1 + below(3); i > 0; i--) {
                    const auto [first, last] = std::minmax({below(vocab), below(vocab)});
                    allow.ranges.emplace_back(first, last);
                }
                return allow;
            }
        }
    }

    SamplerChain chain() {
        SamplerChain chain;
        for (int i = below(3); i > 0; i--) chain.per_stream.push_back(op());
        switch (below(4)) {
            case 0:
                break;
            case 1:
                chain.mix = mix::Guidance{pick({0.0f, 1.0f, 3.0f, -1.0f, 1e30f})};
                break;
            case 2:
                chain.mix = mix::Guidance3{pick({0.0f, 1.0f, 1.2f}), pick({1.0f, 3.0f, -2.0f})};
                break;
            case 3:
                chain.mix = mix::ContrastiveTopK{1 + below(vocab), pick({0.0f, 0.1f, 0.5f, 1.0f}),
                                                 pick({1.0f, 1.0f, 0.5f, real(0.2f, 3.0f), 1e-40f, 1e30f})};
        }
        for (int i = below(5); i > 0; i--) chain.ops.push_back(op());
        return chain;
    }

    // Few different values, so that ties are common, or normal, or flat; some excluded.
    std::vector<float> logits(int streams) {
        std::vector<float> values(static_cast<size_t>(streams) * vocab);
        const int kind = below(4);
        std::normal_distribution<float> normal(0, pick({0.01f, 2.0f, 30.0f}));
        for (float& value : values) {
            value = kind == 0 ? static_cast<float>(below(4)) : kind == 1 ? 1.5f : normal(random);
            if (below(20) == 0) value = -INF;
        }
        return values;
    }
};

}  // namespace

TEST_CASE("sampler: golden cases") {
    int cases = 0;
    for (const auto& entry : std::filesystem::directory_iterator("tests/vectors/sampling")) {
        const std::string folder = entry.path().string();
        CAPTURE(folder);
        const SamplerChain chain = parse_chain(read_text(folder + "/case.json"), folder);
        const Array stored = load_npy(folder + "/logits.npy");
        const std::vector<float> logits = stored.floats(folder), want = load_npy(folder + "/probs.npy").floats(folder);
        const int vocab = static_cast<int>(want.size());
        std::vector<int32_t> ids;
        if (std::filesystem::exists(folder + "/ids.npy")) ids = load_npy(folder + "/ids.npy").ints(folder);
        const auto rows = rows_of(logits, vocab);
        REQUIRE(static_cast<int>(rows.size()) == streams_of(chain.mix));

        check_chain(chain, vocab, folder);
        const std::vector<float> got = softmax(score(chain, rows, vocab, ids));
        double worst = 0, sum = 0;
        bool same_support = true;
        for (int id = 0; id < vocab; id++) {
            worst = std::max(worst, std::abs(static_cast<double>(got[id]) - want[id]));
            same_support &= (got[id] > 1e-6f) == (want[id] > 1e-6f);
            sum += got[id];
        }
        CHECK(worst <= 1e-5);
        CHECK(same_support);
        CHECK(std::abs(sum - 1) <= 1e-5);
        cases++;
    }
    CHECK(cases == 41);
}

TEST_CASE("sampler: sample equals draw of score for random chains") {
    std::mt19937 random(1);
    int drawn = 0, empty = 0;
    for (int round = 0; round < 6000; round++) {
        RandomChain make{random, 1 + static_cast<int>(random() % (round % 10 == 0 ? 700 : 40))};
        const SamplerChain chain = make.chain();
        check_chain(chain, make.vocab, "random chain");
        const std::vector<float> logits = make.logits(streams_of(chain.mix));
        const auto rows = rows_of(logits, make.vocab);
        std::vector<int32_t> ids(make.below(10));
        for (int32_t& id : ids) id = make.below(make.vocab);

        const std::vector<float> scores = score(chain, rows, make.vocab, ids);
        for (float value : scores) REQUIRE((value == -INF || std::isfinite(value)));
        for (double u : {0.0, 0.37, uniform(1, 2, round), 1 - 0x1p-53}) {
            int32_t want = -1, got = -1;
            const std::string want_error = error_of([&] { want = draw(scores, u); });
            const std::string got_error = error_of([&] { got = sample(chain, rows, make.vocab, ids, u); });
            REQUIRE(got == want);
            REQUIRE(got_error == want_error);
            if (want >= 0) REQUIRE(scores[want] != -INF);
            (want >= 0 ? drawn : empty)++;
        }
    }
    CHECK(drawn > 15000);  // and chains that exclude everything occur too
    CHECK(empty > 100);
}

TEST_CASE("sampler: both top-p rules keep the same set") {
    std::mt19937 random(2);
    for (int round = 0; round < 300; round++) {
        RandomChain make{random, 50};
        const std::vector<float> logits = make.logits(1);
        const float p = make.real(0, 1);
        CHECK(apply({op::TopP{p}}, logits) == apply({op::TopPBefore{p}}, logits));
    }
}

TEST_CASE("sampler: laws of single operations") {
    const std::vector<float> logits = {1, 3, -2, 3, 0, -INF};
    CHECK(kept(apply({}, logits)) == std::vector<int>{0, 1, 2, 3, 4});
    CHECK(kept(apply({op::Greedy{}}, logits)) == std::vector<int>{1});
    CHECK(apply({op::Temperature{0}}, logits) == apply({op::Greedy{}}, logits));
    CHECK(apply({op::TopP{0}}, logits) == apply({op::Greedy{}}, logits));
    CHECK(apply({op::Temperature{2}}, logits) == std::vector<float>{0.5f, 1.5f, -1, 1.5f, 0, -INF});
    CHECK(kept(apply({op::TopK{1}}, logits)) == std::vector<int>{1, 3});
    CHECK(kept(apply({op::TopK{5}}, logits)) == std::vector<int>{0, 1, 2, 3, 4});
    CHECK(apply({op::TopK{-3}}, logits) == logits);
    CHECK(apply({op::TopP{1}}, {0, -200}) == std::vector<float>{0, -200});
    // Exactly on the threshold: two of four equal ids have mass 0.5, and the lower ids are the ones that stay.
    CHECK(kept(apply({op::TopP{0.5f}}, {1, 1, 1, 1})) == std::vector<int>{0, 1});
    CHECK(kept(apply({op::TopPBefore{0.5f}}, {1, 1, 1, 1})) == std::vector<int>{0, 1});
    // Once, however often an id occurs; the sign of the logit decides.
    CHECK(apply({op::RepetitionPenalty{2}}, logits, {1, 1, 2, 5}) == std::vector<float>{1, 1.5f, -4, 3, 0, -INF});
    CHECK(kept(apply({op::Allow{{{3, 4}, {0, 0}, {4, 5}}}}, logits)) == std::vector<int>{0, 3, 4});
    CHECK(kept(apply({op::Forbid{{3, 1}}}, logits)) == std::vector<int>{0, 2, 4});
    // Beyond float: stays at its end, and the order of finite and excluded survives.
    CHECK(apply({op::Temperature{1e-30f}}, {1e30f, -1e30f, -INF}) ==
          std::vector<float>{std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest(), -INF});
}

TEST_CASE("sampler: laws of mixes") {
    const std::vector<float> c = {2, 1, 0, -1}, u = {1, 1, 1, 1};
    CHECK(apply_mix(mix::Guidance{1}, {c, u}) == c);
    CHECK(apply_mix(mix::Guidance{0}, {c, u}) == u);
    CHECK(apply_mix(mix::Guidance{3}, {c, u}) == std::vector<float>{4, 1, -2, -5});
    // Three streams of which two are equal are two streams.
    CHECK(apply_mix(mix::Guidance3{1.5f, 3}, {c, u, u}) == apply_mix(mix::Guidance{3}, {c, u}));
    CHECK(apply_mix(mix::Guidance3{1.5f, 3}, {c, c, u}) == apply_mix(mix::Guidance{1.5f}, {c, u}));
    // CD-K: alpha = 0 cuts nothing; k = 1, alpha = 1 is greedy on c; equal streams choose evenly among V_k.
    CHECK(kept(apply_mix(mix::ContrastiveTopK{2, 0}, {c, u})) == std::vector<int>{0, 1, 2, 3});
    CHECK(kept(apply_mix(mix::ContrastiveTopK{1, 1}, {c, u})) == std::vector<int>{0});
    CHECK(apply_mix(mix::ContrastiveTopK{3, 1}, {c, c}) == std::vector<float>{0, 0, 0, -INF});
    CHECK(kept(apply_mix(mix::ContrastiveTopK{2, std::exp(-1.5f)}, {c, u})) == std::vector<int>{0, 1, 2});

    // Excluded in one stream = excluded, whatever the scale; never NaN, never a winner.
    const std::vector<float> cut_c = {2, -INF, 0, -1}, cut_u = {1, 1, -INF, 1};
    for (float scale : {-2.0f, 0.0f, 1.0f, 3.0f})
        CHECK(kept(apply_mix(mix::Guidance{scale}, {cut_c, cut_u})) == std::vector<int>{0, 3});
    CHECK(kept(apply_mix(mix::Guidance3{0, 1}, {cut_c, c, cut_u})) == std::vector<int>{0, 3});
    CHECK(kept(apply_mix(mix::ContrastiveTopK{4, 0}, {cut_c, cut_u})) == std::vector<int>{0, 3});
}

TEST_CASE("sampler: guidance of scale 1 is its first stream, of scale 0 its last, to the bit") {
    // Logits whose differences round: the formula alone would miss the last bits of many.
    std::mt19937 random(3);
    std::normal_distribution<float> normal(0, 3);
    std::vector<std::vector<float>> rows(3, std::vector<float>(500));
    for (auto& row : rows)
        for (float& value : row) value = normal(random);
    int missed = 0;
    for (size_t i = 0; i < 500; i++) missed += rows[1][i] + (rows[0][i] - rows[1][i]) != rows[0][i];
    CHECK(missed > 50);
    const auto &a = rows[0], &b = rows[1], &c = rows[2];
    CHECK(apply_mix(mix::Guidance{1}, {a, b}) == a);
    CHECK(apply_mix(mix::Guidance{0}, {a, b}) == b);
    CHECK(apply_mix(mix::Guidance3{1, 1}, {a, b, c}) == a);
    CHECK(apply_mix(mix::Guidance3{0, 0}, {a, b, c}) == c);
    CHECK(apply_mix(mix::Guidance3{1, 0}, {a, b, c}) == b);
    CHECK(apply_mix(mix::Guidance3{1, 2.5f}, {a, b, c}) == apply_mix(mix::Guidance{2.5f}, {a, b}));
    CHECK(apply_mix(mix::Guidance3{2.5f, 0}, {a, b, c}) == apply_mix(mix::Guidance{2.5f}, {b, c}));
    // But what a stream excludes stays excluded.
    CHECK(kept(apply_mix(mix::Guidance{1}, {{1, 2, 3}, {1, -INF, 1}})) == std::vector<int>{0, 2});
    CHECK(kept(apply_mix(mix::Guidance3{1, 1}, {{1, 2, 3}, {1, -INF, 1}, {-INF, 1, 1}})) == std::vector<int>{2});
}

TEST_CASE("sampler: contrastive decoding equals formula 3 in double precision") {
    std::mt19937 random(4);
    int judged = 0, left_out = 0, cut = 0;
    for (int round = 0; round < 400; round++) {
        RandomChain make{random, 2 + static_cast<int>(random() % 60)};
        const int vocab = make.vocab, k = round % 4 == 0 ? 1 : 1 + make.below(vocab);
        const float alpha = make.pick({0.0f, 0.01f, 0.1f, 0.5f, 1.0f});
        const float temperature = make.pick({0.3f, 0.5f, 1.0f, 1.7f});
        std::normal_distribution<float> normal(0, make.pick({0.5f, 2.0f, 4.0f}));
        std::vector<std::vector<float>> logits(2, std::vector<float>(vocab));
        for (auto& row : logits)
            for (float& value : row) value = normal(random);

        const auto probabilities = [&](const std::vector<float>& row, double t) {
            std::vector<double> p;
            double total = 0;
            for (float value : row) total += p.emplace_back(std::exp(value / t));
            for (double& value : p) value /= total;
            return p;
        };
        const std::vector<double> expert = probabilities(logits[0], 1), student = probabilities(logits[1], temperature);
        std::vector<double> sorted = expert;
        std::sort(sorted.begin(), sorted.end(), std::greater<>());
        // k = 1: the threshold of contrastive decoding as first published, alpha * max p.
        const double least = alpha * (k == 1 ? *std::max_element(expert.begin(), expert.end()) : sorted[k - 1]);
        const std::vector<float> got = apply_mix(mix::ContrastiveTopK{k, alpha, temperature}, logits);
        for (int id = 0; id < vocab; id++) {
            // At the threshold rounding decides; but of the k-th largest itself alpha = 1 keeps all.
            if (alpha < 1 && std::abs(expert[id] - least) < 1e-6 * least) {
                left_out++;
                continue;
            }
            const bool plausible = expert[id] >= least;
            REQUIRE((got[id] != -INF) == plausible);
            cut += plausible ? 0 : 1;
            if (!plausible) continue;
            const double want = std::log(expert[id]) - std::log(student[id]);
            REQUIRE(std::abs(got[id] - want) <= 2e-6 * (4 + std::abs(want)));
            judged++;
        }
    }
    CHECK(judged > 5000);
    CHECK(cut > 2000);
    CHECK(left_out < 10);
}

TEST_CASE("sampler: contrastive decoding: the student's temperature, and what equal streams choose") {
    std::mt19937 random(5);
    for (int round = 0; round < 200; round++) {
        RandomChain make{random, 40};
        const std::vector<float> logits = make.logits(2), c(logits.begin(), logits.begin() + 40);
        std::vector<float> u(logits.begin() + 40, logits.end()), cooled = u;
        const float temperature = make.pick({1.0f, 0.5f, 2.5f, 0.3f}), alpha = make.pick({0.0f, 0.1f, 1.0f});
        const int k = 1 + make.below(40);
        for (float& value : cooled) value /= temperature;
        // To the bit: temperature 1 is none.
        CHECK(apply_mix(mix::ContrastiveTopK{k, alpha, temperature}, {c, u}) ==
              apply_mix(mix::ContrastiveTopK{k, alpha}, {c, cooled}));

        // Equal streams choose evenly among the plausible, which are at least k unless fewer are there.
        const std::vector<float> even = apply_mix(mix::ContrastiveTopK{k, alpha, 1}, {c, c});
        const size_t there = kept(c).size();
        CHECK(kept(even).size() >= std::min<size_t>(k, there));
        for (int id : kept(even)) CHECK(even[id] == 0);
        if (alpha == 0) CHECK(kept(even).size() == there);
        if (alpha == 1) CHECK(kept(even) == kept(apply({op::TopK{k}}, c)));
    }
}

TEST_CASE("sampler: nothing left, and a broken model") {
    const std::vector<float> nothing = {-INF, -INF};
    CHECK(apply({op::TopP{0.5f}, op::TopK{1}, op::Temperature{0}}, nothing) == nothing);
    CHECK(softmax(nothing) == std::vector<float>{0, 0});
    CHECK(contains(error_of([&] { draw(nothing, 0.5); }), "no token is left"));
    const float* row = nothing.data();
    CHECK(contains(error_of([&] { sample({}, {&row, 1}, 2, {}, 0.5); }), "no token is left"));

    // A NaN counts even where the chain would not look.
    const SamplerChain first_only = {{op::Allow{{{0, 0}}}}, {}, {}};
    for (const auto& [broken, word] : {std::pair{NOT_A_NUMBER, "NaN"}, std::pair{INF, "infinite"}}) {
        const std::vector<float> logits = {1, 2, broken};
        row = logits.data();
        CHECK(contains(error_of([&] { score(first_only, {&row, 1}, 3, {}); }), word));
        CHECK(contains(error_of([&] { sample(first_only, {&row, 1}, 3, {}, 0.5); }), word));
        CHECK(contains(error_of([&] { draw(logits, 0.5); }), word));
    }
    const std::vector<float> fine = {1, 2};
    row = fine.data();
    const SamplerChain penalty = {{}, {}, {op::RepetitionPenalty{1.2f}}};
    const std::vector<int32_t> outside = {2};
    CHECK(contains(error_of([&] { score(penalty, {&row, 1}, 2, outside); }), "token 2"));
    CHECK(contains(error_of([&] { sample(penalty, {&row, 1}, 2, outside, 0.5); }), "token 2"));
}

TEST_CASE("sampler: parameters out of range are errors that name them") {
    const auto error_of = [](SamplerChain chain) { return ::error_of([&] { check_chain(chain, 10, "chain.json"); }); };
    const auto ops = [](SamplerOp operation) { return SamplerChain{{}, mix::None{}, {std::move(operation)}}; };
    for (float t : {-0.1f, NOT_A_NUMBER, INF}) CHECK(contains(error_of(ops(op::Temperature{t})), "temperature t"));
    for (float p : {-0.1f, 1.01f, NOT_A_NUMBER, INF}) {
        CHECK(contains(error_of(ops(op::TopP{p})), "top_p p"));
        CHECK(contains(error_of(ops(op::TopPBefore{p})), "top_p_before p"));
        CHECK(contains(error_of({{}, mix::ContrastiveTopK{1, p}, {}}), "cdk alpha"));
    }
    for (float r : {0.0f, -1.0f, NOT_A_NUMBER, INF})
        CHECK(contains(error_of(ops(op::RepetitionPenalty{r})), "repetition_penalty penalty"));
    CHECK(contains(error_of(ops(op::Allow{{{3, 2}}})), "allow ranges"));
    CHECK(contains(error_of(ops(op::Allow{{{-1, 2}}})), "allow ranges"));
    CHECK(contains(error_of(ops(op::Allow{{{0, 10}}})), "allow ranges"));
    CHECK(contains(error_of(ops(op::Allow{})), "allow ranges"));
    CHECK(contains(error_of(ops(op::Forbid{{10}})), "forbid ids"));
    CHECK(contains(error_of({{}, mix::Guidance{INF}, {}}), "cfg scale"));
    CHECK(contains(error_of({{}, mix::Guidance3{1, NOT_A_NUMBER}, {}}), "scale_text"));
    CHECK(contains(error_of({{}, mix::ContrastiveTopK{0, 0.5f}, {}}), "cdk k"));
    for (float t : {0.0f, -1.0f, NOT_A_NUMBER, INF})
        CHECK(contains(error_of({{}, mix::ContrastiveTopK{1, 0.5f, t}, {}}), "cdk student_temperature"));
    CHECK(contains(error_of({{op::Temperature{-1}}, {}, {}}), "per_stream"));
    const std::vector<SamplerOp> many(MAX_CHAIN_OPS + 1, op::TopK{2});
    CHECK(contains(error_of({many, {}, {}}), "per_stream is a list of 16 operations"));
    CHECK(contains(error_of({{}, {}, many}), "ops is a list of 16 operations"));
    CHECK(error_of({{op::Allow{{{0, 9}}}}, mix::ContrastiveTopK{100, 1}, {op::TopK{-5}, op::TopP{1}}}).empty());
}

TEST_CASE("sampler: chains from JSON") {
    const SamplerChain chain = parse_chain(
        R"({"per_stream": [{"op": "allow", "ranges": [[2, 2], [4, 7]]}], "mix": {"mix": "cdk", "k": 10, "alpha": 0.5},
            "ops": [{"op": "temperature", "t": 1}, {"op": "forbid", "ids": [1, 2]}, {"op": "greedy"}]})",
        "chain.json");
    CHECK(std::get<op::Allow>(chain.per_stream.at(0)).ranges ==
          std::vector<std::pair<int32_t, int32_t>>{{2, 2}, {4, 7}});
    CHECK(std::get<mix::ContrastiveTopK>(chain.mix).k == 10);
    CHECK(std::get<mix::ContrastiveTopK>(chain.mix).student_temperature == 1);
    const auto with_student = [](const std::string& t) {
        return R"({"per_stream": [], "mix": {"mix": "cdk", "k": 1, "alpha": 1, "student_temperature": )" + t +
               R"(}, "ops": []})";
    };
    CHECK(std::get<mix::ContrastiveTopK>(parse_chain(with_student("0.5"), "").mix).student_temperature == 0.5f);
    CHECK(contains(::error_of([&] { parse_chain(with_student("\"1\""), ""); }), "\"student_temperature\" is not"));
    CHECK(std::get<op::Temperature>(chain.ops.at(0)).t == 1);
    CHECK(std::get<op::Forbid>(chain.ops.at(1)).ids == std::vector<int32_t>{1, 2});
    CHECK(std::holds_alternative<op::Greedy>(chain.ops.at(2)));

    const auto error_of = [](const std::string& json) { return ::error_of([&] { parse_chain(json, "chain.json"); }); };
    const auto with_ops = [](const std::string& ops) {
        return R"({"per_stream": [], "mix": null, "ops": )" + ops + "}";
    };
    CHECK(error_of(with_ops("[]")).empty());
    CHECK(contains(error_of("{"), "chain.json: the chain is not JSON"));
    CHECK(contains(error_of("[]"), "not an object"));
    CHECK(contains(error_of(R"({"per_stream": [], "ops": []})"), "\"mix\""));
    CHECK(contains(error_of(R"({"per_stream": [], "mix": null, "ops": [], "op": []})"), "\"op\""));
    CHECK(contains(error_of(R"({"per_stream": [], "mix": null, "ops": [], "kind": "resize"})"), "another kind"));
    CHECK(contains(error_of(R"({"per_stream": [], "mix": null, "ops": [], "streams": ["a", "b"]})"), "2 streams"));
    CHECK(contains(error_of(R"({"per_stream": [], "mix": {"mix": "cfg", "scale": 1, "k": 2}, "ops": []})"), "\"k\""));
    CHECK(contains(error_of(R"({"per_stream": [], "mix": {"mix": "cfg2"}, "ops": []})"), "cfg2"));
    CHECK(contains(error_of(with_ops(R"([{"op": "top_q", "p": 1}])")), "top_q"));
    CHECK(contains(error_of(with_ops(R"([{"op": "greedy"}, {"op": "top_p"}])")), "ops[1] has no \"p\""));
    CHECK(contains(error_of(with_ops(R"([{"op": "top_p", "p": 0.9, "q": 1}])")), "\"q\""));
    CHECK(contains(error_of(with_ops(R"([{"op": "top_p", "p": "0.9"}])")), "not a number"));
    CHECK(contains(error_of(with_ops(R"([{"op": "top_p", "p": 1e200}])")), "too large"));
    CHECK(contains(error_of(with_ops(R"([{"op": "top_k", "k": 2.5}])")), "32-bit integer"));
    CHECK(contains(error_of(with_ops(R"([{"op": "top_k", "k": 4294967297}])")), "32-bit integer"));
    CHECK(contains(error_of(with_ops(R"([{"op": "allow", "ranges": [[1]]}])")), "[first, last]"));
    CHECK(contains(error_of(with_ops(R"([{"op": "forbid", "ids": 7}])")), "not a list"));
    CHECK(contains(error_of(with_ops(R"("greedy")")), "not a list"));
    CHECK(contains(error_of(with_ops(R"(["greedy"])")), "not an object"));
}

TEST_CASE("sampler: Philox4x32-10 gives Random123's known answers") {
    using Words = std::array<uint32_t, 4>;
    CHECK(philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    const uint32_t ones = 0xffffffff;
    CHECK(philox({ones, ones, ones, ones}, {ones, ones}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
          Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("sampler: uniform numbers") {
    // Fixed for ever: a seed that somebody wrote down must keep its picture.
    CHECK(uniform(0, 0, 0) == static_cast<double>(0x6627e8d5e169c58dull >> 11) * 0x1p-53);
    // Every argument matters in full width.
    const uint64_t high = 1ull << 40;
    CHECK(uniform(high, 0, 0) != uniform(0, 0, 0));
    CHECK(uniform(0, high, 0) != uniform(0, 0, 0));
    CHECK(uniform(0, 0, high) != uniform(0, 0, 0));
    CHECK(uniform(0, 1, 0) != uniform(0, 0, 1));
    constexpr int BINS = 100, NUMBERS = 100000;
    int count[BINS] = {};
    for (int i = 0; i < NUMBERS; i++) {
        const double u = uniform(7, i % 2, i);
        REQUIRE((u >= 0 && u < 1));
        count[static_cast<int>(u * BINS)]++;
    }
    double chi_squared = 0;
    for (int n : count) chi_squared += std::pow(n - NUMBERS / BINS, 2) / (NUMBERS / BINS);
    CHECK(chi_squared < 148);  // 99 degrees of freedom: exceeded with probability 0.001
    CHECK(chi_squared > 57);
}

TEST_CASE("sampler: masses are exponentials, in integers") {
    const double unit = static_cast<double>(sampling::MASS_OF_MAXIMUM);
    uint64_t before = sampling::MASS_OF_MAXIMUM;
    CHECK(sampling::mass(0) == before);
    for (int64_t d = 0; d < int64_t{1} << 31; d += d < 100000 ? 1 : 9973) {
        const uint64_t mass = sampling::mass(static_cast<int32_t>(d));
        const double exact = std::exp(-static_cast<double>(d) * 0x1p-26);
        REQUIRE(std::abs(static_cast<double>(mass) - exact * unit) <= 0.51 + 4e-9 * exact * unit);
        REQUIRE(mass <= before);
        before = mass;
    }
    CHECK(before == 0);
    // Only the maximum itself has distance 0; the excluded have no mass.
    CHECK(sampling::distance(1.5f, 1.5f) == 0);
    CHECK(sampling::distance(-0.0f, 0.0f) == 0);
    CHECK(sampling::distance(std::nextafter(1e-3f, 0.0f), 1e-3f) == 1);
    CHECK(sampling::distance(0, 1) == 1 << 26);
    for (float value : {-INF, -3e38f, -40.0f}) CHECK(sampling::mass(sampling::distance(value, 0)) == 0);
    for (double share : {0x1p-36, 1e-6, 0.3, 1.0, 1.7, 1e6}) {
        const double want = std::log(std::floor(share * unit) / unit);
        CHECK(std::abs(sampling::log_of_mass(static_cast<uint64_t>(share * unit)) - want) <=
              2e-7 * (1 + std::abs(want)));
    }
    CHECK(sampling::place_in(uint64_t{1} << 56, (uint64_t{1} << 53) - 1) == (uint64_t{1} << 56) - 8);
}

TEST_CASE("sampler: draws follow the probabilities") {
    const std::vector<float> scores = {std::log(0.5f), -INF, std::log(0.3f), std::log(0.2f), -INF};
    constexpr int DRAWS = 50000;
    int count[5] = {};
    for (int i = 0; i < DRAWS; i++) count[draw(scores, uniform(3, 0, i))]++;
    CHECK(count[1] == 0);
    CHECK(count[4] == 0);
    double chi_squared = 0;
    for (auto [id, p] : {std::pair{0, 0.5}, std::pair{2, 0.3}, std::pair{3, 0.2}})
        chi_squared += std::pow(count[id] - DRAWS * p, 2) / (DRAWS * p);
    CHECK(chi_squared < 13.8);  // 2 degrees of freedom: exceeded with probability 0.001

    // The ends of [0, 1): the first and the last id that have mass, and the border between two belongs to the upper.
    CHECK(draw(std::vector<float>{-INF, 0, 0, -INF}, 0.0) == 1);
    CHECK(draw(std::vector<float>{-INF, 0, 0, -INF}, 0.5) == 2);
    CHECK(draw(std::vector<float>{-INF, 0, 0, -INF}, 1 - 0x1p-53) == 2);
    CHECK(draw(std::vector<float>{0, -800}, 1 - 0x1p-53) == 0);  // exp(-800) is nothing
}
