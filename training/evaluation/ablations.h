// What guidance, contrast, re-ranking and retrieval are worth: the same rows with the same seeds under other settings.
#pragma once

#include "training/evaluation/evaluation.h"

namespace leon {

struct Ablation {
    std::string name;  // "draw, guidance 1"
    RowKind kind;
    Settings settings;  // in place of leon's defaults, but for the seed
    int documents = 2;
    bool is_default = false;  // what others of its kind are compared with

    size_t work() const;  // of a row, in the unit of work_of()
    Section evaluate(const Model& model, const Judge& judge, const EvaluationOptions& options,
                     const AskSettings& defaults, const std::function<void(size_t, size_t)>& progress) const;
};

//   draw            as by default; guidance 1, 2, 3, 5; one candidate by top-p and by CD-K; the best of 8 by
//                   log p(caption | picture), drawn by top-p, by CD-K and by the mixture
//   edit            as by default; no guidance; 3 of the text alone; of text and picture 7.5 and 1.5 (the paper's),
//                   3 and 1.5, 1.5 and 3
//   retrieve-rare   2 (the default), 1 and 0 documents from the bank
//   retrieve-novel  2 (the default) and 0 documents
std::vector<Ablation> ablations();

// Fills against_defaults of every section that is no default, from the default in front of it.
void compare_with_defaults(std::vector<Section>& sections);

}  // namespace leon
