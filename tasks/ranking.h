// Which of several candidates is best: by what the model itself thinks, or by an embedder (docs/models.md §7).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "retrieval/embedder.h"
#include "tasks/pictures.h"

namespace leon {

// Sum of the natural logarithms of p(token) of each continuation behind the prompt, among the ids that text may have
// and the end of an answer.
std::vector<double> log_probabilities_of(const Model& model, const std::vector<int32_t>& prompt,
                                         const std::vector<std::vector<int32_t>>& continuations, DType cache_dtype);

// Error if there is nothing to rank by: the picture of an instruction or an empty text has no caption.
void check_caption(const std::string& caption);

// A mark for every picture of a drawing, higher is better.
using Scorer = std::function<std::vector<double>(const Drawing& drawing)>;

// log p(caption | picture): how likely the model is to say it when it is asked to describe the picture.
Scorer caption_scorer(const Model& model, const std::string& caption, const Settings& settings);

// The inner product of the caption's vector and the picture's, by any embedder (retrieval/embedder.h).
Scorer embedder_scorer(std::shared_ptr<const Embedder> embedder, const std::string& caption);

// Sorts the candidates of a drawing, best first, and keeps their marks. Equal marks keep the order of the seeds.
void rank(Drawing& drawing, const Scorer& scorer);

}  // namespace leon
