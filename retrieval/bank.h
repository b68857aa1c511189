// A memory bank: documents of text, a picture, or both, where each came from, and a vector for each, in one file that
// is used straight from a memory mapping. The format, field by field: docs/retrieval.md.
//
// Bank        an opened bank. Everything but the pixels is validated before the first document is handed out: lengths,
//             bounds, UTF-8, vectors, the links of the search index. A picture is validated when it is decoded.
// BankWriter  streams documents in (memory does not grow with pictures and vectors), then writes the file at once.
//
// Texts of a bank are data: whoever puts one into a prompt encodes it with ControlTokens::AsText, as DocumentWriter
// does, and whoever prints one on a terminal takes out what is not printable.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "retrieval/embedder.h"
#include "retrieval/index.h"
#include "runtime/files.h"
#include "runtime/weights_file.h"
#include "tokenizer/image.h"

namespace leon {

constexpr size_t MAX_DOCUMENT_TEXT_BYTES = 65536;  // more than any context holds
constexpr size_t MAX_SOURCE_BYTES = 4096;
constexpr size_t MAX_EMBEDDER_NAME_BYTES = 200;
constexpr int MAX_EMBEDDER_DIM = 65536;

// Larger banks get a graph from BankWriter: looking at so many documents takes 2 to 4 ms of two cores.
constexpr int EXACT_SEARCH_DOCUMENTS = 10000;

class Bank {
public:
    explicit Bank(const std::string& path);

    const std::string& path() const { return file_.path(); }
    size_t bytes() const { return file_.bytes(); }
    const std::string& embedder() const { return embedder_; }  // Embedder::name() of what made the vectors
    int side() const { return side_; }                         // of every picture, pixels
    int documents() const { return vectors_.count; }
    const VectorView& vectors() const { return vectors_; }  // of unit length, or zeros
    bool has_graph() const { return graph_.has_value(); }

    std::string_view text(int id) const;    // UTF-8; empty if there is none
    std::string_view source(int id) const;  // UTF-8: a file, a name, an address; may be empty
    bool has_picture(int id) const;
    Picture picture(int id) const;  // Error if its bytes are no PNG of side x side
    std::span<const uint8_t> png(int id) const;

    // The k best by inner product, best first; at most all. Along the graph if there is one and `exact` was not asked
    // for, in which case the k best are very nearly always found: docs/retrieval.md says how often.
    enum class Search { Fast, Exact };
    std::vector<Hit> search(std::span<const float> query, int k, Search how = Search::Fast) const;

private:
    // Bytes of all documents one after the other; document i has those from begin[i] to begin[i + 1].
    struct Blob {
        const uint8_t* bytes = nullptr;
        std::vector<uint64_t> begin;  // [documents + 1]
        std::span<const uint8_t> of(int id) const;
    };
    Blob read_blob(const std::string& name, size_t most_bytes) const;
    const void* tensor(const std::string& name, DType dtype, std::vector<int64_t> shape) const;

    const SafetensorsFile file_;
    std::string embedder_;
    int side_ = 0;
    VectorView vectors_;
    Blob texts_, sources_, pictures_;
    std::optional<NeighbourGraph> graph_;
};

class BankWriter {
public:
    BankWriter(const std::string& path, const Embedder& embedder, int side,
               int exact_search_documents = EXACT_SEARCH_DOCUMENTS);

    // `text`, `source`: UTF-8 within the limits above. `picture`: side x side, or null. Text or picture must be there.
    void add(std::string_view text, const Picture* picture, std::string_view source, std::span<const float> vector);
    // The same with the picture's PNG as encode_png() gave it; empty for none. For callers that compress on threads.
    void add_png(std::string_view text, std::span<const uint8_t> png, std::string_view source,
                 std::span<const float> vector);
    int documents() const { return static_cast<int>(text_bytes_.size()); }

    // At least one document. progress(done, total) of building the index, if the bank gets one.
    void finish(const std::function<void(size_t, size_t)>& progress = {});

private:
    const std::string path_, embedder_;
    const int dim_, side_, exact_search_documents_;
    ScratchFile vectors_, texts_, sources_, pictures_;
    std::vector<int32_t> text_bytes_, source_bytes_, picture_bytes_;
};

}  // namespace leon
