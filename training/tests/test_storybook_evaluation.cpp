// Scorers against pictures and texts whose score is known: the truth is entirely right, and each thing that can be
// wrong is wrong by itself. Then the engine's answers to rows, and the report.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "tasks/pictures.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_model.h"
#include "training/evaluation/ablations.h"
#include "training/evaluation/comparisons.h"
#include "training/evaluation/evaluation.h"
#include "training/evaluation/report.h"
#include "training/evaluation/tokenizer_scores.h"
#include "training/tests/storybook_world.h"

#include "tests/testing.h"

using namespace leon;

namespace {

const Judge& judge() {
    static const Judge shared(world());
    return shared;
}

const Model& box_model() {
    static const Model model("models/storybook.leon", cpu_kernels());
    return model;
}

double value(const Marks& marks, const std::string& name) {
    const Mark* mark = find_mark(marks, name);
    REQUIRE_MESSAGE(mark != nullptr, name);
    return mark->whole == 0 ? -1 : mark->part / mark->whole;
}

double value(const Verdict& verdict, const std::string& name) {
    return value(verdict.marks, name);
}

// What a recogniser would say of exactly these objects.
Recognition seen_in(const Scene& scene) {
    Recognition seen;
    seen.place = scene.background.place;
    for (const SceneObject& o : from_left_to_right(scene.objects)) {
        Detection d;
        d.kind = find_object(o.kind.name);
        d.height = o.height;
        d.cx = o.cx;
        d.by = o.by;
        d.flip = o.flip;
        d.box = o.box;
        seen.objects.push_back(d);
    }
    return seen;
}

// The first scene of so many objects.
Scene scene_of_objects(size_t count, uint64_t from = 0) {
    for (uint64_t seed = from;; seed++)
        if (Scene s = scene(world(), seed); s.objects.size() == count) return s;
}

Row edit_row(EditKind kind) {
    for (uint64_t seed = 0;; seed++)
        if (Row row = make_row(world(), RowKind::Edit, seed); row.edit->kind == kind) return row;
}

Picture mirrored(const Picture& picture) {
    Picture result = picture;
    for (int y = 0; y < picture.height; y++)
        for (int x = 0; x < picture.width; x++) std::copy_n(picture.at(picture.width - 1 - x, y), 3, result.at(x, y));
    return result;
}

}  // namespace

TEST_CASE("evaluation: shares have Wilson's interval, other means that of their rows") {
    std::vector<Mark> marks(100, yes_or_no("exact", true));
    for (size_t i = 61; i < 100; i++) marks[i].part = 0;
    Score score = score_of(marks, Scale::Share);
    CHECK(score.value == doctest::Approx(.61));
    CHECK(score.low == doctest::Approx(.5120).epsilon(1e-3));  // worked out by hand from the formula
    CHECK(score.high == doctest::Approx(.6998).epsilon(1e-3));
    CHECK(score.rows == 100);

    for (Mark& mark : marks) mark.part = 1;
    score = score_of(marks, Scale::Share);
    CHECK(score.high == 1);
    CHECK(score.low == doctest::Approx(.9630).epsilon(1e-3));  // 1 / (1 + z^2 / n)

    // Facts hang together within a row: 10 rows of 10 facts each, all right or all wrong, are 10 observations, not 100.
    std::vector<Mark> facts(10, Mark{"facts right", 10, 10});
    for (size_t i = 5; i < 10; i++) facts[i].part = 0;
    score = score_of(facts, Scale::Share);
    CHECK(score.value == doctest::Approx(.5));
    CHECK(score.high - score.value == doctest::Approx(.2634).epsilon(1e-3));

    const std::vector<Mark> decibels = {{"PSNR", 20, 1}, {"PSNR", 30, 1}, {"PSNR", 0, 0}};  // the last says nothing
    score = score_of(decibels, Scale::Decibels);
    CHECK(score.value == 25);
    CHECK(score.rows == 2);
    CHECK(score.high - 25 == doctest::Approx(1.96 * std::sqrt(50.0 / 2)).epsilon(1e-3));
    CHECK(score_of({}, Scale::Share).rows == 0);
}

