// See scores.h.
#include "training/evaluation/scores.h"

#include <algorithm>

#include "kernels/check.h"
#include "training/evaluation/comparisons.h"
#include "training/storybook/things.h"

namespace leon {
namespace {

using Kind = RowKind;

struct KindOfScore {
    Kind kind;
    Headline headline;
};
// Overlaps have no whole to reach: from here on a row counts as right, on pages and in their counts only.
constexpr double RIGHT_OVERLAP = .6, RIGHT_MAP = .8;
constexpr KindOfScore HEADLINES[] = {
    {Kind::Draw, {"all right", 1}},
    {Kind::Describe, {"exact", 1}},
    {Kind::DescribeLong, {"facts right", 1}},
    {Kind::Ask, {"exact", 1}},
    {Kind::Edit, {"edit right", 1}},
    {Kind::DrawFromEdges, {"box overlap", RIGHT_OVERLAP}},
    {Kind::DrawFromSegmentation, {"box overlap", RIGHT_OVERLAP}},
    {Kind::DrawFromDepth, {"box overlap", RIGHT_OVERLAP}},
    {Kind::DrawFromScribble, {"box overlap", RIGHT_OVERLAP}},
    {Kind::DrawObjects, {"box overlap", RIGHT_OVERLAP}},
    {Kind::SegmentAll, {"mean IoU", RIGHT_MAP}},
    {Kind::SegmentObject, {"mean IoU", RIGHT_MAP}},
    {Kind::Sign, {"word", 1}},
    {Kind::FillBox, {"objects and place", 1}},
    {Kind::FillSpan, {"objects and place", 1}},
    {Kind::FillText, {"exact", 1}},
    {Kind::Retrieve, {"objects and place", 1}},
    {Kind::RetrieveNovel, {"objects and place", 1}},
    {Kind::RetrieveRare, {"rare thing", 1}},
    {Kind::DescribeNovel, {"exact", 1}},
    {Kind::AskNovel, {"exact", 1}},
};

constexpr Goal GOALS[] = {
    {Kind::Draw, "objects and place", .9},
    {Kind::Draw, "order", .9},
    {Kind::Describe, "exact", .9},
    {Kind::Ask, "exact", .95},
    {Kind::Edit, "edit right", .8},
    {Kind::DrawFromEdges, "box overlap", .7},
    {Kind::DrawFromSegmentation, "box overlap", .7},
    {Kind::DrawFromDepth, "box overlap", .7},
    {Kind::DrawFromScribble, "box overlap", .7},
    {Kind::DrawObjects, "box overlap", .6},
    {Kind::SegmentAll, "mean IoU", .8},
    {Kind::SegmentObject, "mean IoU", .8},
    {Kind::Sign, "word", .7},
    {Kind::RetrieveRare, "rare thing", .6},
};

bool is_layout(Kind kind) {
    return kind >= Kind::DrawFromEdges && kind <= Kind::DrawFromScribble;
}

// The kinds of a row's scenes that are no objects of the world.
std::vector<ObjectKind> novel_kinds(const Row& row) {
    std::vector<ObjectKind> novel;
    for (const Scene* scene : scenes_of(row))
        for (const SceneObject& object : scene->objects) {
            const auto is_same = [&](const ObjectKind& kind) { return kind.name == object.kind.name; };
            if (find_object(object.kind.name) || std::any_of(novel.begin(), novel.end(), is_same)) continue;
            novel.push_back(object.kind);
        }
    return novel;
}

std::vector<ObjectKind> with_objects(std::span<const ObjectKind> more) {
    std::vector<ObjectKind> kinds(object_kinds().begin(), object_kinds().end());
    kinds.insert(kinds.end(), more.begin(), more.end());
    return kinds;
}

void append(Marks& marks, Marks more) {
    marks.insert(marks.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

Marks text_marks(const Row& row, const RowAnswer& answer) {
    if (row.kind == Kind::FillText) {
        CHECK(answer.texts.size() == row.fillings.size());
        double right = 0;
        for (size_t i = 0; i < row.fillings.size(); i++) right += answer.texts[i] == row.fillings[i];
        return {yes_or_no("exact", answer.texts == row.fillings),
                {"holes", right, static_cast<double>(row.fillings.size())}};
    }
    CHECK(answer.texts.size() == 1);
    Marks marks{yes_or_no("exact", answer.texts[0] == row.answer())};
    if (row.kind == Kind::DescribeLong) {
        const FactScore facts = score_facts(answer.texts[0], row.scene);
        // Who states nothing has nothing right.
        marks.push_back({"facts right", double(facts.right), double(std::max(1, facts.stated))});
        marks.push_back({"facts found", double(facts.found), double(facts.expected)});
    }
    return marks;
}

}  // namespace

RowAnswer truth_of(const Row& row) {
    RowAnswer truth;
    if (const auto made = row.pictures.find("new picture"); made != row.pictures.end())
        truth.picture = made->second.picture;
    else if (row.kind == Kind::FillBox || row.kind == Kind::FillSpan)
        truth.picture = row.picture("picture").picture;
    else
        truth.texts = row.kind == Kind::FillText ? row.fillings : std::vector<std::string>{row.answer()};
    return truth;
}

std::span<const Goal> goals() {
    return GOALS;
}

Headline headline_of(RowKind kind) {
    for (const KindOfScore& row : HEADLINES)
        if (row.kind == kind) return row.headline;
    CHECK(!"a kind of row");
}

std::string group_of(const Row& row) {
    if (row.question) return name_of(row.question->kind);
    if (row.edit) return name_of(row.edit->kind);
    if (row.layout) return row.text.at("text").empty() ? "without a caption" : "with a caption";
    if (row.sign) {
        constexpr const char* FONTS[SIGN_FONTS] = {"font 8x8", "font 3x5", "font 5x7"};
        return FONTS[static_cast<size_t>(row.sign->font)];
    }
    if (row.kind == Kind::RetrieveNovel) return row.object.empty() ? "documents do not help" : "documents help";
    return "";
}

std::string words_of(const Recognition& seen) {
    if (seen.objects.empty()) return std::string("nothing ") + place_phrase(seen.place);
    std::vector<std::string> names;
    for (const Detection& detection : seen.objects) names.push_back(detection.kind->name);
    return caption_of(names, seen.place);
}

Judge::Judge(const World& world) : world_(world), recogniser_(world, object_kinds()) {}

Recognition Judge::recognise(const Row& row, const Picture& picture) const {
    const std::vector<ObjectKind> novel = novel_kinds(row);
    if (row.kind == Kind::RetrieveRare) {
        const std::lock_guard lock(mutex_);
        if (!with_rare_) with_rare_ = std::make_unique<const Recogniser>(world_, with_objects(rare_kinds()));
    }
    if (row.kind == Kind::RetrieveRare) return with_rare_->recognise(picture);
    if (novel.empty()) return recogniser_.recognise(picture);
    // Detections point into the list of a recogniser that ends with this function: they get the row's own kinds.
    const Recogniser with_novel(world_, with_objects(novel));
    Recognition seen = with_novel.recognise(picture);
    for (Detection& detection : seen.objects) {
        const std::string& name = detection.kind->name;
        detection.kind = find_object(name);
        for (const Scene* scene : scenes_of(row))
            for (const SceneObject& object : scene->objects)
                if (!detection.kind && object.kind.name == name) detection.kind = &object.kind;
    }
    return seen;
}

Marks Judge::picture_marks(const Row& row, const Picture& picture, const Picture* tokenizer, std::string& seen) const {
    if (row.labels) return map_marks(picture, *row.labels, row.object);
    if (row.sign) {
        seen = word_of(picture);
        return sign_marks(seen, row.sign->word);
    }
    const Recognition recognition = recognise(row, picture);
    seen = words_of(recognition);
    if (row.edit) return edit_marks(*row.edit, picture, recognition, tokenizer ? *tokenizer : row.edit->after.picture);
    Marks marks = drawing_marks(recognition, row.scene);
    if (is_layout(row.kind) || row.kind == Kind::DrawObjects)
        append(marks, overlap_marks(world_, recognition, row.scene,
                                    row.text.at("text").empty() ? MatchBy::Place : MatchBy::Name));
    if (row.kind == Kind::FillBox || row.kind == Kind::FillSpan) {
        const RowPicture& given = row.picture("picture");
        marks.push_back(yes_or_no("visible kept", is_equal_outside(picture, given.picture, given.hidden)));
    }
    if (row.kind == Kind::RetrieveRare || row.kind == Kind::RetrieveNovel) {
        const auto is_it = [&](const Detection& detection) { return detection.kind->name == row.object; };
        Mark mark = yes_or_no("rare thing", std::any_of(recognition.objects.begin(), recognition.objects.end(), is_it));
        mark.whole = row.object.empty() ? 0 : 1;
        marks.push_back(mark);
    }
    return marks;
}

Verdict Judge::of(const Row& row, const RowAnswer& answer, const Picture* tokenizer) const {
    Verdict verdict;
    if (answer.picture) {
        CHECK(answer.picture->width == SCENE_SIZE && answer.picture->height == SCENE_SIZE);
        verdict.marks = picture_marks(row, *answer.picture, tokenizer, verdict.seen);
    } else {
        verdict.marks = text_marks(row, answer);
        for (const std::string& text : answer.texts) verdict.seen += (verdict.seen.empty() ? "" : " | ") + text;
    }
    const Headline headline = headline_of(row.kind);
    const Mark* mark = find_mark(verdict.marks, headline.mark);
    CHECK(mark);
    verdict.is_right = mark->whole == 0 || mark->part >= headline.least * mark->whole;
    return verdict;
}

}  // namespace leon
