// BLEU and CIDEr-D; see captions.h.
#include "metrics/captions.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <unordered_map>

#include "kernels/check.h"

namespace leon {
namespace {

constexpr double SIGMA = 6;

// N-grams of words as numbers: words are numbered from 1, and 0 stands behind the shorter ones.
using Ngram = std::array<uint32_t, MAX_NGRAM>;
using Counts = std::array<std::map<Ngram, int64_t>, MAX_NGRAM>;  // of n-grams of n = index + 1 words

class Numbering {
public:
    Counts counts(const Words& words) {
        std::vector<uint32_t> numbers;
        for (const std::string& word : words)
            numbers.push_back(number_of_.emplace(word, static_cast<uint32_t>(number_of_.size() + 1)).first->second);
        Counts counts;
        for (size_t i = 0; i < numbers.size(); i++) {
            Ngram ngram{};
            for (size_t n = 0; n < MAX_NGRAM && i + n < numbers.size(); n++) {
                ngram[n] = numbers[i + n];
                counts[n][ngram]++;
            }
        }
        return counts;
    }

private:
    std::unordered_map<std::string, uint32_t> number_of_;
};

size_t closest_length(const CaptionCase& example) {
    const auto distance = [&](size_t length) {
        return std::max(length, example.candidate.size()) - std::min(length, example.candidate.size());
    };
    size_t closest = example.references[0].size();
    for (const Words& reference : example.references) {
        const size_t length = reference.size();
        if (distance(length) < distance(closest) || (distance(length) == distance(closest) && length < closest))
            closest = length;
    }
    return closest;
}

struct Vector {
    std::array<std::map<Ngram, double>, MAX_NGRAM> weights;
    std::array<double, MAX_NGRAM> length{};  // Euclid's
    double words = 0;                        // of the caption
};

// `frequency` counts the pictures whose references have the n-gram.
Vector weigh(const Counts& counts, const std::map<Ngram, int64_t>& frequency, double pictures) {
    Vector vector;
    for (size_t n = 0; n < MAX_NGRAM; n++) {
        for (const auto& [ngram, count] : counts[n]) {
            const auto found = frequency.find(ngram);
            const double seen = found == frequency.end() ? 1 : static_cast<double>(found->second);
            const double weight = static_cast<double>(count) * (std::log(pictures) - std::log(seen));
            vector.weights[n][ngram] = weight;
            vector.length[n] += weight * weight;
            if (n == 0) vector.words += static_cast<double>(count);
        }
        vector.length[n] = std::sqrt(vector.length[n]);
    }
    return vector;
}

double similarity(const Vector& candidate, const Vector& reference) {
    const double difference = candidate.words - reference.words;
    double sum = 0;
    for (size_t n = 0; n < MAX_NGRAM; n++) {
        if (candidate.length[n] == 0 || reference.length[n] == 0) continue;
        double product = 0;
        for (const auto& [ngram, weight] : candidate.weights[n])
            if (const auto found = reference.weights[n].find(ngram); found != reference.weights[n].end())
                product += std::min(weight, found->second) * found->second;
        sum += product / (candidate.length[n] * reference.length[n]);
    }
    return sum / MAX_NGRAM * std::exp(-difference * difference / (2 * SIGMA * SIGMA));
}

}  // namespace

std::array<double, MAX_NGRAM> corpus_bleu(const std::vector<CaptionCase>& cases) {
    std::array<int64_t, MAX_NGRAM> matched{}, total{};
    size_t candidate_words = 0, reference_words = 0;
    Numbering numbering;
    for (const CaptionCase& example : cases) {
        CHECK(!example.references.empty());
        candidate_words += example.candidate.size();
        reference_words += closest_length(example);
        Counts most;  // of any reference
        for (const Words& reference : example.references) {
            const Counts counts = numbering.counts(reference);
            for (size_t n = 0; n < MAX_NGRAM; n++)
                for (const auto& [ngram, count] : counts[n]) most[n][ngram] = std::max(most[n][ngram], count);
        }
        const Counts candidate = numbering.counts(example.candidate);
        for (size_t n = 0; n < MAX_NGRAM; n++)
            for (const auto& [ngram, count] : candidate[n]) {
                total[n] += count;
                if (const auto found = most[n].find(ngram); found != most[n].end())
                    matched[n] += std::min(count, found->second);
            }
    }
    std::array<double, MAX_NGRAM> bleu{};
    const double brevity =
        candidate_words >= reference_words || candidate_words == 0
            ? 1
            : std::exp(1 - static_cast<double>(reference_words) / static_cast<double>(candidate_words));
    double logarithms = 0;
    for (size_t n = 0; n < MAX_NGRAM && matched[n] > 0; n++) {
        logarithms += std::log(static_cast<double>(matched[n]) / static_cast<double>(total[n]));
        bleu[n] = brevity * std::exp(logarithms / static_cast<double>(n + 1));
    }
    return bleu;
}

std::optional<std::vector<double>> cider_d(const std::vector<CaptionCase>& cases) {
    if (cases.size() < 2) return std::nullopt;
    Numbering numbering;
    std::vector<std::vector<Counts>> references;
    std::map<Ngram, int64_t> frequency;
    for (const CaptionCase& example : cases) {
        CHECK(!example.references.empty());
        std::map<Ngram, bool> present;
        for (const Words& words : example.references) {
            if (&words == &example.references[0]) references.emplace_back();
            references.back().push_back(numbering.counts(words));
            for (const auto& of_length : references.back().back())
                for (const auto& [ngram, count] : of_length) present[ngram] = true;
        }
        for (const auto& [ngram, is_present] : present) frequency[ngram]++;
    }
    std::vector<double> scores;
    const double pictures = static_cast<double>(cases.size());
    for (size_t i = 0; i < cases.size(); i++) {
        const Vector candidate = weigh(numbering.counts(cases[i].candidate), frequency, pictures);
        double sum = 0;
        for (const Counts& reference : references[i])
            sum += similarity(candidate, weigh(reference, frequency, pictures));
        scores.push_back(10 * sum / static_cast<double>(references[i].size()));
    }
    return scores;
}

}  // namespace leon
