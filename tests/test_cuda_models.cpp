// Whole tiny models on the emulated GPU: every family, every type of weights and cache, every kind of run there is. The
// tokens are the reference's; a picture costs one graph launch a token, and nothing but its tokens comes back.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "runtime/generate.h"
#include "tasks/model.h"
#include "tests/cuda_on_cpu/emulated_kernels.h"
#include "tests/cuda_on_cpu/runtime.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_transformer.h"
#include "weights_converter/random_model.h"

#include "tests/testing.h"

using namespace leon;
using Ids = std::vector<int32_t>;
namespace emu = leon::cuda_emulated::emu;

namespace {

constexpr int VOCAB = 61, CONTEXT = 260;
constexpr std::pair<int32_t, int32_t> CODES = {4, 35}, TEXT = {40, 60};
constexpr Family FAMILIES[] = {Family::Chameleon, Family::ChameleonSwin, Family::CM3Leon, Family::TwoAxes};
constexpr DType WEIGHTS[] = {DType::F32, DType::BF16, DType::F16, DType::I8};
constexpr DType CACHES[] = {DType::F32, DType::BF16, DType::F16};

Run image(int tokens, Mix mix = mix::None{}, std::vector<Ids> guidance = {}) {
    Run run;
    run.kind = Run::Kind::Image;
    run.tokens = tokens;
    run.allowed = {CODES};
    run.chain.mix = mix;
    run.chain.ops = {op::Temperature{1.0f}, op::TopP{0.9f}};
    run.guidance = std::move(guidance);
    return run;
}
Run text(int tokens, Ids stop) {
    Run run;
    run.kind = Run::Kind::Text;
    run.tokens = tokens;
    run.allowed = {TEXT};
    run.stop = std::move(stop);
    run.chain.ops = {op::RepetitionPenalty{1.2f}, op::Temperature{1.5f}, op::TopK{12}};
    return run;
}
// Tied weights repeat a token for ever unless they are made to regret it.
Run greedy(Family family, int tokens) {
    Run run = text(tokens, {});
    run.allowed = {{0, VOCAB - 1}};
    run.chain.ops = {op::Greedy{}};
    if (family == Family::CM3Leon) run.chain.ops.insert(run.chain.ops.begin(), op::RepetitionPenalty{4});
    return run;
}
Run forced(Ids ids) {
    Run run;
    run.forced = std::move(ids);
    return run;
}

// What was generated, and what the callback was told, in order.
struct Outcome {
    std::vector<Generated> generated;
    Ids events;  // candidate, token, kind, index, of
    GenerateStatistics statistics;
};

// `runs[c % size]` are the runs of candidate c.
using Plans = std::vector<std::vector<Run>>;

Outcome outcome(const TinyTransformer& tiny, const Kernels& k, const Ids& prompt, const Plans& plans,
                GenerateOptions options, int stop_after = std::numeric_limits<int>::max()) {
    Outcome out;
    options.max_tokens = CONTEXT - static_cast<int>(prompt.size());
    options.on_token = [&](const TokenEvent& e) {
        out.events.insert(out.events.end(), {e.candidate, e.token, static_cast<int32_t>(e.kind), e.index, e.of});
        return --stop_after > 0;
    };
    std::vector<size_t> next(options.candidates);
    const NextRun next_run = [&](int c, const Ids&) -> std::optional<Run> {
        const std::vector<Run>& runs = plans[c % plans.size()];
        if (next[c] == runs.size()) return std::nullopt;
        return runs[next[c]++];
    };
    out.generated = generate(tiny.config, tiny.on(k), k, prompt, next_run, options, &out.statistics);
    return out;
}

void check_same(const Outcome& got, const Outcome& want) {
    CHECK(got.events == want.events);
    REQUIRE(got.generated.size() == want.generated.size());
    for (size_t i = 0; i < got.generated.size(); i++) {
        CHECK(got.generated[i].tokens == want.generated[i].tokens);
        CHECK(got.generated[i].complete == want.generated[i].complete);
    }
    CHECK(got.statistics.steps == want.statistics.steps);
    CHECK(got.statistics.tokens == want.statistics.tokens);
}

// The smallest lead that the drawn id had over the next one, where `tokens` follow `prompt` greedily.
float smallest_lead(const TinyTransformer& tiny, const Ids& prompt, const Ids& tokens, const SamplerChain& greedy,
                    DType cache_dtype) {
    const Kernels& k = reference_kernels();
    Ids all = prompt;
    all.insert(all.end(), tokens.begin(), tokens.end() - 1);
    Transformer network(tiny.config, tiny.weights, k, static_cast<int>(all.size()), static_cast<int>(tokens.size()));
    KvCache cache(tiny.config, k, 1, CONTEXT, CONTEXT / PAGE_TOKENS + 1, cache_dtype);
    const int stream = cache.add_stream();
    Batch batch;
    for (size_t i = 0; i < all.size(); i++)
        batch.add(all[i], stream, static_cast<int>(i), i + 1 >= prompt.size() ? WantLogits::Yes : WantLogits::No);
    const float* logits = network.forward(cache, batch);
    SamplerChain scores = greedy;
    scores.ops.pop_back();  // op::Greedy
    float least = INFINITY;
    for (size_t i = 0; i < tokens.size(); i++) {
        const float* row = logits + i * VOCAB;
        const auto score_of = score(scores, {&row, 1}, VOCAB, std::span(all).first(prompt.size() + i));
        for (int id = 0; id < VOCAB; id++)
            if (id != tokens[i]) least = std::min(least, score_of[tokens[i]] - score_of[id]);
    }
    return least;
}

}  // namespace