TEST_CASE("evaluation: the page about scores has every rule as it is") {
    const std::string page = read_text("docs/evaluation.md");
    for (const MarkDefinition& definition : mark_definitions()) {
        CAPTURE(std::string(definition.name));
        CHECK(contains(page, std::string("\n| ") + definition.name + " | "));
        CHECK(contains(page, std::string(" | ") + definition.rule + " |\n"));
    }
}

TEST_CASE("evaluation: differences are paired") {
    std::vector<Mark> a, b;
    for (int i = 0; i < 50; i++) {
        a.push_back(yes_or_no("right", i % 2 == 0));
        b.push_back(yes_or_no("right", i % 2 == 0 || i < 10));  // five more, none less
    }
    const Score score = difference_of(a, b);
    CHECK(score.value == doctest::Approx(.1));
    CHECK(score.low > 0);  // unpaired it would reach below: +- 0.19
    CHECK(score.high < .2);
    CHECK(difference_of(b, a).value == doctest::Approx(-.1));
    CHECK(difference_of(a, a).low == 0);
}

TEST_CASE("evaluation: the truth of every kind of row is entirely right") {
    for (int k = 0; k < ROW_KINDS; k++) {
        const auto kind = static_cast<RowKind>(k);
        const bool novel = kind == RowKind::RetrieveNovel;  // needs a recogniser of its own for every row
        for (uint64_t seed = 0; seed < (novel ? 1 : 2); seed++) {
            const Row row = make_row(world(), kind, seed);
            CAPTURE(std::string(kind_facts(kind).name));
            CAPTURE(seed);
            const Verdict verdict = judge().of(row, truth_of(row));
            CHECK(verdict.is_right);
            CHECK_FALSE(verdict.marks.empty());
            for (const Mark& mark : verdict.marks) {
                CAPTURE(mark.name);
                const Scale scale = definition_of(mark.name).scale;
                if (mark.whole == 0) continue;
                if (mark.name == "pixel accuracy")
                    CHECK(mark.part >= .99 * mark.whole);  // specks go to their surroundings
                else if (scale == Scale::Share)
                    CHECK(mark.part == mark.whole);
                if (scale == Scale::Overlap) CHECK(mark.part >= .9 * mark.whole);  // of boxes found to a pixel
                if (scale == Scale::Decibels) CHECK(mark.part == MOST_DECIBELS);
            }
        }
    }
}

TEST_CASE("evaluation: an empty answer has nothing right") {
    for (int k = 0; k < ROW_KINDS; k++) {
        const auto kind = static_cast<RowKind>(k);
        if (kind == RowKind::RetrieveNovel) continue;
        const Row row = make_row(world(), kind, 1);
        CAPTURE(std::string(kind_facts(kind).name));
        RowAnswer nothing = truth_of(row);
        for (std::string& text : nothing.texts) text.clear();
        if (nothing.picture) nothing.picture = Picture(SCENE_SIZE, SCENE_SIZE, 128);
        const Verdict verdict = judge().of(row, nothing);
        CHECK_FALSE(verdict.is_right);
        for (const char* name : {"objects and place", "objects", "order", "all right", "object recall", "exact",
                                 "holes", "facts right", "facts found", "word", "letters", "edit right", "rest kept",
                                 "visible kept", "box overlap", "mask overlap", "rare thing"})
            if (const Mark* mark = find_mark(verdict.marks, name)) CHECK(mark->part == 0);
    }
}

