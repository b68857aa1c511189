// What a JPEG file says between its coded data, read without decoding it: enough to refuse files that end early, that
// hide hours of decoding in a few kilobytes or that would break the decoder, and to turn photographs upright.
#pragma once

#include <cstdint>
#include <span>

namespace leon {

// The second byte of the markers that leon looks at (ITU-T T.81, table B.1).
namespace jpeg {
enum Marker : uint8_t {
    BASELINE = 0xC0,
    EXTENDED = 0xC1,
    PROGRESSIVE = 0xC2,
    HUFFMAN_TABLES = 0xC4,
    FIRST_RESTART = 0xD0,
    START_OF_IMAGE = 0xD8,
    END_OF_IMAGE = 0xD9,
    START_OF_SCAN = 0xDA,
    RESTART_INTERVAL = 0xDD,
    APP1 = 0xE1
};
}

struct JpegMarkers {
    bool complete = false;   // the end-of-image marker was reached
    bool tables_fit = true;  // every Huffman table has at most 256 codes, and its segment holds them all
    int scans = 0;           // a progressive file decodes the whole picture once per scan
    int orientation = 1;     // EXIF: 1 upright ... 8; 1 if absent or nonsense
};

JpegMarkers read_jpeg_markers(std::span<const uint8_t> file);

}  // namespace leon
