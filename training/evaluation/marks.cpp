// See marks.h. The table of definitions is what the report prints and docs/evaluation.md repeats.
#include "training/evaluation/marks.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "kernels/check.h"

namespace leon {
namespace {

constexpr double Z = 1.959963984540054;  // 97.5% of the normal distribution lie below it

constexpr MarkDefinition DEFINITIONS[] = {
    // drawings
    {"objects and place", Scale::Share,
     "pictures in which the recogniser finds every object that is asked for, no other, none twice, and the place"},
    {"objects", Scale::Share,
     "pictures in which the recogniser finds every object that is asked for, no other, and none twice"},
    {"place", Scale::Share, "pictures whose place the recogniser takes for the one asked for"},
    {"order", Scale::Share,
     "of the pictures of two or three objects, those in which all are found and stand as the caption lists them: no "
     "middle more than 2 pixels to the right of the next one's"},
    {"all right", Scale::Share, "pictures with the right objects, place and order (of one object: objects and place)"},
    {"object recall", Scale::Share, "objects found over objects asked for"},
    {"object precision", Scale::Share, "objects found that were asked for over all objects found"},
    {"box overlap", Scale::Overlap,
     "intersection over union of each object's box with the box of the object of that name that is found (without a "
     "caption: of whatever is found there, each thing once); 0 if it is not; mean over the objects"},
    {"mask overlap", Scale::Overlap,
     "the same of the pixels that the two sprites cover (alpha above 127) instead of their boxes"},
    {"rare thing", Scale::Share, "pictures in which the thing that the documents show is found"},
    {"documents", Scale::Share, "rows for which a document that the search found in the bank shows the rare thing"},
    // holes
    {"visible kept", Scale::Share, "pictures whose pixels outside the hole are the given ones, bit for bit"},
    // edits
    {"change done", Scale::Share,
     "add: the object is found once, on the side that was named, if one was; remove: it is not found; replace: it is "
     "not found, and the new one is, once, its middle inside the old one's box; move: it is found once, on the side "
     "named; change place: the place is the new one"},
    {"rest kept", Scale::Share,
     "every object that the edit does not name is found once, its box overlapping by at least a half with where it "
     "was, "
     "nothing else is found, the place is the same (change place: is not looked at), and the PSNR of the rest is at "
     "most "
     "3 dB below the tokenizer's own"},
    {"edit right", Scale::Share, "change done and rest kept"},
    {"PSNR of the rest", Scale::Decibels,
     "PSNR against the true result outside the boxes of the changed object, where it was, where it should be and where "
     "it is found, each grown by 10 pixels (change place: inside the objects); mean over rows"},
    {"SSIM of the rest", Scale::Overlap,
     "SSIM against the true result with everything that PSNR of the rest leaves out taken from there; mean over rows"},
    // maps and signs
    {"mean IoU", Scale::Overlap,
     "intersection over union of each label, after classify_map, mean over the labels that occur in the true map or in "
     "the drawn one; mean over rows"},
    {"object IoU", Scale::Overlap, "intersection over union of the object that was asked for alone; mean over rows"},
    {"pixel accuracy", Scale::Share, "pixels with the right label"},
    {"word", Scale::Share, "signs whose word is read back by matching glyphs, letter for letter"},
    {"letters", Scale::Share, "letters of the word read back that are right in their place"},
    // texts
    {"exact", Scale::Share, "texts equal to the true one, character by character"},
    {"CIDEr-D", Scale::Number,
     "CIDEr-D against the true caption (leon score captions), document frequencies of these rows; mean over rows"},
    {"facts right", Scale::Share,
     "facts stated that are true of the scene over facts stated; what is no fact is wrong"},
    {"facts found", Scale::Share, "facts of the scene that are stated over facts of the scene"},
    {"holes", Scale::Share, "holes filled with exactly the missing words"},
    // tokenizer and recogniser
    {"PSNR", Scale::Decibels, "of a picture after encoding and decoding; mean over pictures"},
    {"PSNR of objects", Scale::Decibels, "the same over the pixels of objects alone; mean over pictures"},
    {"SSIM", Scale::Overlap, "of a picture after encoding and decoding; mean over pictures"},
};

// The interval of `trials` trials of which score.value came out right.
void wilson(Score& score, double trials) {
    const double p = score.value, squares = Z * Z / trials, middle = p + squares / 2,
                 reach = std::sqrt(squares * (p * (1 - p) + squares / 4));
    score.low = p == 0 ? 0 : (middle - reach) / (1 + squares);
    score.high = p == 1 ? 1 : (middle + reach) / (1 + squares);
}

}  // namespace

const Mark* find_mark(const Marks& marks, const std::string& name) {
    for (const Mark& mark : marks)
        if (mark.name == name) return &mark;
    return nullptr;
}

Score score_of(std::span<const Mark> marks, Scale scale) {
    Score score;
    double part = 0, whole = 0, squares = 0;
    for (const Mark& m : marks) {
        if (m.whole == 0) continue;
        score.rows++;
        part += m.part;
        whole += m.whole;
    }
    if (score.rows == 0) return score;
    const double n = score.rows, value = score.value = part / whole;
    for (const Mark& m : marks) squares += (m.part - value * m.whole) * (m.part - value * m.whole);
    if (scale == Scale::Share) {
        const double variance = squares / (whole * whole);
        wilson(score, variance > 0 ? std::min(whole, value * (1 - value) / variance) : n);
        return score;
    }
    const double reach = n < 2 ? 0 : Z * std::sqrt(n / (n - 1) * squares) / whole;
    score.low = value - reach;
    score.high = value + reach;
    if (scale == Scale::Overlap) {
        score.low = std::max(0.0, score.low);
        score.high = std::min(1.0, score.high);
    }
    return score;
}

Score difference_of(std::span<const Mark> a, std::span<const Mark> b) {
    CHECK(a.size() == b.size());
    Score score;
    score.rows = static_cast<int>(a.size());
    if (a.empty()) return score;
    const double n = score.rows;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < a.size(); i++) {
        CHECK(a[i].whole == 1 && b[i].whole == 1);
        sum += b[i].part - a[i].part;
    }
    score.value = sum / n;
    for (size_t i = 0; i < a.size(); i++) {
        const double off = b[i].part - a[i].part - score.value;
        squares += off * off;
    }
    const double reach = n < 2 ? 0 : Z * std::sqrt(squares / (n - 1) / n);
    score.low = score.value - reach;
    score.high = score.value + reach;
    return score;
}

std::span<const MarkDefinition> mark_definitions() {
    return DEFINITIONS;
}

const MarkDefinition& definition_of(const std::string& mark) {
    for (const MarkDefinition& definition : DEFINITIONS)
        if (mark == definition.name) return definition;
    CHECK(!"a mark with a definition");
}

std::string text_of(double value, Scale scale) {
    char text[32];
    switch (scale) {
        case Scale::Share:
            std::snprintf(text, sizeof text, "%.1f%%", 100 * value);
            break;
        case Scale::Overlap:
            std::snprintf(text, sizeof text, "%.3f", value);
            break;
        case Scale::Decibels:
            std::snprintf(text, sizeof text, "%.2f dB", value);
            break;
        case Scale::Number:
            std::snprintf(text, sizeof text, "%.2f", value);
            break;
    }
    return text;
}

}  // namespace leon