TEST_CASE("evaluation: a drawing's marks tell what is wrong with it") {
    const Scene truth = scene_of_objects(3);
    const Recognition right = seen_in(truth);
    Marks marks = drawing_marks(right, truth);
    for (const Mark& mark : marks) CHECK(mark.part == mark.whole);

    Recognition missing = right;
    missing.objects.pop_back();
    marks = drawing_marks(missing, truth);
    CHECK(value(marks, "objects") == 0);
    CHECK(value(marks, "order") == 0);
    CHECK(value(marks, "place") == 1);
    CHECK(value(marks, "object recall") == doctest::Approx(2. / 3));
    CHECK(value(marks, "object precision") == 1);

    Recognition more = right;
    more.objects.push_back(right.objects[0]);
    more.objects.back().kind = find_object(truth.objects[0].kind.name == "ufo" ? "owl" : "ufo");
    marks = drawing_marks(more, truth);
    CHECK(value(marks, "objects") == 0);
    CHECK(value(marks, "order") == 1);
    CHECK(value(marks, "object recall") == 1);
    CHECK(value(marks, "object precision") == doctest::Approx(3. / 4));

    Recognition twice = right;
    twice.objects.push_back(right.objects[0]);
    marks = drawing_marks(twice, truth);
    CHECK(value(marks, "objects") == 0);
    CHECK(value(marks, "order") == 0);
    CHECK(value(marks, "object precision") == doctest::Approx(3. / 4));

    Recognition elsewhere = right;
    elsewhere.place = truth.background.place == Place::Room ? Place::Sea : Place::Room;
    marks = drawing_marks(elsewhere, truth);
    CHECK(value(marks, "place") == 0);
    CHECK(value(marks, "objects") == 1);
    CHECK(value(marks, "objects and place") == 0);

    for (int excess : {ORDER_TOLERANCE, ORDER_TOLERANCE + 1}) {
        Recognition swapped = right;
        swapped.objects[0].cx = swapped.objects[1].cx + excess;
        marks = drawing_marks(swapped, truth);
        CHECK(value(marks, "order") == (excess == ORDER_TOLERANCE));
        CHECK(value(marks, "objects and place") == 1);
        CHECK(value(marks, "all right") == (excess == ORDER_TOLERANCE));
    }
    const Scene one = scene_of_objects(1);
    CHECK(value(drawing_marks(seen_in(one), one), "order") == -1);  // says nothing
    CHECK(value(drawing_marks(seen_in(one), one), "all right") == 1);
}

TEST_CASE("evaluation: a mirrored scene has the right objects in the wrong order") {
    const Row row = [] {
        for (uint64_t seed = 0;; seed++) {
            Row r = make_row(world(), RowKind::Draw, seed);
            const auto named = from_left_to_right(r.scene.objects);
            if (named.size() == 2 && named[1].cx - named[0].cx > 30) return r;
        }
    }();
    const Verdict verdict = judge().of(row, {mirrored(row.scene.picture), {}});
    CHECK(value(verdict, "objects and place") == 1);
    CHECK(value(verdict, "order") == 0);
    CHECK_FALSE(verdict.is_right);
    const auto named = from_left_to_right(row.scene.objects);
    CHECK(verdict.seen ==
          caption_of(std::vector<std::string>{named[1].kind.name, named[0].kind.name}, row.scene.background.place));
}

TEST_CASE("evaluation: overlap is that of the boxes, by name or by place") {
    Scene truth = scene_of_objects(2);
    truth.objects[0].box = {10, 10, 30, 30};
    truth.objects[1].box = {60, 60, 80, 80};
    Recognition seen = seen_in(truth);
    for (Detection& d : seen.objects) d.box = {d.box[0] + 10, d.box[1], d.box[2] + 10, d.box[3]};  // 200 of 600
    CHECK(value(overlap_marks(world(), seen, truth, MatchBy::Name), "box overlap") == doctest::Approx(1. / 3));
    CHECK(value(overlap_marks(world(), seen, truth, MatchBy::Name), "mask overlap") == 1);  // the poses are the same

    std::swap(seen.objects[0].kind, seen.objects[1].kind);
    CHECK(value(overlap_marks(world(), seen, truth, MatchBy::Name), "box overlap") == 0);
    CHECK(value(overlap_marks(world(), seen, truth, MatchBy::Place), "box overlap") == doctest::Approx(1. / 3));
    seen.objects.pop_back();  // one thing cannot be two
    CHECK(value(overlap_marks(world(), seen, truth, MatchBy::Place), "box overlap") == doctest::Approx(1. / 6));
}

