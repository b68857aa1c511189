// Search, selection and the native embedder: the exact search against sorting everything, the graph against the exact
// search, the rules against their words on random candidates, features against a second implementation.
#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "kernels/random.h"
#include "retrieval/index.h"
#include "retrieval/native_embedder.h"
#include "retrieval/selection.h"
#include "retrieval/vectors.h"
#include "tests/temporary_folder.h"

#include "tests/testing.h"

using namespace leon;

namespace {

float noise(uint64_t lane, uint64_t i) {
    return static_cast<float>(2 * uniform(3, lane, i) - 1);
}

// Unit vectors in loose groups, some of them equal.
struct Vectors {
    std::vector<float> data;
    VectorView view;
    Vectors(int count, int dim) : data(static_cast<size_t>(count) * static_cast<size_t>(dim)) {
        for (int i = 0; i < count; i++) {
            const std::span<float> v(data.data() + static_cast<size_t>(i) * static_cast<size_t>(dim),
                                     static_cast<size_t>(dim));
            const int like = i % 7 == 6 ? i / 2 : i;  // equal to an earlier one
            for (int d = 0; d < dim; d++)
                v[static_cast<size_t>(d)] = noise(1000 + static_cast<uint64_t>(like % 20), static_cast<uint64_t>(d)) +
                                            noise(static_cast<uint64_t>(like) + 5000, static_cast<uint64_t>(d));
            normalise(v);
        }
        view = {data.data(), count, dim};
    }
};

std::vector<Hit> by_sorting(const VectorView& vectors, std::span<const float> query, int k) {
    std::vector<Hit> all;
    for (int i = 0; i < vectors.count; i++) all.push_back({i, inner_product(vectors.at(i), query)});
    std::stable_sort(all.begin(), all.end(), [](const Hit& a, const Hit& b) { return a.score > b.score; });
    if (all.size() > static_cast<size_t>(k)) all.resize(static_cast<size_t>(k));
    return all;
}

double length_of(std::span<const float> v) {
    double squares = 0;
    for (float x : v) squares += double(x) * x;
    return std::sqrt(squares);
}

std::vector<float> expected_vector(const nlohmann::json& sparse) {
    std::vector<float> v(NATIVE_PART_DIM, 0.0f);
    for (const auto& item : sparse.items()) v[std::stoul(item.key())] = item.value().get<float>();
    return v;
}

float largest_difference(std::span<const float> a, std::span<const float> b) {
    float worst = 0;
    for (size_t i = 0; i < a.size(); i++) worst = std::max(worst, std::abs(a[i] - b[i]));
    return worst;
}

}  // namespace

// --- vectors ----------------------------------------------------------------------------------------------------

TEST_CASE("retrieval: inner products at every length, unit vectors, and the vector of a document") {
    for (size_t n = 1; n < 70; n++) {
        std::vector<float> a(n), b(n);
        double want = 0;
        for (size_t i = 0; i < n; i++) a[i] = noise(1, i), b[i] = noise(2, i), want += double(a[i]) * b[i];
        CHECK(inner_product(a, b) == doctest::Approx(want).epsilon(1e-5));
        normalise(a);
        CHECK(length_of(a) == doctest::Approx(1).epsilon(1e-6));
    }
    std::vector<float> zeros(5, 0.0f);
    normalise(zeros);
    CHECK(zeros == std::vector<float>(5, 0.0f));

    const std::vector<float> text = {1, 0, 0}, picture = {0, 0.6f, 0.8f}, none;
    CHECK(document_vector(text, none) == text);
    CHECK(document_vector(none, picture) == picture);
    const std::vector<float> both = document_vector(text, picture);
    CHECK(length_of(both) == doctest::Approx(1));
    CHECK(inner_product(both, text) == doctest::Approx(inner_product(both, picture)));
    const std::vector<float> opposite = {-1, 0, 0};
    CHECK(document_vector(text, opposite) == std::vector<float>(3, 0.0f));  // nothing is left to normalise
}

// --- search -----------------------------------------------------------------------------------------------------

