// Whether a JPEG's coded data reach its last block, found without memory for the pixels: a few bytes of header can
// promise 64 megapixels, and a decoder takes memory for them before it looks at the data.
#pragma once

#include <cstdint>
#include <span>

namespace leon {

// True if every component of a baseline, extended or progressive JPEG has a code for each of its blocks: of a
// progressive one, in the scan that brings the blocks' means. Reads the codes bit by bit and keeps nothing.
bool jpeg_data_fill(std::span<const uint8_t> file);

}  // namespace leon
