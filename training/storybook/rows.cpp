// The kinds of rows and how each is made; see rows.h. Rows with retrieved documents: retrieval_rows.cpp.
#include "training/storybook/rows.h"

#include <algorithm>
#include <array>

#include "kernels/check.h"
#include "training/storybook/phrasing.h"
#include "training/storybook/row_makers.h"

namespace leon {
namespace {

using Kind = RowKind;

// Drawing, the hardest, has the largest share; retrieval needs enough that copying from a document is learnt at all.
constexpr RowKindFacts KINDS[ROW_KINDS] = {
    {Kind::Draw, "draw", Task::Draw, .20},
    {Kind::Describe, "describe", Task::Describe, .07},
    {Kind::DescribeLong, "describe-long", Task::DescribeLong, .06},
    {Kind::Ask, "ask", Task::Ask, .10},
    {Kind::Edit, "edit", Task::Edit, .10},
    {Kind::DrawFromEdges, "draw-from-edges", Task::DrawFromMap, .03},
    {Kind::DrawFromSegmentation, "draw-from-segmentation", Task::DrawFromMap, .04},
    {Kind::DrawFromDepth, "draw-from-depth", Task::DrawFromMap, .03},
    {Kind::DrawFromScribble, "draw-from-scribble", Task::DrawFromMap, .03},
    {Kind::DrawObjects, "draw-objects", Task::DrawObjects, .06},
    {Kind::SegmentAll, "segment", Task::SegmentAll, .04},
    {Kind::SegmentObject, "segment-object", Task::SegmentObject, .03},
    {Kind::Sign, "draw-sign", Task::DrawSign, .05},
    {Kind::FillBox, "fill-box", Task::FillPicture, .03},
    {Kind::FillSpan, "fill-span", Task::FillPicture, .01},
    {Kind::FillText, "fill-text", Task::FillTextOfPicture, .02},
    {Kind::Retrieve, "retrieve", Task::Draw, .03},
    {Kind::RetrieveNovel, "retrieve-novel", Task::Draw, .05},
    {Kind::RetrieveRare, "retrieve-rare", Task::Draw, 0},
    {Kind::DescribeNovel, "describe-novel", Task::Describe, .01},
    {Kind::AskNovel, "ask-novel", Task::Ask, .01},
};

constexpr float OBJECT_SHARE = 1.f / 8;  // of a cell that matters, for the cell to count
constexpr double WITHOUT_CAPTION = .2;   // of the rows with a layout
constexpr double IN_OTHER_WORDS = .35;   // of training's wishes for pictures

// --- text ---------------------------------------------------------------------------------------------------------

// What a picture is asked for with: in training often in other words.
std::string wish_for(Stage& stage, const Scene& scene) {
    if (stage.evaluates() || !stage.chance(IN_OTHER_WORDS)) return scene.caption;
    return as_people_say(scene.caption, scene.objects, stage.random());
}

void make_draw(Stage& stage, Row& row) {
    row.scene = stage.to_draw(stage.next());
    row.text["text"] = wish_for(stage, row.scene);
    row.pictures["new picture"] = picture_of(row.scene);
}

void make_describe(Stage& stage, Row& row) {
    row.scene = stage.next();
    row.text["answer"] = row.scene.caption;
    row.pictures["picture"] = picture_of(row.scene);
}

void make_describe_long(Stage& stage, Row& row) {
    make_describe(stage, row);
    row.text["answer"] = long_caption(row.scene);
}

void make_ask(Stage& stage, Row& row) {
    // Kinds are drawn before the scene, so that those which ask few scenes are as frequent as the others.
    const auto kind = static_cast<QuestionKind>(stage.random().below(QUESTION_KINDS));
    const AnswerKind answer = draw_answer_kind(kind, stage.random());
    do {
        row.scene = stage.next();
        row.question = draw_question(row.scene, kind, answer, stage.random());
    } while (!row.question);
    row.text = {{"question", row.question->text}, {"answer", row.question->answer}};
    row.pictures["picture"] = picture_of(row.scene);
}

// --- pictures -----------------------------------------------------------------------------------------------------

void make_edit(Stage& stage, Row& row) {
    row.edit = draw_edit(stage, static_cast<EditKind>(stage.random().below(EDIT_KINDS)));
    row.scene = row.edit->after;
    row.text["instruction"] = row.edit->instruction;
    row.pictures["picture"] = picture_of(row.edit->before);
    RowPicture after = picture_of(row.edit->after);
    if (row.edit->kind != EditKind::ChangePlace) {  // where something has gone matters too
        const std::vector<uint8_t>&from = row.edit->before.picture.rgb, &to = after.picture.rgb;
        for (size_t i = 0; i < after.matters.size(); i++)
            if (!std::equal(&from[3 * i], &from[3 * i] + 3, &to[3 * i])) after.matters[i] = 1;
    }
    row.pictures["new picture"] = std::move(after);
}

void make_from_layout(Stage& stage, Row& row) {
    row.layout = static_cast<LayoutKind>(static_cast<int>(row.kind) - static_cast<int>(Kind::DrawFromEdges));
    const Scene wanted = stage.next();
    row.scene = stage.to_draw(wanted);
    row.text["kind"] = words_of_map(name_of(*row.layout));
    row.text["text"] = stage.chance(WITHOUT_CAPTION) ? "" : wish_for(stage, row.scene);
    row.pictures["new picture"] = picture_of(row.scene);
    row.pictures["map"] = {layout_of(wanted, *row.layout), wanted.ids, {}};
}

void make_draw_objects(Stage& stage, Row& row) {
    const Scene wanted = stage.next();
    row.scene = stage.to_draw(wanted);
    row.text["text"] = wish_for(stage, row.scene);
    row.pictures["new picture"] = picture_of(row.scene);
    std::vector<PlacedObject> placed;
    for (const SceneObject& o : from_left_to_right(wanted.objects))
        placed.push_back({o.kind.name, o.box[0], o.box[1], o.box[2], o.box[3]});
    row.text["objects"] = words_of_objects(placed);
}

void make_segment(Stage& stage, Row& row) {
    row.scene = stage.next();
    row.pictures["picture"] = picture_of(row.scene);
    std::vector<uint8_t> matters = row.scene.ids;
    if (row.kind == Kind::SegmentObject) {
        const size_t which = stage.random().below(static_cast<uint32_t>(row.scene.objects.size()));
        row.object = row.text["object"] = row.scene.objects[which].kind.name;
        row.labels = label_map(row.scene, row.object);
    } else {
        row.labels = label_map(row.scene);
    }
    row.pictures["new picture"] = {paint_map(*row.labels, storybook_legend()), std::move(matters), {}};
}

void make_sign(Stage& stage, Row& row) {
    row.sign = draw_sign_words(stage);
    row.scene.background = stage.background(stage.any_place());
    SignPicture drawn = draw_sign(row.scene.background, *row.sign);
    row.scene.picture = drawn.picture;
    row.scene.ids.resize(drawn.board.size());
    row.text["word"] = row.sign->word;
    row.pictures["new picture"] = {std::move(drawn.picture), std::move(drawn.board), {}};
}

// --- holes --------------------------------------------------------------------------------------------------------

// From `first`, `length` cells along one axis, as many as fit.
struct Stretch {
    int first, length;
};
Stretch around(PythonRandom& random, int pixel0, int pixel1, int least, int most) {
    const int length = random.randint(least, most), middle = (pixel0 + pixel1) / (2 * CELL);
    const int first = middle - length / 2 + random.randint(-1, 1);
    return {std::clamp(first, 0, CELLS - length), length};
}

void make_fill_box(Stage& stage, Row& row) {
    row.scene = stage.to_continue(stage.next());
    row.text["text"] = row.scene.caption;
    RowPicture picture = picture_of(row.scene);
    picture.hidden.resize(CELLS * CELLS);
    PythonRandom& random = stage.random();
    // Mostly where an object is, about as large as it; else anywhere.
    std::array<int, 4> box{};
    if (stage.chance(.7)) {
        box = random.choice(row.scene.objects).box;
    } else {
        box[0] = random.randint(0, SCENE_SIZE - 1);
        box[1] = random.randint(0, SCENE_SIZE - 1);
        box[2] = random.randint(box[0], SCENE_SIZE - 1);
        box[3] = random.randint(box[1], SCENE_SIZE - 1);
    }
    const auto cells = [](int pixels) { return std::clamp(pixels / CELL, 3, 10); };
    const Stretch x = around(random, box[0], box[2], cells(box[2] - box[0]), cells(box[2] - box[0]) + 2);
    const Stretch y = around(random, box[1], box[3], cells(box[3] - box[1]), cells(box[3] - box[1]) + 2);
    for (int cy = y.first; cy < y.first + y.length; cy++)
        for (int cx = x.first; cx < x.first + x.length; cx++) picture.hidden[static_cast<size_t>(cy * CELLS + cx)] = 1;
    row.pictures["picture"] = std::move(picture);
}

void make_fill_span(Stage& stage, Row& row) {
    row.scene = stage.to_continue(stage.next());
    row.text["text"] = row.scene.caption;
    RowPicture picture = picture_of(row.scene);
    picture.hidden.resize(CELLS * CELLS);
    const int length = stage.random().randint(CELLS, CELLS * CELLS / 2);
    const int first = stage.random().randint(0, CELLS * CELLS - length);
    std::fill_n(picture.hidden.begin() + first, length, uint8_t{1});
    row.pictures["picture"] = std::move(picture);
}

// A caption in which names or the place are holes: one of them, or several. With an article's noun its article is
// missing too in half of the rows.
void make_fill_text(Stage& stage, Row& row) {
    row.scene = stage.next();
    row.pictures["picture"] = picture_of(row.scene);
    const std::vector<SceneObject> objects = from_left_to_right(row.scene.objects);
    const uint32_t holes = 1 + stage.random().below((2u << objects.size()) - 1);  // a bit for each piece, not none
    std::string& text = row.text["text with holes"];
    const auto add = [&](size_t piece, const std::string& words) {
        const bool hole = holes >> piece & 1;
        text += hole ? "___" : words;
        if (hole) row.fillings.push_back(words);
    };
    for (size_t i = 0; i < objects.size(); i++) {
        const std::string& name = objects[i].kind.name;
        text += i == 0 ? "" : i + 1 == objects.size() ? " and " : ", ";
        if (stage.chance(.5)) {
            add(i, article(name));
        } else {
            text += article(name).substr(0, article(name).size() - name.size());
            add(i, name);
        }
    }
    text += " ";
    add(objects.size(), place_phrase(row.scene.background.place));
}

using Maker = void (*)(Stage&, Row&);
Maker maker_of(Kind kind) {
    switch (kind) {
        case Kind::Draw:
            return make_draw;
        case Kind::Describe:
            return make_describe;
        case Kind::DescribeLong:
            return make_describe_long;
        case Kind::Ask:
            return make_ask;
        case Kind::Edit:
            return make_edit;
        case Kind::DrawFromEdges:
        case Kind::DrawFromSegmentation:
        case Kind::DrawFromDepth:
        case Kind::DrawFromScribble:
            return make_from_layout;
        case Kind::DrawObjects:
            return make_draw_objects;
        case Kind::SegmentAll:
        case Kind::SegmentObject:
            return make_segment;
        case Kind::Sign:
            return make_sign;
        case Kind::FillBox:
            return make_fill_box;
        case Kind::FillSpan:
            return make_fill_span;
        case Kind::FillText:
            return make_fill_text;
        case Kind::Retrieve:
            return make_retrieve;
        case Kind::RetrieveNovel:
            return make_retrieve_novel;
        case Kind::RetrieveRare:
            return make_retrieve_rare;
        case Kind::DescribeNovel:
            return make_describe_novel;
        case Kind::AskNovel:
            return make_ask_novel;
    }
    CHECK(!"a kind of row");
}

Part encoded(const RowPicture& picture, const std::function<CodeGrid(const Picture&)>& encode) {
    return picture_part(encode(picture.picture), picture.hidden);
}

// What an edit leaves alone keeps its codes. The encoder sees the whole picture, so that a third of the cells whose
// pixels stay as they are would get other codes that look the same, and nothing could be copied.
void keep_codes(Part& after, const Part& before, const Picture& new_picture, const Picture& old_picture) {
    const auto same_row = [&](int x, int y) {
        const size_t at = (static_cast<size_t>(y) * SCENE_SIZE + static_cast<size_t>(x)) * 3;
        return std::equal(new_picture.rgb.begin() + static_cast<std::ptrdiff_t>(at),
                          new_picture.rgb.begin() + static_cast<std::ptrdiff_t>(at + 3 * CELL),
                          old_picture.rgb.begin() + static_cast<std::ptrdiff_t>(at));
    };
    for (int row = 0; row < CELLS; row++)
        for (int col = 0; col < CELLS; col++) {
            bool same = true;
            for (int y = 0; y < CELL && same; y++) same = same_row(col * CELL, row * CELL + y);
            const size_t cell = static_cast<size_t>(row * CELLS + col);
            if (same) after.picture.codes[cell] = before.picture.codes[cell];
        }
}

}  // namespace

RowPicture picture_of(const Scene& scene) {
    return {scene.picture, scene.ids, {}};
}

const RowKindFacts& kind_facts(RowKind kind) {
    return KINDS[static_cast<size_t>(kind)];
}

std::optional<RowKind> find_row_kind(std::string_view name) {
    for (const RowKindFacts& facts : KINDS)
        if (name == facts.name) return facts.kind;
    return std::nullopt;
}

std::vector<std::string> row_kind_names() {
    std::vector<std::string> names;
    for (const RowKindFacts& facts : KINDS) names.emplace_back(facts.name);
    return names;
}

std::vector<float> emphasis_of(const RowPicture& picture) {
    std::vector<float> emphasis(CELLS * CELLS);
    for (size_t i = 0; i < picture.matters.size(); i++)
        if (picture.matters[i]) emphasis[i / SCENE_SIZE / CELL * CELLS + i % SCENE_SIZE / CELL] += 1.f / (CELL * CELL);
    return emphasis;
}

std::vector<uint8_t> object_cells(const RowPicture& picture) {
    std::vector<uint8_t> cells;
    for (float share : emphasis_of(picture)) cells.push_back(share >= OBJECT_SHARE);
    return cells;
}

Row make_row(const World& world, RowKind kind, uint64_t seed) {
    if (kind == Kind::RetrieveRare && seed >= FIRST_TRAINING_SEED)
        throw Error("rare things are for evaluation only", kind_facts(kind).name, "leave these rows out of training");
    Row row;
    row.kind = kind;
    row.seed = seed;
    row.task = kind_facts(kind).task;
    Stage stage(world, seed, static_cast<uint64_t>(kind));
    maker_of(kind)(stage, row);
    return row;
}

Fields fields_of(const Row& row, const std::function<CodeGrid(const Picture&)>& encode) {
    Fields fields;
    fields.text = row.text;
    fields.text["width"] = fields.text["height"] = std::to_string(SCENE_SIZE);
    for (const auto& [name, picture] : row.pictures) fields.pictures[name] = encoded(picture, encode);
    if (row.edit && !row.evaluates())
        keep_codes(fields.pictures["new picture"], fields.pictures["picture"], row.picture("new picture").picture,
                   row.picture("picture").picture);
    for (const RowDocument& document : row.retrieved)
        fields.retrieved.push_back({{text_part(document.text), encoded(document.picture, encode)}});
    fields.rows = fields.cols = CELLS;
    return fields;
}

Prompt query_of(const Row& row, Layout layout, const Fields& fields) {
    return query(template_of(layout, row.task), fields);
}

Prompt whole_of(const Row& row, Layout layout, const Fields& fields) {
    Prompt prompt = whole(template_of(layout, row.task), fields);
    std::vector<Filling> fillings;
    size_t words = 0;
    for (const Hole& hole : holes_of(prompt.document)) {
        Filling& filling = fillings.emplace_back();
        const std::vector<int32_t>& codes = prompt.document.parts[hole.part].picture.codes;
        if (hole.kind == Part::Kind::Text)
            filling.text = row.fillings.at(words++);
        else
            filling.codes.assign(codes.begin() + hole.first, codes.begin() + hole.first + hole.length);
    }
    prompt.document = filled(prompt.document, fillings);
    return prompt;
}

std::vector<const Scene*> scenes_of(const Row& row) {
    std::vector<const Scene*> scenes;
    if (!row.scene.objects.empty()) scenes.push_back(&row.scene);
    if (row.edit) scenes.push_back(&row.edit->before);
    for (const RowDocument& document : row.retrieved) scenes.push_back(&document.scene);
    return scenes;
}

}  // namespace leon
