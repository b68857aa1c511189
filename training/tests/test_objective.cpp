// The CM3 objective against its description (docs/training.md): layouts by hand, the way back over many documents, and
// frequencies against the exact law of the spans, which is worked out here by going through all cases.
#include "training/objective.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "training/tests/objective_documents.h"

using namespace leon;
using namespace leon::test_objective;

namespace {

// Any number of parts of any length, empty ones too, some of them retrieved; sometimes with an answer.
Doc random_document(RandomDraws& draws) {
    Doc doc;
    add(doc, EOS, Text);
    const int parts = 1 + static_cast<int>(draws.below(6));
    const int retrieved = static_cast<int>(draws.below(parts));
    for (int part = 0; part < parts; part++) {
        if (part == retrieved && retrieved > 0) doc.query = doc.size();
        const int length = static_cast<int>(draws.below(20));
        if (draws.chance(0.5)) {
            add_codes(doc, length, part < retrieved ? Context : TokenKind::Picture);
        } else if (part >= retrieved && length > 2 && draws.chance(0.4) && doc.answer_end == 0) {
            add_words(doc, 1);
            doc.answer_first = doc.size();
            add_words(doc, length - 2, Answer);
            doc.answer_end = doc.size();
            add_words(doc, 1);
        } else {
            add_words(doc, length);
        }
        if (part + 1 < parts) add(doc, BRK, Text);
    }
    add(doc, EOS, Text);
    return doc;
}
}  // namespace

TEST_CASE("objective: a cut document, token by token") {
    //                0    1  2  3  4    5         6         7         8
    const Ids ids = {EOS, 5, 6, 7, BRK, CODE + 1, CODE + 2, CODE + 3, EOS};
    const Kinds kinds = {Text, Text, Answer, Answer, Text, TokenKind::Picture, Object, Context, Text};
    for (const CutRule::Loss loss : {CutRule::Loss::CM3Leon, CutRule::Loss::CM3}) {
        const CutDocument c = cut(ids, kinds, 0, {{2, 4}, {5, 7}}, control(), loss, 0);
        CHECK(c.ids == Ids{EOS, 5, SENTINEL, BRK, SENTINEL + 1, CODE + 3, EOS,  //
                           SENTINEL, 6, 7, EOSS, SENTINEL + 1, CODE + 1, CODE + 2, EOSS});
        // The end of an answer is the model's to say; that of other spans is plain text.
        CHECK(c.kinds == Kinds{Text, Text, Text, Text, Text, Context, Text,  //
                               Text, Answer, Answer, Answer, Text, TokenKind::Picture, Object, Text});
        for (size_t i = 0; i < c.ids.size(); i++) {
            CAPTURE(i);
            const bool unlearnt = loss == CutRule::Loss::CM3 && is_control_sentinel(c.ids[i]);
            CHECK(c.learn[i] == (unlearnt ? Learn::Not : Learn::Fully));
        }
    }
    // Neighbours, all of a segment, and nothing at all.
    CHECK(cut(ids, kinds, 0, {{1, 2}, {2, 4}}, control(), CutRule::Loss::CM3, 0).ids ==
          Ids{EOS, SENTINEL, SENTINEL + 1, BRK, CODE + 1, CODE + 2, CODE + 3, EOS,  //
              SENTINEL, 5, EOSS, SENTINEL + 1, 6, 7, EOSS});
    const CutDocument same = cut(ids, kinds, 0, {}, control(), CutRule::Loss::CM3, 0);
    CHECK(same.ids == ids);
    CHECK(same.kinds == kinds);
}

TEST_CASE("objective: what was retrieved is marked, also where it is cut out") {
    const Ids ids = {EOS, 5, BRK, CODE, BRK, 6, 7, BRK, CODE + 1, EOS};
    const Kinds kinds = {Text, Text, Text, Context, Text, Text, Text, Text, TokenKind::Picture, Text};
    const CutDocument c = cut(ids, kinds, 5, {{1, 2}, {6, 7}}, control(), CutRule::Loss::CM3Leon, 0);
    CHECK(c.ids == Ids{EOS, SENTINEL, BRK, CODE, BRK, 6, SENTINEL + 1, BRK, CODE + 1, EOS,  //
                       SENTINEL, 5, EOSS, SENTINEL + 1, 7, EOSS});
    const auto H = Learn::AsHelp, F = Learn::Fully;
    CHECK(c.learn == std::vector<Learn>{H, H, H, H, H, F, F, F, F, F, H, H, H, F, F, F});
}

