// leon score: pairs, numbers, and the rules by which they were made; see evaluation.h.
#include "tasks/evaluation.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <set>

#include "kernels/check.h"
#include "metrics/answers.h"
#include "metrics/captions.h"
#include "metrics/frechet.h"
#include "metrics/likeness.h"
#include "metrics/overlap.h"
#include "runtime/npy.h"
#include "tasks/evaluation_files.h"

namespace leon {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

const std::vector<std::string> PICTURE_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pnm", ".ppm", ".pgm"};

// File names need not be UTF-8; what is not is replaced. A list under "each" has a line an entry.
std::string text_of(ordered_json report, const ordered_json& each, ScoreDetail detail) {
    const auto line = [](const ordered_json& value, int indent) {
        return value.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
    };
    std::string text = line(report, 2);
    if (detail == ScoreDetail::Each) {
        text.erase(text.size() - 2);  // "\n}"
        text += ",\n  \"each\": [";
        for (size_t i = 0; i < each.size(); i++) text += (i ? ",\n    " : "\n    ") + line(each[i], -1);
        text += "\n  ]\n}";
    }
    return text + "\n";
}

double mean(const std::vector<double>& values) {
    double sum = 0;
    for (double value : values) sum += value;
    return sum / static_cast<double>(values.size());
}

Box box_at(const json& line, const std::string& where) {
    const json& corners = line["box"];
    bool right = corners.is_array() && corners.size() == 4;
    for (size_t i = 0; right && i < 4; i++) right = corners[i].is_number() && std::isfinite(corners[i].get<double>());
    if (!right) throw Error("\"box\" must be four numbers: x0, y0, x1, y1", where);
    const Box box{corners[0].get<double>(), corners[1].get<double>(), corners[2].get<double>(),
                  corners[3].get<double>()};
    if (box.x0 > box.x1 || box.y0 > box.y1) throw Error("the box has its corners in the wrong order", where);
    return box;
}

// --- label maps -------------------------------------------------------------------------------------------------

// A label map and how its labels are written.
enum class Labels { Kinds, Colours, Integers };

struct Shape {
    int64_t width, height;
    bool operator==(const Shape&) const = default;
};

struct Labelled {
    Labels labels;
    Shape shape;
    std::vector<int32_t> values;
};

std::string size_text(const Shape& shape) {
    return std::to_string(shape.width) + " x " + std::to_string(shape.height);
}

// A photo is no label map, and its colours would fill the memory in pairs.
Labelled with_few_labels(Labelled map, const std::string& path) {
    std::set<int32_t> different;
    for (size_t i = 0; i < map.values.size(); i++) {
        if (i > 0 && map.values[i] == map.values[i - 1]) continue;
        different.insert(map.values[i]);
        if (different.size() > MAX_KINDS)
            throw Error("has more than " + std::to_string(MAX_KINDS) + " labels, so it can be no label map", path,
                        "name the legend that it was drawn after with --legend");
    }
    return map;
}

Labelled load_labels(const std::string& path, const std::optional<Legend>& legend, bool is_reference) {
    if (path.ends_with(".npy")) {
        const Array array = load_npy(path);
        if (array.shape.size() != 2) throw Error("a label map must have the shape [height, width]", path);
        return with_few_labels({Labels::Integers, {array.shape[1], array.shape[0]}, array.ints(path)}, path);
    }
    const Picture picture = load_picture(path);
    const Shape shape{picture.width, picture.height};
    if (legend) {
        LabelMap map = is_reference ? exact_map(picture, *legend, path) : classify_map(picture, *legend);
        return {Labels::Kinds, shape, std::move(map.labels)};
    }
    std::vector<int32_t> colours(picture.rgb.size() / 3);
    for (size_t i = 0; i < colours.size(); i++)
        colours[i] = picture.rgb[i * 3] << 16 | picture.rgb[i * 3 + 1] << 8 | picture.rgb[i * 3 + 2];
    return with_few_labels({Labels::Colours, shape, std::move(colours)}, path);
}

std::string label_text(int32_t label, Labels labels, const std::optional<Legend>& legend) {
    if (labels == Labels::Kinds) return legend->kinds[static_cast<size_t>(label)].name;
    if (labels == Labels::Integers) return std::to_string(label);
    return std::to_string(label >> 16) + "," + std::to_string(label >> 8 & 255) + "," + std::to_string(label & 255);
}

// `text` as a label of these.
int32_t parse_label(const std::string& text, Labels labels, const std::optional<Legend>& legend) {
    const std::string where = "--ignore " + text;
    if (labels == Labels::Kinds) {
        const std::optional<int> label = legend->find(text);
        if (!label) throw Error("the legend " + legend->name + " has no such kind", where);
        return *label;
    }
    std::vector<int32_t> numbers;
    const char *at = text.data(), *end = at + text.size();
    for (bool more = true; more;) {
        int32_t number = 0;
        const auto [stop, problem] = std::from_chars(at, end, number);
        if (problem != std::errc()) break;
        numbers.push_back(number);
        at = stop;
        more = at != end && *at == ',';
        at += more;
    }
    if (labels == Labels::Integers) {
        if (at != end || numbers.size() != 1) throw Error("the labels of .npy maps are integers", where);
        return numbers[0];
    }
    if (at != end || numbers.size() != 3 ||
        std::any_of(numbers.begin(), numbers.end(), [](int32_t n) { return n < 0 || n > 255; }))
        throw Error("the labels of pictures without a legend are colours", where, "write r,g,b");
    return numbers[0] << 16 | numbers[1] << 8 | numbers[2];
}

}  // namespace

