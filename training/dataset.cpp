// Shards: safetensors files with seven tensors. Lengths are stored, not offsets: whatever stands there, adding them up
// gives a rising list, and its end must be the size of what they divide.
#include "training/dataset.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "kernels/check.h"
#include "runtime/strict_json.h"
#include "training/metadata.h"

namespace leon {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* SHARD_FORMAT = "leon-shard";
constexpr const char* SHARD_VERSION = "1";
enum Fact { TASK, QUERY, ANSWER_FIRST, ANSWER_END, PREPARED, FACTS };

template <typename T>
std::span<const T> array_of(const SafetensorsFile& file, const char* name, const char* dtype, int64_t cols) {
    const StoredTensor* t = file.find(name);
    if (!t) throw Error(std::string("lacks the tensor '") + name + "'", file.path());
    const bool shaped = cols == 1 ? t->shape.size() == 1 : t->shape.size() == 2 && t->shape[1] == cols;
    if (t->dtype != dtype || !shaped) throw Error(std::string("'") + name + "' has another type or shape", file.path());
    return {reinterpret_cast<const T*>(file.data(*t)), t->bytes / sizeof(T)};
}

// FNV-1a over 64-bit words (the last padded with zeros): fast enough for a model's bytes, and no more is needed.
class Hash {
public:
    void add(const void* data, size_t bytes) {
        const uint8_t* from = static_cast<const uint8_t*>(data);
        for (size_t i = 0; i < bytes; i += 8) {
            uint64_t word = 0;
            std::memcpy(&word, from + i, std::min<size_t>(8, bytes - i));
            value_ = (value_ ^ word) * 0x100000001b3;
            value_ ^= value_ >> 29;
        }
        value_ = (value_ ^ bytes) * 0x100000001b3;
    }
    std::string text() const {
        char digits[17];
        std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(value_));
        return digits;
    }

private:
    uint64_t value_ = 0xcbf29ce484222325;
};

}  // namespace

std::string model_mark(const WeightsFile& file) {
    Hash hash;
    hash.add(file.tokenizer_json().data(), file.tokenizer_json().size());
    for (const auto& [name, tensor] : file.file().tensors()) {
        const bool decides =
            name.starts_with("vqgan.") && !name.starts_with("vqgan.decoder") && !name.starts_with("vqgan.post_quant");
        if (!decides) continue;
        hash.add(name.data(), name.size());
        hash.add(file.file().data(tensor), tensor.bytes);
    }
    return hash.text();
}

std::string fingerprint(const void* data, size_t bytes) {
    Hash hash;
    hash.add(data, bytes);
    return hash.text();
}

ShardWriter::ShardWriter(const std::string& path, std::string model_mark) : path_(path), mark_(std::move(model_mark)) {
    check_writable(path);
}

void ShardWriter::add(const Example& e) {
    const int size = static_cast<int>(e.ids.size());
    CHECK(size >= 2 && e.kinds.size() == e.ids.size() && e.query >= 0 && e.query < size);
    CHECK(0 <= e.answer_first && e.answer_first <= e.answer_end && e.answer_end <= size);
    CHECK(ids_.size() + e.ids.size() <= INT32_MAX);
    const auto known = std::find(tasks_.begin(), tasks_.end(), e.task);
    const int task = static_cast<int>(known - tasks_.begin());
    if (known == tasks_.end()) tasks_.push_back(e.task);
    ids_.insert(ids_.end(), e.ids.begin(), e.ids.end());
    for (TokenKind kind : e.kinds) kinds_.push_back(static_cast<uint8_t>(kind));
    lengths_.push_back(size);
    for (int fact : {task, e.query, e.answer_first, e.answer_end, e.prepared ? 1 : 0}) facts_.push_back(fact);
    sources_ += e.source;
    source_bytes_.push_back(static_cast<int32_t>(e.source.size()));
}

