// Sections one after the other, batch by batch; see evaluation.h.
#include "training/evaluation/evaluation.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "kernels/check.h"
#include "kernels/cpu/threads.h"
#include "metrics/captions.h"
#include "tasks/common.h"
#include "training/evaluation/ablations.h"
#include "training/evaluation/tokenizer_scores.h"

namespace leon {
namespace {

bool is_held_out(const Row& row) {
    return !row.scene.objects.empty() && held_out(row.scene);
}

// What was asked, in a person's words.
std::string words_of(const Row& row) {
    for (const char* field : {"instruction", "question", "word", "object", "text with holes"})
        if (const auto found = row.text.find(field); found != row.text.end()) return found->second;
    const auto text = row.text.find("text");
    std::string words = text == row.text.end() ? "" : text->second;
    if (const auto objects = row.text.find("objects"); objects != row.text.end()) words += "; " + objects->second;
    if (row.layout) words = std::string(name_of(*row.layout)) + (words.empty() ? "" : ": " + words);
    return words.empty() ? kind_facts(row.kind).name : words;
}

std::string right_words(const Row& row) {
    if (row.sign) return row.sign->word;
    if (row.labels) return "";
    if (row.kind == RowKind::FillText) {
        std::string words;
        for (const std::string& filling : row.fillings) words += (words.empty() ? "" : " | ") + filling;
        return words;
    }
    const auto answer = row.text.find("answer");
    return answer == row.text.end() ? row.scene.caption : answer->second;
}

std::optional<Picture> given_picture(const Row& row, const AnsweredRow& answered) {
    for (const char* name : {"picture", "map"})
        if (const auto found = row.pictures.find(name); found != row.pictures.end()) {
            Picture picture = found->second.picture;
            for (size_t cell = 0; cell < found->second.hidden.size(); cell++)
                for (int i = 0; found->second.hidden[cell] && i < CELL * CELL; i++) {
                    const int x = static_cast<int>(cell) % CELLS * CELL + i % CELL,
                              y = static_cast<int>(cell) / CELLS * CELL + i / CELL;
                    std::fill_n(picture.at(x, y), 3, uint8_t{128});
                }
            return picture;
        }
    std::vector<Picture> pictures;
    for (const RetrievedDocument& document : answered.found)
        if (document.picture) pictures.push_back(*document.picture);
    if (row.kind != RowKind::RetrieveRare)
        for (const RowDocument& document : row.retrieved) pictures.push_back(document.picture.picture);
    if (pictures.empty()) return std::nullopt;
    return contact_sheet(pictures, static_cast<int>(pictures.size()));
}

// Whether a document that the search found shows what the row is about.
Mark documents_mark(const Row& row, const AnsweredRow& answered) {
    const auto shows_it = [&](const RetrievedDocument& document) {
        return document.text.find(article(row.object)) != std::string::npos;
    };
    return yes_or_no("documents", std::any_of(answered.found.begin(), answered.found.end(), shows_it));
}

// CIDEr-D needs the frequencies of all captions.
void add_cider(std::vector<RowOutcome>& rows) {
    std::vector<CaptionCase> cases;
    for (const RowOutcome& row : rows) cases.push_back({caption_words(row.seen), {caption_words(row.right)}});
    if (const auto scores = cider_d(cases))
        for (size_t i = 0; i < rows.size(); i++) rows[i].marks.push_back({"CIDEr-D", (*scores)[i], 1});
}

// Keeps the first right and the first wrong rows.
bool is_wanted(const Section& section, bool is_right, int most) {
    int kept = 0;
    for (const Exhibit& exhibit : section.exhibits) kept += section.rows[exhibit.row].is_right == is_right;
    return kept < most;
}

std::vector<Mark> marks_named(const std::vector<RowOutcome>& rows, const std::string& name, Marks RowOutcome::*which,
                              const std::function<bool(const RowOutcome&)>& counts) {
    std::vector<Mark> marks;
    for (const RowOutcome& row : rows) {
        const Mark* mark = find_mark(row.*which, name);
        if (mark && counts(row)) marks.push_back(*mark);
    }
    return marks;
}

NamedScore score_named(const Section& section, const std::string& name,
                       const std::function<bool(const RowOutcome&)>& counts) {
    NamedScore named;
    named.name = name;
    named.scale = definition_of(name).scale;
    named.score = score_of(marks_named(section.rows, name, &RowOutcome::marks, counts), named.scale);
    const std::vector<Mark> tokenizer = marks_named(section.rows, name, &RowOutcome::tokenizer, counts);
    if (!tokenizer.empty()) named.tokenizer = score_of(tokenizer, named.scale);
    const std::vector<Mark> held_out = marks_named(section.rows, name, &RowOutcome::marks, [&](const RowOutcome& row) {
        return counts(row) && row.held_out_scene;
    });
    if (!held_out.empty()) named.held_out_scenes = score_of(held_out, named.scale);
    return named;
}

void check_options(const EvaluationOptions& options) {
    if (options.rows < 1 || options.rows > 100000)
        throw Error(std::to_string(options.rows) + " is out of range", "--rows-per-kind", "choose from 1 to 100000");
    if (options.rows_at_once < 1 || options.rows_at_once > 64)
        throw Error(std::to_string(options.rows_at_once) + " is out of range", "--batch", "choose from 1 to 64");
    const std::vector<std::string> known = section_names();
    for (const std::string& name : options.sections)
        if (std::find(known.begin(), known.end(), name) == known.end()) {
            std::string list;
            for (const std::string& each : known) list += (list.empty() ? "" : ", ") + each;
            throw Error("there are no rows of the kind '" + name + "'", "--kinds", "choose from " + list);
        }
}

}  // namespace

std::vector<NamedScore> Section::scores() const {
    std::vector<std::string> names;
    for (const RowOutcome& row : rows)
        for (const Mark& mark : row.marks)
            if (std::find(names.begin(), names.end(), mark.name) == names.end()) names.push_back(mark.name);
    std::vector<NamedScore> all;
    for (const std::string& mark : names) {
        NamedScore& named = all.emplace_back(score_named(*this, mark, [](const RowOutcome&) { return true; }));
        for (const Goal& goal : goals())
            if (kind == goal.kind && mark == goal.mark) named.goal = goal.least;
        if (!kind) named.goal = tokenizer_goal(name, mark);
    }
    return all;
}

std::vector<std::string> Section::groups() const {
    std::set<std::string> names;
    for (const RowOutcome& row : rows)
        if (!row.group.empty()) names.insert(row.group);
    return {names.begin(), names.end()};
}

NamedScore Section::group_score(const std::string& group) const {
    CHECK(kind);
    return score_named(*this, headline_of(*kind).mark, [&](const RowOutcome& row) { return row.group == group; });
}

size_t Section::right() const {
    return static_cast<size_t>(std::count_if(rows.begin(), rows.end(), [](auto& row) { return row.is_right; }));
}

std::vector<uint64_t> evaluation_seeds(const World& world, RowKind kind, const EvaluationOptions& options) {
    constexpr size_t BLOCK = 64;
    const size_t count = static_cast<size_t>(options.rows);
    std::vector<uint64_t> seeds;
    for (uint64_t first = options.first_seed; seeds.size() < count; first += BLOCK) {
        if (first >= FIRST_TRAINING_SEED)
            throw Error("there are only " + std::to_string(seeds.size()) + " rows for evaluation from this seed on",
                        "--first-seed", "begin earlier, or ask for fewer rows");
        std::array<uint8_t, BLOCK> wanted{};
        parallel(BLOCK, [&](int64_t i, int) {
            const uint64_t seed = first + static_cast<uint64_t>(i);
            wanted[static_cast<size_t>(i)] =
                seed < FIRST_TRAINING_SEED && (options.compositions == Compositions::Any || kind == RowKind::Sign ||
                                               is_held_out(make_row(world, kind, seed)));
        });
        for (size_t i = 0; i < BLOCK && seeds.size() < count; i++)
            if (wanted[i]) seeds.push_back(first + i);
    }
    return seeds;
}

Section evaluate_kind(const Model& model, const Judge& judge, RowKind kind, const EvaluationOptions& options,
                      const AskSettings& given, const std::function<void(size_t, size_t)>& progress) {
    const double start = now();
    Section section;
    section.name = kind_facts(kind).name;
    section.kind = kind;
    const std::vector<uint64_t> seeds = evaluation_seeds(judge.world(), kind, options);
    const size_t all = seeds.size(), work = work_of(kind);
    for (size_t first = 0; first < all; first += static_cast<size_t>(options.rows_at_once)) {
        const size_t count = std::min(static_cast<size_t>(options.rows_at_once), all - first);
        std::vector<Row> rows(count);
        parallel(static_cast<int64_t>(count), [&](int64_t i, int) {
            rows[static_cast<size_t>(i)] = make_row(judge.world(), kind, seeds[first + static_cast<size_t>(i)]);
        });
        AskSettings how = given;
        if (progress)
            how.progress = [&](size_t done, size_t) {
                progress(first * work + done, all * work);
                return true;
            };
        std::vector<AnsweredRow> answers = answer_rows(model, rows, how);
        std::vector<RowOutcome> outcomes(count);
        parallel(static_cast<int64_t>(count), [&](int64_t index, int) {
            const size_t i = static_cast<size_t>(index);
            const AnsweredRow& answered = answers[i];
            RowOutcome& outcome = outcomes[i];
            const Picture* tokenizer = answered.tokenizer ? &*answered.tokenizer : nullptr;
            Verdict verdict = judge.of(rows[i], answered.answer, tokenizer);
            outcome = {rows[i].seed,
                       group_of(rows[i]),
                       is_held_out(rows[i]),
                       answered.fits,
                       words_of(rows[i]),
                       right_words(rows[i]),
                       std::move(verdict.seen),
                       verdict.is_right && answered.fits,
                       std::move(verdict.marks),
                       {}};
            if (kind == RowKind::RetrieveRare && how.bank && how.documents > 0)
                outcome.marks.push_back(documents_mark(rows[i], answered));
            if (tokenizer) outcome.tokenizer = judge.of(rows[i], {*answered.tokenizer, {}}, tokenizer).marks;
        });
        for (size_t i = 0; i < count; i++) {
            const bool is_right = outcomes[i].is_right, wanted = is_wanted(section, is_right, options.exhibits);
            section.rows.push_back(std::move(outcomes[i]));
            if (!wanted) continue;
            section.exhibits.push_back({section.rows.size() - 1, given_picture(rows[i], answers[i]),
                                        truth_of(rows[i]).picture, std::move(answers[i].answer.picture)});
        }
    }
    if (kind == RowKind::Describe || kind == RowKind::DescribeNovel) add_cider(section.rows);
    section.seconds = now() - start;
    return section;
}

std::vector<std::string> section_names() {
    std::vector<std::string> names = row_kind_names();
    for (const std::string& name : tokenizer_sections()) names.push_back(name);
    return names;
}

StorybookReport evaluate_storybook(const Model& model, const World& world, const EvaluationOptions& options,
                                   const EvaluationProgress& progress) {
    check_options(options);
    check_storybook_model(model);
    StorybookReport report;
    report.model = model.path();
    report.options = options;
    if (report.options.sections.empty()) report.options.sections = section_names();
    const Judge judge(world);
    const std::vector<std::string>& asked = report.options.sections;
    std::optional<RareBank> bank;
    if (options.ablations || std::count(asked.begin(), asked.end(), kind_facts(RowKind::RetrieveRare).name))
        bank.emplace(model, world);
    AskSettings defaults;
    defaults.settings.seed = options.seed;
    defaults.settings.guidance = options.guidance;
    defaults.settings.temperature = options.temperature;
    defaults.settings.best_of = options.best_of;
    defaults.bank = bank ? &*bank : nullptr;

    const size_t rows = static_cast<size_t>(options.rows);
    const auto kind_of = [](const std::string& name) { return find_row_kind(name); };
    size_t total = 0, before = 0;
    for (const std::string& name : report.options.sections)
        total += rows * (kind_of(name) ? work_of(*kind_of(name)) : tokenizer_work());
    const std::vector<Ablation> planned = options.ablations ? ablations() : std::vector<Ablation>{};
    for (const Ablation& ablation : planned) total += rows * ablation.work();
    const auto tell = [&](const std::string& label) {
        return [&, label](size_t done, size_t) {
            if (progress) progress(label, before + done, total);
        };
    };
    for (const std::string& name : report.options.sections) {
        const std::optional<RowKind> kind = kind_of(name);
        if (kind) {
            AskSettings how = defaults;
            if (*kind == RowKind::Edit) how.settings.image_guidance = options.image_guidance;
            report.sections.push_back(evaluate_kind(model, judge, *kind, options, how, tell(name)));
        } else {
            report.sections.push_back(evaluate_tokenizer(model, judge, name, options, tell(name)));
        }
        before += rows * (kind ? work_of(*kind) : tokenizer_work());
    }
    for (const Ablation& ablation : planned) {
        report.ablations.push_back(ablation.evaluate(model, judge, options, defaults, tell(ablation.name)));
        before += rows * ablation.work();
    }
    compare_with_defaults(report.ablations);
    return report;
}

}  // namespace leon
