// Examples against the prompts of inference: what is trained must be what will be asked, token by token. The oracle is
// the other way to get there: the objective's cut of an answer, or a query with its result behind it.
#include "training/example.h"

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/files.h"
#include "tests/temporary_folder.h"
#include "tokenizer/templates.h"
#include "training/objective.h"

#include "tests/testing.h"

using namespace leon;
using Ids = std::vector<int32_t>;
using Next = Prompt::Next;

namespace {

constexpr int SIDE = 3, CELLS = SIDE * SIDE;

struct Fixture {
    Tokenizer tokenizer;
    Vocabulary v;
    DocumentWriter documents;

    Fixture(Layout layout, const std::string& path)
        : tokenizer(read_text(path), path), v(read_vocabulary(tokenizer)), documents(layout, tokenizer, v) {}
    CutIds control() const { return {v.eos, v.brk, v.eoss, v.sentinels}; }
};

Fixture cm3leon() {
    return {Layout::CM3Leon, "tests/vectors/models/cm3leon_a/tokenizer.json"};
}

Part picture(int first) {
    CodeGrid grid{SIDE, SIDE, {}};
    for (int i = 0; i < CELLS; i++) grid.codes.push_back(first + i);
    return picture_part(std::move(grid));
}

Fields fields() {
    Fields f;
    f.text = {{"text", "a dog in the snow"},
              {"question", "Where is it?"},
              {"instruction", "add a cat"},
              {"kind", words_of_map("edges")},
              {"objects", words_of_objects({{"dog", 1, 2, 30, 40}})},
              {"word", "OPEN"},
              {"object", "dog"},
              {"answer", "in the snow"},
              {"width", "48"},
              {"height", "48"}};
    f.pictures = {{"picture", picture(0)}, {"map", picture(1)}, {"new picture", picture(2)}};
    f.rows = f.cols = SIDE;
    return f;
}

TaskDocument document_of(const Template& row, const Fields& f, Holes holes = Holes::Later) {
    return {.task = name_of(row.task),
            .source = "test",
            .whole = whole(row, f),
            .query = query(row, f),
            .object_cells = {},
            .holes = holes};
}

int count(const Example& e, TokenKind kind) {
    return static_cast<int>(std::count(e.kinds.begin(), e.kinds.end(), kind));
}

// The ids of a kind, in order.
Ids of_kind(const Example& e, TokenKind kind) {
    Ids ids;
    for (size_t i = 0; i < e.ids.size(); i++)
        if (e.kinds[i] == kind) ids.push_back(e.ids[i]);
    return ids;
}

}  // namespace

TEST_CASE("example: a query for a picture, the picture and </s> are the example") {
    const Fixture f = cm3leon();
    for (const bool with_help : {false, true}) {
        CAPTURE(with_help);
        Fields x = fields();
        if (with_help) x.retrieved = {{{text_part("a cat"), picture(40)}}, {{picture(50)}}};
        for (Task task : {Task::Draw, Task::Edit, Task::DrawFromMap, Task::DrawObjects, Task::DrawSign,
                          Task::SegmentAll, Task::SegmentObject}) {
            CAPTURE(name_of(task));
            const Template& row = template_of(Layout::CM3Leon, task);
            TaskDocument d = document_of(row, x);
            d.object_cells = {0, 0, 0, 0, 1, 1, 0, 0, 1};
            const Example e = example_of(f.documents, d);
            CHECK(e.task == name_of(task));
            CHECK(e.source == "test");
            CHECK(!e.prepared);

            Ids want = f.documents.ids(d.query);
            const Ids codes = f.documents.image_ids(picture(2).picture.codes);
            want.insert(want.end(), codes.begin(), codes.end());
            want.push_back(f.v.eos);
            CHECK(e.ids == want);

            CHECK(of_kind(e, TokenKind::Picture) == Ids{codes[0], codes[1], codes[2], codes[3], codes[6], codes[7]});
            CHECK(of_kind(e, TokenKind::Object) == Ids{codes[4], codes[5], codes[8]});
            CHECK(count(e, TokenKind::Answer) == 0);
            CHECK(e.answer_first == e.answer_end);
            int context = 0;
            for (size_t i = 0; i < e.ids.size(); i++) {
                context += e.kinds[i] == TokenKind::Context;
                const bool is_text = e.kinds[i] == TokenKind::Text;
                CHECK(is_text == !f.v.is_image(e.ids[i]));
            }
            const bool shown = task != Task::Draw && task != Task::DrawObjects && task != Task::DrawSign;
            CHECK(context == (shown ? CELLS : 0) + (with_help ? 2 * CELLS : 0));
            // </s>, "a cat", two pictures and three breaks stand in front.
            const int in_front = 1 + static_cast<int>(f.documents.text_ids("a cat").size()) + 2 * CELLS + 3;
            CHECK(e.query == (with_help ? in_front : 0));
        }
    }
}

