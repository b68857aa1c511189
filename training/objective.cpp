// Cutting spans out; see objective.h. The rules in order: cm3leon §3.2 of the facts in docs/training.md.
#include "training/objective.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "kernels/check.h"

namespace leon {
namespace {

bool is_sentinel(int32_t id, const CutIds& control) {
    return std::find(control.sentinels.begin(), control.sentinels.end(), id) != control.sentinels.end();
}

int overlap(const Span& a, const Span& b) {
    return std::max(0, std::min(a.end, b.end) - std::max(a.first, b.first));
}

// Clipped to the segment that holds most of it; empty if none holds any.
Span clip(const Span& span, const std::vector<Span>& segments) {
    Span best;
    for (const Span& segment : segments)
        if (overlap(span, segment) > overlap(best, span))
            best = {std::max(span.first, segment.first), std::min(span.end, segment.end)};
    return best;
}

// Both ends uniform over the block.
Span anywhere(int block, int end, RandomDraws& draws) {
    const double a = draws.uniform(), b = draws.uniform();
    return {std::max(1, static_cast<int>(std::floor(std::min(a, b) * block))),
            std::min(end, static_cast<int>(std::floor(std::max(a, b) * block + 0.5)))};
}

std::vector<Span> whole_segments(std::vector<Span> segments, int count, RandomDraws& draws) {
    std::erase_if(segments, [](const Span& s) { return s.first == s.end; });
    std::vector<Span> chosen;
    while (!segments.empty() && static_cast<int>(chosen.size()) < count) {
        const auto at = segments.begin() + draws.below(static_cast<int64_t>(segments.size()));
        chosen.push_back(*at);
        segments.erase(at);
    }
    return chosen;
}

int number_of_spans(const CutRule& rule, int sentinels, RandomDraws& draws) {
    int count = 1;
    if (rule.spans == CutRule::Spans::Poisson) count = draws.poisson(rule.mean);
    if (rule.spans == CutRule::Spans::Fixed) count = static_cast<int>(rule.mean);
    const int least = rule.loss == CutRule::Loss::CM3 ? 1 : 0, most = std::min(rule.most, sentinels);
    CHECK(least <= most);
    return std::clamp(count, least, most);
}

}  // namespace

CutIds cut_ids(const Vocabulary& v) {
    return {.end_of_document = v.eos, .brk = v.brk, .end_of_span = v.eoss, .sentinels = v.sentinels};
}

std::vector<Span> segments_of(std::span<const int32_t> ids, int32_t brk, int end) {
    std::vector<Span> segments;
    int first = 1;
    for (int i = 1; i <= end; i++) {
        if (i < end && ids[i] != brk) continue;
        segments.push_back({first, i});
        first = i + 1;
    }
    return segments;
}

std::vector<Span> draw_spans(std::span<const int32_t> ids, int end, const CutIds& control, const CutRule& rule,
                             RandomDraws& draws) {
    const int block = static_cast<int>(ids.size());
    CHECK(end >= 1 && end <= block);
    const int count = number_of_spans(rule, static_cast<int>(control.sentinels.size()), draws);
    if (count == 0) return {};
    const std::vector<Span> segments = segments_of(ids, control.brk, end);

    std::vector<Span> spans;
    if (draws.chance(rule.rotation)) {
        spans = whole_segments(segments, count, draws);
    } else {
        const int candidates = count == 1 ? 1 : count * count;
        for (int i = 0; i < candidates && static_cast<int>(spans.size()) < count; i++) {
            Span span = anywhere(block, end, draws);
            if (!rule.crossing) span = clip(span, segments);
            if (span.first >= span.end) continue;
            const bool meets = std::any_of(spans.begin(), spans.end(), [&](auto& s) { return overlap(s, span) > 0; });
            if (!meets) spans.push_back(span);
        }
    }
    std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.first < b.first; });
    return spans;
}

CutDocument cut(std::span<const int32_t> ids, std::span<const TokenKind> kinds, int query,
                const std::vector<Span>& spans, const CutIds& control, CutRule::Loss loss, int most) {
    CHECK(ids.size() == kinds.size() && spans.size() <= control.sentinels.size());
    CutDocument all;
    const auto add = [&](int32_t id, TokenKind kind, Learn learn) {
        all.ids.push_back(id);
        all.kinds.push_back(kind);
        all.learn.push_back(learn);
    };
    const auto learn_at = [&](int i) { return i < query ? Learn::AsHelp : Learn::Fully; };
    const auto sentinel = [&](size_t span) {
        const bool learnt = loss == CutRule::Loss::CM3Leon;
        add(control.sentinels[span], TokenKind::Text, learnt ? learn_at(spans[span].first) : Learn::Not);
    };
    size_t next = 0;
    for (int i = 0; i < static_cast<int>(ids.size()); i++) {
        if (next < spans.size() && i == spans[next].first) {
            sentinel(next);
            i = spans[next++].end - 1;
            continue;
        }
        add(ids[i], kinds[i], learn_at(i));
    }
    CHECK(next == spans.size());
    size_t moved = 0;
    for (const Span& span : spans) moved += static_cast<size_t>(span.end - span.first) + 2;
    if (most > 0 && all.ids.size() + moved > static_cast<size_t>(most)) {
        CHECK(moved < static_cast<size_t>(most));
        const size_t kept = static_cast<size_t>(most) - moved;
        all.ids.resize(kept);
        all.kinds.resize(kept);
        all.learn.resize(kept);
    }
    for (size_t s = 0; s < spans.size(); s++) {
        sentinel(s);
        for (int i = spans[s].first; i < spans[s].end; i++) add(ids[i], kinds[i], learn_at(i));
        // The end of an answer is part of what is to be said.
        const bool answer = kinds[spans[s].end - 1] == TokenKind::Answer;
        add(control.end_of_span, answer ? TokenKind::Answer : TokenKind::Text, learn_at(spans[s].first));
    }
    return all;
}

