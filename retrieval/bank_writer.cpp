// Writing a memory bank; see bank.h. The file needs all lengths before the first byte of data, so what is streamed in
// waits in scratch files, one a tensor.
#include <cmath>

#include "kernels/check.h"
#include "retrieval/bank.h"
#include "retrieval/bank_format.h"
#include "runtime/strict_json.h"
#include "tokenizer/unicode.h"

namespace leon {

BankWriter::BankWriter(const std::string& path, const Embedder& embedder, int side, int exact_search_documents)
    : path_(path),
      embedder_(embedder.name()),
      dim_(embedder.dim()),
      side_(side),
      exact_search_documents_(exact_search_documents),
      vectors_(path),
      texts_(path),
      sources_(path),
      pictures_(path) {
    CHECK(is_embedder_name(embedder_) && dim_ > 0 && dim_ <= MAX_EMBEDDER_DIM && side > 0 && side <= MAX_SIDE);
    check_writable(path);
}

void BankWriter::add(std::string_view text, const Picture* picture, std::string_view source,
                     std::span<const float> vector) {
    CHECK(!picture || (picture->width == side_ && picture->height == side_));
    add_png(text, picture ? encode_png(*picture) : std::vector<uint8_t>(), source, vector);
}

void BankWriter::add_png(std::string_view text, std::span<const uint8_t> png, std::string_view source,
                         std::span<const float> vector) {
    CHECK(!text.empty() || !png.empty());
    CHECK(text.size() <= MAX_DOCUMENT_TEXT_BYTES && source.size() <= MAX_SOURCE_BYTES && png.size() <= MAX_PNG_BYTES);
    CHECK(!find_invalid_utf8(text) && !find_invalid_utf8(source));
    const float squares = inner_product(vector, vector);
    CHECK(static_cast<int>(vector.size()) == dim_ && (squares == 0 || std::abs(squares - 1) < 1e-3f));
    if (documents() == INT32_MAX) throw Error("a memory bank holds up to 2^31 - 1 documents", path_);
    texts_.append(text.data(), text.size());
    sources_.append(source.data(), source.size());
    pictures_.append(png.data(), png.size());
    vectors_.append(vector.data(), vector.size_bytes());
    text_bytes_.push_back(static_cast<int32_t>(text.size()));
    source_bytes_.push_back(static_cast<int32_t>(source.size()));
    picture_bytes_.push_back(static_cast<int32_t>(png.size()));
}

void BankWriter::finish(const std::function<void(size_t, size_t)>& progress) {
    CHECK(documents() > 0);
    nlohmann::ordered_json facts;
    facts["embedder"] = embedder_;
    facts["documents"] = documents();
    facts["dim"] = dim_;
    facts["side"] = side_;

    struct Part {
        std::string name;
        DType dtype;
        std::vector<int64_t> shape;
        std::span<const uint8_t> bytes;
    };
    std::vector<Part> parts;
    auto add_ints = [&](const std::string& name, std::vector<int64_t> shape, const std::vector<int32_t>& values) {
        parts.push_back({name,
                         DType::I32,
                         std::move(shape),
                         {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(int32_t)}});
    };
    auto add_bytes = [&](const std::string& name, ScratchFile& scratch) {
        parts.push_back({name, DType::U8, {static_cast<int64_t>(scratch.size())}, scratch.map()});
    };
    const int64_t n = documents();
    parts.push_back({"vectors", DType::F32, {n, dim_}, vectors_.map()});
    NeighbourGraph::Stored graph;
    if (n > exact_search_documents_) {
        const VectorView vectors{reinterpret_cast<const float*>(vectors_.map().data()), documents(), dim_};
        graph = NeighbourGraph::build(vectors, progress).stored();
        facts["entry"] = graph.entry;
        add_ints("graph.level", {n}, graph.level);
        add_ints("graph.base", {n, BASE_ROW}, graph.base);
        add_ints("graph.upper", {static_cast<int64_t>(graph.upper.size()) / UPPER_ROW, UPPER_ROW}, graph.upper);
    }
    add_ints("texts.bytes", {n}, text_bytes_);
    add_ints("sources.bytes", {n}, source_bytes_);
    add_ints("pictures.bytes", {n}, picture_bytes_);
    add_bytes("texts", texts_);
    add_bytes("sources", sources_);
    add_bytes("pictures", pictures_);
    std::erase_if(parts, [](const Part& part) { return part.bytes.empty(); });  // a tensor without elements

    WeightsWriter file(path_, {{"format", BANK_FORMAT}, {"leon.version", BANK_VERSION}, {"leon.bank", facts.dump()}});
    for (const Part& part : parts) file.declare(part.name, part.dtype, part.shape);
    file.begin();
    for (const Part& part : parts) file.write(part.name, part.bytes.data());
    file.commit();
}

}  // namespace leon
