// The marks of pictures, from what is found in them; see scores.h, and marks.cpp for each rule in words.
#include <algorithm>
#include <array>

#include "kernels/check.h"
#include "metrics/overlap.h"
#include "training/evaluation/comparisons.h"
#include "training/evaluation/scores.h"

namespace leon {
namespace {

Box box_of(const std::array<int, 4>& box) {
    return {double(box[0]), double(box[1]), double(box[2]), double(box[3])};
}

double iou(const Detection& detection, const SceneObject& object) {
    return box_iou(box_of(detection.box), box_of(object.box));
}

std::vector<const Detection*> found_as(const Recognition& seen, const std::string& name) {
    std::vector<const Detection*> found;
    for (const Detection& detection : seen.objects)
        if (detection.kind->name == name) found.push_back(&detection);
    return found;
}

const SceneObject* object_named(const Scene& scene, const std::string& name) {
    for (const SceneObject& object : scene.objects)
        if (object.kind.name == name) return &object;
    return nullptr;
}

// The one that is found under this name; null if there is none, or more than one.
const Detection* single(const Recognition& seen, const std::string& name) {
    const auto found = found_as(seen, name);
    return found.size() == 1 ? found.front() : nullptr;
}

int middle_of(const std::array<int, 4>& box) {
    return (box[0] + box[2]) / 2;
}

bool is_on(Side side, const Detection& detection) {
    SceneObject object;
    object.box = detection.box;
    return side_of(object) == side;
}

bool is_change_done(const Edit& edit, const Recognition& seen) {
    const Detection* object = single(seen, edit.object);
    switch (edit.kind) {
        case EditKind::Add:
        case EditKind::Move:
            return object && (!edit.side || is_on(*edit.side, *object));
        case EditKind::Remove:
            return found_as(seen, edit.object).empty();
        case EditKind::Replace: {
            const Detection* replacement = single(seen, edit.replacement);
            const SceneObject* old = object_named(edit.before, edit.object);
            CHECK(old);
            if (!replacement || !found_as(seen, edit.object).empty()) return false;
            const int x = middle_of(replacement->box), y = (replacement->box[1] + replacement->box[3]) / 2;
            return x >= old->box[0] && x < old->box[2] && y >= old->box[1] && y < old->box[3];
        }
        case EditKind::ChangePlace:
            return seen.place == edit.after.background.place;
    }
    CHECK(!"a kind of edit");
}

bool is_named(const Edit& edit, const std::string& name) {
    return !name.empty() && (name == edit.object || name == edit.replacement);
}

// Everything that the edit does not name is where it was, and there is nothing else.
bool are_others_kept(const Edit& edit, const Recognition& seen) {
    size_t others = 0;
    for (const SceneObject& object : edit.after.objects) {
        if (is_named(edit, object.kind.name)) continue;
        const Detection* found = single(seen, object.kind.name);
        if (!found || iou(*found, object) < KEPT_OVERLAP) return false;
        others++;
    }
    for (const Detection& detection : seen.objects) others -= !is_named(edit, detection.kind->name);
    return others == 0;
}

// The pixels that an edit has nothing to do with.
PixelMask rest_of(const Edit& edit, const Recognition& seen) {
    PixelMask rest(static_cast<size_t>(SCENE_SIZE) * SCENE_SIZE, edit.kind == EditKind::ChangePlace ? 0 : 1);
    if (edit.kind == EditKind::ChangePlace) {
        for (size_t i = 0; i < rest.size(); i++) rest[i] = edit.after.ids[i] != 0;
        return rest;
    }
    for (const Scene* scene : {&edit.before, &edit.after})
        for (const SceneObject& object : scene->objects)
            if (is_named(edit, object.kind.name)) cut_out(rest, object.box, EDIT_MARGIN);
    for (const Detection& detection : seen.objects)
        if (is_named(edit, detection.kind->name)) cut_out(rest, detection.box, EDIT_MARGIN);
    return rest;
}

struct Pair {
    size_t object, detection;
    double iou;
};

// Which detection belongs to each object; -1: none.
std::vector<int> matches(const Recognition& seen, const std::vector<SceneObject>& objects, MatchBy by) {
    std::vector<Pair> pairs;
    for (size_t o = 0; o < objects.size(); o++)
        for (size_t d = 0; d < seen.objects.size(); d++)
            if (by == MatchBy::Place || seen.objects[d].kind->name == objects[o].kind.name)
                pairs.push_back({o, d, iou(seen.objects[d], objects[o])});
    std::stable_sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) { return a.iou > b.iou; });
    std::vector<int> match(objects.size(), -1);
    std::vector<bool> is_used(seen.objects.size());
    for (const Pair& pair : pairs) {
        if (match[pair.object] >= 0 || is_used[pair.detection]) continue;
        match[pair.object] = static_cast<int>(pair.detection);
        is_used[pair.detection] = true;
    }
    return match;
}

}  // namespace