TEST_CASE("objective: a limit takes the end of what was not cut, and nothing of the spans") {
    const Doc doc = captioned(4, 6);  // 13 ids
    const std::vector<Span> spans = {{2, 4}, {8, 9}};
    const CutDocument all = cut(doc.ids, doc.kinds, 0, spans, control(), CutRule::Loss::CM3Leon, 0);
    const int moved = 2 + 2 + 1 + 2;
    REQUIRE(static_cast<int>(all.ids.size()) == doc.size() + 6);
    for (int most = moved + 1; most <= doc.size() + 6; most++) {
        CAPTURE(most);
        const CutDocument c = cut(doc.ids, doc.kinds, 0, spans, control(), CutRule::Loss::CM3Leon, most);
        REQUIRE(static_cast<int>(c.ids.size()) == most);
        CHECK(std::equal(c.ids.begin(), c.ids.end() - moved, all.ids.begin()));
        CHECK(std::equal(c.ids.end() - moved, c.ids.end(), all.ids.end() - moved));
        CHECK(std::equal(c.kinds.end() - moved, c.kinds.end(), all.kinds.end() - moved));
        CHECK(c.learn.size() == c.ids.size());
    }
    CHECK(cut(doc.ids, doc.kinds, 0, spans, control(), CutRule::Loss::CM3Leon, 1000).ids == all.ids);
}

TEST_CASE("objective: what was cut can be put back, whatever was drawn") {
    RandomDraws draws(3, 1);
    std::map<int, int> seen;  // spans -> documents
    for (int i = 0; i < 1500; i++) {
        CAPTURE(i);
        const Doc doc = random_document(draws);
        CutRule rule = rule_of(static_cast<CutRule::Spans>(i % 3), i % 2 ? 1 : 3, draws.chance(0.3), draws.uniform());
        rule.loss = i % 5 == 0 ? CutRule::Loss::CM3 : CutRule::Loss::CM3Leon;
        rule.answer = draws.chance(0.3) ? 1 : 0;
        const CutDocument c =
            transform_document(doc.view(), control(), rule, 0, RandomDraws(9, static_cast<uint64_t>(i)));
        REQUIRE(c.kinds.size() == c.ids.size());
        REQUIRE(c.learn.size() == c.ids.size());
        CHECK(uncut(c.ids, control()) == doc.ids);
        CHECK(static_cast<int>(c.ids.size()) == doc.size() + 3 * spans_in(c));
        // A code keeps its kind, wherever it went.
        for (size_t k = 0; k < c.ids.size(); k++) {
            if (c.ids[k] < CODE) continue;
            const auto before = std::find(doc.ids.begin(), doc.ids.end(), c.ids[k]) - doc.ids.begin();
            CHECK(c.kinds[k] == doc.kinds[static_cast<size_t>(before)]);
            CHECK((c.learn[k] == Learn::AsHelp) == (before < doc.query));
        }
        seen[spans_in(c)]++;
    }
    for (int spans : {0, 1, 2, 3}) CHECK(seen[spans] > 20);
}

