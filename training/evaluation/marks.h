// Marks: what a scorer says of one row, and what many rows say together.
//
// A mark is a part of a whole: 1 of 1 for a picture that is right, 5 of 6 facts, 31.2 of 1 for a PSNR. Over rows it is
// the sum of the parts over the sum of the wholes, so that a row counts as much as there is to be right in it. Rows are
// the sample: whatever is said of how certain a number is takes a row, not a fact or an object, as one observation.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

namespace leon {

enum class Scale { Share, Overlap, Decibels, Number };  // Share: printed in per cent; Overlap: 0 to 1

struct Mark {
    std::string name;  // "objects and place": see definition_of()
    double part = 0, whole = 1;
};
using Marks = std::vector<Mark>;

inline Mark yes_or_no(std::string name, bool yes) {
    return {std::move(name), yes ? 1.0 : 0.0, 1};
}
const Mark* find_mark(const Marks& marks, const std::string& name);  // null if it is not there

struct Score {
    double value = 0;
    double low = 0, high = 0;  // 95% interval
    int rows = 0;              // with something to be right: marks whose whole is 0 say nothing
};

// Shares: Wilson's interval (E. B. Wilson, 1927) of as many independent trials as would scatter like the rows do: n =
// p (1 - p) / variance, where the variance is that of a ratio of two sums over rows (Cochran, Sampling Techniques,
// 1977, section 6.3), at most one trial for each whole, and the number of rows where all are right or all wrong. With
// one trial a row that is the plain interval of n rows. Everything else: value +- 1.96 standard errors of that ratio,
// which for one row is the value itself; overlaps are cut to 0 and 1.
Score score_of(std::span<const Mark> marks, Scale scale);

// By how much b is above a on the same rows, in units of the scale, and the 95% interval of that: paired, the mean and
// standard error of the rows' differences. Both hold one mark a row, in the same order, with wholes of 1.
Score difference_of(std::span<const Mark> a, std::span<const Mark> b);

struct MarkDefinition {
    const char* name;
    Scale scale;
    const char* rule;  // exactly how it is counted, one sentence
};
std::span<const MarkDefinition> mark_definitions();
// Of every mark that scores.h and tokenizer_scores.h give; a bug if there is none of that name.
const MarkDefinition& definition_of(const std::string& mark);

// "61.0%", "0.71", "29.3 dB", "7.42".
std::string text_of(double value, Scale scale);

}  // namespace leon