TEST_CASE("retrieval: the exact search is sorting everything, ties by id") {
    for (const int count : {1, 2, 3, 1023, 1024, 1025, 2500}) {
        const Vectors v(count, 19);
        for (const int k : {1, 2, 7, count, count + 5})
            for (const int q : {0, count / 2, count - 1}) {
                CAPTURE(count);
                CAPTURE(k);
                CHECK(exact_search(v.view, v.view.at(q), k) == by_sorting(v.view, v.view.at(q), k));
            }
        // Queries of which most coordinates are zero, at either end.
        for (const size_t from : {0, 7, 16, 18})
            for (const size_t to : {1, 8, 16, 17, 19}) {
                std::vector<float> part(v.view.at(0).begin(), v.view.at(0).end());
                for (size_t d = 0; d < part.size(); d++) part[d] = d >= from && d < to ? part[d] : 0.0f;
                CHECK(exact_search(v.view, part, 3) == by_sorting(v.view, part, 3));
            }
        const std::vector<float> zero(19, 0.0f);  // everything scores the same: the first ones
        const std::vector<Hit> first = exact_search(v.view, zero, 2);
        for (size_t i = 0; i < first.size(); i++) CHECK(first[i] == Hit{static_cast<int>(i), 0.0f});
    }
}

TEST_CASE("retrieval: the graph finds what the exact search finds, and is the same each time") {
    const Vectors v(1500, 24);
    const NeighbourGraph graph = NeighbourGraph::build(v.view, {});
    const NeighbourGraph::Stored stored = graph.stored();
    CHECK_NOTHROW(check_graph(stored.view(), "bank"));
    const NeighbourGraph again = NeighbourGraph::build(v.view, {});
    CHECK(again.stored().base == stored.base);
    CHECK(again.stored().upper == stored.upper);
    CHECK(again.stored().level == stored.level);
    CHECK(*std::max_element(stored.level.begin(), stored.level.end()) >= 1);  // or nothing tests the upper levels

    const NeighbourGraph loaded(v.view, stored.view());
    CHECK(loaded.stored().base == stored.base);
    CHECK(loaded.stored().upper == stored.upper);
    int found = 0;
    constexpr int QUERIES = 200;
    for (int q = 0; q < QUERIES; q++) {
        std::vector<float> query(24);
        for (size_t d = 0; d < query.size(); d++)
            query[d] = v.view.at(q)[d] + 0.3f * noise(77, query.size() * static_cast<size_t>(q) + d);
        if (q % 4 == 3) std::fill(query.begin() + 8, query.end(), 0.0f);  // most coordinates are zero
        normalise(query);
        const std::vector<Hit> hits = graph.search(query, 2, 100), truth = exact_search(v.view, query, 2);
        REQUIRE(hits.size() == 2);
        CHECK(loaded.search(query, 2, 100) == hits);
        for (size_t i = 0; i < 2; i++) {
            CHECK(hits[i].score == inner_product(v.view.at(hits[i].id), query));
            found += hits[i].score >= truth[i].score;
        }
    }
    CHECK(found >= 0.99 * 2 * QUERIES);
    CHECK(graph.search(v.view.at(3), 1500, 1500).size() >= 1490);
    size_t reports = 0;
    NeighbourGraph::build(v.view, [&](size_t done, size_t total) { reports += done < total && total == 1500; });
    CHECK(reports > 10);
}