TEST_CASE("objective: spans are sorted, disjoint, and in one segment each") {
    RandomDraws draws(4, 1);
    int spans_drawn = 0, with_breaks = 0;
    for (int i = 0; i < 2000; i++) {
        const Doc doc = random_document(draws);
        const bool crossing = i % 2 == 1;
        const CutRule rule = rule_of(CutRule::Spans::Fixed, 1 + i % 4, crossing, 0.3);
        const std::vector<Span> spans = draw_spans(doc.ids, doc.size() - 1, control(), rule, draws);
        CHECK(static_cast<int>(spans.size()) <= 1 + i % 4);
        int end = 1;  // </s> in front never moves
        for (const Span& span : spans) {
            CHECK(span.first >= end);
            CHECK(span.first < span.end);
            CHECK(span.end <= doc.size() - 1);  // nor the one behind
            end = span.end;
            const bool breaks =
                std::find(&doc.ids[span.first], &doc.ids[span.end - 1] + 1, BRK) != &doc.ids[span.end - 1] + 1;
            if (!crossing) CHECK(!breaks);
            with_breaks += breaks;
            spans_drawn++;
        }
    }
    CHECK(spans_drawn > 2000);
    CHECK(with_breaks > 200);
}

TEST_CASE("objective: </s> closes the document in front of its spans, as it does in prompts") {
    const Doc doc = captioned(5, 30);
    int with_span = 0;
    for (uint64_t i = 0; i < 300; i++) {
        const CutDocument c =
            transform_document(doc.view(), control(), rule_of(CutRule::Spans::Always, 1), 0, RandomDraws(1, i));
        CHECK(c.ids[0] == EOS);
        if (spans_in(c) == 0) continue;
        with_span++;
        const auto hole = std::find(c.ids.begin(), c.ids.end(), SENTINEL);
        const auto span = std::find(hole + 1, c.ids.end(), SENTINEL);
        REQUIRE(span != c.ids.end());
        CHECK(*(span - 1) == EOS);
        CHECK(std::count(span, c.ids.end(), EOS) == 0);
        CHECK(c.ids.back() == EOSS);
    }
    CHECK(with_span > 250);
}

TEST_CASE("objective: how many spans there are follows Poisson's law") {
    // Of 40 short segments, so that every number that was drawn is found.
    Doc doc;
    add(doc, EOS, Text);
    for (int i = 0; i < 40; i++) {
        add_words(doc, 2);
        add(doc, BRK, Text);
    }
    add(doc, EOS, Text);
    constexpr int TRIES = 20000;
    const auto counts = [&](const CutRule& rule, int sentinels) {
        std::map<int, int> found;
        for (uint64_t i = 0; i < TRIES; i++)
            found[spans_in(transform_document(doc.view(), control(sentinels), rule, 0, RandomDraws(7, i)))]++;
        return found;
    };
    const auto poisson = [](double mean, int n) { return std::exp(-mean + n * std::log(mean) - std::lgamma(n + 1)); };

    CutRule rule = rule_of(CutRule::Spans::Poisson, 1, false, 1);
    std::map<int, int> found = counts(rule, 512);
    check_count(found[0], 0.367879, TRIES);
    check_count(found[1], 0.367879, TRIES);
    for (int n = 2; n < 6; n++) check_count(found[n], poisson(1, n), TRIES);
    rule.mean = 2.5;
    found = counts(rule, 512);
    for (int n = 0; n < 8; n++) check_count(found[n], poisson(2.5, n), TRIES);

    rule.mean = 1;
    rule.most = 2;
    found = counts(rule, 512);
    CHECK(found.rbegin()->first == 2);
    check_count(found[2], 1 - 2 * 0.367879, TRIES);
    rule.most = 512;
    found = counts(rule, 1);
    CHECK(found.rbegin()->first == 1);
    check_count(found[1], 1 - 0.367879, TRIES);

    // CM3 cuts at least once: none becomes one.
    rule.loss = CutRule::Loss::CM3;
    found = counts(rule, 512);
    CHECK(found.begin()->first == 1);
    check_count(found[1], 2 * 0.367879, TRIES);
    check_count(found[2], poisson(1, 2), TRIES);

    CHECK(counts(rule_of(CutRule::Spans::Fixed, 3, false, 1), 512) == std::map<int, int>{{3, TRIES}});
    CHECK(counts(rule_of(CutRule::Spans::Fixed, 0, false, 1), 512) == std::map<int, int>{{0, TRIES}});
    CHECK(counts(rule_of(CutRule::Spans::Always, 9, false, 1), 512) == std::map<int, int>{{1, TRIES}});
}

