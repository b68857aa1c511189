// The modality machine: whatever the logits say, a picture has exactly its codes, begins only where it fits, and
// nothing follows the end. What is generated is judged as a string of one letter a token.
#include "runtime/generate.h"
#include "runtime/modality.h"
#include "tests/kernel_harness.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_transformer.h"
#include "tokenizer/document_writer.h"

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
// Lumina-mGPT: two counts of units of 2 codes, and new-lines. Text ends before them.
constexpr int32_t ZERO = 55, MOST_UNITS = 3, NEW_LINE = 60;
ModalityRules lumina() {
    ModalityRules rules = chameleon();
    rules.text = {{40, ZERO}};
    rules.codes = 0;
    rules.grid = {.zero = ZERO, .most_units = MOST_UNITS, .codes_per_unit = 2, .new_line = NEW_LINE};
    return rules;
}

// One letter a token: text, code, begin, end, stop, and ? for what nothing allows. With a grid: counts, new-line.
std::string letters(const Ids& ids, bool has_grid = false) {
    std::string text;
    for (int32_t id : ids)
        if (has_grid && id > ZERO)
            text += id == NEW_LINE ? 'n' : id - ZERO <= MOST_UNITS ? static_cast<char>('0' + id - ZERO) : '?';
        else
            text += id == EOS             ? 's'
                    : id == END           ? 'e'
                    : id == BEGIN         ? 'b'
                    : id >= 4 && id <= 35 ? 'c'
                    : id >= 40            ? 't'
                                          : '?';
    return text;
}

bool is_in(const std::vector<std::pair<int32_t, int32_t>>& ranges, int32_t id) {
    return std::any_of(ranges.begin(), ranges.end(), [id](auto& r) { return r.first <= id && id <= r.second; });
}

// Text and whole pictures in any order, then perhaps one of the ends.
bool is_document(std::string text, const std::string& picture, const std::vector<std::string>& ends) {
    for (size_t at; (at = text.find(picture)) != std::string::npos;) text.replace(at, picture.size(), "t");
    const size_t rest = text.find_first_not_of('t');
    return rest == std::string::npos || std::find(ends.begin(), ends.end(), text.substr(rest)) != ends.end();
}

// "b21ccnccnccnccne" and the like become "t".
std::string without_grids(std::string text) {
    for (size_t at; (at = text.find('b')) != std::string::npos && at + 2 < text.size();) {
        std::string picture = text.substr(at, 3);
        for (int row = 0; row < 2 * (picture[1] - '0'); row++)
            picture += std::string(static_cast<size_t>(2 * (picture[2] - '0')), 'c') + 'n';
        picture += 'e';
        if (text.compare(at, picture.size(), picture) != 0) return text;
        text.replace(at, picture.size(), "t");
    }
    return text;
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
            if (run->kind == Run::Kind::Image) CHECK(is_in(rules.image, generated.back()));
        }
    }
    return generated;
}

