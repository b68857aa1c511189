// From a query to the documents that stand in front of it in a prompt: search, then the rules of selection.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "retrieval/bank.h"
#include "retrieval/embedder.h"
#include "retrieval/selection.h"

namespace leon {

constexpr int MAX_RETRIEVED = 2;  // at inference; with three, published pictures of 1,024 tokens fill the context

struct RetrievedDocument {
    std::string text;                // empty if it has none; encode with ControlTokens::AsText only
    std::optional<Picture> picture;  // in the bank's frame, Bank::side() pixels a side
    float score = 0;
    int id = 0;
    std::string source;
};

// Error unless the bank's vectors are of this embedder.
void check_embedder(const Bank& bank, const Embedder& embedder);

// The vector of what is asked: of a text, of a picture, or (`picture` not null, text not empty) of the two as one
// document. Error if there is neither.
std::vector<float> query_vector(const Embedder& embedder, const std::string& text, const Picture* picture);

// Up to `each` documents that the picture finds and up to `each` that the text finds, in turn, the picture's first:
// with 2, the "two documents each" of the paper. Fewer if the bank has no more that the rules admit.
std::vector<Candidate> find_documents(const Bank& bank, const Embedder& embedder, const std::string& text,
                                      const Picture* picture, int each, const SelectionRules& rules = {});
// The same for vectors: of each query, and of everything that is known of what asks, which rules out what is the same.
// (In training, queries lose words, but a document that asks must not find itself.)
std::vector<Candidate> find_documents(const Bank& bank, std::span<const std::vector<float>> queries,
                                      std::span<const float> whole, int each, const SelectionRules& rules = {});

// What a task prepends: 0, 1 or 2 documents (Error otherwise), the best first. The text alone is what CM3Leon asks with
// for text to picture. Error if there is nothing to ask with, or the bank is another embedder's.
std::vector<RetrievedDocument> retrieve(const Bank& bank, const Embedder& embedder, const std::string& text,
                                        const Picture* picture, int documents, const SelectionRules& rules = {});

}  // namespace leon
