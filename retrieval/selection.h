// Which of the documents found go into a prompt: the rules of CM3Leon (arXiv 2309.02591, section 2.1) and RA-CM3
// (arXiv 2211.12561), as pure functions of scores.
//
//   relevance   score at most 0.9 (a copy of the query teaches nothing), above 0, and at least half of the best one's
//   modality    of these, documents with text and picture before those with only one of them
//   diversity   none more similar than 0.9 to the query as a document or to one that is taken already
//   dropout     for training: the query loses a fifth of its tokens before it is embedded
//
// The papers give 0.9 and the fifth. Ours are the lower bounds, without which the modality rule would put whatever has
// a picture before a text that fits, and the number for diversity, which is that of relevance.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace leon {

struct Candidate {
    int id = 0;
    float score = 0;             // inner product with the query that found it
    float query_similarity = 0;  // with everything known of the query, as a document vector; the score if that is all
    bool multimodal = false;     // text and picture
    friend bool operator==(const Candidate&, const Candidate&) = default;
};

struct SelectionRules {
    float most_score = 0.9f;
    float least_share = 0.5f;  // of the best score that is not above most_score
    float most_similarity = 0.9f;
};

// The admissible ones in the order in which they are preferred: with both modalities first, then by falling score, then
// by rising id.
std::vector<Candidate> preferred(std::span<const Candidate> found, const SelectionRules& rules);

// Takes the best of each list in turn (what the picture of the query found, what its text found, ...), passing over
// what is in the result already or too similar to something there, until every list has given `each` or is used up.
//   similarity(a, b)   inner product of the vectors of two documents
std::vector<Candidate> select(std::span<const std::vector<Candidate>> lists, int each, const SelectionRules& rules,
                              const std::function<float(int, int)>& similarity);

// --- for training: pure functions of (seed, sample) -----------------------------------------------------------------

// `documents` of the selected at random, in random order: the paper keeps 3 of 2 + 2. All if there are fewer.
std::vector<Candidate> draw_some(std::span<const Candidate> selected, int documents, uint64_t seed, uint64_t sample);

constexpr double QUERY_DROPOUT = 0.2;

// Indices of the tokens that stay, rising: each is dropped with probability `rate`, but one always stays.
std::vector<size_t> kept_tokens(size_t tokens, double rate, uint64_t seed, uint64_t sample);
// The same for the words of a text, which are joined by single spaces.
std::string drop_words(const std::string& text, double rate, uint64_t seed, uint64_t sample);

}  // namespace leon