TEST_CASE("objective: whole segments are chosen uniformly, and those without tokens never") {
    const Ids ids = {EOS, 1, 2, BRK, BRK, 3, BRK, 4, 5, 6, BRK, 7, EOS};
    CHECK(segments_of(ids, BRK, 12) == std::vector<Span>{{1, 3}, {4, 4}, {5, 6}, {7, 10}, {11, 12}});
    CHECK(segments_of(ids, BRK, 1) == std::vector<Span>{{1, 1}});
    constexpr int TRIES = 20000;
    RandomDraws draws(5, 1);
    std::map<std::pair<int, int>, int> ones;
    std::map<std::vector<int>, int> twos;
    for (int i = 0; i < TRIES; i++) {
        const auto one = draw_spans(ids, 12, control(), rule_of(CutRule::Spans::Fixed, 1, false, 1), draws);
        REQUIRE(one.size() == 1);
        ones[{one[0].first, one[0].end}]++;
        const auto two = draw_spans(ids, 12, control(), rule_of(CutRule::Spans::Fixed, 2, false, 1), draws);
        REQUIRE(two.size() == 2);
        twos[{two[0].first, two[0].end, two[1].first, two[1].end}]++;
        const auto all = draw_spans(ids, 12, control(), rule_of(CutRule::Spans::Fixed, 9, false, 1), draws);
        REQUIRE(all == std::vector<Span>{{1, 3}, {5, 6}, {7, 10}, {11, 12}});
    }
    CHECK(ones.size() == 4);
    for (const auto& entry : ones) check_count(entry.second, 1.0 / 4, TRIES);
    CHECK(twos.size() == 6);
    for (const auto& entry : twos) check_count(entry.second, 1.0 / 6, TRIES);

    int rotated = 0;  // a rate between never and always
    for (int i = 0; i < TRIES; i++) {
        const auto one = draw_spans(ids, 12, control(), rule_of(CutRule::Spans::Fixed, 1, true, 0.25), draws);
        rotated += one == std::vector<Span>{{7, 10}};
    }
    const double elsewhere = 2.0 / (13 * 13 * 4) * 2 * 2;  // halves of cells: first in [7, 8), last in [9.5, 10.5)
    check_count(rotated, 0.25 / 4 + 0.75 * elsewhere, TRIES);
}

namespace {

// The law of one span without rotation, worked out case by case. Ends are uniform over a block of B ids, the lower one
// rounded down and the upper one to the nearest; so nothing changes within half a cell, and there are (2B)^2 equally
// likely cases. What is left of a span is the ids of the segment that holds most of them (the first of several).
using Law = std::map<std::set<int>, double>;  // the ids that go -> probability

Law law_of_one(const Ids& ids, int end, bool crossing) {
    const int block = static_cast<int>(ids.size());
    Law law;
    for (int a = 0; a < 2 * block; a++)
        for (int b = 0; b < 2 * block; b++) {
            std::set<int> span;
            for (int i = std::max(1, std::min(a, b) / 2); i < std::min(end, (std::max(a, b) + 1) / 2); i++)
                span.insert(i);
            if (!crossing) {
                std::vector<std::set<int>> parts(1);
                for (int i = 1; i < end; i++) {
                    if (ids[static_cast<size_t>(i)] == BRK)
                        parts.emplace_back();
                    else if (span.count(i))
                        parts.back().insert(i);
                }
                span = *std::max_element(parts.begin(), parts.end(),
                                         [](const auto& x, const auto& y) { return x.size() < y.size(); });
            }
            law[span] += 1.0 / (4.0 * block * block);
        }
    return law;
}

// The law of up to n spans: n^2 candidates, each of which stays if it meets none before it.
std::map<std::set<std::set<int>>, double> law_of_several(const Law& one, int n) {
    std::map<std::set<std::set<int>>, double> law = {{{}, 1.0}};
    for (int candidate = 0; candidate < n * n; candidate++) {
        std::map<std::set<std::set<int>>, double> next;
        for (const auto& [kept, probability] : law)
            for (const auto& [span, chance] : one) {
                std::set<int> taken;
                for (const auto& other : kept) taken.insert(other.begin(), other.end());
                const bool meets = std::any_of(span.begin(), span.end(), [&](int i) { return taken.count(i) > 0; });
                std::set<std::set<int>> now = kept;
                if (!span.empty() && !meets && static_cast<int>(kept.size()) < n) now.insert(span);
                next[now] += probability * chance;
            }
        law = std::move(next);
    }
    return law;
}

}  // namespace

