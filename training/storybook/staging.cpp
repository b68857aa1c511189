// See staging.h.
#include "training/storybook/staging.h"

#include "kernels/check.h"

namespace leon {
namespace {

constexpr int PLACING_TRIES = 30;  // of one object; most fit at the first

}  // namespace

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

Stage::Stage(const World& world, uint64_t seed, uint64_t stream)
    : world_(world), seed_(seed), random_(mixed(seed, stream)) {}

Scene Stage::next() {
    const uint64_t number = scenes_++, later = mixed(seed_, number);
    if (evaluates()) return scene(world_, number == 0 ? seed_ : later % FIRST_TRAINING_SEED);
    return training_scene(world_, number == 0 ? seed_ - FIRST_TRAINING_SEED : later >> 16);
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
