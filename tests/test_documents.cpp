// Documents as tokens and back: every task's template in every family's layout, id by id, as docs/models.md §4 and the
// table of the storybook world write them; holes; and text, which can never become a control token.
#include <algorithm>
#include <string>
#include <vector>

#include "runtime/files.h"
#include "tests/temporary_folder.h"
#include "tokenizer/document_text.h"
#include "tokenizer/document_writer.h"
#include "tokenizer/templates.h"

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
    Ids text(const std::string& s) const { return tokenizer.encode(s, ControlTokens::AsText); }
    Ids codes(int first, int count = CELLS) const {
        Ids ids;
        for (int i = 0; i < count; i++) ids.push_back(v.image_first + first + i);
        return ids;
    }
};

Fixture cm3leon() {
    return {Layout::CM3Leon, "tests/vectors/models/cm3leon_a/tokenizer.json"};
}
Fixture chameleon(Layout layout = Layout::Chameleon) {
    return {layout, "tests/vectors/models/chameleon_mha/tokenizer.json"};
}

Ids join(std::initializer_list<Ids> parts) {
    Ids all;
    for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

// The picture whose codes are first, first + 1, ...
Part picture(int first, int rows = SIDE, int cols = SIDE) {
    CodeGrid grid{rows, cols, {}};
    for (int i = 0; i < grid.cells(); i++) grid.codes.push_back(first + i);
    return picture_part(std::move(grid));
}
Part picture_with_hidden(int first, std::vector<uint8_t> hidden) {
    Part part = picture(first);
    for (size_t cell = 0; cell < hidden.size(); cell++)
        if (hidden[cell]) part.picture.codes[cell] = 0;
    part.hidden = std::move(hidden);
    return part;
}

Fields fields() {
    Fields f;
    f.text = {{"text", "a dog in the snow"},
              {"question", "Where is it?"},
              {"instruction", "add a cat"},
              {"kind", words_of_map("edges")},
              {"objects", words_of_objects({{"dog", 1, 2, 30, 40}, {"cat", 5, 6, 70, 80}})},
              {"word", "OPEN"},
              {"object", "dog"},
              {"text with holes", "a ___ on a ___ beach"},
              {"answer", "in the snow"},
              {"width", "48"},
              {"height", "48"}};
    f.pictures = {{"picture", picture(0)}, {"map", picture(1)}, {"new picture", picture(2)}};
    f.rows = f.cols = SIDE;
    return f;
}

// Hidden cells hold code 0 after parsing, and neighbouring pieces of text are one.
Prompt as_parsed(Prompt prompt) {
    std::vector<Part> parts;
    for (const Document& document : prompt.retrieved)
        parts.insert(parts.end(), document.parts.begin(), document.parts.end());
    parts.insert(parts.end(), prompt.document.parts.begin(), prompt.document.parts.end());
    for (Part& part : parts) {
        for (int cell = 0; cell < part.picture.cells(); cell++)
            if (part.is_hidden(cell)) part.picture.codes[cell] = 0;
        std::vector<TextPiece> pieces;
        for (const TextPiece& piece : part.text) {
            if (!pieces.empty() && !piece.hole && !pieces.back().hole)
                pieces.back().text += piece.text;
            else
                pieces.push_back(piece);
        }
        part.text = pieces;
    }
    prompt.retrieved.clear();
    prompt.document.parts = parts;
    return prompt;
}

void check_round_trip(const Fixture& f, const Prompt& prompt) {
    CHECK(parse_prompt(print_prompt(prompt), "test") == prompt);
    const Ids ids = f.documents.ids(prompt);
    const DocumentWriter::Parsed parsed = f.documents.parse(ids, SIDE, SIDE);
    CHECK(print_prompt(parsed.prompt) == print_prompt(as_parsed(prompt)));
}

}  // namespace

