// What the storybook world says, without its pictures: for learning a tokenizer.
#pragma once

#include <cstdint>

#include "training/storybook/build.h"
#include "training/tokenizer_training.h"

namespace leon {

// The texts of that many training rows, templates' words included. Signs' words are left out: a model that draws words
// has to see their letters, and what is never counted is never merged.
TextCounts storybook_texts(const World& world, const KindShares& kinds, uint64_t first_seed, int64_t rows);

}  // namespace leon
