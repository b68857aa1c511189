// Questions about a scene that have exactly one answer, each with it.
//
// What is asked of positions keeps a distance of QUESTION_MARGIN pixels between what is right and what is wrong, so
// that no answer hangs on a pixel or two.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "training/storybook/scene.h"

namespace leon {

enum class QuestionKind {
    What,     // What is in the picture?              a dog and a house
    Where,    // Where is it?                         on a green meadow
    Side,     // Where is the dog?                    on the left
    HowMany,  // How many things are there?           two
    IsThere,  // Is there a dog?                      yes, no
    Left,     // What is to the left of the dog?      a house, nothing
              // Is the dog to the left of the house? yes, no
              // What is on the left?                 a house
    Right,    // the same of the right
    Above,    // What is above the dog?               a bee, nothing
              // Is the bee above the dog?            yes, no
    Colour,   // What colour is the ground?           green (the sky, the water, the floor)
};
constexpr int QUESTION_KINDS = 9;
constexpr int QUESTION_MARGIN = 8;

const char* name_of(QuestionKind kind);  // "how many": as reports call it

struct Question {
    QuestionKind kind;
    std::string text, answer;

    bool operator==(const Question&) const = default;
};

// All of a kind; maybe none. IsThere asks for the objects of the scene, and for those of `absent`, which are not there.
std::vector<Question> questions_of(const Scene& scene, QuestionKind kind, std::span<const std::string> absent);

// What an answer is: one of the others is a thing, a place, a number, a colour.
enum class AnswerKind { Other, Nothing, Yes, No };
AnswerKind kind_of(const Question& question);
// Of questions of that kind, so that yes is as likely as no, and "nothing" an eighth where something could be: scenes
// in which nothing is above anything are many, and whoever always said no would be right too often.
AnswerKind draw_answer_kind(QuestionKind kind, PythonRandom& random);

// A question of the scene whose answer is of that kind: first its wording is drawn, then which of that wording. What is
// not there is drawn from the world. Nothing if this scene has none: draw another scene.
std::optional<Question> draw_question(const Scene& scene, QuestionKind kind, AnswerKind answer, PythonRandom& random);

// Does the middle of a's box lie further left than that of b, by the margin? Nothing if less than the margin parts
// them.
std::optional<bool> is_left_of(const SceneObject& a, const SceneObject& b);
// The same upwards: is the middle of a higher than the top of b, and do they share columns? Both by the margin; no
// shared column at all, or a middle lower than that top by the margin, is a no.
std::optional<bool> is_above(const SceneObject& a, const SceneObject& b);

}  // namespace leon