void ShardWriter::commit() {
    CHECK(documents() > 0);
    const nlohmann::ordered_json facts = {{"tasks", tasks_}, {"model", mark_}};
    WeightsWriter file(path_,
                       {{"format", SHARD_FORMAT}, {"leon.version", SHARD_VERSION}, {"leon.shard", facts.dump()}});
    const int64_t n = documents();
    file.declare("ids", DType::I32, {tokens()});
    file.declare("kinds", DType::U8, {tokens()});
    file.declare("lengths", DType::I32, {n});
    file.declare("facts", DType::I32, {n, FACTS});
    file.declare("source_bytes", DType::I32, {n});
    if (!sources_.empty()) file.declare("sources", DType::U8, {static_cast<int64_t>(sources_.size())});
    file.begin();
    file.write("ids", ids_.data());
    file.write("kinds", kinds_.data());
    file.write("lengths", lengths_.data());
    file.write("facts", facts_.data());
    file.write("source_bytes", source_bytes_.data());
    if (!sources_.empty()) file.write("sources", sources_.data());
    file.commit();
}

struct Dataset::Shard {
    SafetensorsFile file;
    std::span<const int32_t> ids, lengths, facts, source_bytes;
    std::span<const uint8_t> kinds, sources;
    std::vector<int64_t> first, first_source;  // of every document, and the end
    std::vector<std::string> tasks;
    std::string mark;

    explicit Shard(const std::string& path) : file(path) {
        if (metadata(file, "format") != SHARD_FORMAT)
            throw Error("is a safetensors file, but not a shard of a dataset", path);
        if (metadata(file, "leon.version") != SHARD_VERSION)
            throw Error("is a shard of another version", path, "build it again with this leon");
        read_facts(parse_json(metadata(file, "leon.shard"), path));
        check_alignment(file);
        ids = array_of<int32_t>(file, "ids", "I32", 1);
        kinds = array_of<uint8_t>(file, "kinds", "U8", 1);
        lengths = array_of<int32_t>(file, "lengths", "I32", 1);
        facts = array_of<int32_t>(file, "facts", "I32", FACTS);
        source_bytes = array_of<int32_t>(file, "source_bytes", "I32", 1);
        if (file.find("sources")) sources = array_of<uint8_t>(file, "sources", "U8", 1);
        const size_t n = lengths.size();
        if (kinds.size() != ids.size() || facts.size() != n * FACTS || source_bytes.size() != n || n == 0)
            throw Error("tensors do not fit one another", path);
        first = starts_of(lengths, 2, ids.size());
        first_source = starts_of(source_bytes, 0, sources.size());
        for (size_t i = 0; i < n; i++) check_document(i);
        for (uint8_t kind : kinds)
            if (kind >= TOKEN_KINDS) throw Error("a token of no known kind", path);
        for (int32_t id : ids)
            if (id < 0) throw Error("a token below 0", path);
    }

    void read_facts(const json& object) {
        const auto fail = [&] {
            throw Error("'leon.shard' must hold 'tasks' and 'model' and nothing else", file.path());
        };
        if (!object.is_object() || object.size() != 2 || !object.contains("tasks") || !object.contains("model") ||
            !object["tasks"].is_array() || !object["model"].is_string())
            fail();
        mark = object["model"].get<std::string>();
        for (const json& task : object["tasks"]) {
            if (!task.is_string()) fail();
            tasks.push_back(task.get<std::string>());
        }
    }

    std::vector<int64_t> starts_of(std::span<const int32_t> sizes, int32_t least, size_t whole) const {
        std::vector<int64_t> starts{0};
        for (int32_t size : sizes) {
            if (size < least) throw Error("a document is too short", file.path());
            starts.push_back(starts.back() + size);
        }
        if (starts.back() != static_cast<int64_t>(whole)) throw Error("lengths do not add up", file.path());
        return starts;
    }