TEST_CASE("evaluation: an edit is judged by what changes and by what stays") {
    for (int k = 0; k < EDIT_KINDS; k++) {
        const Row row = edit_row(static_cast<EditKind>(k));
        const Edit& edit = *row.edit;
        CAPTURE(edit.instruction);
        // Nothing was done.
        Verdict verdict = judge().of(row, {edit.before.picture, {}});
        CHECK(value(verdict, "change done") == 0);
        CHECK(value(verdict, "edit right") == 0);
        if (edit.kind != EditKind::ChangePlace && edit.kind != EditKind::Remove)
            CHECK(value(verdict, "rest kept") == 1);

        // It was done in a picture that is otherwise too different for a tokenizer that gives back everything.
        Picture lighter = edit.after.picture;
        for (uint8_t& level : lighter.rgb) level = static_cast<uint8_t>(std::min(255, level + 6));
        verdict = judge().of(row, {lighter, {}});
        CHECK(value(verdict, "change done") == 1);
        CHECK(value(verdict, "rest kept") == 0);
        verdict = judge().of(row, {lighter, {}}, &lighter);  // the tokenizer does it too
        CHECK(value(verdict, "edit right") == 1);
    }
    // Another object is gone as well.
    const Row row = edit_row(EditKind::Move);
    Recognition seen = seen_in(row.edit->after);
    const auto is_moved = [&](const Detection& d) { return d.kind->name == row.edit->object; };
    const Picture& after = row.edit->after.picture;
    CHECK(value(edit_marks(*row.edit, after, seen, after), "edit right") == 1);
    Recognition more = seen;
    more.objects.push_back(seen.objects[0]);
    more.objects.back().kind = find_object("ufo");
    CHECK(value(edit_marks(*row.edit, after, more, after), "rest kept") == 0);
    std::erase_if(seen.objects, [&](const Detection& d) { return !is_moved(d); });
    if (row.edit->after.objects.size() > 1) CHECK(value(edit_marks(*row.edit, after, seen, after), "rest kept") == 0);
    std::erase_if(seen.objects, is_moved);
    CHECK(value(edit_marks(*row.edit, after, seen, after), "change done") == 0);
}

TEST_CASE("evaluation: maps, signs, holes and facts in part") {
    const Row all = make_row(world(), RowKind::SegmentAll, 2);
    LabelMap place_only = *all.labels;
    std::fill(place_only.labels.begin(), place_only.labels.end(), static_cast<int32_t>(all.scene.background.place));
    const Marks marks = map_marks(paint_map(place_only, storybook_legend()), *all.labels, "");
    const double background =
        double(std::count(all.scene.ids.begin(), all.scene.ids.end(), 0)) / double(all.scene.ids.size());
    CHECK(value(marks, "pixel accuracy") == doctest::Approx(background));
    // The place's IoU is its share of the picture; the objects have none.
    CHECK(value(marks, "mean IoU") == doctest::Approx(background / double(1 + all.scene.objects.size())));

    CHECK(value(sign_marks("WORD", "WORD"), "word") == 1);
    CHECK(value(sign_marks("WORN", "WORD"), "word") == 0);
    CHECK(value(sign_marks("WORN", "WORD"), "letters") == .75);
    CHECK(value(sign_marks("", "WORD"), "letters") == 0);
    CHECK(value(sign_marks("WORDS", "WORD"), "word") == 0);

    for (uint64_t seed = 0;; seed++) {
        const Row row = make_row(world(), RowKind::FillText, seed);
        if (row.fillings.size() != 2) continue;
        const Verdict verdict = judge().of(row, {{}, {row.fillings[0], "?"}});
        CHECK(value(verdict, "exact") == 0);
        CHECK(value(verdict, "holes") == .5);
        break;
    }
    const Row described = make_row(world(), RowKind::DescribeLong, 3);
    const std::string text = described.answer(), first = text.substr(0, text.find('.') + 1);
    const Verdict verdict = judge().of(described, {{}, {first}});
    CHECK(value(verdict, "facts right") == 1);
    CHECK(value(verdict, "facts found") < .5);
    CHECK(value(verdict, "exact") == 0);

    const Row filled = make_row(world(), RowKind::FillBox, 4);
    Picture touched = filled.picture("picture").picture;
    const auto& hidden = filled.picture("picture").hidden;
    const auto visible = static_cast<int>(std::find(hidden.begin(), hidden.end(), 0) - hidden.begin());
    touched.at(visible % CELLS * CELL + 3, visible / CELLS * CELL + 3)[1] ^= 1;
    CHECK(value(judge().of(filled, {touched, {}}), "visible kept") == 0);
}

