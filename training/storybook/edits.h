// Edits: two scenes that differ in one thing, the words that lead from the first to the second, and what changed.
//
// Everything that is not named stays: the same background, the same noise, the same other objects. Only pixels of the
// changed object and its shadow differ, and where it stood (or, where the place changes, all but the objects' own).
#pragma once

#include <optional>
#include <string>

#include "training/storybook/facts.h"
#include "training/storybook/staging.h"

namespace leon {

enum class EditKind { Add, Remove, Replace, Move, ChangePlace };
constexpr int EDIT_KINDS = 5;
const char* name_of(EditKind kind);  // "add", "change place": as reports call it

struct Edit {
    EditKind kind;
    std::string instruction;  // "put a dog on the left"
    Scene before, after;
    std::string object;        // what is added, removed, replaced or moved; empty where the place changes
    std::string replacement;   // Replace
    std::optional<Side> side;  // where the object is to be: Move, and Add where the instruction says so
};

// Objects stand by the rules of the world before and after (inside the frame, 12% overlap), and in training neither
// scene is held out. Scenes are drawn from the stage until one allows it.
Edit draw_edit(Stage& stage, EditKind kind);

}  // namespace leon
