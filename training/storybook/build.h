// Datasets of the storybook world: rows (training/storybook/rows.h) whose pictures the model's VQGAN has encoded, as
// shards. Document i of a build is the row of seed first_seed + i, whose kind follows from the seed and the shares
// alone: builds with neighbouring seeds continue each other.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tasks/model.h"
#include "training/recipe.h"
#include "training/shard_build.h"
#include "training/storybook/rows.h"

namespace leon {

using KindShares = std::vector<std::pair<RowKind, double>>;

struct StorybookBuild {
    std::string output;  // folder
    int64_t documents = 0;
    KindShares kinds;         // in proportion; empty: those of rows.h
    uint64_t first_seed = 0;  // from FIRST_TRAINING_SEED on for training; below it for evaluation
    int items_per_shard = ITEMS_PER_SHARD;
    Products products = Products::Float32;  // of the encoder; BFloat16: training/vqgan/coder.h
};

// Error if a seed of evaluation would be one of training, if the model draws pictures of another size, or if its family
// does not know a kind's task.
ShardReport build_storybook(const Model& model, const StorybookBuild& build,
                            const std::function<void(size_t done, size_t total)>& progress = {});

KindShares default_kinds();  // those of rows.h

// "draw=30,ask=10"; a kind may stand there once. Error naming the kinds otherwise.
KindShares parse_kinds(const std::string& text);

// The kind of a seed. `kinds` not empty, with a share above 0.
RowKind kind_of_seed(const KindShares& kinds, uint64_t seed);

// One row as a training example. Its task is the kind's name, its source "storybook SEED".
using PictureEncoder = std::function<CodeGrid(const Picture&)>;
Example example_of_row(const Model& model, const Row& row, const PictureEncoder& encode);
PictureEncoder exact_encoder(const Model& model);  // the model's own, which must outlive it

}  // namespace leon
