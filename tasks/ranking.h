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

// Whether the model can read anything of it back: a caption, or a map in a layout that has holes.
bool can_be_ranked(const Model& model, const Wish& wish);

// Before anything is drawn in vain: Error if candidates could not be ranked. An instruction or an empty text is no
// caption; a map is enough for a model that reads it back, and means nothing to an embedder.
enum class RankBy { Model, Embedder };
void check_ranking(const Model& model, const std::string& caption, bool has_map, RankBy by);

// A mark for every picture of a drawing, higher is better.
using Scorer = std::function<std::vector<double>(const Drawing& drawing)>;

// How well the drawing's wish can be read back from the picture, by the model that drew it:
//   log p(caption | picture)        how likely it is to say so when it is asked to describe the picture
//                                   of a sign log p(draw "WORD" | picture), how likely it is to fill that in
//   + MAP_WEIGHT log p(map | picture, caption)
//                                   how likely it is to fill the map in, cut out of the document that it was given in
// each where there is one. A map's neighbouring codes say much the same, so that their sum counts things several times.
constexpr double MAP_WEIGHT = .1;
Scorer model_scorer(const Model& model, const Settings& settings);

// The inner product of the caption's vector and the picture's, by any embedder (retrieval/embedder.h).
Scorer embedder_scorer(std::shared_ptr<const Embedder> embedder);

// Sorts the candidates of a drawing, best first, and keeps their marks. Equal marks keep the order of the seeds.
void rank(Drawing& drawing, const Scorer& scorer);

}  // namespace leon