TEST_CASE("documents: every task of CM3Leon's table, as a query and as a whole") {
    const Fixture f = cm3leon();
    const Vocabulary& v = f.v;
    const Ids b{v.brk}, e{v.eos}, s0{v.sentinels[0]};
    const Fields x = fields();
    struct Row {
        Task task;
        Ids query, whole;
    };
    const Ids open = join({e, s0});
    const auto answered = [&](const std::string& prefix, const std::string& answer) {
        return Row{Task::Ask, join({e, f.text(prefix), s0, b, f.codes(0), open}),
                   join({e, f.text(prefix), f.text(answer), b, f.codes(0), e})};
    };
    const auto drawn = [&](Ids before) {
        return Row{Task::Draw, join({e, before, b}), join({e, before, b, f.codes(2), e})};
    };
    Row describe = answered("Describe the given picture. ", "in the snow");
    describe.task = Task::Describe;
    Row long_text = answered("Describe all the objects in the given image in very detail. ", "in the snow");
    long_text.task = Task::DescribeLong;
    const auto drawn_as = [&](Task task, Ids before) {
        Row row = drawn(std::move(before));
        row.task = task;
        return row;
    };
    const std::vector<Row> rows = {
        drawn_as(Task::Draw, f.text("a dog in the snow")),
        describe,
        long_text,
        answered("Question: Where is it? Answer: ", "in the snow."),
        drawn_as(Task::Edit,
                 join({f.text("Edit first image following the instruction"), b, f.codes(0), b, f.text("add a cat")})),
        drawn_as(Task::DrawFromMap, join({f.text("Make high quality image from canny edge features"), b, f.codes(1), b,
                                          f.text("a dog in the snow")})),
        drawn_as(Task::DrawObjects, f.text("Generate high quality image of a dog in the snow with segmentations dog at "
                                           "location (1, 2) -> (30, 40), cat at location (5, 6) -> (70, 80)")),
        drawn_as(Task::DrawSign, f.text("draw \"OPEN\"")),
        drawn_as(Task::SegmentAll, join({f.text("Make a segmentation map of the given image"), b, f.codes(0)})),
        drawn_as(Task::SegmentObject,
                 join({f.text("Make a segmentation map of dog in the given image"), b, f.codes(0)})),
    };
    for (const Row& row : rows) {
        CAPTURE(name_of(row.task));
        const Template& t = template_of(Layout::CM3Leon, row.task);
        CHECK(f.documents.ids(query(t, x)) == row.query);
        CHECK(f.documents.ids(whole(t, x)) == row.whole);
        check_round_trip(f, query(t, x));
        check_round_trip(f, whole(t, x));
    }
    CHECK(f.documents.end_of_answer() == v.eoss);

    Fields empty = x;
    empty.text["text"] = "";  // a map alone says enough: the caption stays, empty
    CHECK(f.documents.ids(query(template_of(Layout::CM3Leon, Task::DrawFromMap), empty)) ==
          join({e, f.text("Make high quality image from canny edge features"), b, f.codes(1), b, b}));
}

TEST_CASE("documents: CM3Leon's holes in text are closed in order") {
    const Fixture f = cm3leon();
    const Vocabulary& v = f.v;
    const Prompt prompt = query(template_of(Layout::CM3Leon, Task::FillTextOfPicture), fields());
    const Ids ids = f.documents.ids(prompt);
    CHECK(ids == join({{v.eos},
                       f.text("a "),
                       {v.sentinels[0]},
                       f.text(" on a "),
                       {v.sentinels[1]},
                       f.text(" beach"),
                       {v.brk},
                       f.codes(0),
                       {v.eos, v.sentinels[0]}}));
    check_round_trip(f, prompt);
    CHECK(f.documents.between_holes(0) == Ids{v.eoss, v.sentinels[1]});
    Prompt unclosed = prompt;  // as where a block of training was cut
    unclosed.unclosed = true;
    Ids without_end = ids;
    without_end.erase(without_end.end() - 2);
    CHECK(f.documents.ids(unclosed) == without_end);
    check_round_trip(f, unclosed);

    // Filled, it reads back as the same holes with what belongs into them.
    const Ids whole =
        join({ids, f.text("dog"), f.documents.between_holes(0), f.text("sandy"), {f.documents.end_of_answer()}});
    const DocumentWriter::Parsed parsed = f.documents.parse(whole, SIDE, SIDE);
    CHECK(parsed.prompt.next == Next::Nothing);
    REQUIRE(parsed.fillings.size() == 2);
    CHECK(plain_text(filled(parsed.prompt.document, parsed.fillings)) == "a dog on a sandy beach");
    // Half filled, the rest is open.
    const Ids half = join({ids, f.text("dog"), f.documents.between_holes(0)});
    CHECK(f.documents.parse(half, SIDE, SIDE).prompt.next == Next::Holes);
    CHECK(f.documents.parse(half, SIDE, SIDE).fillings.size() == 1);
}

