// The merging half of byte-pair encoding: the bytes of one piece -> ids, by ranked merges.
//
// The pair of lowest rank merges first, the leftmost among equals. Short pieces look for it by a scan; long ones keep
// their pairs in a heap over a linked list, so that a piece of n bytes costs O(n log n), whatever it holds.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace leon {

class Merges {
public:
    struct Rule {
        int32_t left, right, result;
    };
    // byte_ids[b] is the id of the single byte b; last_ids[b] of the last byte of a piece, the same where words have no
    // ends of their own. The rank of a rule is its place in the list; of two rules for the
    // same pair the later one counts.
    Merges(const std::array<int32_t, 256>& byte_ids, const std::array<int32_t, 256>& last_ids,
           const std::vector<Rule>& rules);
    static size_t memory_for(size_t rules) { return slots_for(rules) * sizeof(Slot); }

    void encode(std::vector<int32_t>& ids, std::string_view piece) const;  // appends to ids; piece below 2^31 bytes

private:
    static constexpr int32_t NO_RULE = INT32_MAX;
    struct Slot {
        int32_t left = -1, right = -1;  // left = -1: empty
        int32_t rank = NO_RULE, result = -1;
    };
    static size_t slots_for(size_t rules) { return std::bit_ceil(2 * rules + 2); }
    const Slot& find(int32_t left, int32_t right) const;
    size_t slot_of(int32_t left, int32_t right) const;
    int32_t symbol(std::string_view piece, size_t at) const;
    void encode_short(std::vector<int32_t>& ids, std::string_view piece) const;
    void encode_long(std::vector<int32_t>& ids, std::string_view piece) const;

    std::array<int32_t, 256> byte_ids_, last_ids_;
    std::vector<Slot> slots_;  // open addressing; at most half full
};

}  // namespace leon
