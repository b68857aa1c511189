// What can be said of a scene and be right or wrong: how large, on which side, how near, beside what. Long captions are
// made of such facts and read back into them, so that a caption is scored by facts right over facts stated.
//
//   There are two things on a green meadow. A large house is on the left, far away, to the left of a dog. A small dog
//   is on the right, near, to the right of a house.
//
// Everything is measured on the box of an object's pixels, in the frame of 128: what can be seen, not how it was made.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "training/storybook/scene.h"

namespace leon {

enum class Size { Small, Medium, Large };      // lower than 32 pixels, lower than 44, higher
enum class Side { Left, Middle, Right };       // the third in which the middle of the box lies
enum class Depth { Near, FarAway, InTheSky };  // on the ground or water: the foot below row 100, or above it
Size size_of(const SceneObject& object);
Side side_of(const SceneObject& object);
Depth depth_of(const SceneObject& object);
const char* words_of(Size size);    // "small"
const char* words_of(Side side);    // "on the left", "in the middle", "on the right"
const char* words_of(Depth depth);  // "near", "far away", "in the sky"

enum class FactKind { Count, Place, Size, Side, Depth, LeftOf, RightOf };
struct Fact {
    FactKind kind;
    std::string subject;  // an object's name; empty for Count and Place
    std::string value;    // "two", "on a green meadow", "large", "on the left", "far away", or the other object's name

    bool operator==(const Fact&) const = default;
};

// Of one to three objects: the count, the place, and of each object from left to right its size, side and depth, and
// which objects stand next to it in this order.
std::vector<Fact> facts_of(const Scene& scene);
std::string long_caption(const Scene& scene);

// The facts that a text states, as far as it is one of long_caption()'s form.
struct Statements {
    std::vector<Fact> facts;
    int unreadable = 0;  // clauses that are none; a scorer counts each as a fact that is wrong
};
Statements facts_of(std::string_view text);

// An object that is not there makes everything wrong that is said of it. LeftOf and RightOf hold between any two
// objects, not only between neighbours.
bool is_true(const Fact& fact, const Scene& scene);

struct FactScore {
    int stated = 0, right = 0;    // of the text; a fact that is said twice counts once
    int expected = 0, found = 0;  // of the scene
};
FactScore score_facts(std::string_view text, const Scene& scene);

const char* number_word(int count);  // "one" to "three"; "zero" is not said

}  // namespace leon