std::string score_captions(const std::string& references, const std::string& candidates, CaptionTokens tokens,
                           ScoreDetail detail) {
    const auto words = [&](const std::string& text) {
        return tokens == CaptionTokens::Split ? caption_words(text) : split_words(text);
    };
    std::vector<CaptionCase> cases;
    size_t captions = 0;
    const std::vector<PairedLines> lines = pair_lines(references, candidates);
    for (const PairedLines& line : lines) {
        CaptionCase example{words(text_at(line.candidate, "caption", line.candidate_where)), {}};
        for (const std::string& text : texts_at(line.reference, "captions", line.reference_where))
            example.references.push_back(words(text));
        captions += example.references.size();
        cases.push_back(std::move(example));
    }
    const auto bleu = corpus_bleu(cases);
    const auto cider = cider_d(cases);
    ordered_json report = {{"kind", "captions"}, {"pictures", cases.size()}, {"reference_captions", captions}};
    report["cider_d"] = cider ? ordered_json(mean(*cider)) : ordered_json();
    for (size_t n = 0; n < bleu.size(); n++) report["bleu_" + std::to_string(n + 1)] = bleu[n];
    report["definitions"] = {
        {"cider_d",
         "CIDEr-D (Vedantam et al. 2015) as its authors' code: n-grams of 1 to 4 words, sigma 6, clipped, times 10; "
         "document frequencies of these references; mean over pictures; null for a single picture"},
        {"bleu_n", "BLEU (Papineni et al. 2002) over the corpus, closest reference length, no smoothing"},
        {"words", tokens == CaptionTokens::Split
                      ? "lower case, split by leon's subset of the Penn Treebank rules, punctuation removed"
                      : "as given, parted by white space"}};
    ordered_json each = ordered_json::array();
    for (size_t i = 0; cider && i < lines.size(); i++) each.push_back({{"id", lines[i].id}, {"cider_d", (*cider)[i]}});
    return text_of(std::move(report), each, detail);
}

std::string score_answers(const std::string& references, const std::string& candidates, ScoreDetail detail) {
    std::vector<double> exact, normalised, published, symmetric;
    ordered_json each = ordered_json::array();
    bool ten = true;
    for (const PairedLines& line : pair_lines(references, candidates)) {
        const std::string answer = text_at(line.candidate, "answer", line.candidate_where);
        const std::vector<std::string> people = texts_at(line.reference, "answers", line.reference_where);
        exact.push_back(std::count(people.begin(), people.end(), answer) > 0);
        normalised.push_back(std::any_of(people.begin(), people.end(), [&](const std::string& reference) {
            return normalised_answer(reference) == normalised_answer(answer);
        }));
        each.push_back({{"id", line.id}, {"exact", exact.back()}, {"exact_normalised", normalised.back()}});
        ten = ten && people.size() == VQA_PEOPLE;
        if (!ten) continue;
        published.push_back(vqa_accuracy(answer, people, References::Published));
        symmetric.push_back(vqa_accuracy(answer, people, References::Normalised));
        each.back()["vqa_accuracy"] = published.back();
        each.back()["vqa_accuracy_normalised"] = symmetric.back();
    }
    ordered_json report = {{"kind", "answers"}, {"questions", exact.size()}};
    report["exact"] = mean(exact);
    report["exact_normalised"] = mean(normalised);
    report["vqa_accuracy"] = ten ? ordered_json(mean(published)) : ordered_json();
    report["vqa_accuracy_normalised"] = ten ? ordered_json(mean(symmetric)) : ordered_json();
    report["definitions"] = {
        {"exact", "share of the answers that equal one of the reference answers, character by character"},
        {"exact_normalised", "the same after the VQA challenge's normalisation of both sides"},
        {"vqa_accuracy",
         "VQA challenge (Antol et al. 2015) as its evaluation code: min(matches / 3, 1) over the ten sets of nine "
         "people; "
         "references lose their punctuation, and only where people differ; null unless every question has ten answers"},
        {"vqa_accuracy_normalised", "the same with references normalised like the answer, for references in any form"}};
    return text_of(std::move(report), each, detail);
}

