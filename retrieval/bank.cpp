// Reading a memory bank; see bank.h. Lengths of documents are stored, not offsets: whatever stands there, adding them
// up gives a rising list, and its end must be the size of what they divide.
#include "retrieval/bank.h"

#include <atomic>
#include <cmath>
#include <set>

#include "kernels/check.h"
#include "kernels/cpu/threads.h"
#include "retrieval/bank_format.h"
#include "runtime/strict_json.h"
#include "tokenizer/unicode.h"

namespace leon {
namespace {

using nlohmann::json;

struct Facts {
    std::string embedder;
    int documents, dim, side;
    std::optional<int> entry;  // of the graph
};

Facts parse_facts(const std::string& text, const std::string& path) {
    const json facts = parse_json(text, path);
    auto fail = [&](const std::string& what) { throw Error(what + " in 'leon.bank'", path); };
    if (!facts.is_object()) fail("no object");
    std::set<std::string> known = {"embedder", "documents", "dim", "side", "entry"};
    for (const auto& item : facts.items())
        if (!known.count(item.key())) fail("unknown key " + in_quotes(item.key()));
    auto number = [&](const char* key, int64_t low, int64_t high) {
        const auto found = facts.find(key);
        if (found == facts.end() || !found->is_number_integer() || *found < low || *found > high)
            fail(std::string("'") + key + "' is missing or out of range");
        return found->get<int>();
    };
    const auto embedder = facts.find("embedder");
    if (embedder == facts.end() || !embedder->is_string()) fail("'embedder' is missing or no text");
    Facts result{.embedder = embedder->get<std::string>(),
                 .documents = number("documents", 1, INT32_MAX),
                 .dim = number("dim", 1, MAX_EMBEDDER_DIM),
                 .side = number("side", 1, MAX_SIDE),
                 .entry = {}};
    if (facts.contains("entry")) result.entry = number("entry", 0, result.documents - 1);
    if (!is_embedder_name(result.embedder)) fail("'embedder' is too long or not printable");
    return result;
}

const std::string& bank_facts(const SafetensorsFile& file) {
    const auto& metadata = file.metadata();
    const auto format = metadata.find("format");
    if (format == metadata.end() || format->second != BANK_FORMAT)
        throw Error("a safetensors file, but not a memory bank", file.path(), "make one with `leon index build`");
    const auto version = metadata.find("leon.version");
    if (version == metadata.end() || version->second != BANK_VERSION)
        throw Error("is a memory bank of another version", file.path(), "build it again with this leon");
    for (const auto& [key, value] : metadata)
        if (key != "format" && key != "leon.version" && key != "leon.bank")
            throw Error("has unknown metadata " + in_quotes(key), file.path());
    const auto facts = metadata.find("leon.bank");
    if (facts == metadata.end()) throw Error("lacks the metadata 'leon.bank'", file.path());
    return facts->second;
}

void check_tensor_names(const SafetensorsFile& file) {
    const std::set<std::string> known = {"vectors",  "texts",          "texts.bytes", "sources",    "sources.bytes",
                                         "pictures", "pictures.bytes", "graph.level", "graph.base", "graph.upper"};
    for (const auto& entry : file.tensors())
        if (!entry.first.starts_with(PADDING_PREFIX) && !known.count(entry.first))
            throw Error("has unknown tensor " + in_quotes(entry.first), file.path());
}

// Every vector is finite and of unit length, or zero: the search relies on it.
void check_vectors(const VectorView& vectors, const std::string& path) {
    constexpr int BLOCK = 256;
    std::atomic<int> bad{INT32_MAX};
    parallel((vectors.count + BLOCK - 1) / BLOCK, [&](int64_t block, int) {
        const int begin = static_cast<int>(block) * BLOCK, end = std::min(vectors.count - begin, BLOCK) + begin;
        for (int i = begin; i < end; i++) {
            const float squares = inner_product(vectors.at(i), vectors.at(i));
            if (squares == 0 || std::abs(squares - 1) < 1e-3f) continue;  // false for what is not a number
            for (int seen = bad; i < seen && !bad.compare_exchange_weak(seen, i);) {
            }
        }
    });
    if (bad < vectors.count)
        throw Error("the vector of document " + std::to_string(bad) + " is not of unit length", path,
                    "build the bank again");
}

}  // namespace

const void* Bank::tensor(const std::string& name, DType dtype, std::vector<int64_t> shape) const {
    const StoredTensor* stored = file_.find(name);
    if (!stored) throw Error("tensor " + in_quotes(name) + " is missing", path());
    if (stored->dtype != name_of(dtype) || stored->shape != shape)
        throw Error("tensor " + in_quotes(name) + " is " + stored->dtype + " " + shape_text(stored->shape) +
                        ", but expected was " + name_of(dtype) + " " + shape_text(shape),
                    path());
    return file_.data(*stored);
}

std::span<const uint8_t> Bank::Blob::of(int id) const {
    CHECK(id >= 0 && static_cast<size_t>(id) + 1 < begin.size());
    const uint64_t from = begin[static_cast<size_t>(id)], to = begin[static_cast<size_t>(id) + 1];
    return {bytes + from, static_cast<size_t>(to - from)};
}

Bank::Blob Bank::read_blob(const std::string& name, size_t most_bytes) const {
    const int32_t* lengths = static_cast<const int32_t*>(tensor(name + ".bytes", DType::I32, {documents()}));
    Blob blob;
    blob.begin.reserve(static_cast<size_t>(documents()) + 1);
    blob.begin.push_back(0);
    for (int i = 0; i < documents(); i++) {
        if (lengths[i] < 0 || static_cast<size_t>(lengths[i]) > most_bytes)
            throw Error("document " + std::to_string(i) + " has an impossible length in " + in_quotes(name), path());
        blob.begin.push_back(blob.begin.back() + static_cast<uint64_t>(lengths[i]));
    }
    // A tensor without elements is not written.
    if (blob.begin.back() > 0)
        blob.bytes = static_cast<const uint8_t*>(tensor(name, DType::U8, {static_cast<int64_t>(blob.begin.back())}));
    else if (file_.find(name))
        throw Error("tensor " + in_quotes(name) + " belongs to no document", path());
    return blob;
}

Bank::Bank(const std::string& path) : file_(path) {
    const Facts facts = parse_facts(bank_facts(file_), path);
    check_alignment(file_);
    check_tensor_names(file_);
    embedder_ = facts.embedder;
    side_ = facts.side;
    vectors_ = {static_cast<const float*>(tensor("vectors", DType::F32, {facts.documents, facts.dim})), facts.documents,
                facts.dim};
    texts_ = read_blob("texts", MAX_DOCUMENT_TEXT_BYTES);
    sources_ = read_blob("sources", MAX_SOURCE_BYTES);
    pictures_ = read_blob("pictures", MAX_PNG_BYTES);
    for (int i = 0; i < documents(); i++) {
        if (find_invalid_utf8(text(i)) || find_invalid_utf8(source(i)))
            throw Error("document " + std::to_string(i) + " is not valid UTF-8", path);
        if (text(i).empty() && !has_picture(i)) throw Error("document " + std::to_string(i) + " is empty", path);
    }
    check_vectors(vectors_, path);
    if (!facts.entry) {
        for (const char* name : {"graph.level", "graph.base", "graph.upper"})
            if (file_.find(name)) throw Error("has a search index without an 'entry'", path);
        return;
    }
    GraphView graph{.entry = *facts.entry, .level = {}, .base = {}, .upper = {}};
    const size_t nodes = static_cast<size_t>(documents());
    graph.level = {static_cast<const int32_t*>(tensor("graph.level", DType::I32, {documents()})), nodes};
    graph.base = {static_cast<const int32_t*>(tensor("graph.base", DType::I32, {documents(), BASE_ROW})),
                  nodes * BASE_ROW};
    if (const StoredTensor* upper = file_.find("graph.upper")) {
        const int64_t rows = upper->shape.empty() ? 0 : upper->shape[0];
        graph.upper = {static_cast<const int32_t*>(tensor("graph.upper", DType::I32, {rows, UPPER_ROW})),
                       upper->bytes / sizeof(int32_t)};
    }
    check_graph(graph, path);
    graph_.emplace(vectors_, graph);
}

std::string_view Bank::text(int id) const {
    const auto bytes = texts_.of(id);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string_view Bank::source(int id) const {
    const auto bytes = sources_.of(id);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool Bank::has_picture(int id) const {
    return !pictures_.of(id).empty();
}

std::span<const uint8_t> Bank::png(int id) const {
    return pictures_.of(id);
}

Picture Bank::picture(int id) const {
    CHECK(has_picture(id));
    const std::string where = path() + ", document " + std::to_string(id);
    Picture picture = decode_picture(png(id), where);
    if (picture.width != side_ || picture.height != side_)
        throw Error("its picture is not " + std::to_string(side_) + "x" + std::to_string(side_), where);
    return picture;
}

std::vector<Hit> Bank::search(std::span<const float> query, int k, Search how) const {
    // Candidates kept on the walk: docs/retrieval.md has the measurements behind these.
    constexpr int EFFORT = 400, EFFORT_PER_RESULT = 4;
    if (graph_ && how == Search::Fast) return graph_->search(query, k, std::max(EFFORT, EFFORT_PER_RESULT * k));
    return exact_search(vectors_, query, k);
}

}  // namespace leon