// Every family with every type of weights and of cache, and every type of weights with every type of cache: 70 tokens,
// and 200 once for each family and type of cache.
TEST_CASE("cuda models: 200 greedy tokens are the reference's") {
    // Prompts whose continuations are decided clearly at every step. The logits of both differ by 3e-6 to 1.6e-4, and
    // by up to 2.8e-3 where a key falls on the other side of a rounding of the cache: a lead of 0.01 cannot be lost.
    constexpr uint64_t PROMPTS[3][4] = {{44, 43, 89, 43}, {79, 50, 34, 47}, {15, 15, 15, 15}};
    constexpr float SAFE_LEAD = 0.01f;
    for (int f = 0; f < 3; f++)
        for (int w = 0; w < 4; w++) {
            const Family family = FAMILIES[f];
            const DType dtype = WEIGHTS[w], cache_dtype = CACHES[(f + w) % 3];
            CAPTURE(f);
            CAPTURE(std::string(name_of(dtype)));
            CAPTURE(std::string(name_of(cache_dtype)));
            const TinyTransformer tiny(family, VOCAB, CONTEXT, dtype);
            const Ids prompt = random_tokens(20, VOCAB, PROMPTS[f][w]);
            const int steps = f == w ? 200 : 70;
            const Run run = greedy(family, steps);
            GenerateOptions options;
            options.cache_dtype = cache_dtype;
            const Outcome want = outcome(tiny, reference_kernels(), prompt, {{run}}, options);
            const Ids& tokens = want.generated[0].tokens;
            REQUIRE(static_cast<int>(tokens.size()) == steps);
            CHECK(smallest_lead(tiny, prompt, tokens, run.chain, cache_dtype) > SAFE_LEAD);
            check_same(outcome(tiny, emulated_cuda_kernels(), prompt, {{run}}, options), want);
        }
}

