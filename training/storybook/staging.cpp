// See staging.h.
#include "training/storybook/staging.h"

#include <algorithm>

#include "kernels/check.h"

namespace leon {
namespace {

constexpr int PLACING_TRIES = 30;  // of one object; most fit at the first
constexpr int GRID = 8;            // pixels of a cell of codes
constexpr int LEAST_HEIGHT = 2 * GRID;
constexpr uint64_t GRID_STREAM = 0x67726964;

int nearest(int pixels) {
    return (pixels + GRID / 2) / GRID * GRID;
}

// Feet stay on their ground, sky stays sky, and all of it in the frame.
std::optional<SceneObject> on_grid(const World& world, const Background& background, SceneObject object) {
    object.flip = false;
    object.height = std::max(nearest(object.height), LEAST_HEIGHT);
    object.by = nearest(object.by);
    if (object.kind.zone == Zone::Sky) {
        while (object.by > background.horizon && object.by > object.height) object.by -= GRID;
        object.by = std::max(object.by, object.height);
    } else {
        while (object.by < background.shore + GRID / 2) object.by += GRID;
        object.by = std::min(object.by, SCENE_SIZE - GRID);
    }
    const int width = world.scaled(object.kind.emoji, object.height).width;
    if (width > SCENE_SIZE || object.by < object.height) return std::nullopt;
    const int left = left_of(object, width);
    const int moved = std::clamp(nearest(std::max(left, 0)), 0, (SCENE_SIZE - width) / GRID * GRID);
    object.cx += moved - left;
    return object;
}

// The scene with its objects in other places; nothing if two overlap too much, or the caption would be another.
std::optional<Scene> rearranged(const World& world, const Scene& scene, std::vector<SceneObject> objects) {
    for (size_t i = 0; i < objects.size(); i++)
        for (size_t k = 0; k < i; k++)
            if (overlap(world, objects[i], objects[k]) > MAX_OVERLAP) return std::nullopt;
    Scene out = scene_of(world, scene.background, std::move(objects), scene.seed);
    if (out.caption != scene.caption) return std::nullopt;
    return out;
}

}  // namespace

std::optional<Scene> on_grid(const World& world, const Scene& scene) {
    std::vector<SceneObject> objects;
    for (const SceneObject& object : scene.objects) {
        std::optional<SceneObject> moved = on_grid(world, scene.background, object);
        if (!moved) return std::nullopt;
        objects.push_back(std::move(*moved));
    }
    return rearranged(world, scene, std::move(objects));
}

uint64_t mixed(uint64_t a, uint64_t b) {
    uint64_t z = a * 0x9e3779b97f4a7c15 + b + 0x632be59bd9b4e019;
    for (int round = 0; round < 2; round++) {
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        z ^= z >> 31;
        z += 0x9e3779b97f4a7c15;
    }
    return z;
}

Scene scene_of(const World& world, Background background, std::vector<SceneObject> objects, uint64_t seed) {
    CHECK(!objects.empty());
    Scene scene;
    scene.seed = seed;
    scene.background = std::move(background);
    scene.objects = std::move(objects);
    sort_for_drawing(scene.objects);
    Composition composition = compose(world, scene.background.picture, scene.objects);
    scene.picture = std::move(composition.picture);
    scene.ids = std::move(composition.ids);
    std::vector<std::string> names;
    for (const SceneObject& object : from_left_to_right(scene.objects)) names.push_back(object.kind.name);
    scene.caption = caption_of(names, scene.background.place);
    return scene;
}

std::vector<const ObjectKind*> kinds_for(Place place) {
    std::vector<const ObjectKind*> kinds;
    for (const ObjectKind& kind : object_kinds())
        if (has_zone(place, kind.zone) && !(place == Place::Night && kind.name == "sun")) kinds.push_back(&kind);
    return kinds;
}

std::optional<Scene> with_codes_of(const World& world, const Scene& scene, const SceneObject& like) {
    std::vector<SceneObject> objects = scene.objects;
    const auto found = std::find_if(objects.begin(), objects.end(),
                                    [&](const SceneObject& object) { return object.kind.name == like.kind.name; });
    if (found == objects.end()) return std::nullopt;
    const auto whole_cells = [](int from, int to) {
        const int apart = to - from;
        return from + (apart + (apart >= 0 ? GRID : -GRID) / 2) / GRID * GRID;
    };
    found->height = like.height;
    found->flip = like.flip;
    found->cx = whole_cells(like.cx, found->cx);
    found->by = whole_cells(like.by, found->by);
    const int width = world.scaled(found->kind.emoji, found->height).width;
    const int left = left_of(*found, width);
    const bool stands = found->kind.zone == Zone::Sky ? found->by <= scene.background.horizon + GRID
                                                      : found->by >= scene.background.shore + GRID / 2;
    if (!stands || left < 0 || left + width > SCENE_SIZE || found->by < found->height || found->by > SCENE_SIZE)
        return std::nullopt;
    return rearranged(world, scene, std::move(objects));
}

Stage::Stage(const World& world, uint64_t seed, uint64_t stream)
    : world_(world),
      seed_(seed),
      continues_on_grid_(mixed(mixed(seed, stream), GRID_STREAM) % 2 == 0),
      random_(mixed(seed, stream)) {}

Scene Stage::next() {
    const uint64_t number = scenes_++, later = mixed(seed_, number);
    if (evaluates()) return scene(world_, number == 0 ? seed_ : later % FIRST_TRAINING_SEED);
    return training_scene(world_, number == 0 ? seed_ - FIRST_TRAINING_SEED : later >> 16);
}

Scene Stage::to_draw(const Scene& scene) const {
    if (evaluates()) return scene;
    std::optional<Scene> moved = on_grid(world_, scene);
    return moved ? std::move(*moved) : scene;
}

std::optional<Scene> Stage::with(Place place, std::span<const ObjectKind> kinds) {
    const uint64_t seed = draw_seed();
    Background ground = background(place);
    std::vector<SceneObject> objects;
    for (const ObjectKind& kind : kinds) {
        std::optional<SceneObject> object;
        for (int i = 0; i < PLACING_TRIES && !object; i++)
            object = try_to_place(world_, ground, kind, objects, random_);
        if (!object) return std::nullopt;
        objects.push_back(*object);
    }
    Scene scene = scene_of(world_, std::move(ground), std::move(objects), seed);
    if (!allows(scene)) return std::nullopt;
    return scene;
}

Background Stage::background(Place place) {
    NumpyRandom paint(draw_seed());
    return leon::background(place, paint);
}

uint64_t Stage::draw_seed() {
    const uint64_t high = random_.below(1u << 24);
    return high << 24 | random_.below(1u << 24);
}

}  // namespace leon
