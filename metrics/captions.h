// How close captions come to the captions that people gave: BLEU-1 to 4 and CIDEr-D, over words.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "metrics/words.h"

namespace leon {

constexpr int MAX_NGRAM = 4;

struct CaptionCase {
    Words candidate;
    std::vector<Words> references;  // at least one
};

// Papineni et al. 2002, over the whole corpus: BLEU-n = brevity * (p_1 ... p_n)^(1/n), p_k the share of the candidates'
// k-grams that a reference has too, each k-gram counted at most as often as in the one reference that has most of it;
// brevity = exp(1 - r/c) if c < r else 1, with c the candidates' words and r the sum of the closest reference lengths
// (the shorter of two). 0 where no n-gram matches. pycocoevalcap adds 1e-15 and 1e-9 to the fractions; nothing is added
// here.
std::array<double, MAX_NGRAM> corpus_bleu(const std::vector<CaptionCase>& cases);  // BLEU-1 ... BLEU-4

// Vedantam, Zitnick and Parikh 2015, the D variant as its authors' code computes it: for n = 1 ... 4 vectors of n-gram
// counts times log(pictures / pictures whose references have the n-gram, at least 1);
//   10 * mean over n and references of exp(-(difference of length)^2 / (2 sigma^2)) * min(c, r) . r / (|c| |r|)
// with sigma = 6 and lengths in words. The frequencies are those of the references of these cases. One score a case;
// absent for fewer than two cases, where every logarithm is 0.
std::optional<std::vector<double>> cider_d(const std::vector<CaptionCase>& cases);

}  // namespace leon
