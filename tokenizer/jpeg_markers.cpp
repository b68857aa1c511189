// Walks JPEG segments and the EXIF directory inside the first APP1; see jpeg_markers.h. Every read is bounds-checked:
// a Bytes past its end reads as absent.
#include "tokenizer/jpeg_markers.h"

#include <algorithm>
#include <numeric>
#include <optional>

namespace leon {
namespace {

using namespace jpeg;
constexpr uint16_t ORIENTATION_TAG = 0x0112;

// An unsigned integer of `bytes` bytes at `offset`, if it lies inside.
std::optional<uint32_t> integer(std::span<const uint8_t> data, size_t offset, size_t bytes, bool big_endian) {
    if (offset > data.size() || data.size() - offset < bytes) return std::nullopt;
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++) value = value << 8 | data[offset + (big_endian ? i : bytes - 1 - i)];
    return value;
}

// APP1 holds "Exif\0\0" and a TIFF file: byte order, 42, offset of the first directory of 12-byte entries
//   tag u16 | type u16 | count u32 | value, or its offset, u32
int exif_orientation(std::span<const uint8_t> segment) {
    constexpr uint8_t NAME[6] = {'E', 'x', 'i', 'f', 0, 0};
    if (segment.size() < sizeof NAME || !std::equal(NAME, NAME + sizeof NAME, segment.begin())) return 1;
    std::span<const uint8_t> tiff = segment.subspan(sizeof NAME);
    std::optional<uint32_t> order = integer(tiff, 0, 2, true);
    if (order != 0x4D4D && order != 0x4949) return 1;
    const bool big_endian = order == 0x4D4D;
    std::optional<uint32_t> directory = integer(tiff, 4, 4, big_endian);
    if (!directory) return 1;
    std::optional<uint32_t> entries = integer(tiff, *directory, 2, big_endian);
    for (uint32_t i = 0; entries && i < *entries; i++) {
        size_t entry = size_t{*directory} + 2 + size_t{12} * i;
        std::optional<uint32_t> tag = integer(tiff, entry, 2, big_endian);
        if (!tag) return 1;
        if (*tag != ORIENTATION_TAG) continue;
        uint32_t value = integer(tiff, entry + 8, 2, big_endian).value_or(1);
        return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
    return 1;
}

// The segment is a row of tables: id u8 | how many codes of 1..16 bits, 16 x u8 | the symbols. stb_image 2.27 trusts
// the counts and writes past its table of 256.
bool huffman_tables_fit(std::span<const uint8_t> segment) {
    while (!segment.empty()) {
        if (segment.size() < 17) return false;
        const size_t codes = std::accumulate(segment.begin() + 1, segment.begin() + 17, size_t{0});
        if (codes > 256 || codes > segment.size() - 17) return false;
        segment = segment.subspan(17 + codes);
    }
    return true;
}

}  // namespace

JpegMarkers read_jpeg_markers(std::span<const uint8_t> file) {
    JpegMarkers found;
    bool exif_seen = false;
    size_t at = 0;
    while (at + 1 < file.size()) {
        // Between segments and inside coded data alike, the next marker is the next FF that is not followed by 00
        // (an escaped data byte), FF (padding) or D0..D7 (restart).
        const uint8_t marker = file[at + 1];
        if (file[at] != 0xFF || marker == 0xFF) {
            at++;
            continue;
        }
        if (marker == END_OF_IMAGE) {
            found.complete = true;
            break;
        }
        at += 2;
        if (marker <= 0x01 || (marker >= 0xD0 && marker <= START_OF_IMAGE)) continue;  // these have no length
        if (marker == START_OF_SCAN) found.scans++;
        std::optional<uint32_t> length = integer(file, at, 2, true);
        if (!length || *length < 2 || *length > file.size() - at) break;
        const std::span<const uint8_t> segment = file.subspan(at + 2, *length - 2);
        if (marker == HUFFMAN_TABLES && !huffman_tables_fit(segment)) found.tables_fit = false;
        if (marker == APP1 && !exif_seen) {
            found.orientation = exif_orientation(segment);
            exif_seen = true;
        }
        at += *length;
    }
    return found;
}

}  // namespace leon