Marks drawing_marks(const Recognition& seen, const Scene& truth) {
    const std::vector<SceneObject> asked = from_left_to_right(truth.objects);
    std::vector<const Detection*> found;  // in the caption's order
    size_t recalled = 0;
    for (const SceneObject& object : asked) {
        const auto all = found_as(seen, object.kind.name);
        recalled += !all.empty();
        if (all.size() == 1) found.push_back(all.front());
    }
    const bool all_found = found.size() == asked.size(), objects = all_found && seen.objects.size() == asked.size(),
               place = seen.place == truth.background.place;
    bool order = all_found;
    for (size_t i = 0; order && i + 1 < found.size(); i++) order = found[i]->cx <= found[i + 1]->cx + ORDER_TOLERANCE;
    Mark order_mark = yes_or_no("order", order);
    if (asked.size() < 2) order_mark = {"order", 0, 0};
    return {yes_or_no("objects and place", objects && place),
            yes_or_no("objects", objects),
            yes_or_no("place", place),
            order_mark,
            yes_or_no("all right", objects && place && order),
            {"object recall", double(recalled), double(asked.size())},
            {"object precision", double(recalled), double(seen.objects.size())}};
}

Marks overlap_marks(const World& world, const Recognition& seen, const Scene& truth, MatchBy by) {
    Mark boxes{"box overlap", 0, double(truth.objects.size())}, masks{"mask overlap", 0, boxes.whole};
    const std::vector<int> match = matches(seen, truth.objects, by);
    for (size_t i = 0; i < match.size(); i++) {
        if (match[i] < 0) continue;
        const SceneObject& o = truth.objects[i];
        const Detection& d = seen.objects[static_cast<size_t>(match[i])];
        boxes.part += iou(d, o);
        masks.part += mask_iou(sprite_mask(world, o.kind.emoji, o.height, o.cx, o.by, o.flip),
                               sprite_mask(world, d.kind->emoji, d.height, d.cx, d.by, d.flip));
    }
    return {boxes, masks};
}

Marks edit_marks(const Edit& edit, const Picture& drawn, const Recognition& seen, const Picture& tokenizer) {
    const Picture& truth = edit.after.picture;
    const PixelMask rest = rest_of(edit, seen);
    const double psnr = psnr_within(truth, drawn, rest);
    const bool done = is_change_done(edit, seen);
    const bool same_place = edit.kind == EditKind::ChangePlace || seen.place == edit.before.background.place;
    const bool kept =
        are_others_kept(edit, seen) && same_place && psnr >= psnr_within(truth, tokenizer, rest) - EDIT_DECIBELS;
    return {yes_or_no("edit right", done && kept),
            yes_or_no("change done", done),
            yes_or_no("rest kept", kept),
            {"PSNR of the rest", psnr, 1},
            {"SSIM of the rest", ssim_within(truth, drawn, rest), 1}};
}

Marks map_marks(const Picture& drawn, const LabelMap& truth, const std::string& object) {
    const LabelMap labels = classify_map(drawn, storybook_legend());
    Confusion confusion;
    confusion.add(truth.labels, labels.labels, {});
    Marks marks{{"mean IoU", confusion.mean_iou(), 1},
                {"pixel accuracy", confusion.accuracy() * double(confusion.pixels()), double(confusion.pixels())}};
    if (!object.empty()) {
        const std::optional<int> label = storybook_legend().find(object);
        CHECK(label);
        marks.push_back({"object IoU", confusion.classes().at(*label).iou(), 1});
    }
    return marks;
}

Marks sign_marks(const std::string& read, const std::string& word) {
    double right = 0;
    for (size_t i = 0; i < word.size(); i++) right += i < read.size() && read[i] == word[i];
    return {yes_or_no("word", read == word), {"letters", right, double(word.size())}};
}

}  // namespace leon
