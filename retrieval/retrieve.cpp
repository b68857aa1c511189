// See retrieve.h.
#include "retrieval/retrieve.h"

#include <algorithm>

namespace leon {
namespace {

constexpr int POOL = 64;  // found for every query, for the rules to choose from

std::vector<Candidate> candidates(const Bank& bank, std::span<const float> query, std::span<const float> whole,
                                  const SelectionRules& rules) {
    std::vector<Candidate> found;
    for (const Hit& hit : bank.search(query, POOL))
        found.push_back({.id = hit.id,
                         .score = hit.score,
                         .query_similarity = inner_product(bank.vectors().at(hit.id), whole),
                         .multimodal = bank.has_picture(hit.id) && !bank.text(hit.id).empty()});
    return preferred(found, rules);
}

bool is_blank(const std::string& text) {
    return text.find_first_not_of(" \t\n\v\f\r") == std::string::npos;
}

// The vector of the picture, then that of the text, as far as they are there.
std::vector<std::vector<float>> query_parts(const Embedder& embedder, const std::string& text, const Picture* picture) {
    std::vector<std::vector<float>> parts;
    if (picture) parts.push_back(embedder.picture(*picture));
    if (!is_blank(text)) parts.push_back(embedder.text(text));
    if (parts.empty()) throw Error("there is nothing to search for", "", "give a text or a picture");
    return parts;
}

}  // namespace

void check_embedder(const Bank& bank, const Embedder& embedder) {
    if (bank.embedder() == embedder.name()) return;
    throw Error(
        "its documents were embedded by '" + bank.embedder() + "', the query would be by '" + embedder.name() + "'",
        bank.path(), "use the same embedder and model, or build the bank again");
}

std::vector<float> query_vector(const Embedder& embedder, const std::string& text, const Picture* picture) {
    const std::vector<std::vector<float>> parts = query_parts(embedder, text, picture);
    return parts.size() == 1 ? parts[0] : document_vector(parts[1], parts[0]);
}

std::vector<Candidate> find_documents(const Bank& bank, const Embedder& embedder, const std::string& text,
                                      const Picture* picture, int each, const SelectionRules& rules) {
    check_embedder(bank, embedder);
    const std::vector<std::vector<float>> parts = query_parts(embedder, text, picture);
    return find_documents(bank, parts, parts.size() == 1 ? parts[0] : document_vector(parts[1], parts[0]), each, rules);
}

std::vector<Candidate> find_documents(const Bank& bank, std::span<const std::vector<float>> queries,
                                      std::span<const float> whole, int each, const SelectionRules& rules) {
    std::vector<std::vector<Candidate>> lists;
    for (const std::vector<float>& query : queries) lists.push_back(candidates(bank, query, whole, rules));
    return select(lists, each, rules,
                  [&](int a, int b) { return inner_product(bank.vectors().at(a), bank.vectors().at(b)); });
}

std::vector<RetrievedDocument> retrieve(const Bank& bank, const Embedder& embedder, const std::string& text,
                                        const Picture* picture, int documents, const SelectionRules& rules) {
    if (documents < 0 || documents > MAX_RETRIEVED)
        throw Error(std::to_string(documents) + " is out of range", "--documents", "choose 0, 1 or 2");
    if (documents == 0) return {};
    std::vector<Candidate> chosen = find_documents(bank, embedder, text, picture, documents, rules);
    if (chosen.size() > static_cast<size_t>(documents)) chosen.resize(static_cast<size_t>(documents));
    std::vector<RetrievedDocument> result;
    for (const Candidate& c : chosen) {
        RetrievedDocument document{.text = std::string(bank.text(c.id)),
                                   .picture = {},
                                   .score = c.score,
                                   .id = c.id,
                                   .source = std::string(bank.source(c.id))};
        if (bank.has_picture(c.id)) document.picture = bank.picture(c.id);
        result.push_back(std::move(document));
    }
    return result;
}

}  // namespace leon
