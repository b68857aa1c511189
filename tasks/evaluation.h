// Scores of results against references, from files: leon score. The mathematics is in metrics/; here files are paired
// and each report says by which rule its numbers were made.
//
// A report is JSON: "kind", how much was compared, the numbers, "definitions" with a sentence for each number, and with
// ScoreDetail::Each one entry per item under "each". A number that does not exist (CIDEr-D of one picture, the PSNR of
// equal pictures) is null.
//
// JSON lines: one object a line with an "id" (text or integer; unique) and the key named below; other keys are left
// alone. Every id of the references must be among the candidates, and the other way round. Two folders are paired by
// file name without its ending. Everything that does not fit is an Error naming file and line.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "tokenizer/legend.h"

namespace leon {

enum class ScoreDetail { Summary, Each };
enum class CaptionTokens { Split, AsGiven };  // by caption_words, or words parted by spaces already
using ScoreProgress = std::function<void(size_t done, size_t total)>;

// References {"captions": ["...", ...]}, candidates {"caption": "..."}: BLEU-1 to 4 and CIDEr-D (metrics/captions.h).
std::string score_captions(const std::string& references, const std::string& candidates, CaptionTokens tokens,
                           ScoreDetail detail);

// References {"answers": ["...", ...]}, candidates {"answer": "..."}: equality with any of the answers, and the VQA
// challenge's accuracy where every question has its ten answers (metrics/answers.h).
std::string score_answers(const std::string& references, const std::string& candidates, ScoreDetail detail);

// {"box": [x0, y0, x1, y1]} on both sides; a candidate's may be null, "not found", and then scores 0
// (metrics/overlap.h).
std::string score_boxes(const std::string& references, const std::string& candidates, ScoreDetail detail);

// Two label maps or folders of them: pictures, or .npy of integers [height, width]. Without a legend a picture's
// colours are the labels; with one, references must be painted in its colours exactly, and candidates are classified
// (classify_map). `ignore`: label whose pixels in the reference do not count: a kind's name, "r,g,b", or an integer, as
// labels are given.
struct SegmentationOptions {
    std::optional<Legend> legend;
    std::string ignore;  // empty: none
};
std::string score_segmentation(const std::string& reference, const std::string& candidate,
                               const SegmentationOptions& options, ScoreDetail detail,
                               const ScoreProgress& progress = {});

// Two pictures of the same size, or folders of them: PSNR and SSIM (metrics/likeness.h).
std::string score_pictures(const std::string& reference, const std::string& candidate, ScoreDetail detail,
                           const ScoreProgress& progress = {});

// Two .npy [vectors, features]: the Fréchet distance (metrics/frechet.h). `features` names what they are; the report
// calls the number FID only if that name has "inception" in it.
std::string score_frechet(const std::string& a, const std::string& b, const std::string& features,
                          const ScoreProgress& progress = {});

}  // namespace leon
