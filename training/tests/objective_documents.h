// Small documents for tests of the CM3 objective, with control tokens that are easy to tell from words and codes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/testing.h"
#include "training/objective.h"

namespace leon::test_objective {

using Ids = std::vector<int32_t>;
using Kinds = std::vector<TokenKind>;
using enum TokenKind;

// Ids below 100 are words, from 1000 on codes.
constexpr int32_t EOS = 100, BRK = 101, EOSS = 102, SENTINEL = 200, CODE = 1000;

inline CutIds control(int sentinels = 512) {
    CutIds ids{EOS, BRK, EOSS, {}};
    for (int i = 0; i < sentinels; i++) ids.sentinels.push_back(SENTINEL + i);
    return ids;
}
inline bool is_control_sentinel(int32_t id) {
    return id >= SENTINEL && id < CODE;
}

struct Doc {
    Ids ids;
    Kinds kinds;
    int query = 0, answer_first = 0, answer_end = 0;
    bool prepared = false;
    DocumentView view() const { return {ids, kinds, query, answer_first, answer_end, prepared}; }
    int size() const { return static_cast<int>(ids.size()); }
};

inline void add(Doc& doc, int32_t id, TokenKind kind) {
    doc.ids.push_back(id);
    doc.kinds.push_back(kind);
}
inline void add_words(Doc& doc, int count, TokenKind kind = Text) {
    for (int i = 0; i < count; i++) add(doc, (doc.size() * 7 + i) % 100, kind);
}
inline void add_codes(Doc& doc, int count, TokenKind kind = Picture) {
    for (int i = 0; i < count; i++) add(doc, CODE + doc.size(), kind);
}

// </s> words <break> codes </s>
inline Doc captioned(int words, int codes) {
    Doc doc;
    add(doc, EOS, Text);
    add_words(doc, words);
    add(doc, BRK, Text);
    add_codes(doc, codes);
    add(doc, EOS, Text);
    return doc;
}

inline CutRule rule_of(CutRule::Spans spans, double mean, bool crossing = false, double rotation = 0) {
    CutRule rule;
    rule.spans = spans;
    rule.mean = mean;
    rule.crossing = crossing;
    rule.rotation = rotation;
    return rule;
}

inline int spans_in(const CutDocument& document) {
    int found = 0;
    for (int32_t id : document.ids) found += id == EOSS;
    return found;
}

// |observed - expected| within five standard deviations of a count.
inline void check_count(int64_t observed, double probability, int64_t tries) {
    const double expected = probability * static_cast<double>(tries);
    const double deviation = std::sqrt(std::max(1.0, expected * (1 - probability)));
    CAPTURE(observed);
    CAPTURE(expected);
    CHECK(std::abs(static_cast<double>(observed) - expected) < 5 * deviation);
}

}  // namespace leon::test_objective