TEST_CASE("documents: CM3Leon's holes in pictures are one sentinel for every run of cells in a row") {
    const Fixture f = cm3leon();
    const Vocabulary& v = f.v;
    const int32_t c = v.image_first, s0 = v.sentinels[0], s1 = v.sentinels[1], s2 = v.sentinels[2];
    Fields x = fields();
    const Template& t = template_of(Layout::CM3Leon, Task::FillPicture);
    x.text["text"] = "";
    //  0 [1  2]     a rectangle of two rows
    //  3 [4  5]
    //  6  7  8
    x.pictures["picture"] = picture_with_hidden(0, {0, 1, 1, 0, 1, 1, 0, 0, 0});
    CHECK(f.documents.ids(query(t, x)) == Ids{v.eos, v.brk, c, s0, c + 3, s1, c + 6, c + 7, c + 8, v.eos, s0});
    check_round_trip(f, query(t, x));
    // [0] 1 [2]     any shape: two holes in the first row; the one at its end and the next row's first do not join
    // [3  4  5]
    x.pictures["picture"] = picture_with_hidden(0, {1, 0, 1, 1, 1, 1, 0, 0, 0});
    const Prompt prompt = query(t, x);
    CHECK(f.documents.ids(prompt) == Ids{v.eos, v.brk, s0, c + 1, s1, s2, c + 6, c + 7, c + 8, v.eos, s0});
    const std::vector<Hole> holes = holes_of(prompt.document);
    REQUIRE(holes.size() == 3);
    CHECK(holes[1].first == 2);
    CHECK(holes[1].length == 1);
    CHECK(holes[2].first == 3);
    CHECK(holes[2].length == 3);
    CHECK(parse_prompt(print_prompt(prompt), "test") == as_parsed(prompt));
    // How long these holes are only their fillings tell.
    const Ids whole = join({f.documents.ids(prompt),
                            f.codes(0, 1),
                            f.documents.between_holes(0),
                            f.codes(2, 1),
                            f.documents.between_holes(1),
                            f.codes(3, 3),
                            {v.eoss}});
    const DocumentWriter::Parsed parsed = f.documents.parse(whole, SIDE, SIDE);
    CHECK(filled(parsed.prompt.document, parsed.fillings).parts.back() == picture(0));

    // The vocabulary has 6 sentinels.
    const auto tall = [](int rows) {
        Part part = picture(0, rows, 1);
        part.hidden.assign(rows, 1);
        return Prompt{{}, {{part}}, Next::Holes};
    };
    CHECK_NOTHROW(f.documents.ids(tall(6)));
    CHECK_THROWS_AS(f.documents.ids(tall(7)), Error);
}

TEST_CASE("documents: CM3Leon's retrieved documents stand in front") {
    const Fixture f = cm3leon();
    const Vocabulary& v = f.v;
    Fields x = fields();
    x.retrieved = {{{text_part("one"), picture(4)}}, {{text_part("two"), picture(5)}}};
    const Prompt prompt = query(template_of(Layout::CM3Leon, Task::Draw), x);
    const Ids front = join({f.text("one"), {v.brk}, f.codes(4), {v.brk}, f.text("two"), {v.brk}, f.codes(5), {v.brk}});
    CHECK(f.documents.ids(prompt) == join({{v.eos}, front, f.text("a dog in the snow"), {v.brk}}));
    check_round_trip(f, prompt);
    // Both published streams that are told nothing.
    const auto nothing = [&](UnconditionalKeeps keeps) {
        return f.documents.ids(prompt, GuidanceStream::Nothing, keeps);
    };
    CHECK(nothing(UnconditionalKeeps::Nothing) == Ids{v.eos, v.sentinels[0], v.brk});
    CHECK(nothing(UnconditionalKeeps::Retrieved) == join({{v.eos}, front}));
}