TEST_CASE("retrieval: a graph with one wrong link is refused") {
    const Vectors v(400, 8);
    const NeighbourGraph::Stored good = NeighbourGraph::build(v.view, {}).stored();
    auto refused = [&](auto change) {
        NeighbourGraph::Stored bad = good;
        change(bad);
        const std::string error = error_of([&] { check_graph(bad.view(), "the.bank"); });
        CHECK(error.starts_with("the.bank: "));
    };
    CHECK(error_of([&] { check_graph(good.view(), "the.bank"); }) == "");
    refused([](auto& g) { g.entry = -1; });
    refused([](auto& g) { g.entry = 400; });
    refused(
        [](auto& g) { g.entry = static_cast<int>(std::find(g.level.begin(), g.level.end(), 0) - g.level.begin()); });
    refused([](auto& g) { g.level[5] = -1; });
    refused([](auto& g) { g.level[5] = 1 << 30; });
    refused([](auto& g) { g.level[5]++; });  // a row of links is missing then
    refused([](auto& g) { g.base[0] = BASE_ROW; });
    refused([](auto& g) { g.base[0] = -1; });
    refused([](auto& g) { g.base[1] = 400; });
    refused([](auto& g) { g.base[1] = -1; });
    refused([](auto& g) { g.base.pop_back(); });
    refused([](auto& g) { g.upper.resize(g.upper.size() - UPPER_ROW); });
    REQUIRE(good.upper[0] > 0);
    refused([](auto& g) { g.upper[0] = UPPER_ROW; });
    refused([](auto& g) {  // a link of an upper level to a node that does not stand there
        g.upper[1] = static_cast<int>(std::find(g.level.begin(), g.level.end(), 0) - g.level.begin());
    });
}

// --- selection --------------------------------------------------------------------------------------------------

TEST_CASE("retrieval: candidates are preferred by modality, then score, then id, within the limits") {
    const std::vector<Candidate> found = {
        {.id = 0, .score = 0.95f, .query_similarity = 0.5f, .multimodal = true},  // a copy of the query
        {.id = 1, .score = 0.90f, .query_similarity = 0.9f, .multimodal = false},
        {.id = 2, .score = 0.46f, .query_similarity = 0.2f, .multimodal = true},
        {.id = 4, .score = 0.50f, .query_similarity = 0.3f, .multimodal = true},
        {.id = 3, .score = 0.50f, .query_similarity = 0.3f, .multimodal = true},
        {.id = 8, .score = 0.44f, .query_similarity = 0.4f, .multimodal = true},   // less than half of the best
        {.id = 5, .score = 0.70f, .query_similarity = 0.91f, .multimodal = true},  // a copy of all that is asked
        {.id = 6, .score = 0.00f, .query_similarity = 0.0f, .multimodal = true},   // nothing in common
        {.id = 7, .score = -0.1f, .query_similarity = 0.0f, .multimodal = true}};
    std::vector<int> order;
    for (const Candidate& c : preferred(found, {})) order.push_back(c.id);
    CHECK(order == std::vector<int>{3, 4, 2, 1});
}

TEST_CASE("retrieval: lists give in turn, and nothing twice or alike") {
    auto c = [](int id) { return Candidate{.id = id, .score = 0.5f, .query_similarity = 0.5f, .multimodal = true}; };
    auto alike = [](int a, int b) { return a / 10 == b / 10 ? 0.95f : 0.1f; };  // by tens
    auto ids = [&](const std::vector<std::vector<Candidate>>& lists, int each) {
        std::vector<int> result;
        for (const Candidate& x : select(lists, each, {}, alike)) result.push_back(x.id);
        return result;
    };
    CHECK(ids({{c(10), c(20), c(30)}}, 2) == std::vector<int>{10, 20});
    CHECK(ids({{c(10), c(11), c(30)}}, 2) == std::vector<int>{10, 30});
    CHECK(ids({{c(10), c(20)}, {c(30), c(40)}}, 2) == std::vector<int>{10, 30, 20, 40});
    CHECK(ids({{c(10), c(20)}, {c(10), c(21), c(40)}}, 2) == std::vector<int>{10, 21, 40});
    CHECK(ids({{c(10)}, {}}, 2) == std::vector<int>{10});
    CHECK(ids({{c(10), c(20)}}, 0).empty());
    CHECK(ids({}, 2).empty());
}

