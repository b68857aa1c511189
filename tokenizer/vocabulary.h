// Which ids mean what: found by name in the tokenizer, never by number (docs/models.md §3).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/bpe.h"

namespace leon {

// Inclusive, sorted, disjoint.
using IdRanges = std::vector<std::pair<int32_t, int32_t>>;

struct Vocabulary {
    int32_t bos = -1;                // <s>
    int32_t eos = -1;                // </s>
    int32_t pad = -1;                // <pad>
    int32_t unk = -1;                // <unk>
    int32_t brk = -1;                // <racm3:break>: CM3Leon's modality switch, Chameleon's begin-of-image
    int32_t eoss = -1;               // <eoss>: end of a relocated span, Chameleon's end-of-image
    int32_t end_of_turn = -1;        // <reserved08706>; Chameleon only, -1 if absent
    int32_t new_line = -1;           // <reserved08799>: ends a row of codes; Lumina-mGPT only
    int32_t grid_first = -1;         // <reserved08800>: grid_first + n says n * 32 pixels; Lumina-mGPT only
    int grid_counts = 0;             // of these
    std::vector<int32_t> sentinels;  // <sentinel:i>
    int32_t image_first = -1;        // code c is image_first + c
    int codes = 0;
    IdRanges text;  // ids that decode to text: not added, not IMGIMG..., not out of the vocabulary

    bool is_image(int32_t id) const { return id >= image_first && id < image_first + codes; }
    IdRanges image() const { return {{image_first, image_first + codes - 1}}; }
};

// Checks that all codes IMGIMG<letters>Z are there and contiguous. A tokenizer without picture tokens (GPT-2) gives
// codes = 0.
Vocabulary read_vocabulary(const Tokenizer& tokenizer);

// "IMGIMGFDZ" for code 53: decimal digits as letters A..J.
std::string image_token_name(int code);

}  // namespace leon