std::vector<Ids> with(std::vector<Ids> prompts, const Ids& rest) {
    for (Ids& prompt : prompts) prompt.insert(prompt.end(), rest.begin(), rest.end());
    return prompts;
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

TEST_CASE("modality: whatever the logits say, pictures of a grid have the rows and columns that their counts say") {
    Random random(2);
    const ModalityRules rules = lumina();
    int pictures = 0, finished = 0, full = 0, sizes[MOST_UNITS + 1][MOST_UNITS + 1] = {};
    for (int trial = 0; trial < 1500; trial++) {
        ModalityPlan plan;
        plan.start = random.below(4) == 0 ? Start::Picture : Start::Text;
        plan.max_tokens = 1 + random.below(120);
        if (random.below(3) == 0) plan.max_pictures = random.below(3);
        if (random.below(3) == 0) plan.units = {1 + random.below(MOST_UNITS), 1 + random.below(MOST_UNITS)};
        const Ids ids = carry_out(rules, plan, random);
        const std::string text = (plan.start == Start::Picture ? "b" : "") + letters(ids, true);
        CAPTURE(text);
        CAPTURE(plan.max_tokens);
        REQUIRE(static_cast<int>(ids.size()) <= plan.max_tokens);
        if (plan.start == Start::Picture && ids.empty()) {
            const PictureUnits least = plan.units.value_or(PictureUnits{1, 1});
            CHECK(plan.max_tokens < 2 + 2 * least.height * (2 * least.width + 1) + 1);  // there was no room
            continue;
        }
        CHECK(is_document(without_grids(text), "?", {"s"}));
        const bool ended = ids.back() == EOS;
        CHECK(is_finished(rules, plan.start, ids) == ended);
        if (!ended) CHECK(static_cast<int>(ids.size()) == plan.max_tokens);
        const auto begun = std::count(text.begin(), text.end(), 'b');
        CHECK(begun <= std::max(plan.max_pictures, plan.start == Start::Picture ? 1 : 0));

        int whole = 0;
        for (const Segment& part : segments(rules, plan.start, ids)) {
            for (int32_t id : part.ids) CHECK(is_in(part.kind == Run::Kind::Image ? rules.image : rules.text, id));
            if (part.kind == Run::Kind::Text) continue;
            CHECK(static_cast<int>(part.ids.size()) == part.height * part.width);
            if (plan.units) CHECK(part.height == 2 * plan.units->height);
            if (plan.units) CHECK(part.width == 2 * plan.units->width);
            sizes[part.height / 2][part.width / 2]++;
            whole++;
        }
        CHECK(whole == begun);
        pictures += whole;
        (ended ? finished : full)++;
    }
    CHECK(pictures > 500);  // the trials visit what they are to judge
    CHECK(finished > 200);
    CHECK(full > 200);
    for (int height = 1; height <= MOST_UNITS; height++)
        for (int width = 1; width <= MOST_UNITS; width++) CHECK(sizes[height][width] > 10);
}

TEST_CASE("modality: the course of a picture with a grid") {
    const ModalityRules rules = lumina();
    ModalityPlan plan;
    plan.max_tokens = 100;
    plan.text_chain.ops = {op::TopK{5}};
    plan.picture_chain.ops = {op::TopK{2000}};
    plan.picture_chain.mix = mix::Guidance{4};
    // Lumina's guidance stream begins at the open picture, with its counts, and knows no text.
    plan.guidance = [](std::span<const int32_t> generated) {
        CHECK(generated.back() == BEGIN);
        return std::vector<Ids>{{BEGIN}};
    };
    const auto after = [&](const Ids& generated) { return next_run(rules, plan, generated); };
    const auto top_k = [](const Run& run) { return std::get<op::TopK>(run.chain.ops.at(0)).k; };

    Ids ids = {41, 42, BEGIN};
    Run run = *after(ids);  // the counts are drawn as text is, without guidance
    CHECK(run.kind == Run::Kind::Text);
    CHECK(run.tokens == 1);
    CHECK(run.allowed == std::vector<std::pair<int32_t, int32_t>>{{ZERO + 1, ZERO + 3}});
    CHECK(run.stop.empty());
    CHECK(top_k(run) == 5);
    CHECK(run.guidance == std::vector<Ids>{});
    ids.push_back(ZERO + 1);
    CHECK(after(ids)->allowed == run.allowed);
    ids.push_back(ZERO + 2);
    for (int row = 0; row < 2; row++) {
        run = *after(ids);
        CHECK(run.kind == Run::Kind::Image);
        CHECK(run.tokens == 4);
        CHECK(run.allowed == rules.image);
        CHECK(top_k(run) == 2000);
        CHECK(run.guidance.has_value() == (row == 0));  // the second row goes on with the streams of the first
        if (row == 0) CHECK(run.guidance == std::vector<Ids>{{BEGIN, ZERO + 1, ZERO + 2}});
        // In the midst of a row: streams that have it.
        Ids part = ids;
        part.insert(part.end(), {9, 8});
        run = *after(part);
        CHECK(run.tokens == 2);
        CHECK(run.guidance == with({{}}, Ids(part.begin() + 2, part.end())));
        ids.insert(ids.end(), {4, 5, 6, 35});
        CHECK(after(ids)->forced == Ids{NEW_LINE});
        ids.push_back(NEW_LINE);
    }
    CHECK(after(ids)->forced == Ids{END});
    ids.push_back(END);
    CHECK(after(ids)->kind == Run::Kind::Text);
    CHECK(segments(rules, Start::Text, ids) ==
          std::vector<Segment>{{Run::Kind::Text, {41, 42}}, {Run::Kind::Image, {4, 5, 6, 35, 4, 5, 6, 35}, 2, 4}});
    CHECK(pictures_of(rules, ids, Ids{}) == Ids(ids.begin() + 2, ids.end()));
    ids.push_back(EOS);
    CHECK_FALSE(after(ids).has_value());

    plan.units = {2, 1};
    CHECK(after({BEGIN})->forced == Ids{ZERO + 2});
    CHECK(after({BEGIN, ZERO + 2})->forced == Ids{ZERO + 1});
    CHECK(after({BEGIN, ZERO + 2, ZERO + 1})->tokens == 2);
}

TEST_CASE("modality: with a grid, only sizes that fit can be drawn") {
    const ModalityRules rules = lumina();
    ModalityPlan plan;
    const auto tokens = [](int height, int width) { return 2 + 2 * height * (2 * width + 1) + 1; };  // behind begin
    for (int room = 0; room <= tokens(3, 3) + 2; room++) {  // behind a begin id
        CAPTURE(room);
        plan.max_tokens = room + 1;
        const auto text = next_run(rules, plan, Ids{});
        const bool begins = std::count(text->stop.begin(), text->stop.end(), BEGIN) > 0;
        CHECK(begins == (room >= tokens(1, 1)));
        if (begins) CHECK(text->tokens == room - tokens(1, 1) + 1);
        const auto height = next_run(rules, plan, Ids{BEGIN});
        CHECK(height.has_value() == begins);
        if (!begins) continue;
        for (int h = 1; h <= MOST_UNITS; h++) {
            CHECK(is_in(height->allowed, ZERO + h) == (tokens(h, 1) <= room));
            const auto width = next_run(rules, plan, Ids{BEGIN, ZERO + h});
            CHECK(width.has_value() == (tokens(h, 1) <= room));
            for (int w = 1; width && w <= MOST_UNITS; w++)
                CHECK(is_in(width->allowed, ZERO + w) == (tokens(h, w) <= room));
        }
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

TEST_CASE("modality: the decode loop carries pictures with a grid out, and takes them up where they were left") {
    const ModalityRules rules = lumina();
    const TinyTransformer tiny(Family::Chameleon, VOCAB);
    const Ids prompt = {0, 45, 46, BEGIN};
    ModalityPlan plan;
    plan.start = Start::Picture;
    plan.max_tokens = 60;
    plan.max_pictures = 1;
    plan.text_chain.ops = {op::Temperature{2}};
    plan.picture_chain.ops = {op::TopK{10}};
    plan.picture_chain.mix = mix::Guidance{2};
    plan.guidance = [](std::span<const int32_t>) { return std::vector<Ids>{{BEGIN}}; };
    GenerateOptions options;
    options.max_tokens = plan.max_tokens;
    options.candidates = 6;
    const NextRun next = [&](int, const Ids& generated) { return next_run(rules, plan, generated); };
    const auto together = generate(tiny.config, tiny.weights, cpu_kernels(), prompt, next, options);
    for (int i = 0; i < 6; i++) {
        const std::string text = 'b' + letters(together[i].tokens, true);
        CAPTURE(text);
        CHECK(is_document(without_grids(text), "?", {"s"}));
        CHECK(segments(rules, Start::Picture, together[i].tokens).at(0).height > 0);
        GenerateOptions single = options;
        single.candidates = 1;
        single.seed = static_cast<uint64_t>(i);
        CHECK(generate(tiny.config, tiny.weights, cpu_kernels(), prompt, next, single)[0].tokens == together[i].tokens);
    }

    plan.units = {2, 1};
    plan.picture_chain.ops = plan.text_chain.ops = {op::Greedy{}};
    options.candidates = 1;
    const Ids whole = generate(tiny.config, tiny.weights, cpu_kernels(), prompt, next, options)[0].tokens;
    REQUIRE(letters(whole, true).substr(0, 15) == "21ccnccnccnccne");
    for (plan.known_tokens = 0; plan.known_tokens < 16; plan.known_tokens++) {
        CAPTURE(plan.known_tokens);
        const Ids known(whole.begin(), whole.begin() + plan.known_tokens);
        GenerateOptions rest = options;
        rest.max_tokens -= plan.known_tokens;
        const NextRun going_on = [&](int, const Ids& generated) {
            return next_run(rules, plan, with({known}, generated)[0]);
        };
        const auto taken_up =
            generate(tiny.config, tiny.weights, cpu_kernels(), with({prompt}, known)[0], going_on, rest);
        CHECK(with({known}, taken_up[0].tokens)[0] == whole);
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
