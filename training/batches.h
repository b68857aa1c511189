// Which documents make up which step, and how they become a batch.
//
// A step's batches are a pure function of recipe, dataset and the place in the sequence of documents where the step
// begins (Cursor), so that a run is resumed by remembering one number a task: there is no pool that was shuffled, and
// no state of a generator. Each task's documents come in an order of their own that is drawn anew for every pass.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "training/batch.h"
#include "training/dataset.h"
#include "training/recipe.h"

namespace leon {

// How many documents were drawn: of all, and of each task.
struct Cursor {
    int64_t documents = 0;
    std::vector<int64_t> of_task;  // in the order of Batches::tasks()
    bool operator==(const Cursor&) const = default;
};

struct StepBatch {
    PackedBatch rows;
    std::vector<uint8_t> task;     // [rows] of the document, an index into Batches::tasks()
    std::vector<TokenKind> kinds;  // [rows] of the target
};

class Batches {
public:
    // The dataset must outlive this. Error if the mixture names a task without documents.
    // `set`: the recipe's key that names the data.
    Batches(const Dataset& data, const TransformerRecipe& recipe, const CutIds& control,
            const std::string& set = "train");

    const std::vector<std::string>& tasks() const { return tasks_; }
    Cursor begin() const { return {0, std::vector<int64_t>(tasks_.size())}; }

    // The batches of one step, each of at most micro_tokens rows, about batch_tokens rows together; moves the cursor.
    std::vector<StepBatch> step(Cursor& cursor) const;

    // The same documents at every call, cut as they are cut in training: the first `documents` of each task.
    std::vector<StepBatch> evaluation(int documents) const;

private:
    struct Drawn {
        int task;
        CutDocument document;
    };
    Drawn draw(const Cursor& cursor) const;
    void add(StepBatch& batch, const Drawn& drawn) const;
    std::vector<StepBatch> stream_step(Cursor& cursor) const;

    const Dataset& data_;
    const TransformerRecipe recipe_;
    const CutIds control_;
    std::vector<std::string> tasks_;
    std::vector<double> shares_;  // cumulative
};

// A permutation of 0 .. size - 1, by four rounds of a Feistel network over the next power of four: the place of
// `index`.
int64_t shuffled(int64_t index, int64_t size, uint64_t seed);

}  // namespace leon
