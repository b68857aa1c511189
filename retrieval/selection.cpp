// See selection.h.
#include "retrieval/selection.h"

#include <algorithm>
#include <tuple>

#include "kernels/check.h"
#include "kernels/random.h"

namespace leon {
namespace {

// Lanes of the generator, so that one seed serves both.
constexpr uint64_t ORDER_LANE = 1, DROPOUT_LANE = 2;

// Draw `i` of a sample: samples have 2^32 draws each before they would meet.
double draw(uint64_t seed, uint64_t lane, uint64_t sample, size_t i) {
    return uniform(seed, lane, sample << 32 | i);
}

}  // namespace

std::vector<Candidate> preferred(std::span<const Candidate> found, const SelectionRules& rules) {
    std::vector<Candidate> kept;
    float best = 0;
    for (const Candidate& c : found)
        if (c.score > 0 && c.score <= rules.most_score && c.query_similarity <= rules.most_similarity) {
            kept.push_back(c);
            best = std::max(best, c.score);
        }
    std::erase_if(kept, [&](const Candidate& c) { return c.score < rules.least_share * best; });
    std::sort(kept.begin(), kept.end(), [](const Candidate& a, const Candidate& b) {
        return std::tuple(!a.multimodal, -a.score, a.id) < std::tuple(!b.multimodal, -b.score, b.id);
    });
    return kept;
}

std::vector<Candidate> select(std::span<const std::vector<Candidate>> lists, int each, const SelectionRules& rules,
                              const std::function<float(int, int)>& similarity) {
    std::vector<Candidate> taken;
    auto is_new = [&](const Candidate& c) {
        return std::none_of(taken.begin(), taken.end(), [&](const Candidate& t) {
            return t.id == c.id || similarity(t.id, c.id) > rules.most_similarity;
        });
    };
    std::vector<size_t> next(lists.size(), 0);
    for (int turn = 0; turn < each; turn++)
        for (size_t list = 0; list < lists.size(); list++) {
            size_t& i = next[list];
            while (i < lists[list].size() && !is_new(lists[list][i])) i++;
            if (i < lists[list].size()) taken.push_back(lists[list][i++]);
        }
    return taken;
}

std::vector<Candidate> draw_some(std::span<const Candidate> selected, int documents, uint64_t seed, uint64_t sample) {
    CHECK(documents >= 0);
    std::vector<Candidate> drawn(selected.begin(), selected.end());
    for (size_t i = 0; i < drawn.size(); i++) {  // Fisher and Yates
        const size_t others = drawn.size() - i;
        const size_t j = i + static_cast<size_t>(draw(seed, ORDER_LANE, sample, i) * static_cast<double>(others));
        std::swap(drawn[i], drawn[j]);
    }
    if (drawn.size() > static_cast<size_t>(documents)) drawn.resize(static_cast<size_t>(documents));
    return drawn;
}

std::vector<size_t> kept_tokens(size_t tokens, double rate, uint64_t seed, uint64_t sample) {
    std::vector<size_t> kept;
    size_t likeliest = 0;  // to stay, if none does by itself
    double highest = -1;
    for (size_t i = 0; i < tokens; i++) {
        const double value = draw(seed, DROPOUT_LANE, sample, i);
        if (value >= rate) kept.push_back(i);
        if (value > highest) highest = value, likeliest = i;
    }
    if (kept.empty() && tokens > 0) kept.push_back(likeliest);
    return kept;
}

std::string drop_words(const std::string& text, double rate, uint64_t seed, uint64_t sample) {
    constexpr const char* SPACES = " \t\n\v\f\r";
    std::vector<std::string> words;
    for (size_t at = text.find_first_not_of(SPACES); at != std::string::npos;) {
        const size_t end = std::min(text.find_first_of(SPACES, at), text.size());
        words.push_back(text.substr(at, end - at));
        at = text.find_first_not_of(SPACES, end);
    }
    std::string result;
    for (size_t i : kept_tokens(words.size(), rate, seed, sample)) result += (result.empty() ? "" : " ") + words[i];
    return result;
}

}  // namespace leon
