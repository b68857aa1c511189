// The decode loop's promises, on tiny random networks: seeds, candidates, guidance streams, runs and their limits.
#include <algorithm>
#include <vector>

#include "runtime/generate.h"
#include "tests/tiny_transformer.h"

#include "tests/testing.h"

using namespace leon;
using Ids = std::vector<int32_t>;

namespace {

constexpr int VOCAB = 61;
constexpr std::pair<int32_t, int32_t> CODES = {4, 35}, TEXT = {40, 60};

Run image(int tokens, float guidance = 1) {
    Run run;
    run.kind = Run::Kind::Image;
    run.tokens = tokens;
    run.allowed = {CODES};
    run.chain.ops = {op::Temperature{1.0f}, op::TopP{0.9f}};
    run.guidance.emplace();
    if (guidance != 1) {
        run.chain.mix = mix::Guidance{guidance};
        run.guidance->push_back({2, 3});
    }
    return run;
}

Run text(int tokens, Ids stop) {
    Run run;
    run.kind = Run::Kind::Text;
    run.tokens = tokens;
    run.allowed = {TEXT};
    run.stop = std::move(stop);
    run.chain.ops = {op::Temperature{1.5f}};
    return run;
}

Run forced(Ids ids) {
    Run run;
    run.forced = std::move(ids);
    return run;
}

// The same list of runs for each candidate.
NextRun plan(std::vector<Run> runs, int candidates = 1) {
    return [runs, next = std::vector<size_t>(candidates)](int c, const Ids&) mutable -> std::optional<Run> {
        if (next[c] == runs.size()) return std::nullopt;
        return runs[next[c]++];
    };
}

std::vector<Generated> run(const TinyTransformer& tiny, const Ids& prompt, const NextRun& next,
                           GenerateOptions options) {
    if (options.max_tokens == 0) options.max_tokens = 100;
    return generate(tiny.config, tiny.weights, cpu_kernels(), prompt, next, options);
}

bool within(int32_t id, std::pair<int32_t, int32_t> range) {
    return id >= range.first && id <= range.second;
}

}  // namespace

TEST_CASE("generate: the same seed gives the same tokens, another seed others") {
    for (Family family : {Family::Chameleon, Family::CM3Leon}) {
        const TinyTransformer tiny(family, VOCAB);
        const auto draw = [&](uint64_t seed) {
            GenerateOptions options;
            options.seed = seed;
            return run(tiny, {2, 41, 42, 3}, plan({image(40, 3)}), options)[0].tokens;
        };
        CHECK(draw(5) == draw(5));
        CHECK(draw(5) != draw(6));
    }
}

TEST_CASE("generate: N candidates equal N single runs with rising seeds") {
    const TinyTransformer tiny(Family::CM3Leon, VOCAB);
    const Ids prompt = random_tokens(45, VOCAB);  // longer than a page, so that forks share one and copy one
    const std::vector<Run> runs = {image(20, 2), forced({3, 2}), text(15, {40}), forced({1})};
    GenerateOptions options;
    options.candidates = 4;
    options.seed = 100;
    const auto together = run(tiny, prompt, plan(runs, 4), options);
    REQUIRE(together.size() == 4);
    for (int i = 0; i < 4; i++) {
        GenerateOptions single;
        single.seed = 100 + i;
        CHECK(together[i].tokens == run(tiny, prompt, plan(runs), single)[0].tokens);
        CHECK(together[i].complete);
    }
    CHECK(together[0].tokens != together[1].tokens);
}

TEST_CASE("generate: candidates under rules of their own equal single runs") {
    const TinyTransformer tiny(Family::Chameleon, VOCAB);
    const Ids prompt = {0, 50, 3};
    Run narrow = text(12, {1});  // as `wide`, but for the ids
    narrow.allowed = {{41, 48}};
    const Run wide = text(15, {2});
    Run penalised = text(9, {3});
    penalised.chain.ops.insert(penalised.chain.ops.begin(), op::RepetitionPenalty{1.5f});
    const std::vector<std::vector<Run>> plans = {{wide, image(6)}, {wide, forced({7})},    {narrow, wide},
                                                 {image(20)},      {penalised, penalised}, {image(4), narrow}};
    const int count = static_cast<int>(plans.size());
    GenerateOptions options;
    options.candidates = count;
    options.seed = 30;
    std::vector<size_t> next(plans.size());
    const auto together = run(
        tiny, prompt,
        [&](int c, const Ids&) -> std::optional<Run> {
            if (next[c] == plans[c].size()) return std::nullopt;
            return plans[c][next[c]++];
        },
        options);
    for (int i = 0; i < count; i++) {
        CAPTURE(i);
        GenerateOptions single;
        single.seed = 30 + i;
        CHECK(together[i].tokens == run(tiny, prompt, plan(plans[i]), single)[0].tokens);
    }
}

TEST_CASE("generate: picture runs have exactly their length and only codes, text runs only text") {
    const TinyTransformer tiny(Family::Chameleon, VOCAB);
    for (uint64_t seed = 0; seed < 20; seed++) {
        GenerateOptions options;
        options.seed = seed;
        const Ids tokens =
            run(tiny, {0, 50}, plan({forced({3}), image(17, 3), forced({2}), text(9, {1})}), options)[0].tokens;
        REQUIRE(tokens.size() >= 20);
        CHECK(tokens[0] == 3);
        for (int i = 1; i <= 17; i++) CHECK(within(tokens[i], CODES));
        CHECK(tokens[18] == 2);
        for (size_t i = 19; i < tokens.size(); i++)
            CHECK((within(tokens[i], TEXT) || (tokens[i] == 1 && i + 1 == tokens.size())));
        CHECK((tokens.back() == 1 || tokens.size() == 19 + 9));
    }
}

