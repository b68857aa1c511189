// Storybook scenes: one of 8 places, 1 to 3 emoji on it, and everything that is true of the picture.
//
//   World world;
//   Scene s = scene(world, 7);    // s.picture 128 x 128, s.caption "a cow and an eagle on a green meadow", s.objects
//   ...
//
// A scene is a pure function of its seed: the same place, objects, boxes, caption and instance mask as in the
// reference generator (Python, numpy, Pillow), and its pixels. Rows of other tasks are made of the pieces below:
// take a background, change the objects, compose again.
//
// Evaluation and training never meet: seeds below FIRST_TRAINING_SEED are for evaluation only, and so is every
// composition that held_out() names.
//
// Coordinates are pixels, x to the right, y down; boxes are half open.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/image.h"
#include "training/storybook/random.h"
#include "training/storybook/sprites.h"

namespace leon {

constexpr int SCENE_SIZE = 128;

enum class Zone { Ground, Sky, Water };

// What can stand in a scene. Rare things are kinds with invented names; they need no row in the table.
struct ObjectKind {
    std::string name;        // in captions: "oak"
    std::string emoji;       // its sprite: "deciduous tree"
    Zone zone;               // where it stands
    double relative_height;  // of a middling object: 1

    bool operator==(const ObjectKind&) const = default;
};
std::span<const ObjectKind> object_kinds();            // the 55 of the world, in the reference's order
const ObjectKind* find_object(std::string_view name);  // by caption name; null if there is none

enum class Place { Meadow, Beach, Sea, Night, Desert, Snow, Sunset, Room };
constexpr int PLACE_COUNT = 8;
const char* place_name(Place place);                     // "meadow"
const char* place_phrase(Place place);                   // "on a green meadow", as captions end
std::optional<Place> find_place(std::string_view name);  // by place_name()

struct Background {
    Place place{};
    Picture picture;  // SCENE_SIZE x SCENE_SIZE
    int horizon = 0;  // first row below the sky (or the wall)
    int shore = 0;    // first row of firm ground: the horizon, but further down on the beach
};
// Draws from `random` what the place needs: the state after a call depends on the place.
Background background(Place place, NumpyRandom& random);

struct SceneObject {
    ObjectKind kind;
    int height = 0;      // of the scaled sprite, pixels
    int cx = 0, by = 0;  // the middle of its foot
    bool flip = false;   // mirrored, left to right
    std::array<int, 4>
        box{};  // x0, y0, x1, y1 of its pixels of alpha > 127, by compose(); all 0 if none is in the frame

    bool operator==(const SceneObject&) const = default;
};

// One try to stand `kind` into a scene among `others`, by the rules of the world: depth gives the height, inside the
// frame, at most 12% of the smaller one overlaps with any other. Nothing if this try breaks a rule: try again.
std::optional<SceneObject> try_to_place(const World& world, const Background& background, const ObjectKind& kind,
                                        std::span<const SceneObject> others, PythonRandom& random);
// The kinds that may stand in a zone of a place are those of object_kinds() of that zone. Ground of the sea is water,
// and rooms have no sky.
bool has_zone(Place place, Zone zone);
// The intersection of two objects' frames (cx +- width/2, by - height to by) over the smaller one's area.
double overlap(const World& world, const SceneObject& a, const SceneObject& b);
constexpr double MAX_OVERLAP = .12;  // of any two objects of a scene
// The first column of an object's sprite, which is `width` wide at its height: where compose() draws it.
inline int left_of(const SceneObject& object, int width) {
    return static_cast<int>(object.cx - width / 2.0);
}
// What is drawn later covers what is drawn earlier: the sky first, then from far to near.
void sort_for_drawing(std::vector<SceneObject>& objects);

struct Composition {
    Picture picture;
    std::vector<uint8_t> ids;  // [SCENE_SIZE, SCENE_SIZE]: 0 background, k where objects[k-1] is on top, alpha > 127
};
// Draws the objects in their order, those on the ground with a shadow, and sets their boxes.
Composition compose(const World& world, const Picture& background, std::vector<SceneObject>& objects);

std::string article(std::string_view name);  // "an oak", "a cow"
// "a cow, an oak and a bee on a green meadow": names in the given order, at least one.
std::string caption_of(std::span<const std::string> names, Place place);
std::vector<SceneObject> from_left_to_right(std::vector<SceneObject> objects);  // stable, by cx: the order of captions

struct Scene {
    uint64_t seed = 0;
    Background background;
    std::vector<SceneObject> objects;  // in drawing order: ids k is objects[k - 1]
    Picture picture;
    std::vector<uint8_t> ids;  // [SCENE_SIZE, SCENE_SIZE]
    std::string caption;       // names the objects from left to right
};

struct SceneOptions {
    std::optional<Place> place;  // drawn if not given
    int max_objects = 3;         // 1 to 3
};
Scene scene(const World& world, uint64_t seed, const SceneOptions& options = {});

// --- what training may see --------------------------------------------------------------------------------------
constexpr uint64_t FIRST_TRAINING_SEED = 1'000'000;

// Whether a composition is kept for evaluation: the upper half of FNV-1a (64 bits) of "first|second|place" is 0 mod
// 10, where first and second are the first two names of the caption (second empty if there is one object) and place is
// place_name().
bool held_out(std::string_view first, std::string_view second, std::string_view place);
bool held_out(std::span<const SceneObject> objects, Place place);
inline bool held_out(const Scene& scene) {
    return held_out(scene.objects, scene.background.place);
}

// The n-th scene of training: the first of the seeds FIRST_TRAINING_SEED + 16 n, + 16 n + 1, ... that is not held out.
Scene training_scene(const World& world, uint64_t n);

}  // namespace leon