    void check_document(size_t i) const {
        const int32_t* f = &facts[i * FACTS];
        const int32_t size = lengths[i];
        const bool good = f[TASK] >= 0 && static_cast<size_t>(f[TASK]) < tasks.size() && f[QUERY] >= 0 &&
                          f[QUERY] < size && f[ANSWER_FIRST] >= 0 && f[ANSWER_FIRST] <= f[ANSWER_END] &&
                          f[ANSWER_END] <= size && (f[PREPARED] == 0 || f[PREPARED] == 1);
        if (!good) throw Error("document " + std::to_string(i) + " has facts out of range", file.path());
    }
};

Dataset::Dataset(const std::vector<std::string>& paths, const std::string& model_mark) {
    for (const std::string& path : paths) {
        std::error_code status;
        if (!fs::is_directory(path, status)) {
            open(path, model_mark);
            continue;
        }
        std::vector<std::string> found;
        try {
            for (const auto& entry : fs::directory_iterator(path))
                if (entry.path().extension() == ".shard") found.push_back(entry.path().string());
        } catch (const fs::filesystem_error& problem) {
            throw Error("cannot be listed: " + problem.code().message(), path);
        }
        std::sort(found.begin(), found.end());
        for (const std::string& shard : found) open(shard, model_mark);
    }
    if (shards_.empty())
        throw Error("no shards", paths.empty() ? "" : paths[0],
                    "make some with `leon data build` or `leon data storybook`");
    for (const auto& entry : places_) tasks_.push_back(entry.first);
}

Dataset::~Dataset() = default;

void Dataset::open(const std::string& path, const std::string& model_mark) {
    auto shard = std::make_unique<Shard>(path);
    const std::string& wanted = model_mark.empty() ? mark_ : model_mark;
    if (!wanted.empty() && shard->mark != wanted)
        throw Error("was tokenised for another model (" + in_quotes(shard->mark) + ", not " + in_quotes(wanted) + ")",
                    path, "build the dataset again with this model");
    mark_ = shard->mark;
    const int32_t number = static_cast<int32_t>(shards_.size());
    for (size_t i = 0; i < shard->lengths.size(); i++)
        places_[shard->tasks[shard->facts[i * FACTS + TASK]]].push_back({number, static_cast<int32_t>(i)});
    documents_ += static_cast<int64_t>(shard->lengths.size());
    tokens_ += static_cast<int64_t>(shard->ids.size());
    highest_id_ = std::max(highest_id_, *std::max_element(shard->ids.begin(), shard->ids.end()));
    shards_.push_back(std::move(shard));
}

int64_t Dataset::documents(const std::string& task) const {
    const auto found = places_.find(task);
    return found == places_.end() ? 0 : static_cast<int64_t>(found->second.size());
}

const Dataset::Place& Dataset::place(const std::string& task, int64_t index) const {
    const auto found = places_.find(task);
    CHECK(found != places_.end() && index >= 0 && index < static_cast<int64_t>(found->second.size()));
    return found->second[index];
}

DocumentView Dataset::document(const std::string& task, int64_t index) const {
    const Place& at = place(task, index);
    const Shard& s = *shards_[at.shard];
    const int32_t* f = &s.facts[static_cast<size_t>(at.document) * FACTS];
    const size_t first = static_cast<size_t>(s.first[at.document]), size = static_cast<size_t>(s.lengths[at.document]);
    return {.ids = s.ids.subspan(first, size),
            .kinds = {reinterpret_cast<const TokenKind*>(s.kinds.data()) + first, size},
            .query = f[QUERY],
            .answer_first = f[ANSWER_FIRST],
            .answer_end = f[ANSWER_END],
            .prepared = f[PREPARED] == 1};
}

std::string Dataset::source(const std::string& task, int64_t index) const {
    const Place& at = place(task, index);
    const Shard& s = *shards_[at.shard];
    return {reinterpret_cast<const char*>(s.sources.data()) + s.first_source[at.document],
            static_cast<size_t>(s.source_bytes[at.document])};
}

}  // namespace leon