TEST_CASE("evaluation: comparisons see the region that they are told") {
    Picture a(SCENE_SIZE, SCENE_SIZE, 100), b = a;
    for (int y = 10; y < 20; y++)
        for (int x = 10; x < 20; x++) b.at(x, y)[0] = 110;
    PixelMask mask(SCENE_SIZE * SCENE_SIZE, 1);
    CHECK(psnr_within(a, b, mask) ==
          doctest::Approx(10 * std::log10(255. * 255 * SCENE_SIZE * SCENE_SIZE * 3 / (100 * 100))));
    CHECK(ssim_within(a, b, mask) < 1);
    cut_out(mask, {12, 12, 18, 18}, 1);
    CHECK(psnr_within(a, b, mask) < MOST_DECIBELS);
    cut_out(mask, {12, 12, 18, 18}, 2);
    CHECK(psnr_within(a, b, mask) == MOST_DECIBELS);
    CHECK(ssim_within(a, b, mask) == doctest::Approx(1));
    cut_out(mask, {}, 200);  // of something that is not in the frame
    CHECK(std::count(mask.begin(), mask.end(), 0) == 100);
}

TEST_CASE("evaluation: rows asked together are answered as each alone, and again the same") {
    // Large batches add up in another order than small ones: rows that the model in the box is sure of.
    std::vector<Row> rows;
    for (RowKind kind : {RowKind::Draw, RowKind::Draw, RowKind::Ask, RowKind::FillBox, RowKind::Describe})
        rows.push_back(make_row(world(), kind, 65 + rows.size()));
    AskSettings how;
    how.settings.seed = 3;
    SUBCASE("one picture of each") {
        how.settings.best_of = 1;
    }
    SUBCASE("the best of two") {
        how.settings.best_of = 2;
    }
    size_t last = 0;
    how.progress = [&](size_t done, size_t total) {
        CHECK(done >= last);
        CHECK(done <= total);
        last = done;
        return true;
    };
    const std::vector<AnsweredRow> together = answer_rows(box_model(), rows, how);
    REQUIRE(together.size() == rows.size());
    CHECK(last == 3 * work_of(RowKind::Draw) + 2 * work_of(RowKind::Ask));
    how.progress = {};
    for (size_t i : {1, 2, 3}) {
        CAPTURE(i);
        const AnsweredRow alone = answer_rows(box_model(), std::span(&rows[i], 1), how).front();
        CHECK(together[i].answer.texts == alone.answer.texts);
        CHECK(together[i].answer.picture.has_value() == alone.answer.picture.has_value());
        if (alone.answer.picture) CHECK(together[i].answer.picture->rgb == alone.answer.picture->rgb);
        CHECK(together[i].tokenizer.has_value() == alone.answer.picture.has_value());
    }
    const Verdict verdict = judge().of(rows[3], together[3].answer, &*together[3].tokenizer);
    CHECK(value(verdict, "visible kept") == 1);
    // What is kept is what leon would keep.
    Settings product = how.settings;
    product.seed = together[0].seed;
    CHECK(together[0].answer.picture->rgb == leon::draw(box_model(), rows[0].scene.caption, product).pictures[0].rgb);
    how.settings.seed = 4;
    CHECK(answer_rows(box_model(), std::span(&rows[0], 1), how).front().answer.picture->rgb !=
          together[0].answer.picture->rgb);
    how.progress = [](size_t, size_t) { return false; };
    CHECK(answer_rows(box_model(), std::span(&rows[0], 1), how).empty());
    const TinyModel tiny(Layout::CM3Leon);
    CHECK(contains(error_of([&] { answer_rows(*tiny, rows, {}); }), "does not draw storybook scenes"));
}

