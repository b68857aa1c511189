// Things outside the world's 55, for documents that are to be learnt from when they are read: rare ones with fixed
// names, which only the memory bank shows and training never, and novel ones under a name made up for a single row.
//
// A model cannot know a novel thing by heart, since its name means something else in every row: what is left is to look
// at the retrieved documents. With rare things it is tested whether that was learnt.
#pragma once

#include <string>
#include <vector>

#include "training/storybook/staging.h"

namespace leon {

// The i-th has the legend's slot "rare <i + 1>" (tokenizer/legend_table.h). Names are invented: "blicket".
std::span<const ObjectKind> rare_kinds();
constexpr int RARE_KINDS = 24;

// Is an emoji for novel things? Animals, plants, food, drink, vehicles, sport and games, clothes, instruments,
// household goods and tools are, by the headings that they stand under; but none that is an object of the world or a
// rare thing.
bool is_novel(const ListedEmoji& emoji);
const std::string& draw_novel_emoji(const World& world, PythonRandom& random);

// One or two syllables, 3 to 8 letters; never the name of a rare thing nor a word of captions.
std::string invented_name(PythonRandom& random);

// The same thing where it can stand: things of the ground swim at sea.
ObjectKind in_place(ObjectKind kind, Place place);
bool can_stand(const ObjectKind& kind, Place place);  // after in_place()

}  // namespace leon