std::vector<int32_t> uncut(std::span<const int32_t> ids, const CutIds& control) {
    std::map<int32_t, std::vector<int32_t>> spans;  // by sentinel
    size_t end = ids.size();
    // Spans are read from the back: each ends with <eoss> and begins with its sentinel.
    while (end > 0 && ids[end - 1] == control.end_of_span) {
        size_t first = end - 1;
        while (first > 0 && !is_sentinel(ids[first - 1], control)) first--;
        if (first == 0) throw Error("a span without its sentinel", "document");
        if (!spans.emplace(ids[first - 1], std::vector<int32_t>(&ids[first], &ids[end - 1])).second)
            throw Error("a sentinel begins a span twice", "document");
        end = first - 1;
    }
    std::vector<int32_t> whole;
    for (size_t i = 0; i < end; i++) {
        const auto found = spans.find(ids[i]);
        if (found == spans.end()) {
            if (is_sentinel(ids[i], control)) throw Error("a hole that nothing belongs into", "document");
            whole.push_back(ids[i]);
            continue;
        }
        whole.insert(whole.end(), found->second.begin(), found->second.end());
        spans.erase(found);
    }
    if (!spans.empty()) throw Error("a span whose hole is missing", "document");
    return whole;
}

namespace {

bool is_picture(const DocumentView& d, const Span& s) {
    return s.first < s.end && d.kinds[s.first] != TokenKind::Text && d.kinds[s.first] != TokenKind::Answer;
}

// ... text <break> picture to draw </s>: the text, of the document itself rather than of retrieved ones; else empty.
Span text_of_drawing(const DocumentView& d, const CutIds& control) {
    const std::vector<Span> segments = segments_of(d.ids, control.brk, static_cast<int>(d.ids.size()) - 1);
    const size_t n = segments.size();
    if (n < 2 || segments[n - 2].first < d.query || is_picture(d, segments[n - 2]) || !is_picture(d, segments[n - 1]) ||
        d.kinds[segments[n - 1].first] == TokenKind::Context)
        return {};
    return segments[n - 2];
}

// The kinds of a document whose picture is given and whose text is asked for.
std::vector<TokenKind> kinds_of_reading(const DocumentView& d, const Span& text) {
    std::vector<TokenKind> kinds(d.kinds.begin(), d.kinds.end());
    for (TokenKind& kind : kinds)
        if (kind == TokenKind::Picture || kind == TokenKind::Object) kind = TokenKind::Context;
    std::fill(kinds.begin() + text.first, kinds.begin() + text.end, TokenKind::Answer);
    return kinds;
}

}  // namespace

CutDocument transform_document(const DocumentView& d, const CutIds& control, const CutRule& rule, int most,
                               RandomDraws draws) {
    const int size = static_cast<int>(d.ids.size());
    const auto fits = [&](size_t spans) { return most == 0 || size + 3 * static_cast<int>(spans) <= most; };
    const auto limited = [&](const std::vector<Span>& spans) {
        return cut(d.ids, d.kinds, d.query, fits(spans.size()) ? spans : std::vector<Span>(), control, rule.loss, 0);
    };
    if (d.prepared) {
        CutDocument same = limited({});
        if (rule.loss == CutRule::Loss::CM3)
            for (size_t i = 0; i < same.ids.size(); i++)
                if (is_sentinel(same.ids[i], control)) same.learn[i] = Learn::Not;
        return same;
    }
    if (d.answer_first < d.answer_end && draws.chance(rule.answer)) return limited({{d.answer_first, d.answer_end}});

    if (rule.read_back > 0 && draws.chance(rule.read_back)) {
        const Span text = text_of_drawing(d, control);
        if (text.first < text.end && fits(1))
            return cut(d.ids, kinds_of_reading(d, text), d.query, {text}, control, rule.loss, 0);
    }

    if (rule.drop_text > 0 && draws.chance(rule.drop_text)) {
        // picture <break> text <break> picture </s>, behind the retrieved documents: the text and its <break> go.
        const std::vector<Span> segments = segments_of(d.ids, control.brk, size - 1);
        const size_t n = segments.size();
        if (n >= 3 && segments[n - 3].first >= d.query && is_picture(d, segments[n - 3]) &&
            !is_picture(d, segments[n - 2]) && is_picture(d, segments[n - 1])) {
            std::vector<int32_t> ids(d.ids.begin(), d.ids.begin() + segments[n - 2].first);
            std::vector<TokenKind> kinds(d.kinds.begin(), d.kinds.begin() + segments[n - 2].first);
            ids.insert(ids.end(), d.ids.begin() + segments[n - 1].first, d.ids.end());
            kinds.insert(kinds.end(), d.kinds.begin() + segments[n - 1].first, d.kinds.end());
            return cut(ids, kinds, d.query, {}, control, rule.loss, 0);
        }
    }
    return limited(draw_spans(d.ids, size - 1, control, rule, draws));
}

CutDocument transform_block(std::span<const int32_t> ids, std::span<const TokenKind> kinds, const CutIds& control,
                            const CutRule& rule, RandomDraws draws) {
    const int size = static_cast<int>(ids.size());
    std::vector<Span> spans = draw_spans(ids, size, control, rule, draws);
    // What is relocated must fit beside at least the first id.
    const auto moved = [&] {
        return std::accumulate(spans.begin(), spans.end(), 0, [](int n, auto& s) { return n + s.end - s.first + 2; });
    };
    while (!spans.empty() && moved() >= size) spans.pop_back();
    return cut(ids, kinds, 0, spans, control, rule.loss, size);
}

}  // namespace leon
