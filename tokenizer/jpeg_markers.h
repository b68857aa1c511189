// What a JPEG file says between its coded data, read without decoding it: enough to refuse files that end early, that
// hide hours of decoding in a few kilobytes or that would break the decoder, and to turn photographs upright.
#pragma once

#include <cstdint>
#include <span>

namespace leon {

struct JpegMarkers {
    bool complete = false;   // the end-of-image marker was reached
    bool tables_fit = true;  // every Huffman table has at most 256 codes, and its segment holds them all
    int scans = 0;           // a progressive file decodes the whole picture once per scan
    int orientation = 1;     // EXIF: 1 upright ... 8; 1 if absent or nonsense
};

JpegMarkers read_jpeg_markers(std::span<const uint8_t> file);

}  // namespace leon
