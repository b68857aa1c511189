// The modality machine: whatever the logits say, a picture has exactly its codes, begins only where it fits, and
// nothing follows the end. What is generated is judged as a string of one letter a token.
#include "runtime/generate.h"
#include "runtime/modality.h"
#include "tests/kernel_harness.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_transformer.h"
#include "tokenizer/document.h"

#include "tests/testing.h"

namespace leon {
namespace {

using Ids = std::vector<int32_t>;
using Start = ModalityPlan::Start;

constexpr int VOCAB = 61, CODES = 5;
constexpr int32_t EOS = 2, END = 36, BEGIN = 37;

ModalityRules chameleon() {
    return {.text = {{40, 60}}, .image = {{4, 35}}, .begin = BEGIN, .end = {END}, .stop = {EOS}, .codes = CODES};
}
ModalityRules cm3leon() {
    ModalityRules rules = chameleon();
    rules.end = {BEGIN, EOS};  // <break> at both ends
    return rules;
}
// One letter a token: text, code, begin, end, stop, and ? for what nothing allows.
std::string letters(const Ids& ids) {
    std::string text;
    for (int32_t id : ids)
        text += id == EOS             ? 's'
                : id == END           ? 'e'
                : id == BEGIN         ? 'b'
                : id >= 4 && id <= 35 ? 'c'
                : id >= 40            ? 't'
                                      : '?';
    return text;
}

// Text and whole pictures in any order, then perhaps one of the ends.
bool is_document(std::string text, const std::string& picture, const std::vector<std::string>& ends) {
    for (size_t at; (at = text.find(picture)) != std::string::npos;) text.replace(at, picture.size(), "t");
    const size_t rest = text.find_first_not_of('t');
    return rest == std::string::npos || std::find(ends.begin(), ends.end(), text.substr(rest)) != ends.end();
}

// Carries runs out with logits that are noise, some of them enormous, and biased towards one id to visit all states.
Ids carry_out(const ModalityRules& rules, const ModalityPlan& plan, Random& random) {
    Ids generated;
    while (auto run = next_run(rules, plan, generated)) {
        REQUIRE(static_cast<int>(generated.size()) < plan.max_tokens);
        if (run->kind == Run::Kind::Forced) {
            generated.insert(generated.end(), run->forced.begin(), run->forced.end());
            continue;
        }
        REQUIRE(run->tokens > 0);
        SamplerChain chain = run->chain;
        op::Allow allow{run->allowed};
        for (int32_t id : run->stop) allow.ranges.emplace_back(id, id);
        chain.per_stream.insert(chain.per_stream.begin(), allow);
        for (int drawn = 0; drawn < run->tokens; drawn++) {
            std::vector<float> logits(VOCAB);
            for (float& l : logits) l = 3 * random.normal() + (random.below(50) == 0 ? 1e6f : 0);
            logits[BEGIN] += 4 * static_cast<float>(random.uniform());
            const float* row = logits.data();
            generated.push_back(sample(chain, std::span(&row, 1), VOCAB, generated, random.uniform()));
            const bool stop = std::find(run->stop.begin(), run->stop.end(), generated.back()) != run->stop.end();
            if (stop) break;
            if (run->kind == Run::Kind::Image) CHECK(letters({generated.back()}) == "c");
        }
    }
    return generated;
}

struct Kin {
    const char* name;
    ModalityRules rules;
    Family shape;
    std::string picture;
    std::vector<std::string> ends;