TEST_CASE("documents: CM3Leon's guidance streams") {
    const Fixture f = cm3leon();
    const Vocabulary& v = f.v;
    const auto ids = [&](Task task, GuidanceStream stream) {
        return f.documents.ids(query(template_of(Layout::CM3Leon, task), fields()), stream,
                               UnconditionalKeeps::Nothing);
    };
    CHECK(ids(Task::Draw, GuidanceStream::Nothing) == Ids{v.eos, v.sentinels[0], v.brk});
    CHECK(ids(Task::Edit, GuidanceStream::Nothing) == Ids{v.eos, v.sentinels[0], v.brk});
    CHECK(ids(Task::Edit, GuidanceStream::Pictures) ==
          join({{v.eos}, f.text("Edit first image following the instruction"), {v.brk}, f.codes(0), {v.brk}}));
    Fields x = fields();
    x.pictures["picture"].hidden = {0, 0, 0, 0, 1, 0, 0, 0, 0};
    const int32_t c = v.image_first;
    CHECK(f.documents.ids(query(template_of(Layout::CM3Leon, Task::FillPicture), x), GuidanceStream::Nothing,
                          UnconditionalKeeps::Nothing) ==
          Ids{v.eos, v.brk, c, c + 1, c + 2, c + 3, v.sentinels[0], c + 5, c + 6, c + 7, c + 8, v.eos, v.sentinels[0]});
}

TEST_CASE("documents: conversations of the Chameleon family") {
    for (Layout layout : {Layout::Chameleon, Layout::Anole}) {
        const Fixture f = chameleon(layout);
        const Vocabulary& v = f.v;
        const Fields x = fields();
        const auto ids = [&](Task task) { return f.documents.ids(query(template_of(layout, task), x)); };
        CHECK(ids(Task::Draw) == join({{v.bos}, f.text("a dog in the snow"), {v.end_of_turn, v.brk}}));
        CHECK(ids(Task::Ask) == join({{v.bos, v.brk}, f.codes(0), {v.eoss}, f.text("Where is it?"), {v.end_of_turn}}));
        CHECK(ids(Task::Edit) ==
              join({{v.bos, v.brk}, f.codes(0), {v.eoss}, f.text("add a cat"), {v.end_of_turn, v.brk}}));
        const Prompt edit = query(template_of(layout, Task::Edit), x);
        CHECK(f.documents.ids(edit, GuidanceStream::Pictures, UnconditionalKeeps::Nothing) ==
              join({{v.bos, v.brk}, f.codes(0), {v.eoss, v.brk}}));
        CHECK(f.documents.ids(edit, GuidanceStream::Nothing, UnconditionalKeeps::Nothing) == Ids{v.bos, v.brk});
        CHECK(f.documents.ids(whole(template_of(layout, Task::Ask), x)) == join({{v.bos, v.brk},
                                                                                 f.codes(0),
                                                                                 {v.eoss},
                                                                                 f.text("Where is it?"),
                                                                                 {v.end_of_turn},
                                                                                 f.text("in the snow"),
                                                                                 {v.eos}}));
        for (Task task : {Task::Draw, Task::Describe, Task::Ask, Task::Edit}) {
            CAPTURE(name_of(task));
            check_round_trip(f, query(template_of(layout, task), x));
            check_round_trip(f, whole(template_of(layout, task), x));
        }
        CHECK(f.documents.end_of_answer() == v.eos);
        CHECK_THROWS_AS(template_of(layout, Task::SegmentAll), Error);  // not trained for it
        Prompt retrieved = edit;
        retrieved.retrieved = {{{text_part("one")}}};
        CHECK_THROWS_AS(f.documents.ids(retrieved), Error);
        CHECK_THROWS_AS(f.documents.ids(Prompt{{}, {{text_with_holes("a ___")}}, Next::Holes}), Error);
    }
}