TEST_CASE("objective: spans that are drawn anywhere follow the law, worked out case by case") {
    constexpr int TRIES = 40000;
    const Ids ids = {EOS, 1, 2, BRK, CODE, CODE + 1, CODE + 2, BRK, 3, EOS};
    for (const int end : {9, 10})  // a document, whose </s> stays; a block
        for (const bool crossing : {false, true})
            for (const int n : {1, 2}) {
                CAPTURE(end);
                CAPTURE(crossing);
                CAPTURE(n);
                const auto law = law_of_several(law_of_one(ids, end, crossing), n);
                std::map<std::set<std::set<int>>, int> found;
                RandomDraws draws(11, static_cast<uint64_t>(end * 100 + crossing * 10 + n));
                const CutRule rule = rule_of(CutRule::Spans::Fixed, n, crossing);
                for (int i = 0; i < TRIES; i++) {
                    std::set<std::set<int>> spans;
                    for (const Span& span : draw_spans(ids, end, control(), rule, draws)) {
                        std::set<int> one;
                        for (int k = span.first; k < span.end; k++) one.insert(k);
                        spans.insert(one);
                    }
                    found[spans]++;
                }
                double sum = 0;
                for (const auto& [spans, probability] : law) {
                    check_count(found[spans], probability, TRIES);
                    sum += probability;
                }
                CHECK(sum == doctest::Approx(1));
                for (const auto& entry : found) CHECK(law.count(entry.first) == 1);
            }
}

TEST_CASE("objective: without whole segments, a single span is one of the picture") {
    // Why recipes rotate whole segments, and cut whole answers: captions are tiny beside pictures.
    const Doc doc = captioned(12, 1024);
    constexpr int TRIES = 20000;
    int in_text = 0, drawn = 0;
    for (uint64_t i = 0; i < TRIES; i++) {
        RandomDraws draws(21, i);
        const auto spans = draw_spans(doc.ids, doc.size() - 1, control(), rule_of(CutRule::Spans::Always, 1), draws);
        if (spans.empty()) continue;
        drawn++;
        in_text += spans[0].first < 13;
    }
    CHECK(drawn > 0.99 * TRIES);
    CHECK(in_text < 0.002 * drawn);
    CHECK(in_text > 0);

    // A block of the paper's length: four documents, of whose pictures the span often takes one as a whole.
    Doc block;
    while (block.size() < 4097) {
        const Doc one = captioned(12, 1024);
        block.ids.insert(block.ids.end(), one.ids.begin(), one.ids.end());
        block.kinds.insert(block.kinds.end(), one.kinds.begin(), one.kinds.end());
    }
    block.ids.resize(4097);
    int whole = 0;
    for (uint64_t i = 0; i < TRIES; i++) {
        RandomDraws draws(22, i);
        const auto spans = draw_spans(block.ids, 4097, control(), rule_of(CutRule::Spans::Always, 1), draws);
        whole += !spans.empty() && spans[0].end - spans[0].first >= 1024;
    }
    CHECK(whole > 0.35 * TRIES);
    CHECK(whole < 0.45 * TRIES);
}

