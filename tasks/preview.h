// A cheap look at a picture that is still being drawn. Decoding the whole grid after every token would cost more than
// drawing it, so each code is decoded once, alone, and stands as the 2x2 mean colours of that patch.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <unordered_map>

#include "tokenizer/image.h"
#include "tokenizer/vqgan.h"

namespace leon {

class Preview {
public:
    explicit Preview(const Vqgan& decoder) : decoder_(decoder) {}

    // `codes` are the first cells of a grid of rows x cols; the rest is grey. [2*rows, 2*cols] pixels.
    Picture picture(std::span<const int32_t> codes, int rows, int cols);

private:
    using Quarters = std::array<uint8_t, 12>;  // upper left, upper right, lower left, lower right; RGB each
    const Quarters& quarters(int32_t code);

    const Vqgan& decoder_;
    std::unordered_map<int32_t, Quarters> known_;
};

}  // namespace leon
