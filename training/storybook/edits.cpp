// See edits.h.
#include "training/storybook/edits.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"

namespace leon {
namespace {

constexpr const char* EDIT_NAMES[EDIT_KINDS] = {"add", "remove", "replace", "move", "change place"};
constexpr int EDIT_TRIES = 40;  // of one scene
constexpr int BORDER = 4;       // pixels that a middle keeps from the borders of its third, where words name it
constexpr int MOST_OBJECTS = 3;
constexpr int HORIZON_DIFFERENCE = 4;       // rows by which a new place's horizon may lie elsewhere
constexpr int FOOTROOM = 10, HEADROOM = 4;  // rows below the shore, above the horizon, that feet keep, as in the world
constexpr const char* MOVE_TO[] = {"to the left", "to the middle", "to the right"};

const char* words_of_goal(Side side) {
    return MOVE_TO[static_cast<size_t>(side)];
}

// Is the middle clearly within its third?
bool is_clear(const SceneObject& object) {
    const int middle = (object.box[0] + object.box[2]) / 2;
    for (int border : {SCENE_SIZE / 3, SCENE_SIZE * 2 / 3})
        if (std::abs(middle - border) < BORDER) return false;
    return true;
}

class Editor {
public:
    Editor(Stage& stage, const Scene& before) : stage_(stage), random_(stage.random()), before_(before) {}

    std::optional<Edit> draw(EditKind kind) {
        std::optional<Edit> edit;
        switch (kind) {
            case EditKind::Add:
                edit = add();
                break;
            case EditKind::Remove:
                edit = remove();
                break;
            case EditKind::Replace:
                edit = replace();
                break;
            case EditKind::Move:
                edit = move();
                break;
            case EditKind::ChangePlace:
                edit = change_place();
                break;
        }
        if (edit && stage_.continues_on_grid()) edit = on_grid(std::move(*edit));
        if (!edit || !stage_.allows(edit->before) || !stage_.allows(edit->after)) return std::nullopt;
        return edit;
    }

private:
    Scene with(std::vector<SceneObject> objects) const {
        return scene_of(stage_.world(), before_.background, std::move(objects), before_.seed);
    }
    size_t any_object() { return random_.below(static_cast<uint32_t>(before_.objects.size())); }
    bool is_there(const std::string& name) const {
        return std::any_of(before_.objects.begin(), before_.objects.end(),
                           [&](const SceneObject& object) { return object.kind.name == name; });
    }
    // May the object stand there, next to all others but number `except`?
    bool fits(const SceneObject& object, size_t except) const {
        const int width = scaled_width(stage_.world().sprite(object.kind.emoji), object.height);
        if (object.height < 4 || object.by - object.height < 2 || object.cx - width / 2 < 2 ||
            object.cx + width / 2 > SCENE_SIZE - 2)
            return false;
        for (size_t i = 0; i < before_.objects.size(); i++)
            if (i != except && overlap(stage_.world(), object, before_.objects[i]) > MAX_OVERLAP) return false;
        return true;
    }
    static const SceneObject& find(const Scene& scene, const std::string& name) {
        for (const SceneObject& object : scene.objects)
            if (object.kind.name == name) return object;
        CHECK(!"an object of the scene");
    }

    // What is new moved to the grid; nothing if that would change the words, or what stays.
    std::optional<Edit> on_grid(Edit edit) const {
        std::optional<Scene> after = leon::on_grid(stage_.world(), edit.after);
        if (!after) return std::nullopt;
        for (const SceneObject& object : after->objects)
            for (const SceneObject& old : before_.objects) {
                const bool stays =
                    object.kind.name == old.kind.name && !(edit.kind == EditKind::Move && edit.object == old.kind.name);
                if (stays && (object.height != old.height || object.cx != old.cx || object.by != old.by ||
                              object.flip != old.flip))
                    return std::nullopt;
            }
        if (edit.side) {
            const SceneObject& placed = find(*after, edit.object);
            if (side_of(placed) != *edit.side || !is_clear(placed)) return std::nullopt;
        }
        edit.after = std::move(*after);
        return edit;
    }

