// Rows: the documents of every task of the storybook world, with their ground truth. A row is a pure function of its
// kind and seed, for training and evaluation alike.
//
//   World world;
//   Row row = make_row(world, RowKind::Ask, 7);       // seeds below FIRST_TRAINING_SEED: for evaluation
//   row.question->text, row.question->answer, row.picture("picture"), row.scene.objects ...
//   Fields fields = fields_of(row, encode);            // encode: Picture -> CodeGrid
//   query_of(row, layout, fields)                      // what a model is asked
//   whole_of(row, layout, fields)                      // what it is trained on
//
// The words are those of tokenizer/templates.cpp; a row only fills their fields. In training rows no scene is a
// composition that held_out() keeps for evaluation, in any of a row's pictures.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/templates.h"
#include "training/storybook/edits.h"
#include "training/storybook/layouts.h"
#include "training/storybook/questions.h"
#include "training/storybook/signs.h"

namespace leon {

enum class RowKind {
    Draw,           // caption -> picture
    Describe,       // picture -> caption
    DescribeLong,   // picture -> long caption (facts.h)
    Ask,            // picture, question -> answer
    Edit,           // picture, instruction -> picture
    DrawFromEdges,  // a layout (layouts.h) and the caption, or none -> picture
    DrawFromSegmentation,
    DrawFromDepth,
    DrawFromScribble,
    DrawObjects,    // caption, objects with their boxes -> picture
    SegmentAll,     // picture -> segmentation map
    SegmentObject,  // picture, object -> segmentation map of it alone
    Sign,           // word -> picture of a sign
    FillBox,        // caption, picture with a hidden box of cells, a hole a row -> the cells
    FillSpan,       // the same with cells that follow one another in reading order
    FillText,       // picture, caption with holes -> the words
    Retrieve,       // two documents that share an object or the place, caption -> picture
    RetrieveNovel,  // documents that show a thing under a name made up for this row, caption -> picture
    RetrieveRare,   // evaluation only: documents of a rare thing (things.h), caption -> picture
    DescribeNovel,  // documents of a made-up thing, picture of it -> caption
    AskNovel,       // documents of a made-up thing, picture of it, question -> answer
};
constexpr int ROW_KINDS = 21;

struct RowKindFacts {
    RowKind kind;
    const char* name;  // "draw-from-edges": as recipes and reports call it
    Task task;
    double share;  // of the mixture that training draws from by default; 0: none. They add up to 1
};
const RowKindFacts& kind_facts(RowKind kind);
std::optional<RowKind> find_row_kind(std::string_view name);
std::vector<std::string> row_kind_names();

// A picture of 128 x 128 pixels, 16 x 16 cells of codes.
constexpr int CELL = 8, CELLS = SCENE_SIZE / CELL;
struct RowPicture {
    Picture picture;
    std::vector<uint8_t> matters;  // [SCENE_SIZE, SCENE_SIZE]: not 0 where objects are, or what else matters
    std::vector<uint8_t> hidden;   // [CELLS, CELLS]: 1 in a hole; empty if there is none
};
// The share of each cell that matters, 0 to 1: [CELLS, CELLS]. And 1 where that is an eighth at least: what weighs more
// in training (training/example.h).
std::vector<float> emphasis_of(const RowPicture& picture);
std::vector<uint8_t> object_cells(const RowPicture& picture);

struct RowDocument {
    std::string text;
    RowPicture picture;
    Scene scene;
};

struct Row {
    RowKind kind{};
    uint64_t seed = 0;
    Task task{};
    std::map<std::string, std::string> text;     // fields of the template, by name
    std::map<std::string, RowPicture> pictures;  // "picture", "map", "new picture"
    std::vector<RowDocument> retrieved;          // in front of the row
    std::vector<std::string> fillings;           // FillText: what belongs into the holes, in order

    // Ground truth. The scene that the row is about: what "picture" shows, or what "new picture" should. A sign's scene
    // has no objects.
    Scene scene;
    std::optional<Question> question;  // Ask, AskNovel
    std::optional<leon::Edit> edit;    // Edit; edit->after equals scene
    std::optional<LayoutKind> layout;  // DrawFrom*
    std::optional<LabelMap> labels;    // SegmentAll, SegmentObject
    std::optional<leon::Sign> sign;    // Sign
    std::string object;                // SegmentObject: which one. Retrieve*: what the documents help with, or empty

    const RowPicture& picture(const std::string& name) const { return pictures.at(name); }
    const RowPicture& last_picture() const {
        return pictures.contains("new picture") ? picture("new picture") : picture("picture");
    }
    // What the model is to say, where it is to say something.
    const std::string& answer() const { return text.at("answer"); }
    bool evaluates() const { return seed < FIRST_TRAINING_SEED; }
};

// Error if a training row of a kind is asked for that is for evaluation only.
Row make_row(const World& world, RowKind kind, uint64_t seed);

// As templates take them. Pictures are encoded in the order of their names, those retrieved last. In training the cells
// that an edit leaves alone keep the codes that they had.
Fields fields_of(const Row& row, const std::function<CodeGrid(const Picture&)>& encode);

// The templates' query() and whole(), the latter without any hole: what was hidden, and the words that were missing,
// are in their places.
Prompt query_of(const Row& row, Layout layout, const Fields& fields);
Prompt whole_of(const Row& row, Layout layout, const Fields& fields);

// All scenes with objects that a row shows, retrieved ones and what edits begin with included.
std::vector<const Scene*> scenes_of(const Row& row);

}  // namespace leon
