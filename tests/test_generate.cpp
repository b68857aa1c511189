// The decode loop's promises, on tiny random networks: seeds, candidates, guidance streams, runs and their limits.
#include <algorithm>
#include <functional>
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

Run mixed(int tokens, Mix mix, std::vector<Ids> guidance) {
    Run run = image(tokens);
    run.chain.mix = mix;
    run.guidance = std::move(guidance);
    return run;
}

// Candidate c carries out plans[c].
NextRun each(std::vector<std::vector<Run>> plans) {
    return [plans, next = std::vector<size_t>(plans.size())](int c, const Ids&) mutable -> std::optional<Run> {
        if (next[c] == plans[c].size()) return std::nullopt;
        return plans[c][next[c]++];
    };
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
    const auto together = run(tiny, prompt, each(plans), options);
    for (int i = 0; i < count; i++) {
        CAPTURE(i);
        GenerateOptions single;
        single.seed = 30 + i;
        CHECK(together[i].tokens == run(tiny, prompt, plan(plans[i]), single)[0].tokens);
    }
}

TEST_CASE("generate: prompts of their own in one batch equal single runs") {
    const TinyTransformer tiny(Family::CM3Leon, VOCAB);
    // More different prompts than are kept to fork from, of all lengths, the first once more at the end; lengths of
    // runs differ, and one candidate is cut by its own limit while the others go on.
    std::vector<CandidateStart> starts;
    std::vector<std::vector<Run>> plans;
    for (int i = 0; i < 9; i++) {
        starts.push_back({random_tokens(2 + 13 * (i % 8), VOCAB, i % 8), static_cast<uint64_t>(70 + i), 60});
        plans.push_back({image(10 + i, i % 2 ? 2.0f : 1.0f), forced({3, 2}), text(15, {40 + i})});
    }
    starts[4].max_tokens = 17;
    const auto together = generate(tiny.config, tiny.weights, cpu_kernels(), starts, each(plans), {});
    REQUIRE(together.size() == starts.size());
    for (size_t i = 0; i < starts.size(); i++) {
        CAPTURE(i);
        GenerateOptions single;
        single.seed = starts[i].seed;
        single.max_tokens = starts[i].max_tokens;
        const Generated alone = run(tiny, starts[i].prompt, plan(plans[i]), single)[0];
        CHECK(together[i].tokens == alone.tokens);
        CHECK(together[i].complete == alone.complete);
        CHECK(alone.complete == (i != 4));
    }
    CHECK(together[0].tokens != together[8].tokens);
    starts[5].prompt.clear();
    CHECK(error_of([&] { generate(tiny.config, tiny.weights, cpu_kernels(), starts, each(plans), {}); }) ==
          "prompt: the prompt is empty");
    starts[5].prompt = random_tokens(tiny.config.context, VOCAB);
    CHECK(!contains(error_of([&] { generate(tiny.config, tiny.weights, cpu_kernels(), starts, each(plans), {}); }),
                    "too many"));
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

namespace {

// `count` codes as the mix would have them, from runs of the prompts that know nothing of each other: one token at a
// time, each in a network and a cache of its own; `formula` mixes their logits.
using Formula = std::function<float(std::span<const float>)>;
Ids by_hand(const TinyTransformer& tiny, const std::vector<Ids>& prompts, int count, uint64_t seed,
            const Formula& formula) {
    std::vector<Ids> sequences = prompts;
    Ids drawn;
    for (int i = 0; i < count; i++) {
        std::vector<std::vector<float>> rows;
        for (const Ids& sequence : sequences) {
            Transformer network(tiny.config, tiny.weights, cpu_kernels(), 1, 1);
            KvCache cache(tiny.config, cpu_kernels(), 1, 100, 4, DType::F32);
            const int stream = cache.add_stream();
            prefill(network, cache, stream, std::span(sequence).first(sequence.size() - 1));
            Batch last;
            last.add(sequence.back(), stream, cache.length(stream), WantLogits::Yes);
            const float* logits = network.forward(cache, last);
            rows.emplace_back(logits, logits + VOCAB);
        }
        std::vector<float> mixed(VOCAB), of_id(rows.size());
        for (int id = 0; id < VOCAB; id++) {
            for (size_t s = 0; s < rows.size(); s++) of_id[s] = rows[s][id];
            mixed[id] = formula(of_id);
        }
        SamplerChain chain = image(1).chain;
        chain.ops.insert(chain.ops.begin(), op::Allow{{CODES}});
        const float* row = mixed.data();
        drawn.push_back(draw(score(chain, {&row, 1}, VOCAB, {}), uniform(seed, 0, i)));
        for (Ids& sequence : sequences) sequence.push_back(drawn.back());
    }
    return drawn;
}

const Ids FULL = {2, 44, 45, 46, 3}, WITHOUT_TEXT = {2, 9, 10, 3}, UNCONDITIONAL = {2, 3};

}  // namespace

TEST_CASE("generate: two and three guidance streams equal independent runs mixed by hand") {
    for (Family family : {Family::CM3Leon, Family::Chameleon, Family::TwoAxes}) {
        const TinyTransformer tiny(family, VOCAB);
        GenerateOptions options;
        options.seed = 0x9876543212345678;  // all of it counts
        CHECK(
            run(tiny, FULL, plan({mixed(30, mix::Guidance{2.5f}, {UNCONDITIONAL})}), options)[0].tokens ==
            by_hand(tiny, {FULL, UNCONDITIONAL}, 30, options.seed, [](auto l) { return l[1] + 2.5f * (l[0] - l[1]); }));
        // The paper's weights for an edit: l_0 + 1.5 (l_image - l_0) + 7.5 (l_full - l_image).
        const Run edit = mixed(30, mix::Guidance3{1.5f, 7.5f}, {WITHOUT_TEXT, UNCONDITIONAL});
        CHECK(run(tiny, FULL, plan({edit}), options)[0].tokens ==
              by_hand(tiny, {FULL, WITHOUT_TEXT, UNCONDITIONAL}, 30, options.seed,
                      [](auto l) { return l[2] + 1.5f * (l[1] - l[2]) + 7.5f * (l[0] - l[1]); }));
    }
}

TEST_CASE("generate: guidance of weight 1 equals plain sampling, of weight 0 the unconditional") {
    for (Family family : {Family::CM3Leon, Family::Chameleon, Family::TwoAxes}) {
        const TinyTransformer tiny(family, VOCAB);
        GenerateOptions options;
        options.seed = 8;
        options.candidates = 3;
        const auto draw = [&](const Ids& prompt, const Run& one) {
            std::vector<Ids> tokens;
            for (const Generated& g : run(tiny, prompt, plan({one}, 3), options)) tokens.push_back(g.tokens);
            return tokens;
        };
        const auto plain = draw(FULL, image(40)), without = draw(UNCONDITIONAL, image(40));
        CHECK(plain != without);
        CHECK(draw(FULL, mixed(40, mix::Guidance{1}, {UNCONDITIONAL})) == plain);
        CHECK(draw(FULL, mixed(40, mix::Guidance3{1, 1}, {WITHOUT_TEXT, UNCONDITIONAL})) == plain);
        CHECK(draw(FULL, mixed(40, mix::Guidance{0}, {UNCONDITIONAL})) == without);
        CHECK(draw(FULL, mixed(40, mix::Guidance3{0, 0}, {WITHOUT_TEXT, UNCONDITIONAL})) == without);
        CHECK(draw(FULL, mixed(40, mix::Guidance{2}, {UNCONDITIONAL})) != plain);
    }
}

TEST_CASE("generate: N candidates equal N single runs, for pictures, text and holes, of one to three streams") {
    const Ids prompt = random_tokens(40, VOCAB, 5);
    int different = 0;
    const std::vector<std::pair<Mix, std::vector<Ids>>> mixes = {
        {mix::None{}, {}},
        {mix::Guidance{3}, {UNCONDITIONAL}},
        {mix::ContrastiveTopK{4, 0.3f, 0.5f}, {UNCONDITIONAL}},
        {mix::Guidance3{1.5f, 7.5f}, {WITHOUT_TEXT, UNCONDITIONAL}},
    };
    for (Family family : {Family::CM3Leon, Family::ChameleonSwin, Family::TwoAxes}) {
        const TinyTransformer tiny(family, VOCAB);
        for (const auto& [mix, guidance] : mixes) {
            const Run picture = mixed(24, mix, guidance);
            Run words = text(18, {40, 47, 55});  // candidates end at their own pace
            words.chain.mix = mix;
            words.guidance = guidance;
            // Rows of a hole: the streams go on behind forced ids.
            Run first_row = mixed(6, mix, guidance), row = first_row;
            row.guidance.reset();
            for (const std::vector<Run>& runs : {std::vector<Run>{picture},
                                                 {words},
                                                 {first_row, forced({3, 2}), row, forced({3, 9, 10, 11, 12}), row}}) {
                GenerateOptions options;
                options.candidates = 3;
                options.seed = 77;
                const auto together = run(tiny, prompt, plan(runs, 3), options);
                for (int i = 0; i < 3; i++) {
                    GenerateOptions single;
                    single.seed = 77 + i;
                    const Generated alone = run(tiny, prompt, plan(runs), single)[0];
                    CHECK(together[i].tokens == alone.tokens);
                    CHECK(together[i].complete == alone.complete);
                }
                different += together[0].tokens != together[1].tokens;
            }
        }
    }
    CHECK(different >= 22);  // of 24
}

TEST_CASE("generate: half guided top-p, half CD-K in one batch equal single runs, and share their prompts") {
    const TinyTransformer tiny(Family::CM3Leon, VOCAB);
    const Ids prompt = random_tokens(40, VOCAB, 6), retrieved = random_tokens(20, VOCAB, 7);
    const Run guided = mixed(20, mix::Guidance{3}, {UNCONDITIONAL});
    Run contrastive = mixed(20, mix::ContrastiveTopK{5, 0.2f, 0.7f}, {retrieved});
    contrastive.chain.ops = {op::Temperature{0.9f}};
    for (bool alternating : {false, true}) {
        std::vector<std::vector<Run>> plans(8);
        for (int i = 0; i < 8; i++) plans[i] = {(alternating ? i % 2 == 0 : i < 4) ? guided : contrastive};
        GenerateOptions options;
        options.candidates = 8;
        options.max_tokens = 100;
        options.seeds = {9, 8, 7, 6, 5, 4, 1ull << 50, 2};
        GenerateStatistics statistics;
        const auto together =
            generate(tiny.config, tiny.weights, cpu_kernels(), prompt, each(plans), options, &statistics);
        // Each of the three prompts once, but for its last token, which the first step feeds.
        CHECK(statistics.prompt_tokens == 39 + 1 + 19);
        CHECK(statistics.steps == 20);
        for (int i = 0; i < 8; i++) {
            GenerateOptions single;
            single.seed = options.seeds[i];
            CHECK(together[i].tokens == run(tiny, prompt, plan(plans[i]), single)[0].tokens);
        }
    }
}

TEST_CASE("generate: more guidance prompts than are kept to share are computed, not refused") {
    const TinyTransformer tiny(Family::Chameleon, VOCAB);
    const Ids prompt = random_tokens(30, VOCAB, 8);
    std::vector<std::vector<Run>> plans;
    for (int i = 0; i < 7; i++)
        plans.push_back({mixed(10, mix::Guidance3{1.5f, 3},
                               {random_tokens(20, VOCAB, 100 + i), random_tokens(9 + i, VOCAB, 200 + i)}),
                         text(1 + i, {1})});
    GenerateOptions options;
    options.candidates = 7;
    options.seed = 4;
    const auto together = run(tiny, prompt, each(plans), options);
    for (int i = 0; i < 7; i++) {
        GenerateOptions single;
        single.seed = 4 + i;
        CHECK(together[i].tokens == run(tiny, prompt, plan(plans[i]), single)[0].tokens);
    }
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
