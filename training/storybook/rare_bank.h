// The memory bank of rare things: the only place where they are shown.
#pragma once

#include "training/storybook/rows.h"
#include "training/storybook/things.h"

namespace leon {

constexpr int RARE_DOCUMENTS = 4;  // of each rare thing, in as many places, every second beside an ordinary object

RowDocument rare_document(const World& world, int thing, int number);  // number below RARE_DOCUMENTS
std::vector<RowDocument> rare_bank(const World& world);                // RARE_KINDS * RARE_DOCUMENTS, thing by thing

}  // namespace leon
