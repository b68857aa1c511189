// UTF-8 validation, and the class table: 4,352 pages of 256 code points, equal pages kept once (about 60 KB in all).
#include "tokenizer/unicode.h"

#include <cstring>
#include <map>
#include <span>

#include "tokenizer/unicode_ranges.h"

namespace leon {

const CodePointClasses& CodePointClasses::get() {
    static const CodePointClasses classes;
    return classes;
}

CodePointClasses::CodePointClasses() {
    using namespace code_point_class;
    std::vector<uint8_t> all(0x110000);
    auto mark = [&](std::span<const CodePointRange> ranges, uint8_t bits) {
        for (auto [first, last] : ranges)
            for (uint32_t c = first; c <= last; c++) all[c] |= bits;
    };
    mark(SPACE_RANGES, SPACE);
    mark(LETTER_RANGES, LETTER);
    mark(NUMBER_RANGES, NUMBER | DIGIT);
    mark(LATER_NUMBER_RANGES, DIGIT);
    mark(PUNCTUATION_RANGES, PUNCTUATION);

    std::map<std::string_view, uint16_t> known;
    for (size_t first = 0; first < all.size(); first += 256) {
        std::string_view page(reinterpret_cast<const char*>(all.data() + first), 256);
        auto [entry, is_new] = known.emplace(page, static_cast<uint16_t>(known.size()));
        if (is_new) bytes_.insert(bytes_.end(), page.begin(), page.end());
        page_of_.push_back(entry->second);
    }
}

std::optional<size_t> find_invalid_utf8(std::string_view text) {
    const auto* p = reinterpret_cast<const unsigned char*>(text.data());
    const size_t size = text.size();
    auto follows = [&](size_t at, unsigned low = 0x80, unsigned high = 0xBF) {
        return at < size && p[at] >= low && p[at] <= high;
    };
    for (size_t i = 0; i < size;) {
        const unsigned lead = p[i];
        if (lead < 0x80) {
            uint64_t eight;
            while (i + 8 <= size && (std::memcpy(&eight, p + i, 8), (eight & 0x8080808080808080u) == 0)) i += 8;
            while (i < size && p[i] < 0x80) i++;
        } else if (lead >= 0xC2 && lead <= 0xDF) {
            if (!follows(i + 1)) return i;
            i += 2;
        } else if (lead >= 0xE0 && lead <= 0xEF) {
            const unsigned low = lead == 0xE0 ? 0xA0 : 0x80, high = lead == 0xED ? 0x9F : 0xBF;
            if (!follows(i + 1, low, high) || !follows(i + 2)) return i;
            i += 3;
        } else if (lead >= 0xF0 && lead <= 0xF4) {
            const unsigned low = lead == 0xF0 ? 0x90 : 0x80, high = lead == 0xF4 ? 0x8F : 0xBF;
            if (!follows(i + 1, low, high) || !follows(i + 2) || !follows(i + 3)) return i;
            i += 4;
        } else {
            return i;
        }
    }
    return std::nullopt;
}

std::string repaired_utf8(std::string_view text) {
    std::string repaired;
    while (const std::optional<size_t> bad = find_invalid_utf8(text)) {
        repaired.append(text.substr(0, *bad)).append("\xEF\xBF\xBD");
        text.remove_prefix(*bad + 1);
    }
    return repaired.append(text);
}

}  // namespace leon