namespace {

struct Shape {
    const char* name;
    Plans plans;
    int candidates = 1;
    int prompt = 6;
};

const Ids UNCONDITIONAL = {2, 3}, WITHOUT_TEXT = {2, 9, 10, 3};

std::vector<Shape> pictures() {
    Run contrastive = image(30, mix::ContrastiveTopK{5, 0.2f}, {UNCONDITIONAL});
    contrastive.chain.ops = {op::Temperature{0.9f}};
    Run student = image(20, mix::ContrastiveTopK{6, 0.1f, 0.6f}, {WITHOUT_TEXT});
    Run nucleus = image(30);
    nucleus.chain.ops = {op::TopK{20}, op::Temperature{1.2f}, op::TopPBefore{0.8f}};
    return {
        {"one stream", {{image(40)}}},
        {"two streams", {{image(40, mix::Guidance{3}, {UNCONDITIONAL})}}},
        {"three streams", {{image(40, mix::Guidance3{1.5f, 3}, {WITHOUT_TEXT, UNCONDITIONAL})}}},
        {"contrastive", {{contrastive}}},
        {"top-k before the nucleus", {{nucleus}}},
        {"half guided, half contrastive", {{image(20, mix::Guidance{3}, {UNCONDITIONAL})}, {student}}, 4, 20},
        {"guidance of weight 1", {{image(20, mix::Guidance3{1, 1}, {WITHOUT_TEXT, UNCONDITIONAL})}}},
        {"three candidates that share a prompt", {{image(20, mix::Guidance{2}, {UNCONDITIONAL})}}, 3, 45},
    };
}

Run going_on(Run run) {  // with the streams that are there
    run.guidance.reset();
    return run;
}

std::vector<Shape> documents() {
    Run from_text = text(14, {41, 45, 50});
    from_text.guidance.emplace();
    Run forbidding = text(20, {44});
    forbidding.chain.ops = {op::Forbid{{42, 43, 55}}, op::Temperature{1.0f}};
    const Run guided = image(10, mix::Guidance{2}, {UNCONDITIONAL}), kept = going_on(guided);
    const Run first_row = image(5, mix::Guidance{3}, {UNCONDITIONAL}), row = going_on(first_row);
    const Run cells = going_on(image(4));
    return {
        {"text until a stop id, three candidates at their own pace", {{text(30, {40, 41, 48, 52})}}, 3},
        {"text that nothing ends", {{text(25, {})}}},
        {"text, forced ids, a picture, text", {{from_text, forced({3, 2}), image(20), forced({1}), forbidding}}, 2},
        {"guidance that is kept", {{guided, kept, forced({5, 6}), kept}}},
        // CM3Leon: rows of the hole between sentinels; Chameleon: long stretches of visible codes.
        {"infill, row by row", {{first_row, forced({3, 2}), row, forced({3, 9}), row, forced({3, 10}), row}}, 2},
        {"infill, in raster order",
         {{cells, forced(random_tokens(9, 30, 4)), cells, forced(random_tokens(11, 30, 5)), cells}}},
        {"candidates under different rules",
         {{image(16), text(9, {41})}, {text(20, {44, 45})}, {forced({7}), image(12)}},
         5},
        {"one id at a time", {{image(1), image(1), text(1, {}), image(2)}}},
    };
}

// A draw that falls between the cumulative sums of two backends would come out differently: about one of 10,000 with a
// cache of f32, and one of 500 with bf16, which therefore has few cases. Each shape in two families: with another one
// the next time, so that every family meets half of them.
void check_draws(const std::vector<Shape>& shapes, int bf16_caches) {
    int number = 0;
    for (size_t s = 0; s < shapes.size(); s++)
        for (size_t f : {s, s + 1 + s / 4}) {
            const Shape& shape = shapes[s];
            const Family family = FAMILIES[f % 4];
            GenerateOptions options;
            options.candidates = shape.candidates;
            options.seed = 17;
            options.cache_dtype = number < bf16_caches ? DType::BF16 : number % 2 ? DType::F32 : DType::F16;
            const DType dtype = WEIGHTS[number * 3 / 2 % 4];
            number++;
            CAPTURE(std::string(shape.name));
            CAPTURE(static_cast<int>(family));
            CAPTURE(std::string(name_of(dtype)));
            CAPTURE(std::string(name_of(options.cache_dtype)));
            const TinyTransformer tiny(family, VOCAB, CONTEXT, dtype);
            const Ids prompt = random_tokens(shape.prompt, VOCAB, 3);
            const Outcome want = outcome(tiny, reference_kernels(), prompt, shape.plans, options);
            check_same(outcome(tiny, emulated_cuda_kernels(), prompt, shape.plans, options), want);
            options.seed = 18;
            if (want.statistics.tokens > 10)
                CHECK(outcome(tiny, reference_kernels(), prompt, shape.plans, options).events != want.events);
        }
}

}  // namespace

TEST_CASE("cuda models: pictures of equal seeds are the reference's, with every mix of streams") {
    check_draws(pictures(), 3);
}

