// See tokenizer_scores.h.
#include "training/evaluation/tokenizer_scores.h"

#include <algorithm>

#include "kernels/check.h"
#include "kernels/cpu/threads.h"
#include "metrics/likeness.h"
#include "tasks/common.h"
#include "training/evaluation/comparisons.h"

namespace leon {
namespace {

constexpr size_t WORK = 64;  // a picture encoded, decoded and looked at: about a quarter of one that is drawn
constexpr size_t AT_ONCE = 32;

struct TokenizerSection {
    const char* name;
    RowKind rows;
    const char* headline;
};
constexpr TokenizerSection SECTIONS[] = {
    {"tokenizer", RowKind::Draw, "all right"},
    {"tokenizer-maps", RowKind::SegmentAll, "mean IoU"},
    {"tokenizer-signs", RowKind::Sign, "word"},
    {"recogniser", RowKind::Draw, "all right"},
};

Marks likeness_marks(const Scene& scene, const Picture& decoded) {
    PixelMask all(scene.ids.size(), 1), objects = scene.ids;
    std::replace_if(
        objects.begin(), objects.end(), [](uint8_t id) { return id != 0; }, uint8_t{1});
    return {{"PSNR", psnr_within(scene.picture, decoded, all), 1},
            {"PSNR of objects", psnr_within(scene.picture, decoded, objects), 1},
            {"SSIM", ssim(scene.picture, decoded), 1}};
}

}  // namespace

std::vector<std::string> tokenizer_sections() {
    std::vector<std::string> names;
    for (const TokenizerSection& section : SECTIONS) names.emplace_back(section.name);
    return names;
}

size_t tokenizer_work() {
    return WORK;
}

std::optional<double> tokenizer_goal(const std::string& section, const std::string& mark) {
    if (section == "tokenizer" && mark == "PSNR") return 29;
    if (section == "recogniser" && (mark == "object recall" || mark == "object precision")) return .99;
    return std::nullopt;
}

Section evaluate_tokenizer(const Model& model, const Judge& judge, const std::string& name,
                           const EvaluationOptions& options, const std::function<void(size_t, size_t)>& progress) {
    const double start = now();
    const auto found = std::find_if(std::begin(SECTIONS), std::end(SECTIONS), [&](auto& s) { return s.name == name; });
    CHECK(found != std::end(SECTIONS));
    const bool decodes = name != "recogniser";
    Section section;
    section.name = name;
    const std::vector<uint64_t> seeds = evaluation_seeds(judge.world(), found->rows, options);
    const size_t all = seeds.size();
    for (size_t first = 0; first < all; first += AT_ONCE) {
        const size_t count = std::min(AT_ONCE, all - first);
        std::vector<Row> rows(count);
        parallel(static_cast<int64_t>(count), [&](int64_t i, int) {
            rows[static_cast<size_t>(i)] = make_row(judge.world(), found->rows, seeds[first + static_cast<size_t>(i)]);
        });
        std::vector<Picture> pictures;
        for (const Row& row : rows) {
            const Picture right = *truth_of(row).picture;
            pictures.push_back(decodes ? through_tokenizer(model, right) : right);
            if (progress) progress((first + pictures.size()) * WORK, all * WORK);
        }
        std::vector<RowOutcome> outcomes(count);
        parallel(static_cast<int64_t>(count), [&](int64_t index, int) {
            const size_t i = static_cast<size_t>(index);
            Verdict verdict = judge.of(rows[i], {pictures[i], {}});
            RowOutcome& outcome = outcomes[i];
            outcome.seed = rows[i].seed;
            outcome.group = group_of(rows[i]);
            outcome.held_out_scene = !rows[i].scene.objects.empty() && held_out(rows[i].scene);
            outcome.asked = outcome.right = rows[i].sign ? rows[i].sign->word : rows[i].scene.caption;
            outcome.seen = std::move(verdict.seen);
            outcome.is_right = verdict.is_right;
            outcome.marks = std::move(verdict.marks);
            if (name != "tokenizer") return;
            const Marks likeness = likeness_marks(rows[i].scene, pictures[i]);
            outcome.marks.insert(outcome.marks.begin(), likeness.begin(), likeness.end());
        });
        for (size_t i = 0; i < count; i++) {
            const auto is_alike = [&](const Exhibit& e) {
                return section.rows[e.row].is_right == outcomes[i].is_right;
            };
            const auto kept = std::count_if(section.exhibits.begin(), section.exhibits.end(), is_alike);
            section.rows.push_back(std::move(outcomes[i]));
            if (kept < options.exhibits)
                section.exhibits.push_back({section.rows.size() - 1, {}, truth_of(rows[i]).picture, pictures[i]});
        }
    }
    section.seconds = now() - start;
    return section;
}

}  // namespace leon
