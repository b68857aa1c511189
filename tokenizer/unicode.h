// The little of Unicode that splitting text needs: strict UTF-8 and five character classes.
//
// The classes are those of the `tokenizers` library, code point by code point (unicode_ranges.h), held in a table of
// pages, so that any code point costs two loads. No normalisation, no case, no other properties.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace leon {

// Bits; a code point has at most one of Space, Letter, Number | Digit, Digit, Punctuation.
namespace code_point_class {
inline constexpr uint8_t SPACE = 1;         // \s of the ByteLevel pattern
inline constexpr uint8_t LETTER = 2;        // \p{L} of the ByteLevel pattern
inline constexpr uint8_t NUMBER = 4;        // \p{N} of the ByteLevel pattern
inline constexpr uint8_t DIGIT = 8;         // what the Digits step splits: NUMBER and a few later ones
inline constexpr uint8_t PUNCTUATION = 16;  // what the Punctuation step splits
}  // namespace code_point_class

class CodePointClasses {
public:
    static const CodePointClasses& get();  // built once, on first use

    uint8_t of(uint32_t code_point) const { return bytes_[page_of_[code_point >> 8] * 256u + (code_point & 255)]; }

private:
    CodePointClasses();

    std::vector<uint16_t> page_of_;  // [0x1100]: code point / 256 -> page
    std::vector<uint8_t> bytes_;     // [pages, 256]
};

// The offset of the first byte that is not part of a well-formed code point (no surrogates, nothing overlong).
std::optional<size_t> find_invalid_utf8(std::string_view text);

// The text with U+FFFD in place of every byte that is not part of a well-formed code point: what a byte-level model
// says need not be UTF-8.
std::string repaired_utf8(std::string_view text);

struct CodePoint {
    uint32_t value;
    uint32_t bytes;
};

// The code point at p, which must point into valid UTF-8.
inline CodePoint code_point_at(const char* p) {
    auto byte = [p](int i) { return static_cast<uint32_t>(static_cast<unsigned char>(p[i])); };
    if (byte(0) < 0x80) return {byte(0), 1};
    if (byte(0) < 0xE0) return {(byte(0) & 0x1F) << 6 | (byte(1) & 0x3F), 2};
    if (byte(0) < 0xF0) return {(byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
    return {(byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

}  // namespace leon
