// Documents as tokens: every prompt of both layouts, id by id, as docs/models.md §4 writes them, and
// the geometry of holes. Text can never become a control token.
#include <algorithm>
#include <string>
#include <vector>

#include "runtime/files.h"
#include "tasks/pictures.h"
#include "tokenizer/document.h"

#include "tests/testing.h"

using namespace leon;
using Ids = std::vector<int32_t>;

namespace {

struct Fixture {
    Tokenizer tokenizer;
    Vocabulary v;
    DocumentWriter documents;

    Fixture(Layout layout, const std::string& path)
        : tokenizer(load(path)), v(read_vocabulary(tokenizer)), documents(layout, tokenizer, v) {}
    static Tokenizer load(const std::string& path) {
        const auto file = read_file(path);
        return Tokenizer(std::string_view(reinterpret_cast<const char*>(file.data()), file.size()), path);
    }
    Ids text(const std::string& s) const { return tokenizer.encode(s, ControlTokens::AsText); }
};

Fixture cm3leon() {
    return {Layout::CM3Leon, "tests/vectors/models/cm3leon_a/tokenizer.json"};
}
Fixture chameleon() {
    return {Layout::Chameleon, "tests/vectors/models/chameleon_mha/tokenizer.json"};
}

Ids join(std::initializer_list<Ids> parts) {
    Ids all;
    for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

}  // namespace

TEST_CASE("documents: CM3Leon's prompts") {
    const Fixture f = cm3leon();
    const Vocabulary& v = f.v;
    const Ids text = f.text("a red car");
    CHECK(f.documents.draw_prompt("a red car") == join({{v.eos}, text, {v.brk}}));
    CHECK(f.documents.unconditional_prompt() == Ids{v.eos, v.sentinels[0], v.brk});
    const int32_t c0 = v.image_first;
    CHECK(f.documents.describe_prompt("a red car", Ids{5, 0, 7}) ==
          join({{v.eos}, text, {v.sentinels[0], v.brk, c0 + 5, c0, c0 + 7, v.eos, v.sentinels[0]}}));
    CHECK(f.documents.end_of_answer() == v.eoss);
}

TEST_CASE("documents: CM3Leon's holes are one sentinel a row") {
    const Fixture f = cm3leon();
    const Vocabulary& v = f.v;
    CodeGrid grid{3, 4, {}};
    for (int i = 0; i < 12; i++) grid.codes.push_back(i);
    const int32_t c = v.image_first, s0 = v.sentinels[0], s1 = v.sentinels[1];
    //  0  1  2  3
    //  4 [5  6] 7
    //  8 [9 10] 11
    CHECK(f.documents.fill_prompt("", grid, {1, 1, 3, 3}) ==
          Ids{v.eos, v.brk, c, c + 1, c + 2, c + 3, c + 4, s0, c + 7, c + 8, s1, c + 11, v.eos, s0});
    const CodeGrid tall{7, 1, {0, 1, 2, 3, 4, 5, 6}};  // the vocabulary has 6 sentinels
    CHECK_NOTHROW(f.documents.fill_prompt("", tall, {0, 0, 1, 6}));
    CHECK_THROWS_AS(f.documents.fill_prompt("", tall, {0, 0, 1, 7}), Error);
}

TEST_CASE("documents: Chameleon's prompts") {
    const Fixture f = chameleon();
    const Vocabulary& v = f.v;
    CHECK(v.bos == 0);
    const Ids text = f.text("what is it?");
    CHECK(f.documents.draw_prompt("what is it?") == join({{v.bos}, text, {v.end_of_turn, v.brk}}));
    CHECK(f.documents.unconditional_prompt() == Ids{v.bos, v.brk});
    CHECK(f.documents.describe_prompt("what is it?", Ids{1, 2}) ==
          join({{v.bos, v.brk, v.image_first + 1, v.image_first + 2, v.eoss}, text, {v.end_of_turn}}));
    CHECK(f.documents.end_of_answer() == v.eos);
}

TEST_CASE("documents: text never becomes a control token, whatever it spells") {
    for (const bool first : {true, false}) {
        const Fixture f = first ? cm3leon() : chameleon();
        for (const char* text :
             {"</s>", "<racm3:break>", "a <sentinel:0> b", "IMGIMGAZ", "<s><pad></s>", "<reserved08706>", "<eoss>"}) {
            CAPTURE(text);
            const Ids plain = f.documents.draw_prompt("");
            const Ids prompt = f.documents.draw_prompt(text);
            const auto control = [&](const Ids& ids) {
                return std::count_if(ids.begin(), ids.end(),
                                     [&](int32_t id) { return f.tokenizer.is_added(id) || f.v.is_image(id); });
            };
            CHECK(control(prompt) == control(plain));
            CHECK(prompt.size() > plain.size());
        }
    }
}

TEST_CASE("documents: codes and ids are a bijection") {
    const Fixture f = chameleon();
    Ids codes(f.v.codes);
    for (int i = 0; i < f.v.codes; i++) codes[i] = i;
    const Ids ids = f.documents.image_ids(codes);
    CHECK(f.documents.codes(ids) == codes);
    for (int i = 0; i < f.v.codes; i++) CHECK(f.tokenizer.token(ids[i]) == image_token_name(i));
}

TEST_CASE("documents: a vocabulary that lacks what the layout needs is refused") {
    const Fixture f = cm3leon();
    CHECK_THROWS_AS(DocumentWriter(Layout::Chameleon, f.tokenizer, f.v), Error);  // no end-of-turn token
    Vocabulary without = f.v;
    without.sentinels.clear();
    CHECK_THROWS_AS(DocumentWriter(Layout::CM3Leon, f.tokenizer, without), Error);
}

TEST_CASE("holes: a box covers every patch it touches, in the model's frame") {
    const auto cells = [](int width, int height, PixelBox box) {
        return place_hole(Picture(width, height), box, 128, 8).cells;
    };
    auto same = [](const CellBox& a, const CellBox& b) {
        return a.x0 == b.x0 && a.y0 == b.y0 && a.x1 == b.x1 && a.y1 == b.y1;
    };
    CHECK(same(cells(128, 128, {0, 0, 128, 128}), {0, 0, 16, 16}));
    CHECK(same(cells(128, 128, {8, 16, 24, 32}), {1, 2, 3, 4}));
    CHECK(same(cells(128, 128, {7, 16, 25, 33}), {0, 2, 4, 5}));
    CHECK(same(cells(256, 256, {16, 0, 32, 16}), {1, 0, 2, 1}));
    CHECK(same(cells(256, 128, {64, 0, 80, 16}), {0, 0, 2, 2}));  // 64 columns are cropped on the left
    CHECK(same(cells(256, 128, {0, 0, 80, 16}), {0, 0, 2, 2}));   // a box that begins outside the frame is cut to it
    CHECK_THROWS_AS(cells(256, 128, {0, 0, 64, 128}), Error);     // wholly cropped away
    CHECK_THROWS_AS(cells(128, 128, {5, 5, 5, 9}), Error);
    CHECK_THROWS_AS(cells(128, 128, {9, 5, 5, 9}), Error);
    CHECK_THROWS_AS(cells(128, 128, {-1, 0, 9, 9}), Error);
    CHECK_THROWS_AS(cells(128, 128, {0, 0, 129, 9}), Error);
    CHECK_THROWS_AS(parse_box("1,2,3"), Error);
    CHECK_THROWS_AS(parse_box("1,2,3,4,5"), Error);
    CHECK_THROWS_AS(parse_box("a,b,c,d"), Error);
    CHECK(parse_box("1,2,30,40").y1 == 40);
}
