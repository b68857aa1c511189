// Run: one stretch of a generation under one rule.
//
// A generation is a sequence of runs, carried out by generate.h. Which run comes next is said by the task that asks:
// from a list where the shape of the answer is known (one picture, one text), or by modality.h where the model itself
// decides when a picture begins. A run knows token ids only. Its chain carries no Allow operation: `allowed` is the
// rule, and whoever carries the run out puts it where the chain's family wants it.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/sampler.h"

namespace leon {

struct Run {
    enum class Kind { Forced, Image, Text };

    Kind kind = Kind::Forced;
    std::vector<int32_t> forced;                       // Forced: appended to every stream without asking the model
    int tokens = 0;                                    // Image: exactly this many; Text: at most this many
    std::vector<std::pair<int32_t, int32_t>> allowed;  // Image, Text: the ids that may be drawn, inclusive ranges
    std::vector<int32_t> stop;  // Text: ids that end the run; drawable beside `allowed`, and emitted when drawn
    SamplerChain chain;         // without the Allow operation

    // The streams beside the main one, in the order of the chain's mix: absent = keep those that are running (each
    // drawn token is appended to all of them); present = replace them by these prompts (empty = no guidance).
    std::optional<std::vector<std::vector<int32_t>>> guidance;
};

}  // namespace leon
