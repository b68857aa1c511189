// What the picture tokenizer and the recogniser do to pictures that are right: the ceiling and the ruler of all other
// scores.
#pragma once

#include "training/evaluation/evaluation.h"

namespace leon {

//   recogniser        true scenes, untouched: objects, place, order
//   tokenizer         the same scenes, encoded and decoded: PSNR, SSIM, and what the recogniser still finds
//   tokenizer-maps    segmentation maps, encoded and decoded: mean IoU
//   tokenizer-signs   signs, encoded and decoded: words read back
std::vector<std::string> tokenizer_sections();
size_t tokenizer_work();  // of a row, in the unit of work_of()
std::optional<double> tokenizer_goal(const std::string& section, const std::string& mark);

// The scenes are those of the rows "draw", "segment" and "draw-sign" of the same seeds.
Section evaluate_tokenizer(const Model& model, const Judge& judge, const std::string& section,
                           const EvaluationOptions& options,
                           const std::function<void(size_t done, size_t total)>& progress = {});

}  // namespace leon
