// What a PNG's compressed data hold, found without memory for the pixels: a few bytes of header can promise 64
// megapixels, and a decoder takes memory for them before it looks at the data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace leon {

struct PngData {
    bool chunks_fit = false;    // no chunk before IEND is longer than the rest of the file
    size_t stored_bytes = 0;    // of all IDAT chunks
    size_t filtered_bytes = 0;  // what they must inflate to: a filter byte and the samples, for each row of each pass
};

// Walks the chunks of a file that begins with PNG's signature and a sound IHDR.
PngData read_png_chunks(std::span<const uint8_t> file);

// Whether the data really inflate to all of the rows, each with a filter that exists. Takes 32 KiB and the time of an
// inflate; does not look at checksums, nor at what follows the last row.
bool png_data_fill(std::span<const uint8_t> file);

}  // namespace leon
