// The memory bank of rare things: the only place where they are shown.
#pragma once

#include "training/storybook/rows.h"
#include "training/storybook/things.h"

namespace leon {

// Of each rare thing one in every place where it can stand, every second beside an ordinary object. Searching by hashed
// words, a caption finds documents of its place as readily as those of its thing: with four places a thing, half of the
// queries found nothing of use.
int rare_documents(int thing);

RowDocument rare_document(const World& world, int thing, int number);  // number below rare_documents(thing)
std::vector<RowDocument> rare_bank(const World& world);                // of all RARE_KINDS, thing by thing

}  // namespace leon
