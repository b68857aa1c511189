// Building a dataset that takes hours: items in, shards out, to be gone on with whenever it was stopped.
//
//   photos/build.json             what is built, from what: a rerun with anything else is refused
//   photos/photos-00000.shard     the examples of the first `items_per_shard` items, in order
//   photos/photos-00000.skipped   a line for each of them that could not be used, if there is one
//   photos/photos-00001.shard ...
//
// Files appear as wholes, one after the other, so that those which are there after Ctrl-C, kill -9 or a full disk are
// good, and the rerun begins behind them. An example depends on its item alone: the files are the same bytes however
// often the build was stopped, and however many threads it has.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "training/dataset.h"

namespace leon {

constexpr int ITEMS_PER_SHARD = 4096;  // by default: some megabytes, a minute's work

struct ShardBuild {
    std::string folder;  // made if it is not there
    std::string mark;    // of the model: dataset.h
    int64_t items = 0;
    int items_per_shard = ITEMS_PER_SHARD;
    nlohmann::ordered_json what;  // an object: what decides over the items beside their number
};

struct ShardReport {
    int64_t documents = 0, tokens = 0, skipped = 0;
    std::vector<std::string> problems;  // the first of those skipped
    double seconds = 0;
    int64_t items_made = 0;  // in this run
};

// make(item) is called on all threads at once; an Error (or too little memory) skips the item. Progress is told on the
// calling thread. Error if the folder cannot be written or holds another build.
ShardReport build_shards(const ShardBuild& build, const std::function<Example(int64_t item)>& make,
                         const std::function<void(size_t done, size_t total)>& progress = {});

// "4 documents of 1203 tokens, 1 skipped, in 2.3 s (1.7 a second)", for a person.
std::string summary(const ShardReport& report);

}  // namespace leon
