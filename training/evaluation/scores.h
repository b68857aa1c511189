// Scorers: what a row's ground truth says of what a model made of it. No model is in here, so that the training loop,
// a file of pictures or a test can be the one who answers.
//
//   Judge judge(world);
//   Verdict v = judge.of(row, {.picture = drawn}, &truth_through_the_tokenizer);
//   v.marks         // "objects and place" 1 of 1, "object recall" 2 of 2, ...: marks.h has the rule of each
//   v.is_right      // the row's headline is what it should be
//   v.seen          // "a cow and an oak on a green meadow": what the recogniser found, the word read, the text said
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "training/evaluation/marks.h"
#include "training/storybook/recogniser.h"
#include "training/storybook/rows.h"

namespace leon {

// What a model made of a row: a picture of SCENE_SIZE x SCENE_SIZE, or texts: one answer, or the words of each hole.
struct RowAnswer {
    std::optional<Picture> picture;
    std::vector<std::string> texts;
};
// The right answer: the picture that the row was made with, the answer, the fillings.
RowAnswer truth_of(const Row& row);

struct Verdict {
    Marks marks;
    bool is_right = false;
    std::string seen;
};

// A row's headline: the mark that says whether it is right, and from where on. `goals`: what issue and paper ask for.
struct Goal {
    RowKind kind;
    const char* mark;
    double least;
};
std::span<const Goal> goals();
struct Headline {
    const char* mark;
    double least;  // of part / whole, for a row to be right
};
Headline headline_of(RowKind kind);
// What rows of a kind are told apart by: the kind of question or of edit, whether there is a caption, the sign's font.
// Empty if there is nothing.
std::string group_of(const Row& row);

constexpr int ORDER_TOLERANCE = 2;    // pixels by which two neighbours may stand in the wrong order
constexpr int EDIT_MARGIN = 10;       // pixels around what an edit changes: shadows, and a code's reach
constexpr double EDIT_DECIBELS = 3;   // what is kept may have twice the tokenizer's own squared error
constexpr double KEPT_OVERLAP = .5;   // of the box of an object that stays
constexpr double MOST_DECIBELS = 99;  // equal pictures count as that

// --- the pieces ---------------------------------------------------------------------------------------------------

// "objects and place", "objects", "place", "order", "all right", "object recall", "object precision".
Marks drawing_marks(const Recognition& seen, const Scene& truth);
enum class MatchBy { Name, Place };
// "box overlap" and "mask overlap". Place: the things found are given to the objects by falling overlap, each once.
Marks overlap_marks(const World& world, const Recognition& seen, const Scene& truth, MatchBy by);
// All marks of edits. `tokenizer` is what the picture tokenizer makes of the true result.
Marks edit_marks(const Edit& edit, const Picture& drawn, const Recognition& seen, const Picture& tokenizer);
// "mean IoU" and "pixel accuracy"; with an object "object IoU" as well.
Marks map_marks(const Picture& drawn, const LabelMap& truth, const std::string& object);
Marks sign_marks(const std::string& read, const std::string& word);
// "a cow and an oak on a green meadow"; "nothing on a green meadow".
std::string words_of(const Recognition& seen);

class Judge {
public:
    explicit Judge(const World& world);  // which must live as long

    // Threads may share one judge. `tokenizer`: what the model's picture tokenizer makes of the right picture, which
    // edits are compared with; the right picture itself if it is null.
    Verdict of(const Row& row, const RowAnswer& answer, const Picture* tokenizer = nullptr) const;

    Recognition recognise(const Picture& picture) const { return recogniser_.recognise(picture); }
    const World& world() const { return world_; }

private:
    Recognition recognise(const Row& row, const Picture& picture) const;
    Marks picture_marks(const Row& row, const Picture& picture, const Picture* tokenizer, std::string& seen) const;

    const World& world_;
    const Recogniser recogniser_;  // of the world's objects
    mutable std::mutex mutex_;
    mutable std::unique_ptr<const Recogniser> with_rare_;  // and of rare things; made when it is first needed
};

}  // namespace leon