TEST_CASE("retrieval: the rules hold for whatever is found") {
    for (uint64_t trial = 0; trial < 200; trial++) {
        const int documents = 1 + static_cast<int>(uniform(1, trial, 0) * 30), each = static_cast<int>(trial % 4);
        const Vectors v(documents, 3);  // three coordinates: many are alike
        std::vector<std::vector<Candidate>> lists(1 + trial % 2);
        for (size_t l = 0; l < lists.size(); l++) {
            std::vector<Candidate> found;
            for (int i = 0; i < documents; i++)
                found.push_back({.id = i,
                                 .score = noise(trial + 100 * l, static_cast<uint64_t>(i)),
                                 .query_similarity = noise(trial + 999, static_cast<uint64_t>(i)),
                                 .multimodal = uniform(5, trial, static_cast<uint64_t>(i)) < 0.5});
            lists[l] = preferred(found, {});
            CHECK(std::is_sorted(lists[l].begin(), lists[l].end(), [](const Candidate& a, const Candidate& b) {
                return a.multimodal != b.multimodal ? a.multimodal : a.score > b.score;
            }));
            auto relevant = [](const Candidate& x) {
                return x.score > 0 && x.score <= 0.9f && x.query_similarity <= 0.9f;
            };
            float best = 0;
            for (const Candidate& x : found) best = relevant(x) ? std::max(best, x.score) : best;
            for (const Candidate& x : found) {
                const bool admitted = relevant(x) && x.score >= best / 2;
                CHECK(admitted == (std::find(lists[l].begin(), lists[l].end(), x) != lists[l].end()));
            }
        }
        auto similarity = [&](int a, int b) { return inner_product(v.view.at(a), v.view.at(b)); };
        const std::vector<Candidate> taken = select(lists, each, {}, similarity);
        CHECK(taken.size() <= static_cast<size_t>(each) * lists.size());
        for (size_t i = 0; i < taken.size(); i++)
            for (size_t j = 0; j < i; j++) {
                CHECK(taken[i].id != taken[j].id);
                CHECK(similarity(taken[i].id, taken[j].id) <= 0.9f);
            }
        // Nothing was left out without a reason.
        if (each > 0 && lists.size() == 1 && taken.size() < static_cast<size_t>(each))
            for (const Candidate& x : lists[0])
                CHECK(std::any_of(taken.begin(), taken.end(),
                                  [&](const Candidate& t) { return t.id == x.id || similarity(t.id, x.id) > 0.9f; }));
        if (!lists[0].empty() && each > 0) CHECK(taken[0] == lists[0][0]);
    }
}

TEST_CASE("retrieval: documents for training are drawn evenly, by seed and sample alone") {
    std::vector<Candidate> selected;
    for (int i = 0; i < 4; i++) selected.push_back({.id = i, .score = 0.5f, .query_similarity = 0, .multimodal = true});
    std::map<std::vector<int>, int> orders;
    constexpr int SAMPLES = 24000;
    for (uint64_t sample = 0; sample < SAMPLES; sample++) {
        std::vector<int> ids;
        for (const Candidate& c : draw_some(selected, 3, 42, sample)) ids.push_back(c.id);
        CHECK(ids.size() == 3);
        CHECK(std::set<int>(ids.begin(), ids.end()).size() == 3);
        orders[ids]++;
    }
    CHECK(orders.size() == 24);  // 4 * 3 * 2, a thousand times each but for 5 standard deviations
    for (const auto& entry : orders) CHECK(std::abs(entry.second - 1000) < 160);
    CHECK(draw_some(selected, 3, 42, 7) == draw_some(selected, 3, 42, 7));
    CHECK(draw_some(selected, 9, 42, 7).size() == 4);
    CHECK(draw_some(selected, 0, 42, 7).empty());
    CHECK(draw_some({}, 2, 42, 7).empty());
}

