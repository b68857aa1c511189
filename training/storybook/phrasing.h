// Captions as people say them: with words that the world's own never have, so that a model learns which of them matter.
//
// Names that nobody has seen stand for new things (retrieve-novel and its like). A model that knows nothing else takes
// "red car" for such a name.
#pragma once

#include <span>
#include <string>

#include "training/storybook/random.h"
#include "training/storybook/scene.h"

namespace leon {

// "a red car and a small dog on a sandy beach", "Draw a house in the snow.": the caption, with what an object is like
// before some of the names (its colour, if it has one, or what could be said of anything), and sometimes more around
// it.
std::string as_people_say(std::string caption, std::span<const SceneObject> objects, PythonRandom& random);

}  // namespace leon
