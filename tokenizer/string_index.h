// string -> number, for a list of strings that someone else keeps: an open-addressing table of (hash, number) pairs.
//
// Holds no strings, so it costs one allocation for all of them; the caller hands the same list to every call. Strings
// are never removed.
#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace leon {

class StringIndex {
public:
    explicit StringIndex(size_t strings) : slots_(slots_for(strings)) {}
    static size_t memory_for(size_t strings) { return slots_for(strings) * sizeof(Slot); }

    // Adds strings[number]; false if an equal string is there already.
    bool add(const std::vector<std::string>& strings, int32_t number) {
        const uint32_t tag = tag_of(strings[number]);
        size_t slot = find_slot(strings, strings[number], tag);
        if (slots_[slot].number >= 0) return false;
        slots_[slot] = {tag, number};
        return true;
    }
    std::optional<int32_t> find(const std::vector<std::string>& strings, std::string_view text) const {
        const int32_t number = slots_[find_slot(strings, text, tag_of(text))].number;
        return number < 0 ? std::nullopt : std::optional(number);
    }

private:
    struct Slot {
        uint32_t tag = 0;
        int32_t number = -1;  // -1: empty
    };
    static size_t slots_for(size_t strings) { return std::bit_ceil(2 * strings + 2); }
    static uint32_t tag_of(std::string_view text) {
        const uint64_t hash = std::hash<std::string_view>{}(text);
        return static_cast<uint32_t>(hash ^ hash >> 32);
    }
    // Where the text is, or else the empty slot that ends its chain. At most half of the slots are ever full.
    size_t find_slot(const std::vector<std::string>& strings, std::string_view text, uint32_t tag) const {
        const size_t mask = slots_.size() - 1;
        size_t slot = tag & mask;
        while (slots_[slot].number >= 0 && (slots_[slot].tag != tag || strings[slots_[slot].number] != text))
            slot = (slot + 1) & mask;
        return slot;
    }
    std::vector<Slot> slots_;
};

}  // namespace leon