TEST_CASE("example: the answer that is cut out of an example is the query with its answer") {
    const Fixture f = cm3leon();
    for (const bool with_help : {false, true}) {
        Fields x = fields();
        if (with_help) x.retrieved = {{{text_part("a cat"), picture(40)}}};
        for (Task task : {Task::Ask, Task::Describe, Task::DescribeLong}) {
            CAPTURE(name_of(task));
            const TaskDocument d = document_of(template_of(Layout::CM3Leon, task), x);
            const Example e = example_of(f.documents, d);
            const Ids answer = f.documents.text_ids(task == Task::Ask ? "in the snow." : "in the snow");
            CHECK(of_kind(e, TokenKind::Answer) == answer);
            CHECK(e.answer_end - e.answer_first == static_cast<int>(answer.size()));
            CHECK(count(e, TokenKind::Context) == CELLS * (with_help ? 2 : 1));
            CHECK(count(e, TokenKind::Picture) == 0);

            const CutDocument cut_out =
                cut(e.ids, e.kinds, e.query, {{e.answer_first, e.answer_end}}, f.control(), CutRule::Loss::CM3Leon, 0);
            Ids want = f.documents.ids(d.query);
            want.insert(want.end(), answer.begin(), answer.end());
            want.push_back(f.v.eoss);
            CHECK(cut_out.ids == want);
        }
    }
}

TEST_CASE("example: holes that are made give the whole document back") {
    const Fixture f = cm3leon();
    // A rectangle of the picture, one hole a row; and two holes in text in front of a picture.
    Fields x = fields();
    TaskDocument d = document_of(template_of(Layout::CM3Leon, Task::FillPicture), x, Holes::Made);
    x.pictures["picture"].hidden = {0, 1, 1, 0, 0, 0, 0, 1, 1};
    d.query = query(template_of(Layout::CM3Leon, Task::FillPicture), x);
    d.object_cells = {1, 1, 0, 0, 0, 0, 0, 0, 0};
    Example e = example_of(f.documents, d);
    CHECK(e.prepared);
    CHECK(uncut(e.ids, f.control()) == f.documents.ids(d.whole));
    CHECK(std::equal(e.ids.begin(), e.ids.end() - 7, f.documents.ids(d.query).begin()));  // 2 codes <eoss> <s:1> ...
    CHECK(count(e, TokenKind::Context) == CELLS - 4);
    CHECK(of_kind(e, TokenKind::Object) == f.documents.image_ids(std::vector<int32_t>{1}));
    CHECK(of_kind(e, TokenKind::Picture) == f.documents.image_ids(std::vector<int32_t>{2, 7, 8}));
    CHECK(e.answer_first == e.answer_end);

    x = fields();
    x.text["text with holes"] = "a ___ in the ___ snow";
    d.object_cells.clear();
    d.query = query(template_of(Layout::CM3Leon, Task::FillTextOfPicture), x);
    d.whole = {.retrieved = {}, .document = filled(d.query.document, {{"dog", {}}, {"white", {}}})};
    e = example_of(f.documents, d);
    CHECK(uncut(e.ids, f.control()) == f.documents.ids(d.whole));
    Ids said = f.documents.text_ids("dog");
    said.push_back(f.v.eoss);
    for (int32_t id : f.documents.text_ids("white")) said.push_back(id);
    said.push_back(f.v.eoss);
    CHECK(of_kind(e, TokenKind::Answer) == said);
    CHECK(count(e, TokenKind::Context) == CELLS);
}

TEST_CASE("example: where nothing is asked, every picture is to be drawn") {
    const Fixture f = cm3leon();
    TaskDocument d;
    d.whole.document.parts = {text_part("first"), picture(3), text_part("then"), picture(12)};
    d.whole.retrieved = {{{picture(20)}}};
    d.query = d.whole;
    d.object_cells = {1, 0, 0, 0, 0, 0, 0, 0, 0};
    const Example e = example_of(f.documents, d);
    CHECK(e.ids == f.documents.ids(d.whole));
    CHECK(count(e, TokenKind::Picture) == 2 * CELLS - 1);
    CHECK(of_kind(e, TokenKind::Object) == f.documents.image_ids(std::vector<int32_t>{12}));
    CHECK(of_kind(e, TokenKind::Context) == f.documents.image_ids(picture(20).picture.codes));
}

TEST_CASE("example: conversations end with their answers") {
    const Fixture f{Layout::Chameleon, "tests/vectors/models/chameleon_mha/tokenizer.json"};
    const Fields x = fields();
    TaskDocument d = document_of(template_of(Layout::Chameleon, Task::Ask), x);
    const Example e = example_of(f.documents, d);
    CHECK(e.ids == f.documents.ids(d.whole));
    CHECK(e.answer_first == static_cast<int>(f.documents.ids(d.query).size()));
    CHECK(e.answer_end == static_cast<int>(e.ids.size()) - 1);
    Ids said = f.documents.text_ids("in the snow");
    said.push_back(f.documents.end_of_answer());
    CHECK(of_kind(e, TokenKind::Answer) == said);
    d = document_of(template_of(Layout::Chameleon, Task::Draw), x);
    CHECK(count(example_of(f.documents, d), TokenKind::Picture) == CELLS);
}
