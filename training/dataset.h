// Documents for training as token ids, in memory-mapped files ("shards"): docs/training.md has the format.
//
//   ShardWriter shard("data/draw-00000.shard", {"draw", "ask"}, model_mark(model));
//   shard.add(example);  ...  shard.commit();
//   Dataset data({"data"}, model_mark(model));
//   data.document(data.tasks()[0], 17).ids
//
// A shard names the tasks of its documents, where each came from, and the tokenizer and VQGAN that wrote its ids: ids
// of another model mean something else, so its mark is asked for and compared. Everything read is validated before use.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/weights_file.h"
#include "training/objective.h"

namespace leon {

// A document on its way into a shard.
struct Example {
    std::string task;    // "draw", "ask", ...: what mixtures and reports name
    std::string source;  // where it came from: "storybook 1000017", "photos/12.jpg"
    std::vector<int32_t> ids;
    std::vector<TokenKind> kinds;
    int query = 0, answer_first = 0, answer_end = 0;
    bool prepared = false;

    DocumentView view() const { return {ids, kinds, query, answer_first, answer_end, prepared}; }
};

class ShardWriter {
public:
    ShardWriter(const std::string& path, std::string model_mark);

    void add(const Example& example);
    int documents() const { return static_cast<int>(lengths_.size()); }
    int64_t tokens() const { return static_cast<int64_t>(ids_.size()); }
    void commit();  // atomically; at least one document

private:
    std::string path_, mark_;
    std::vector<std::string> tasks_;
    std::vector<int32_t> ids_, lengths_, facts_, source_bytes_;
    std::vector<uint8_t> kinds_;
    std::string sources_;
};

class Dataset {
public:
    // Paths of shards, or of folders whose *.shard are taken in the order of their names. Error if there is none, if
    // one is damaged, or if its mark is not `model_mark` (empty: any, but one and the same).
    Dataset(const std::vector<std::string>& paths, const std::string& model_mark);
    ~Dataset();

    const std::vector<std::string>& tasks() const { return tasks_; }  // sorted
    int64_t documents(const std::string& task) const;                 // 0 if there is no such task
    int64_t documents() const { return documents_; }
    int64_t tokens() const { return tokens_; }
    const std::string& model_mark() const { return mark_; }
    int32_t highest_id() const { return highest_id_; }

    // Valid as long as the dataset is.
    DocumentView document(const std::string& task, int64_t index) const;
    std::string source(const std::string& task, int64_t index) const;

private:
    struct Shard;
    struct Place {
        int32_t shard, document;
    };
    void open(const std::string& path, const std::string& model_mark);
    const Place& place(const std::string& task, int64_t index) const;

    std::vector<std::unique_ptr<Shard>> shards_;
    std::map<std::string, std::vector<Place>> places_;
    std::vector<std::string> tasks_;
    std::string mark_;
    int64_t documents_ = 0, tokens_ = 0;
    int32_t highest_id_ = 0;
};

// 16 hexadecimal digits of what gives ids their meaning: the tokenizer's text and the bytes of the VQGAN's encoder and
// codebook. A decoder that was trained further leaves it as it is.
std::string model_mark(const WeightsFile& file);

// 16 hexadecimal digits of any bytes, to see whether they have changed.
std::string fingerprint(const void* data, size_t bytes);

}  // namespace leon