TEST_CASE("retrieval: a query loses a fifth of its tokens, in place, and never all") {
    size_t kept = 0;
    constexpr size_t TOKENS = 50, SAMPLES = 2000;
    for (uint64_t sample = 0; sample < SAMPLES; sample++) {
        const std::vector<size_t> indices = kept_tokens(TOKENS, QUERY_DROPOUT, 9, sample);
        CHECK(std::is_sorted(indices.begin(), indices.end()));
        CHECK(std::adjacent_find(indices.begin(), indices.end()) == indices.end());
        CHECK(indices.back() < TOKENS);
        kept += indices.size();
    }
    CHECK(std::abs(double(kept) / (TOKENS * SAMPLES) - 0.8) < 0.007);  // 5 standard deviations
    CHECK(kept_tokens(5, 0, 1, 1) == std::vector<size_t>{0, 1, 2, 3, 4});
    CHECK(kept_tokens(5, 1, 1, 1).size() == 1);
    CHECK(kept_tokens(0, 0.2, 1, 1).empty());
    CHECK(kept_tokens(30, 0.5, 1, 1) == kept_tokens(30, 0.5, 1, 1));
    CHECK(kept_tokens(30, 0.5, 1, 1) != kept_tokens(30, 0.5, 1, 2));
    CHECK(kept_tokens(30, 0.5, 1, 1) != kept_tokens(30, 0.5, 2, 1));

    CHECK(drop_words("  a red\tcar \n on the beach ", 0, 1, 1) == "a red car on the beach");
    CHECK(drop_words(" \n", 0.2, 1, 1).empty());
    CHECK(drop_words("word", 1, 1, 1) == "word");
    const std::string shorter = drop_words("one two three four five six seven eight nine ten", 0.5, 3, 3);
    CHECK(shorter.size() < 40);
}

// --- the native embedder ----------------------------------------------------------------------------------------

TEST_CASE("retrieval: hashed texts and codes are those of a second implementation") {
    const auto texts = nlohmann::json::parse(read_text("tests/vectors/retrieval/hashed_text.json"));
    CHECK(texts.size() >= 10);
    for (const auto& c : texts) {
        CAPTURE(c["text"]);
        CHECK(largest_difference(hashed_text(c["text"]), expected_vector(c["vector"])) < 3e-6f);
    }
    const auto grids = nlohmann::json::parse(read_text("tests/vectors/retrieval/hashed_codes.json"));
    CHECK(grids.size() >= 3);
    for (const auto& c : grids) {
        const std::vector<int32_t> codes = c["codes"];
        CHECK(largest_difference(hashed_codes(codes, c["rows"], c["cols"]), expected_vector(c["vector"])) < 3e-6f);
    }
}

TEST_CASE("retrieval: texts that share words score higher, whatever their case") {
    auto score = [](const std::string& a, const std::string& b) {
        return inner_product(hashed_text(a), hashed_text(b));
    };
    const std::string query = "a red car on a sandy beach";
    CHECK(score(query, query) == doctest::Approx(1));
    CHECK(score(query, "A RED car, on a sandy beach!") == doctest::Approx(1));
    CHECK(score(query, "a red car in a street") > score(query, "a green ship on the sea") + 0.1f);
    CHECK(score(query, "red cars on sandy beaches") > score(query, "a dog in a dark forest") + 0.2f);  // parts of words
    CHECK(length_of(hashed_text("x")) == doctest::Approx(1));
    CHECK(length_of(hashed_text(" ?!\n")) == 0);
    CHECK(contains(error_of([] { hashed_text("a \xff b"); }), "UTF-8 at byte 2"));

    // Unrelated texts: about 0, whichever way collisions fall.
    double sum = 0, squares = 0;
    constexpr int PAIRS = 300;
    for (int i = 0; i < PAIRS; i++) {
        std::string a, b;
        for (uint64_t w = 0; w < 40; w++) {
            a += static_cast<char>('a' + static_cast<int>(uniform(1, static_cast<uint64_t>(i), w) * 26));
            b += static_cast<char>('a' + static_cast<int>(uniform(2, static_cast<uint64_t>(i), w) * 26));
            if (w % 6 == 5) a += ' ', b += ' ';
        }
        const double s = score(a, b);
        sum += s, squares += s * s;
    }
    CHECK(std::abs(sum / PAIRS) < 0.015);
    CHECK(std::sqrt(squares / PAIRS) < 0.07);
}