TEST_CASE("cuda models: guidance of weight 1 draws what one stream draws") {
    for (Family family : FAMILIES) {
        const TinyTransformer tiny(family, VOCAB, CONTEXT, DType::BF16);
        const Ids prompt = random_tokens(6, VOCAB, 3);
        const auto draw = [&](const Run& run) {
            return outcome(tiny, emulated_cuda_kernels(), prompt, {{run}}, {}).events;
        };
        const Ids plain = draw(image(15));
        CHECK(draw(image(15, mix::Guidance{1}, {UNCONDITIONAL})) == plain);
        CHECK(draw(image(15, mix::Guidance3{1, 1}, {WITHOUT_TEXT, UNCONDITIONAL})) == plain);
        CHECK(draw(image(15, mix::Guidance{3}, {UNCONDITIONAL})) != plain);
    }
}

TEST_CASE("cuda models: runs that follow each other draw the reference's tokens from equal seeds") {
    check_draws(documents(), 0);
}

TEST_CASE("cuda models: the callback can stop, however far ahead the device is") {
    const TinyTransformer tiny(Family::CM3Leon, VOCAB, CONTEXT);
    const Plans plans = {{image(30, mix::Guidance{3}, {{2, 3}})}};
    for (int stop_after : {1, 7, 23, 30}) {
        CAPTURE(stop_after);
        GenerateOptions options;
        options.candidates = 2;
        const Outcome want = outcome(tiny, reference_kernels(), {2, 50, 3}, plans, options, stop_after);
        CHECK(want.events.size() == 5 * static_cast<size_t>(stop_after));
        check_same(outcome(tiny, emulated_cuda_kernels(), {2, 50, 3}, plans, options, stop_after), want);
    }
}

TEST_CASE("cuda models: a picture is one launch a token, and only its tokens come back") {
    const TinyTransformer tiny(Family::CM3Leon, VOCAB, CONTEXT);
    const Kernels& k = emulated_cuda_kernels();
    for (int candidates : {1, 2}) {
        GenerateOptions options;
        options.max_tokens = 64;
        options.candidates = candidates;
        emu::RuntimeCounters first{};
        int seen = 0;
        options.on_token = [&](const TokenEvent&) {
            if (seen++ == 0) first = emu::runtime_counters;
            return true;
        };
        bool asked[2] = {};
        const NextRun once = [&](int c, const Ids&) -> std::optional<Run> {
            if (std::exchange(asked[c], true)) return std::nullopt;
            return image(64, mix::Guidance{3}, {{2, 3}});
        };
        tiny.on(k);
        emu::reset_runtime_counters();
        generate(tiny.config, tiny.on(k), k, {2, 50, 3}, once, options);
        const emu::RuntimeCounters& last = emu::runtime_counters;
        CHECK(seen == 64 * candidates);
        CHECK(last.graph_launches == 64);
        CHECK(last.kernel_launches == first.kernel_launches);  // those of the prompt
        CHECK(last.copies_to_device == first.copies_to_device);
        CHECK(last.copies_to_host == first.copies_to_host);
        if (candidates == 1) CHECK(last.copies_to_host == 0);
    }
}

TEST_CASE("cuda models: text runs two steps ahead, and one of them is in vain when it stops") {
    const TinyTransformer tiny(Family::Chameleon, VOCAB, CONTEXT);
    const Kernels& k = emulated_cuda_kernels();
    const Plans plans = {{text(60, {40, 41, 42})}};
    GenerateOptions options;
    int stopped = 0;
    for (options.seed = 1; options.seed < 6; options.seed++) {
        emu::reset_runtime_counters();
        const Outcome got = outcome(tiny, k, {0, 50}, plans, options);
        const auto drawn = static_cast<uint64_t>(got.statistics.tokens);
        REQUIRE(drawn > 1);
        CHECK(emu::runtime_counters.graph_launches == (drawn < 60 ? drawn + 1 : drawn));
        CHECK(got.generated[0].tokens.size() == drawn);
        stopped += drawn < 60;
    }
    CHECK(stopped > 1);
}

