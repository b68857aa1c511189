// Rows as queries of the product's own engine: what `leon draw`, `ask`, `edit`, ... would make of them, many at once.
//
//   std::vector<AnsweredRow> a = answer_rows(model, rows, {});      // defaults: leon's own
//
// Templates, guidance, samplers, limits and the picture tokenizer are those of tasks/; nothing here knows better. Rows
// of any kinds may be asked together, and each gets what it would get alone: its draws depend on the settings' seed and
// on its own, not on its neighbours.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "retrieval/bank.h"
#include "retrieval/native_embedder.h"
#include "tasks/model.h"
#include "tasks/retrieval.h"
#include "tasks/settings.h"
#include "training/evaluation/scores.h"

namespace leon {

// Rare things in a real memory bank, in a temporary file for as long as this lives: written, embedded and searched as
// `leon index` and `--retrieve` do it.
class RareBank {
public:
    RareBank(const Model& model, const World& world);
    ~RareBank();
    RareBank(const RareBank&) = delete;
    RareBank& operator=(const RareBank&) = delete;

    // What the caption finds, at most `documents` (0 to 2).
    Help retrieve(const std::string& caption, int documents) const;

private:
    const Model& model_;
    std::string folder_;
    std::unique_ptr<const NativeEmbedder> embedder_;
    std::unique_ptr<const Bank> bank_;
};

struct AskSettings {
    // `settings.seed` and the row's seed make the seed of its draws. candidates must be 1.
    Settings settings;
    const RareBank* bank = nullptr;  // where rows of rare things get their documents; null: those that the row has
    int documents = 2;               // the most that stand in front of a query
    // done: codes and texts of this call; total: their sum over the rows. Returning false stops the call.
    std::function<bool(size_t done, size_t total)> progress;
};

struct AnsweredRow {
    uint64_t seed = 0;  // of its draws: leon with this seed gives the same
    RowAnswer answer;
    // The right picture as the tokenizer gives it back, holes filled alike: what a perfect model would draw. Absent
    // where the answer is a text.
    std::optional<Picture> tokenizer;
    std::vector<RetrievedDocument> found;  // in the bank, where there was one to search
    bool fits = true;  // false: the model's context is too short for the query and its answer, and there is none
};

// How much work a row is, in the unit of AskSettings::progress.
size_t work_of(RowKind kind);

// Error unless the model draws pictures of SCENE_SIZE in CELLS x CELLS codes and reads CM3Leon's documents.
void check_storybook_model(const Model& model);

// All rows of the call are one batch (several, where a picture is the best of some), and drawn by the settings of the
// first one's task. Empty if progress stopped it.
// Error as above.
std::vector<AnsweredRow> answer_rows(const Model& model, std::span<const Row> rows, const AskSettings& how);

// A scene, map or sign through the model's picture tokenizer and back.
Picture through_tokenizer(const Model& model, const Picture& picture);

}  // namespace leon