TEST_CASE("documents: Lumina-mGPT writes the size of a picture and ends its rows") {
    const Fixture f = chameleon(Layout::Lumina);
    const Vocabulary& v = f.v;
    Fields x = fields();
    x.pictures["picture"] = picture(0, 2, 4);
    x.rows = 4;
    x.cols = 2;
    const Ids block = join({{v.brk, v.grid_first + 1, v.grid_first + 2},
                            f.codes(0, 4),
                            {v.new_line},
                            f.codes(4, 4),
                            {v.new_line, v.eoss}});
    const Prompt edit = query(template_of(Layout::Lumina, Task::Edit), x);
    CHECK(f.documents.ids(edit) ==
          join({{v.bos}, f.text("add a cat "), block, {v.end_of_turn, v.brk, v.grid_first + 2, v.grid_first + 1}}));
    CHECK(f.documents.ids(edit, GuidanceStream::Nothing, UnconditionalKeeps::Nothing) ==
          Ids{v.brk, v.grid_first + 2, v.grid_first + 1});
    check_round_trip(f, edit);
    CHECK(f.documents.ids(query(template_of(Layout::Lumina, Task::SegmentAll), x)) ==
          join({{v.bos},
                f.text("Segmentic segmentation. "),
                block,
                {v.end_of_turn, v.brk, v.grid_first + 2, v.grid_first + 1}}));
    x.pictures["picture"] = picture(0, 2, 2);
    CHECK(f.documents.ids(whole(template_of(Layout::Lumina, Task::Ask), x)) ==
          join({{v.bos, v.brk, v.grid_first + 1, v.grid_first + 1},
                f.codes(0, 2),
                {v.new_line},
                f.codes(2, 2),
                {v.new_line, v.eoss},
                f.text(" Where is it?"),
                {v.end_of_turn},
                f.text("in the snow"),
                {f.documents.end_of_answer()}}));
    CHECK(f.documents.end_of_answer() == v.end_of_turn);
    x.rows = 3;  // 48 pixels are no multiple of 32
    CHECK_THROWS_AS(f.documents.ids(query(template_of(Layout::Lumina, Task::Draw), x)), Error);
}

TEST_CASE("documents: text never becomes a control token, whatever it spells") {
    for (Layout layout : {Layout::CM3Leon, Layout::Chameleon}) {
        const Fixture f = layout == Layout::CM3Leon ? cm3leon() : chameleon();
        const auto control = [&](const Ids& ids) {
            return std::count_if(ids.begin(), ids.end(),
                                 [&](int32_t id) { return f.tokenizer.is_added(id) || f.v.is_image(id); });
        };
        for (const char* text : {"</s>", "<racm3:break>", "a <sentinel:0> b", "IMGIMGAZ", "<s><pad></s>",
                                 "<reserved08706>", "<eoss>", "{answer}", "{new picture}"}) {
            CAPTURE(text);
            for (Task task : {Task::Draw, Task::Ask, Task::Edit}) {
                Fields plain = fields(), nasty = fields();
                for (auto& [name, value] : nasty.text) value = text;
                const Ids want = f.documents.ids(query(template_of(layout, task), plain));
                const Ids got = f.documents.ids(query(template_of(layout, task), nasty));
                CHECK(control(got) == control(want));
            }
            if (layout != Layout::CM3Leon) continue;
            Fields retrieved = fields();
            retrieved.retrieved = {{{text_part(text)}}};
            const Ids ids = f.documents.ids(query(template_of(layout, Task::Draw), retrieved));
            CHECK(control(ids) == 3);  // </s> and two breaks
        }
    }
}

TEST_CASE("documents: holes in text are three underscores and more") {
    const auto pieces = [](const std::string& text) {
        std::string all;
        for (const TextPiece& piece : text_with_holes(text).text) all += piece.hole ? "[]" : "(" + piece.text + ")";
        return all;
    };
    CHECK(pieces("a ___ on a ___ beach") == "(a )[]( on a )[]( beach)");
    CHECK(pieces("___") == "[]");
    CHECK(pieces("_____x") == "[](x)");
    CHECK(pieces("a_b __c__ d") == "(a_b __c__ d)");
    CHECK(pieces("___ ___") == "[]( )[]");
    CHECK(pieces("") == "");
    CHECK(pieces("end_") == "(end_)");
}