TEST_CASE("generate: two guidance streams equal two runs mixed by hand") {
    const TinyTransformer tiny(Family::CM3Leon, VOCAB);
    const Ids conditional = {2, 44, 45, 46, 3};
    GenerateOptions options;
    options.seed = 0x9876543212345678;  // all of it counts
    const Ids got = run(tiny, conditional, plan({image(30, 2.5f)}), options)[0].tokens;

    Transformer network(tiny.config, tiny.weights, cpu_kernels(), 8, 1);
    KvCache cache(tiny.config, cpu_kernels(), 2, 100, 8, DType::F32);
    const Ids prompts[2] = {conditional, {2, 3}};
    int streams[2];
    std::vector<float> rows[2];
    auto feed = [&](int s, int32_t token) {
        Batch batch;
        batch.add(token, streams[s], cache.length(streams[s]), WantLogits::Yes);
        const float* logits = network.forward(cache, batch);
        rows[s].assign(logits, logits + VOCAB);
    };
    for (int s = 0; s < 2; s++) {
        streams[s] = cache.add_stream();
        for (int32_t token : prompts[s]) feed(s, token);
    }
    SamplerChain chain = image(1, 2.5f).chain;
    chain.per_stream = {op::Allow{{CODES}}};
    Ids want;
    for (int i = 0; i < 30; i++) {
        const float* logits[2] = {rows[0].data(), rows[1].data()};
        want.push_back(draw(score(chain, logits, VOCAB, want), uniform(options.seed, 0, i)));
        for (int s = 0; s < 2; s++) feed(s, want.back());
    }
    CHECK(got == want);
}

TEST_CASE("generate: guidance streams are kept across runs that do not replace them") {
    const TinyTransformer tiny(Family::CM3Leon, VOCAB);
    Run rest = image(10, 2);
    rest.guidance.reset();
    Run head = image(10, 2);
    GenerateOptions options;
    CHECK(run(tiny, {2, 50, 3}, plan({head, rest}), options)[0].tokens ==
          run(tiny, {2, 50, 3}, plan({image(20, 2)}), options)[0].tokens);
}

TEST_CASE("generate: long forced stretches equal short ones") {
    const TinyTransformer tiny(Family::Chameleon, VOCAB);
    const Ids stretch = random_tokens(50, VOCAB, 3);
    const Ids at_once = run(tiny, {0}, plan({forced(stretch), image(20)}), {})[0].tokens;
    Ids prompt = {0};
    prompt.insert(prompt.end(), stretch.begin(), stretch.end());
    GenerateOptions options;
    int shift = 0;
    options.on_token = [&](const TokenEvent&) { return ++shift, true; };
    const Ids as_prompt = run(tiny, prompt, plan({image(20)}), options)[0].tokens;
    CHECK(shift == 20);
    // The draws differ in their counters, so compare where that does not matter: greedily.
    Run greedy = image(20);
    greedy.chain.ops = {op::Greedy{}};
    const Ids a = run(tiny, {0}, plan({forced(stretch), greedy}), {})[0].tokens;
    const Ids b = run(tiny, prompt, plan({greedy}), {})[0].tokens;
    CHECK(Ids(a.end() - 20, a.end()) == b);
    CHECK(at_once.size() == 70);
    CHECK(as_prompt.size() == 20);
}

TEST_CASE("generate: limits end a generation and say so") {
    const TinyTransformer tiny(Family::CM3Leon, VOCAB, 64);
    GenerateOptions options;
    options.max_tokens = 10;
    auto cut = run(tiny, {2, 3}, plan({text(50, {1})}), options)[0];
    if (cut.tokens.size() == 10) CHECK_FALSE(cut.complete);
    auto picture = run(tiny, {2, 3}, plan({image(11)}), options)[0];  // a picture is whole or not begun
    CHECK(picture.tokens.empty());
    CHECK_FALSE(picture.complete);
    options.max_tokens = 63;
    CHECK_NOTHROW(run(tiny, {2, 3}, plan({image(63)}), options));
    options.max_tokens = 64;
    CHECK_THROWS_AS(run(tiny, {2, 3}, plan({image(64)}), options), Error);
    CHECK_THROWS_AS(run(tiny, {}, plan({image(4)}), options), Error);
}

TEST_CASE("generate: a guidance prompt that the context cannot hold is an error, not a crash") {
    const TinyTransformer tiny(Family::CM3Leon, VOCAB, 64);
    GenerateOptions options;
    auto guided = [](int tokens) {
        Run r = image(tokens, 2);
        r.guidance = {{2, 50, 3}};  // one longer than the prompt
        return r;
    };
    options.max_tokens = 62;
    CHECK_NOTHROW(run(tiny, {2, 3}, plan({guided(62)}), options));
    options.max_tokens = 63;
    CHECK_NOTHROW(run(tiny, {2, 3}, plan({image(63)}), options));
    CHECK_THROWS_AS(run(tiny, {2, 3}, plan({guided(63)}), options), Error);
}

TEST_CASE("generate: the callback sees every token and can stop") {
    const TinyTransformer tiny(Family::CM3Leon, VOCAB);
    GenerateOptions options;
    Ids seen;
    options.on_token = [&](const TokenEvent& event) {
        seen.push_back(event.token);
        CHECK(event.index < event.of);
        return seen.size() < 7;
    };
    const auto result = run(tiny, {2, 3}, plan({forced({5, 6}), image(20)}), options)[0];
    CHECK(seen.size() == 7);
    CHECK(result.tokens == seen);
    CHECK_FALSE(result.complete);
}