    bool accepts(const std::string& text) const { return is_document(text, picture, ends); }
};
const Kin FAMILIES[] = {{"Chameleon", chameleon(), Family::Chameleon, "bccccce", {"s"}},
                        {"CM3Leon", cm3leon(), Family::CM3Leon, "bcccccb", {"s", "bcccccs"}}};

}  // namespace

TEST_CASE("modality: whatever the logits say, documents are well formed") {
    Random random(1);
    for (const Kin& family : FAMILIES) {
        int pictures = 0, finished = 0, full = 0;
        for (int trial = 0; trial < 1500; trial++) {
            ModalityPlan plan;
            plan.start = random.below(4) == 0 ? Start::Picture : Start::Text;
            plan.max_tokens = 1 + random.below(60);
            if (random.below(3) == 0) plan.max_pictures = random.below(3);
            const Ids ids = carry_out(family.rules, plan, random);
            const std::string text = (plan.start == Start::Picture ? "b" : "") + letters(ids);
            CAPTURE(family.name);
            CAPTURE(text);
            CAPTURE(plan.max_tokens);
            if (plan.start == Start::Picture && ids.empty()) {
                CHECK(plan.max_tokens < CODES + 1);  // there was no room
                continue;
            }
            CHECK(family.accepts(text));
            const bool ended = ids.back() == EOS;
            CHECK(is_finished(family.rules, plan.start, ids) == ended);
            if (!ended) CHECK(static_cast<int>(ids.size()) == plan.max_tokens);
            const auto codes = std::count(text.begin(), text.end(), 'c');
            const int allowed = std::max(plan.max_pictures, plan.start == Start::Picture ? 1 : 0);
            CHECK(codes / CODES <= allowed);
            pictures += static_cast<int>(codes) / CODES;
            (ended ? finished : full)++;
        }
        CHECK(pictures > 500);  // the trials visit what they are to judge
        CHECK(finished > 200);
        CHECK(full > 200);
    }
}

TEST_CASE("modality: a picture begins exactly where it fits") {
    for (const Kin& family : FAMILIES) {
        ModalityPlan plan;
        plan.max_tokens = 20;
        for (int length = 0; length <= plan.max_tokens; length++) {
            const Ids generated(static_cast<size_t>(length), 40);
            const auto run = next_run(family.rules, plan, generated);
            CAPTURE(length);
            if (length == plan.max_tokens) {
                CHECK_FALSE(run.has_value());
                continue;
            }
            REQUIRE(run.has_value());
            const bool fits = length + 1 + CODES + 1 <= plan.max_tokens;
            CHECK(run->kind == Run::Kind::Text);
            CHECK(run->stop == (fits ? Ids{EOS, BEGIN} : Ids{EOS}));
            // The run ends where the answer to "does it fit" changes, so that no draw goes by an old answer.
            CHECK(length + run->tokens == (fits ? plan.max_tokens - CODES - 1 : plan.max_tokens));
        }
        plan.max_pictures = 0;
        CHECK(next_run(family.rules, plan, Ids{})->stop == Ids{EOS});
        CHECK(next_run(family.rules, plan, Ids{})->tokens == 20);
    }
}

TEST_CASE("modality: the course of a document") {
    ModalityPlan plan;
    plan.max_tokens = 100;
    plan.text_chain.ops = {op::Temperature{0.5f}};
    plan.picture_chain.ops = {op::Temperature{2}};
    auto after = [&](const ModalityRules& rules, const Ids& generated) { return next_run(rules, plan, generated); };
    auto temperature = [](const Run& run) { return std::get<op::Temperature>(run.chain.ops.at(0)).t; };

    const ModalityRules meta = chameleon();
    Ids ids = {41, 42, BEGIN};
    Run run = *after(meta, ids);
    CHECK(run.kind == Run::Kind::Image);
    CHECK(run.tokens == CODES);
    CHECK(run.allowed == meta.image);
    CHECK(run.stop.empty());
    CHECK(temperature(run) == 2);
    ids.insert(ids.end(), {4, 5, 6, 7, 35});
    run = *after(meta, ids);
    CHECK(run.kind == Run::Kind::Forced);
    CHECK(run.forced == Ids{END});
    ids.push_back(END);
    run = *after(meta, ids);
    CHECK(run.kind == Run::Kind::Text);
    CHECK(run.allowed == meta.text);
    CHECK(temperature(run) == 0.5f);
    REQUIRE(run.guidance.has_value());
    CHECK(run.guidance->empty());
    CHECK_FALSE(is_finished(meta, Start::Text, ids));
    ids.push_back(EOS);
    CHECK_FALSE(after(meta, ids).has_value());
    CHECK(is_finished(meta, Start::Text, ids));

    // CM3Leon: behind a picture the model says whether the document goes on.
    const ModalityRules cm3 = cm3leon();
    ids = {41, BEGIN, 4, 5, 6, 7, 8};
    run = *after(cm3, ids);
    CHECK(run.kind == Run::Kind::Text);
    CHECK(run.tokens == 1);
    CHECK(run.allowed.empty());
    CHECK(run.stop == Ids{BEGIN, EOS});
    ids.push_back(BEGIN);  // this one closes
    CHECK(after(cm3, ids)->kind == Run::Kind::Text);
    CHECK(after(cm3, ids)->allowed == cm3.text);
    ids.push_back(BEGIN);  // and this one opens
    CHECK(after(cm3, ids)->kind == Run::Kind::Image);
    ids = {BEGIN, 4, 5, 6, 7, 8, EOS};
    CHECK_FALSE(after(cm3, ids).has_value());

    ModalityRules endless = meta;  // no end id: text follows at once
    endless.end.clear();
    CHECK(after(endless, {BEGIN, 4, 5, 6, 7, 8})->kind == Run::Kind::Text);
    plan.max_tokens = 1 + CODES;
    CHECK(after(endless, {})->stop == Ids{EOS, BEGIN});
    CHECK(after(meta, {})->stop == Ids{EOS});
}

TEST_CASE("modality: guidance streams come with each picture, and with what it has already") {
    std::vector<size_t> asked;
    ModalityPlan plan;
    plan.max_tokens = 50;
    plan.picture_chain.mix = mix::Guidance3{1.2f, 3.0f};
    const ModalityRules rules = chameleon();
    const Ids prompt = {0, 45, BEGIN, 9, 9, 9, 9, 9, END, 46, 3};
    plan.guidance = [&](std::span<const int32_t> generated) {
        asked.push_back(generated.size());
        Ids all = prompt;
        all.insert(all.end(), generated.begin(), generated.end());
        return std::vector<Ids>{pictures_of(rules, all, Ids{0}), {0, BEGIN}};
    };
    CHECK(next_run(rules, plan, Ids{41})->guidance == std::vector<Ids>{});
    CHECK(next_run(rules, plan, Ids{41, BEGIN})->guidance ==
          std::vector<Ids>{{0, BEGIN, 9, 9, 9, 9, 9, END, BEGIN}, {0, BEGIN}});
    const Run rest = *next_run(rules, plan, Ids{41, BEGIN, 7, 8});
    CHECK(rest.tokens == CODES - 2);
    CHECK(rest.guidance == std::vector<Ids>{{0, BEGIN, 9, 9, 9, 9, 9, END, BEGIN, 7, 8}, {0, BEGIN, 7, 8}});
    CHECK(asked == std::vector<size_t>{2, 2});
}

TEST_CASE("modality: segments take a generation apart") {
    using Kind = Run::Kind;
    const ModalityRules meta = chameleon(), cm3 = cm3leon();
    CHECK(segments(meta, Start::Text, Ids{}).empty());
    CHECK(segments(meta, Start::Text, Ids{EOS}).empty());
    CHECK(segments(meta, Start::Text, Ids{41, 42, BEGIN, 4, 5, 6, 7, 8, END, 43, EOS}) ==
          std::vector<Segment>{{Kind::Text, {41, 42}}, {Kind::Image, {4, 5, 6, 7, 8}}, {Kind::Text, {43}}});
    CHECK(segments(meta, Start::Picture, Ids{4, 5, 6, 7, 8, END, BEGIN, 9, 10}) ==
          std::vector<Segment>{{Kind::Image, {4, 5, 6, 7, 8}}, {Kind::Image, {9, 10}}});
    CHECK(segments(cm3, Start::Text, Ids{41, BEGIN, 4, 5, 6, 7, 8, BEGIN, 42, BEGIN, 8, 7, 6, 5, 4, EOS}) ==
          std::vector<Segment>{
              {Kind::Text, {41}}, {Kind::Image, {4, 5, 6, 7, 8}}, {Kind::Text, {42}}, {Kind::Image, {8, 7, 6, 5, 4}}});
}

TEST_CASE("modality: the decode loop carries a model's own documents out") {
    for (const Kin& family : FAMILIES) {
        const TinyTransformer tiny(family.shape, VOCAB);
        const Ids prompt = {2, 45, 46};
        ModalityPlan plan;
        plan.max_tokens = 70;
        plan.text_chain.ops = {op::Temperature{3}};
        plan.picture_chain.ops = {op::TopP{0.9f}};
        plan.picture_chain.mix = mix::Guidance{2};
        plan.guidance = [](std::span<const int32_t>) { return std::vector<Ids>{{EOS, BEGIN}}; };
        const NextRun next = [&](int, const Ids& generated) { return next_run(family.rules, plan, generated); };
        GenerateOptions options;
        options.max_tokens = plan.max_tokens;
        options.candidates = 20;
        const auto together = generate(tiny.config, tiny.weights, cpu_kernels(), prompt, next, options);
        int pictures = 0, finished = 0;
        for (const Generated& one : together) {
            CAPTURE(letters(one.tokens));
            CHECK(family.accepts(letters(one.tokens)));
            CHECK(one.complete);
            if (is_finished(family.rules, Start::Text, one.tokens))
                finished++;
            else
                CHECK(one.tokens.size() == 70);
            for (const Segment& part : segments(family.rules, Start::Text, one.tokens))
                if (part.kind == Run::Kind::Image) pictures++;
        }
        CHECK(pictures > 5);
        CHECK(finished > 0);

        // A candidate alone equals itself among others: the machine keeps no state between them.
        options.candidates = 1;
        options.seed = 3;
        CHECK(generate(tiny.config, tiny.weights, cpu_kernels(), prompt, next, options)[0].tokens ==
              together[3].tokens);
    }
}

TEST_CASE("modality: both families' ids come from the vocabulary") {
    const Tokenizer tokenizer(read_text("tests/vectors/tokenizer/chameleon/tokenizer.json"), "tokenizer.json");
    const Vocabulary v = read_vocabulary(tokenizer);
    const ModalityRules meta = DocumentWriter(Layout::Chameleon, tokenizer, v).modality(16);
    CHECK(meta.text == v.text);
    CHECK(meta.image == v.image());
    CHECK(meta.begin == v.brk);
    CHECK(meta.end == Ids{v.eoss});
    CHECK(meta.stop == Ids{v.eos});
    CHECK(meta.codes == 16);
    const ModalityRules cm3 = DocumentWriter(Layout::CM3Leon, tokenizer, v).modality(9);
    CHECK(cm3.begin == v.brk);
    CHECK(cm3.end == Ids{v.brk, v.eos});
    CHECK(cm3.codes == 9);
}

}  // namespace leon