std::string score_boxes(const std::string& references, const std::string& candidates, ScoreDetail detail) {
    std::vector<double> overlaps;
    size_t missing = 0;
    ordered_json each = ordered_json::array();
    for (const PairedLines& line : pair_lines(references, candidates)) {
        const auto box = [&](const json& object, const std::string& where) {
            if (!object.contains("box")) throw Error("\"box\" is missing", where);
            return box_at(object, where);
        };
        const Box wanted = box(line.reference, line.reference_where);
        const bool found = !line.candidate.contains("box") || !line.candidate["box"].is_null();
        missing += !found;
        overlaps.push_back(found ? box_iou(wanted, box(line.candidate, line.candidate_where)) : 0);
        each.push_back({{"id", line.id}, {"iou", overlaps.back()}});
    }
    const auto half = std::count_if(overlaps.begin(), overlaps.end(), [](double iou) { return iou >= 0.5; });
    ordered_json report = {{"kind", "boxes"}, {"boxes", overlaps.size()}, {"missing", missing}};
    report["mean_iou"] = mean(overlaps);
    report["share_iou_50"] = static_cast<double>(half) / static_cast<double>(overlaps.size());
    report["definitions"] = {
        {"mean_iou", "common area / area of the union, mean over the boxes; a missing box (null) scores 0"},
        {"share_iou_50", "share of the boxes whose common area is at least half of the union"}};
    return text_of(std::move(report), each, detail);
}

std::string score_segmentation(const std::string& reference, const std::string& candidate,
                               const SegmentationOptions& options, ScoreDetail detail, const ScoreProgress& progress) {
    std::vector<std::string> endings = PICTURE_ENDINGS;
    endings.push_back(".npy");
    Confusion all;
    std::optional<Labels> labels;
    std::optional<int32_t> ignored;
    ordered_json each = ordered_json::array();
    const std::vector<PairedFiles> pairs = pair_files(reference, candidate, endings);
    for (const PairedFiles& pair : pairs) {
        const Labelled wanted = load_labels(pair.reference, options.legend, true);
        const Labelled given = load_labels(pair.candidate, options.legend, false);
        if (!labels) labels = wanted.labels;
        for (const auto& [map, path] : {std::pair(&wanted, pair.reference), std::pair(&given, pair.candidate)})
            if (map->labels != *labels)
                throw Error("pictures and .npy label maps cannot be compared with each other", path);
        if (wanted.shape != given.shape)
            throw Error("is " + size_text(given.shape) + ", but " + pair.reference + " is " + size_text(wanted.shape),
                        pair.candidate, "both maps must have the same size");
        if (!options.ignore.empty()) ignored = parse_label(options.ignore, *labels, options.legend);
        Confusion here;
        here.add(wanted.values, given.values, ignored);
        all.add(wanted.values, given.values, ignored);
        each.push_back({{"name", pair.name}, {"mean_iou", here.mean_iou()}, {"pixel_accuracy", here.accuracy()}});
        if (progress) progress(each.size(), pairs.size());
    }
    if (all.pixels() == 0) throw Error("has no pixels that count", reference);
    ordered_json report = {{"kind", "segmentation"}, {"maps", pairs.size()}, {"pixels", all.pixels()}};
    report["mean_iou"] = all.mean_iou();
    report["pixel_accuracy"] = all.accuracy();
    report["classes"] = ordered_json::array();
    for (const auto& [label, score] : all.classes())
        report["classes"].push_back({{"label", label_text(label, *labels, options.legend)},
                                     {"iou", score.iou()},
                                     {"reference_pixels", score.reference},
                                     {"candidate_pixels", score.candidate}});
    const std::string legend = options.legend
                                   ? "kinds of the legend " + options.legend->name +
                                         ": references exactly, candidates by nearest colour, grown from seeds"
                                   : "";
    report["definitions"] = {
        {"mean_iou",
         "common pixels / pixels of the union of each label over all maps, mean over the labels that occur in either"},
        {"pixel_accuracy", "share of the pixels with equal labels"},
        {"labels", *labels == Labels::Kinds     ? legend
                   : *labels == Labels::Colours ? "the exact colours of the pictures"
                                                : "the integers of the arrays"},
        {"ignored", options.ignore.empty() ? "nothing" : "pixels where the reference has " + options.ignore}};
    return text_of(std::move(report), each, detail);
}

