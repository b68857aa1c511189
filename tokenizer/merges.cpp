// Ranked merges: a table of rules by pair, and the two ways to apply them.
#include "tokenizer/merges.h"

#include <algorithm>
#include <functional>

namespace leon {

namespace {

// Up to here the quadratic scan beats the heap: its arrays lie in one or two cache lines.
constexpr size_t SHORT_PIECE = 48;

}  // namespace

Merges::Merges(const std::array<int32_t, 256>& byte_ids, const std::array<int32_t, 256>& last_ids,
               const std::vector<Rule>& rules)
    : byte_ids_(byte_ids), last_ids_(last_ids), slots_(slots_for(rules.size())) {
    for (size_t rank = 0; rank < rules.size(); rank++) {
        const Rule& rule = rules[rank];
        slots_[slot_of(rule.left, rule.right)] = {rule.left, rule.right, static_cast<int32_t>(rank), rule.result};
    }
}

size_t Merges::slot_of(int32_t left, int32_t right) const {
    const size_t mask = slots_.size() - 1;
    const uint64_t pair = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
    size_t slot = (pair * 0x9E3779B97F4A7C15u >> 32) & mask;
    while (slots_[slot].left >= 0 && (slots_[slot].left != left || slots_[slot].right != right))
        slot = (slot + 1) & mask;
    return slot;
}

// The pair's rule, or an empty slot: its rank is NO_RULE.
const Merges::Slot& Merges::find(int32_t left, int32_t right) const {
    return slots_[slot_of(left, right)];
}

int32_t Merges::symbol(std::string_view piece, size_t at) const {
    const std::array<int32_t, 256>& ids = at + 1 < piece.size() ? byte_ids_ : last_ids_;
    return ids[static_cast<unsigned char>(piece[at])];
}

void Merges::encode(std::vector<int32_t>& ids, std::string_view piece) const {
    if (piece.size() == 1)
        ids.push_back(symbol(piece, 0));
    else if (piece.size() <= SHORT_PIECE)
        encode_short(ids, piece);
    else
        encode_long(ids, piece);
}

void Merges::encode_short(std::vector<int32_t>& ids, std::string_view piece) const {
    int32_t symbols[SHORT_PIECE];
    int32_t ranks[SHORT_PIECE];  // ranks[i]: of the pair of symbols i and i+1
    size_t count = piece.size();
    for (size_t i = 0; i < count; i++) symbols[i] = symbol(piece, i);
    for (size_t i = 0; i + 1 < count; i++) ranks[i] = find(symbols[i], symbols[i + 1]).rank;

    while (count > 1) {
        const size_t best = std::min_element(ranks, ranks + count - 1) - ranks;
        if (ranks[best] == NO_RULE) break;
        symbols[best] = find(symbols[best], symbols[best + 1]).result;
        std::copy(symbols + best + 2, symbols + count, symbols + best + 1);
        if (best + 2 < count) std::copy(ranks + best + 2, ranks + count - 1, ranks + best + 1);
        count--;
        if (best > 0) ranks[best - 1] = find(symbols[best - 1], symbols[best]).rank;
        if (best + 1 < count) ranks[best] = find(symbols[best], symbols[best + 1]).rank;
    }
    ids.insert(ids.end(), symbols, symbols + count);
}

void Merges::encode_long(std::vector<int32_t>& ids, std::string_view piece) const {
    constexpr int32_t NONE = -1;
    struct Symbol {
        int32_t id;              // NONE once it has merged into the one on its left
        int32_t previous, next;  // NONE at the ends
    };
    const auto count = static_cast<int32_t>(piece.size());
    std::vector<Symbol> symbols(count);
    for (int32_t i = 0; i < count; i++) symbols[i] = {symbol(piece, i), i - 1, i + 1 < count ? i + 1 : NONE};

    // The heap's entries are rank << 32 | position of the left symbol. They are not removed when a symbol changes, but
    // recognised when they come up: a pair's rank says which pair it was.
    std::vector<uint64_t> heap;
    auto entry_of = [&](int32_t at) -> std::optional<uint64_t> {
        if (at == NONE || symbols[at].next == NONE) return std::nullopt;
        const int32_t rank = find(symbols[at].id, symbols[symbols[at].next].id).rank;
        if (rank == NO_RULE) return std::nullopt;
        return static_cast<uint64_t>(rank) << 32 | static_cast<uint32_t>(at);
    };
    auto push = [&](int32_t at) {
        if (auto entry = entry_of(at)) {
            heap.push_back(*entry);
            std::push_heap(heap.begin(), heap.end(), std::greater<>());
        }
    };
    for (int32_t i = 0; i < count; i++)
        if (auto entry = entry_of(i)) heap.push_back(*entry);
    std::make_heap(heap.begin(), heap.end(), std::greater<>());

    while (!heap.empty()) {
        const uint64_t entry = heap.front();
        std::pop_heap(heap.begin(), heap.end(), std::greater<>());
        heap.pop_back();
        const auto at = static_cast<int32_t>(entry & UINT32_MAX);
        if (symbols[at].id == NONE || entry_of(at) != entry) continue;

        const int32_t right = symbols[at].next;
        symbols[at].id = find(symbols[at].id, symbols[right].id).result;
        symbols[at].next = symbols[right].next;
        if (symbols[at].next != NONE) symbols[symbols[at].next].previous = at;
        symbols[right].id = NONE;
        push(symbols[at].previous);
        push(at);
    }
    for (int32_t i = 0; i != NONE; i = symbols[i].next) ids.push_back(symbols[i].id);
}

}  // namespace leon