    std::optional<Edit> add() {
        if (before_.objects.size() >= MOST_OBJECTS) return std::nullopt;
        const ObjectKind& kind = *random_.choice(kinds_for(before_.background.place));
        if (is_there(kind.name)) return std::nullopt;
        const auto object = try_to_place(stage_.world(), before_.background, kind, before_.objects, random_);
        if (!object) return std::nullopt;
        std::vector<SceneObject> objects = before_.objects;
        objects.push_back(*object);
        Edit edit{EditKind::Add, "", before_, with(std::move(objects)), kind.name, "", {}};
        const std::string words = std::string(stage_.chance(.5) ? "add " : "put ") + article(kind.name);
        const SceneObject& added = find(edit.after, kind.name);
        if (is_clear(added) && stage_.chance(.7)) {
            edit.side = side_of(added);
            edit.instruction = words + " " + leon::words_of(*edit.side);
        } else {
            edit.instruction = "add " + article(kind.name);
        }
        return edit;
    }

    std::optional<Edit> remove() {
        if (before_.objects.size() < 2) return std::nullopt;
        std::vector<SceneObject> objects = before_.objects;
        const size_t which = any_object();
        const std::string name = objects[which].kind.name;
        objects.erase(objects.begin() + static_cast<std::ptrdiff_t>(which));
        const std::string words = stage_.chance(.5) ? "remove the " + name : "take the " + name + " away";
        return Edit{EditKind::Remove, words, before_, with(std::move(objects)), name, "", {}};
    }

    std::optional<Edit> replace() {
        std::vector<SceneObject> objects = before_.objects;
        const size_t which = any_object();
        SceneObject& object = objects[which];
        const std::string name = object.kind.name;
        const ObjectKind& kind = *random_.choice(kinds_for(before_.background.place));
        if (kind.zone != object.kind.zone || is_there(kind.name)) return std::nullopt;
        object.height =
            static_cast<int>(std::lround(object.height * kind.relative_height / object.kind.relative_height));
        object.kind = kind;
        object.flip = stage_.chance(.5);
        if (!fits(object, which)) return std::nullopt;
        const std::string words = stage_.chance(.5) ? "replace the " + name + " with " + article(kind.name)
                                                    : "turn the " + name + " into " + article(kind.name);
        return Edit{EditKind::Replace, words, before_, with(std::move(objects)), name, kind.name, {}};
    }

    std::optional<Edit> move() {
        std::vector<SceneObject> objects = before_.objects;
        const size_t which = any_object();
        const std::string name = objects[which].kind.name;
        const Side from = side_of(objects[which]);
        objects[which].cx = random_.randint(0, SCENE_SIZE - 1);
        if (!fits(objects[which], which)) return std::nullopt;
        Edit edit{EditKind::Move, "", before_, with(std::move(objects)), name, "", {}};
        const SceneObject& moved = find(edit.after, name);
        edit.side = side_of(moved);
        if (*edit.side == from || !is_clear(moved)) return std::nullopt;
        edit.instruction = stage_.chance(.5) ? "move the " + name + " " + words_of_goal(*edit.side)
                                             : "put the " + name + " " + leon::words_of(*edit.side);
        return edit;
    }

    std::optional<Edit> change_place() {
        const Place place = stage_.any_place();
        if (place == before_.background.place) return std::nullopt;
        const auto kinds = kinds_for(place);
        for (const SceneObject& object : before_.objects)
            if (std::none_of(kinds.begin(), kinds.end(),
                             [&](const auto* kind) { return kind->name == object.kind.name; }))
                return std::nullopt;
        Background background = stage_.background(place);
        if (std::abs(background.horizon - before_.background.horizon) > HORIZON_DIFFERENCE) return std::nullopt;
        for (const SceneObject& object : before_.objects) {
            const bool stands = object.kind.zone == Zone::Sky ? object.by <= background.horizon - HEADROOM
                                                              : object.by >= background.shore + FOOTROOM;
            if (!stands) return std::nullopt;
        }
        Scene after = scene_of(stage_.world(), std::move(background), before_.objects, before_.seed);
        const std::string words =
            std::string(stage_.chance(.5) ? "put everything " : "change the place: ") + place_phrase(place);
        return Edit{EditKind::ChangePlace, words, before_, std::move(after), "", "", {}};
    }

    Stage& stage_;
    PythonRandom& random_;
    const Scene& before_;
};

}  // namespace

const char* name_of(EditKind kind) {
    return EDIT_NAMES[static_cast<size_t>(kind)];
}

Edit draw_edit(Stage& stage, EditKind kind) {
    for (;;) {
        const Scene before = stage.to_continue(stage.next());
        for (int i = 0; i < EDIT_TRIES; i++)
            if (std::optional<Edit> edit = Editor(stage, before).draw(kind)) return std::move(*edit);
    }
}

}  // namespace leon