std::string score_pictures(const std::string& reference, const std::string& candidate, ScoreDetail detail,
                           const ScoreProgress& progress) {
    std::vector<double> noise, similarity, errors;
    ordered_json each = ordered_json::array();
    const std::vector<PairedFiles> pairs = pair_files(reference, candidate, PICTURE_ENDINGS);
    for (const PairedFiles& pair : pairs) {
        const Picture a = load_picture(pair.reference), b = load_picture(pair.candidate);
        const Shape a_size{a.width, a.height}, b_size{b.width, b.height};
        if (a_size != b_size)
            throw Error("is " + size_text(b_size) + ", but " + pair.reference + " is " + size_text(a_size),
                        pair.candidate, "both must have the same size");
        if (a.width < SSIM_WINDOW || a.height < SSIM_WINDOW)
            throw Error("is " + size_text(a_size) + ", smaller than the window of 11 x 11", pair.reference);
        errors.push_back(mean_squared_error(a, b));
        similarity.push_back(ssim(a, b));
        if (errors.back() > 0) noise.push_back(psnr(a, b));
        each.push_back({{"name", pair.name},
                        {"psnr", errors.back() > 0 ? ordered_json(noise.back()) : ordered_json()},
                        {"ssim", similarity.back()}});
        if (progress) progress(each.size(), pairs.size());
    }
    ordered_json report = {{"kind", "pictures"}, {"pairs", pairs.size()}, {"equal_pairs", pairs.size() - noise.size()}};
    report["psnr"] = noise.empty() ? ordered_json() : ordered_json(mean(noise));
    report["ssim"] = mean(similarity);
    report["mean_squared_error"] = mean(errors);
    report["definitions"] = {
        {"psnr",
         "10 log10(255^2 / mean squared error over R, G and B) in dB, mean over the pairs that differ; null if "
         "none does"},
        {"ssim",
         "Wang et al. 2004: Gaussian window 11 x 11, sigma 1.5, K1 0.01, K2 0.03, population covariance; mean over the "
         "windows inside, then over R, G and B, then over the pairs"},
        {"mean_squared_error", "in 8-bit levels squared, mean over the pairs"}};
    return text_of(std::move(report), each, detail);
}

std::string score_frechet(const std::string& a, const std::string& b, const std::string& features,
                          const ScoreProgress& progress) {
    if (features.find_first_not_of(" \t") == std::string::npos)
        throw Error("the features have no name", "--features", "say which network's they are, and of which layer");
    const auto load = [](const std::string& path) {
        const Array array = load_npy(path);
        if (array.shape.size() != 2) throw Error("features must have the shape [vectors, features]", path);
        return Features{static_cast<size_t>(array.shape[0]), static_cast<size_t>(array.shape[1]), array.doubles(path)};
    };
    const Features of_a = load(a), of_b = load(b);
    const Frechet distance = frechet_distance(of_a, of_b, a, b, progress);
    const bool inception = lower_case(features).find("inception") != std::string::npos;
    ordered_json report = {{"kind", "frechet"}, {"features", features}, {"dim", of_a.dim}};
    report["vectors"] = {of_a.count, of_b.count};
    report["name"] =
        (inception ? "FID (Fréchet distance of Inception features: " : "Fréchet distance (features: ") + features + ")";
    report["frechet_distance"] = distance.squared_distance;
    report["mean_part"] = distance.mean_part;
    report["definitions"] = {{"frechet_distance",
                              "|mean difference|^2 + tr(A) + tr(B) - 2 tr((A B)^1/2), covariances A and B over n - 1, "
                              "in float64; it is biased "
                              "upwards for few vectors"},
                             {"mean_part", "the first of these"}};
    return text_of(std::move(report), {}, ScoreDetail::Summary);
}

}  // namespace leon