TEST_CASE("evaluation: sections, the same whatever the batch") {
    EvaluationOptions options;
    options.sections = {"describe", "tokenizer-signs", "recogniser"};
    options.rows = 3;
    options.first_seed = 20;
    options.exhibits = 1;
    const StorybookReport one = evaluate_storybook(box_model(), world(), options);
    options.rows_at_once = 2;
    const StorybookReport two = evaluate_storybook(box_model(), world(), options);
    REQUIRE(one.sections.size() == 3);
    for (size_t s = 0; s < 3; s++) {
        REQUIRE(one.sections[s].rows.size() == 3);
        CHECK(one.sections[s].exhibits.size() <= 2);
        CHECK_FALSE(one.sections[s].exhibits.empty());
        for (size_t i = 0; i < 3; i++) {
            const RowOutcome &a = one.sections[s].rows[i], &b = two.sections[s].rows[i];
            CHECK(a.seed == 20 + i);
            CHECK(a.seen == b.seen);
            REQUIRE(a.marks.size() == b.marks.size());
            for (size_t m = 0; m < a.marks.size(); m++) CHECK(a.marks[m].part == b.marks[m].part);
        }
    }
    CHECK(find_mark(one.sections[0].rows[0].marks, "CIDEr-D"));
    const auto scores = one.sections[2].scores();
    const auto recall = std::find_if(scores.begin(), scores.end(), [](auto& s) { return s.name == "object recall"; });
    REQUIRE(recall != scores.end());
    CHECK(recall->goal == .99);
    CHECK(recall->score.value == 1);

    options.compositions = Compositions::HeldOut;
    const std::vector<uint64_t> seeds = evaluation_seeds(world(), RowKind::Draw, options);
    REQUIRE(seeds.size() == 3);
    CHECK(seeds[0] >= 20);
    for (uint64_t seed = 20; seed <= seeds[2]; seed++)
        CHECK(held_out(scene(world(), seed)) == (std::count(seeds.begin(), seeds.end(), seed) == 1));
    options.compositions = Compositions::Any;

    options.sections = {"draw", "dance"};
    CHECK(contains(error_of([&] { evaluate_storybook(box_model(), world(), options); }), "'dance'"));
    options.sections = {};
    options.first_seed = FIRST_TRAINING_SEED - 2;
    options.sections = {"recogniser"};
    CHECK(error_of([&] { evaluate_storybook(box_model(), world(), options); }).find("--first-seed") == 0);
    options.first_seed = 0;
    options.rows = 0;
    CHECK(error_of([&] { evaluate_storybook(box_model(), world(), options); }).find("--rows-per-kind") == 0);
    options.rows = 1;
    options.rows_at_once = 65;
    CHECK(error_of([&] { evaluate_storybook(box_model(), world(), options); }).find("--batch") == 0);
}

TEST_CASE("evaluation: reports say every score, its rule, and rows if they are wanted") {
    StorybookReport report;
    report.model = "a <model>";
    report.options.rows = 4;
    Section& draw = report.sections.emplace_back();
    draw.name = "draw";
    draw.kind = RowKind::Draw;
    for (uint64_t i = 0; i < 4; i++) {
        RowOutcome row;
        row.seed = i;
        row.asked = "a dog <i>";
        row.is_right = i < 3;
        row.held_out_scene = i == 3;
        row.marks = {yes_or_no("all right", row.is_right), yes_or_no("objects and place", row.is_right)};
        row.tokenizer = {yes_or_no("all right", true)};
        draw.rows.push_back(row);
    }
    draw.exhibits.push_back({3, {}, Picture(8, 8, 1), Picture(8, 8, 2)});
    Section base = draw, better = draw;
    base.is_default = true;
    better.name = "draw, better";
    better.rows[3].is_right = true;
    report.ablations = {base, better};
    compare_with_defaults(report.ablations);
    CHECK_FALSE(report.ablations[0].against_defaults);
    CHECK(report.ablations[1].against_defaults->value == .25);

    const auto json = nlohmann::json::parse(report_json(report, ScoreDetail::Each));
    const auto& section = json.at("sections").at(0);
    CHECK(section.at("right") == 3);
    CHECK(section.at("scores").at(0).at("value") == .75);
    CHECK(section.at("scores").at(0).at("tokenizer").at("value") == 1);
    CHECK(section.at("scores").at(0).at("held_out_compositions").at("value") == 0);
    CHECK(section.at("scores").at(1).at("goal") == .9);
    CHECK(section.at("each").at(3).at("marks").at("all right") == nlohmann::json({0.0, 1.0}));
    CHECK(json.at("ablations").at(1).at("against_defaults").at("value") == .25);
    CHECK(json.at("definitions").contains("objects and place"));
    CHECK_FALSE(nlohmann::json::parse(report_json(report, ScoreDetail::Summary)).at("sections").at(0).contains("each"));

    const std::string table = report_table(report);
    CHECK(contains(table, "75.0%"));
    CHECK(contains(table, "missed"));
    CHECK(contains(table, "+25.0"));
    const TemporaryFolder folder;
    const std::string page = read_text(write_report_page(report, folder / "page"));
    CHECK(contains(page, "a &lt;model&gt;"));
    CHECK(contains(page, "a dog &lt;i&gt;"));
    CHECK(contains(page, "class=wrong"));
    CHECK(!contains(page, "class=right"));
}
