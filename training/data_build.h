// Datasets of what a person has collected: pictures are read, fitted to the model's frame and encoded by its VQGAN,
// documents written as ids into shards (training/shard_build.h), on all threads, to be gone on with when stopped.
//
// With a memory bank, documents that the rules of the papers find (retrieval/selection.h) stand in front of each: up to
// two by its words, which lose a fifth, and two by its picture; of these some are drawn. A document never finds itself.
#pragma once

#include <functional>
#include <string>

#include "retrieval/bank.h"
#include "retrieval/embedder.h"
#include "tasks/model.h"
#include "training/shard_build.h"

namespace leon {

constexpr int MOST_HELP = 4;  // documents that the rules find at most: two by words, two by the picture

struct DataBuild {
    std::string input;   // a folder of pictures with .txt captions, or a .jsonl file: training/records.h
    std::string output;  // folder
    std::string task;    // what captions are for; empty: to draw their pictures
    int items_per_shard = ITEMS_PER_SHARD;
    const Bank* bank = nullptr;          // null: nothing is retrieved
    const Embedder* embedder = nullptr;  // the bank's
    int documents = 0;  // to be retrieved for each, at most MOST_HELP; as far as the context holds them
};

// Files that cannot be read are skipped and reported. Error if nothing is left, or the input is not there.
ShardReport build_dataset(const Model& model, const DataBuild& build,
                          const std::function<void(size_t done, size_t total)>& progress = {});

}  // namespace leon