TEST_CASE("objective: a block stays as long as it is") {
    RandomDraws draws(6, 1);
    int cut_blocks = 0;
    for (int i = 0; i < 1000; i++) {
        CAPTURE(i);
        Doc stream;
        const int size = 2 + static_cast<int>(draws.below(90));
        while (stream.size() < size) {
            const Doc doc = random_document(draws);
            stream.ids.insert(stream.ids.end(), doc.ids.begin(), doc.ids.end());
            stream.kinds.insert(stream.kinds.end(), doc.kinds.begin(), doc.kinds.end());
        }
        const std::span<const int32_t> ids(stream.ids.data(), static_cast<size_t>(size));
        const std::span<const TokenKind> kinds(stream.kinds.data(), static_cast<size_t>(size));
        const CutRule rule = rule_of(CutRule::Spans::Poisson, 1.5, i % 2 == 0, 0.5);
        const CutDocument c = transform_block(ids, kinds, control(), rule, RandomDraws(8, static_cast<uint64_t>(i)));
        REQUIRE(static_cast<int>(c.ids.size()) == size);
        CHECK(c.kinds.size() == c.ids.size());
        CHECK(c.learn.size() == c.ids.size());
        const int spans = spans_in(c);
        cut_blocks += spans > 0;
        // Walk the spans from the back, and put those into the source whose sentinels are still there: a beginning of
        // the block, of which at most three tokens a span, and what they displaced, went.
        std::map<int32_t, Ids> moved;
        size_t end = c.ids.size();
        for (int s = spans - 1; s >= 0; s--) {
            REQUIRE(c.ids[end - 1] == EOSS);
            size_t first = end - 1;
            while (c.ids[first] != SENTINEL + s) REQUIRE(first-- > 0);
            moved[SENTINEL + s] = Ids(&c.ids[first + 1], &c.ids[end - 1]);
            CHECK(first + 2 < end);  // never empty
            end = first;
        }
        Ids source;
        for (size_t k = 0; k < end; k++) {
            if (const auto span = moved.find(c.ids[k]); span != moved.end())
                source.insert(source.end(), span->second.begin(), span->second.end());
            else
                source.push_back(c.ids[k]);
        }
        REQUIRE(source.size() <= ids.size());
        CHECK(std::equal(source.begin(), source.end(), ids.begin()));
        CHECK(end > 0);
        if (spans == 0) CHECK(source.size() == ids.size());
    }
    CHECK(cut_blocks > 400);
}
TEST_CASE("objective: what nobody can have cut is no cut document") {
    const CutIds c = control();
    CHECK(uncut(Ids{EOS, 1, EOS}, c) == Ids{EOS, 1, EOS});
    CHECK(uncut(Ids{EOS, SENTINEL, EOS, SENTINEL, 1, EOSS}, c) == Ids{EOS, 1, EOS});
    CHECK(contains(error_of([&] { uncut(Ids{EOS, 1, EOS, 1, EOSS}, c); }), "without its sentinel"));
    CHECK(contains(error_of([&] { uncut(Ids{EOSS}, c); }), "without its sentinel"));
    CHECK(contains(error_of([&] { uncut(Ids{EOS, 1, EOS, SENTINEL, 1, EOSS}, c); }), "hole is missing"));
    CHECK(contains(error_of([&] { uncut(Ids{EOS, SENTINEL, EOS}, c); }), "nothing belongs into"));
    CHECK(contains(error_of([&] {
                       uncut(Ids{EOS, SENTINEL, EOS, SENTINEL, 1, EOSS, SENTINEL, 2, EOSS}, c);
                   }),
                   "twice"));
}

TEST_CASE("objective: draws are a function of seed, lane and count") {
    RandomDraws a(1, 2), b(1, 2), c(1, 3);
    double same = 0, other = 0, sum = 0;
    for (int i = 0; i < 10000; i++) {
        const double x = a.uniform();
        same += x == b.uniform();
        other += x == c.uniform();
        sum += x;
        CHECK(x >= 0);
        CHECK(x < 1);
    }
    CHECK(same == 10000);
    CHECK(other < 5);
    CHECK(sum == doctest::Approx(5000).epsilon(0.02));
    RandomDraws copy = a;
    CHECK(copy.uniform() == a.uniform());
    std::map<int64_t, int> found;
    for (int i = 0; i < 7000; i++) found[a.below(7)]++;
    CHECK(found.begin()->first == 0);
    CHECK(found.rbegin()->first == 6);
    for (const auto& entry : found) check_count(entry.second, 1.0 / 7, 7000);
}