TEST_CASE("documents: what is no document is refused, and says where") {
    const Fixture f = cm3leon();
    const Vocabulary& v = f.v;
    const int32_t c = v.image_first;
    for (const Ids& ids :
         {Ids{}, Ids{v.brk}, Ids{v.eos, c, c + 1, v.eos}, Ids{v.eos, v.sentinels[1], v.eos}, Ids{v.eos, v.eoss},
          join({{v.eos}, f.text("a"), {c}, {v.eos}}), Ids{v.eos, v.eos, v.brk},
          Ids{v.eos, v.sentinels[0], v.eos, v.sentinels[1]}, Ids{v.eos, -1},
          Ids{v.eos, v.sentinels[0], v.eos, v.sentinels[0], v.sentinels[1], v.eoss},
          join({{v.eos, f.text("a").front(), v.sentinels[0], v.eos, v.sentinels[0]}, f.codes(0, 8), {v.eoss}}),
          join({{v.eos, v.brk},
                f.codes(0, 8),
                {v.sentinels[0], v.eos, v.sentinels[0]},
                Ids{f.text("a").front()},
                {v.eoss}}),
          Ids{v.eos, f.tokenizer.size()}}) {
        CAPTURE(ids.size());
        CHECK_THROWS_AS(f.documents.parse(ids, SIDE, SIDE), Error);
    }
    const Fixture m = chameleon();
    for (const Ids& ids : {Ids{}, Ids{m.v.eos}, Ids{m.v.bos, m.v.image_first}, Ids{m.v.bos, m.v.eoss},
                           join({{m.v.bos, m.v.brk}, m.codes(0, 5), {m.v.eoss}}),
                           join({{m.v.bos, m.v.brk}, m.codes(0, 9), {m.v.eos}}), Ids{m.v.bos, m.v.eos, m.v.eos}})
        CHECK_THROWS_AS(m.documents.parse(ids, SIDE, SIDE), Error);
    for (const char* json :
         {"", "[]", "{}", R"({"parts":[],"retrieved":[]})", R"({"parts":[],"retrieved":[],"next":"x"})",
          R"({"parts":[{"text":["a",1]}],"retrieved":[],"next":"text"})",
          R"({"parts":[{"picture":{"rows":2,"cols":2,"codes":[1]}}],"retrieved":[],"next":"text"})",
          R"({"parts":[{"picture":{"rows":-1,"cols":-1,"codes":[1]}}],"retrieved":[],"next":"text"})",
          R"({"parts":[],"retrieved":[],"next":"text","more":1})"})
        CHECK_THROWS_AS(parse_prompt(json, "test"), Error);
}

TEST_CASE("documents: objects in their places, both ways") {
    const PlacedObject o = parse_object("hot dog@stand@1,2,3,4");
    CHECK(o.name == "hot dog@stand");
    CHECK(o.y1 == 4);
    const std::string words = words_of_objects({o, {"a, b", 0, 0, 9, 9}});
    CHECK(words == "hot dog@stand at location (1, 2) -> (3, 4), a, b at location (0, 0) -> (9, 9)");
    const auto parsed = parse_objects(words);
    REQUIRE(parsed.size() == 2);
    CHECK(parsed[1].name == "a, b");
    CHECK(words_of_objects(parsed) == words);
    for (const char* text : {"", "dog", "dog@1,2,3", "@1,2,3,4", "dog@1,2,3,4,5", "dog@a,b,c,d"})
        CHECK_THROWS_AS(parse_object(text), Error);
    CHECK_THROWS_AS(parse_objects("a dog"), Error);
    CHECK_THROWS_AS(words_of_map("photograph"), Error);
}

TEST_CASE("documents: every task has a name, and every template of a family can be written") {
    for (int i = 0; i <= static_cast<int>(Task::FillTextOfPicture); i++)
        CHECK(task_named(name_of(static_cast<Task>(i))) == static_cast<Task>(i));
    CHECK(!task_named("fly"));
    int written = 0;
    for (Layout layout : {Layout::CM3Leon, Layout::Chameleon, Layout::Anole, Layout::Lumina}) {
        const Fixture f = layout == Layout::CM3Leon ? cm3leon() : chameleon(layout);
        for (int i = 0; i <= static_cast<int>(Task::FillTextOfPicture); i++) {
            const Template* row = find_template(layout, static_cast<Task>(i));
            if (!row) continue;
            Fields x = fields();
            x.rows = x.cols = 2;
            for (auto& [name, part] : x.pictures) part = picture(0, 2, 2);
            if (row->task == Task::FillPicture) x.pictures["picture"].hidden = {0, 1, 0, 0};
            const Prompt prompt = query(*row, x);
            CHECK(prompt.next != Next::Nothing);
            CHECK(!f.documents.readable(f.documents.ids(prompt)).empty());
            written++;
        }
    }
    CHECK(written == 13 + 6 + 6 + 12);
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
    CHECK_THROWS_AS(DocumentWriter(Layout::Lumina, f.tokenizer, f.v), Error);
    Vocabulary without = f.v;
    without.sentinels.clear();
    CHECK_THROWS_AS(DocumentWriter(Layout::CM3Leon, f.tokenizer, without), Error);
}