// What breaks a model, or a rule, is one line on every backend.
TEST_CASE("cuda models: a broken model and a rule that leaves nothing are errors, at the token where they show") {
    TinyTransformer tiny(Family::CM3Leon, VOCAB, CONTEXT);
    std::vector<const Kernels*> all = {&reference_kernels(), &cpu_kernels(), &emulated_cuda_kernels()};
    Run nothing = image(20);
    nothing.allowed = {{5, 6}};
    nothing.chain.ops = {op::Forbid{{5, 6}}};
    for (const Kernels* k : all) {
        CAPTURE(std::string(k->name));
        CHECK_THROWS_WITH_AS(outcome(tiny, *k, {2, 3}, {{image(3), nothing}}, {}),
                             "no token is left to draw: the sampler chain excludes them all", Error);
    }
    // The row of token 9 in the table of tokens, and so of the output: every logit of id 9 is NaN.
    tiny.weights.embedding.f32()[9 * tiny.config.dim] = NAN;
    for (const Kernels* k : {&reference_kernels(), &cpu_kernels()})
        CHECK_THROWS_WITH_AS(outcome(tiny, *k, {2, 3}, {{image(20)}}, {}),
                             "the model produced NaN or an infinite logit; the weights are damaged or overflow in this "
                             "precision",
                             Error);
    TinyTransformer again(Family::CM3Leon, VOCAB, CONTEXT);
    again.weights.embedding.f32()[9 * again.config.dim] = NAN;
    CHECK_THROWS_AS(outcome(again, emulated_cuda_kernels(), {2, 3}, {{image(20)}}, {}), Error);
}

namespace {

size_t free_bytes() {
    size_t available, all;
    cuda_emulated::cudaMemGetInfo(&available, &all);
    return available;
}

// The shape of a whole file in a few thousand weights.
ModelConfig small_model() {
    ModelConfig c = preset("7b", WithVqgan::Yes);
    TransformerConfig& t = c.transformer;
    t.layers = 2;
    t.dim = 32;
    t.heads = t.kv_heads = 2;
    t.head_dim = 16;
    t.ffn_dim = 48;
    t.vocab = 100;
    t.context = 64;
    c.vqgan.channels = 32;
    c.vqgan.multipliers = {1, 1};
    c.vqgan.res_blocks = 1;
    c.vqgan.z_channels = c.vqgan.code_dim = 8;
    c.vqgan.codes = 16;
    c.vqgan.resolution = 4;
    return c;
}

}  // namespace

TEST_CASE("cuda models: one model after another leaves nothing on the device") {
    const TemporaryFolder folder;
    const Kernels& k = emulated_cuda_kernels();
    for (DType dtype : {DType::F32, DType::BF16}) write_random_model(folder / name_of(dtype), small_model(), dtype, 1);
    const auto use = [&](DType dtype) {
        const Model model(folder / name_of(dtype), k);
        CHECK(free_bytes() < (size_t{80} << 30) - model.file().file().bytes() / 2);
        GenerateOptions options;
        options.max_tokens = 4;
        options.candidates = 2;
        bool asked[2] = {};
        const NextRun once = [&](int c, const Ids&) -> std::optional<Run> {
            if (std::exchange(asked[c], true)) return std::nullopt;
            return image(4);
        };
        generate(model.config().transformer, model.weights(), k, {1, 2, 3}, once, options);
        model.decoder().decode(std::vector<int32_t>{1, 2, 3, 4}, 2, 2);
    };
    use(DType::F32);  // what the backend keeps for all models is there from now on
    const size_t before = free_bytes();
    for (DType dtype : {DType::F32, DType::BF16, DType::F32}) {
        use(dtype);
        CHECK(free_bytes() == before);
    }
    {
        const Model one(folder / "F32", k), other(folder / "BF16", k);
        CHECK(free_bytes() < before);
    }
    CHECK(free_bytes() == before);

    // A file that lacks its last tensor leaves nothing either.
    ModelConfig wrong = small_model();
    const WeightsFile file(folder / "F32");
    wrong.transformer.layers++;
    CHECK_THROWS_AS(bind_weights(file, wrong.transformer, k), Error);
    wrong = small_model();
    wrong.vqgan.codes++;
    CHECK_THROWS_AS(Vqgan(file, wrong.vqgan, k), Error);
    CHECK(free_bytes() == before);
}
