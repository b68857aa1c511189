// Scenes made to order: where rows get theirs from, and how they build those that a draw of the world would not give.
//
// A row draws everything from its kind and seed. In training no scene may be one that held_out() keeps for evaluation;
// that rule is kept here.
//
// Objects on the grid. A sprite that is moved by three pixels, or a little larger, is made of other codes: a cell of an
// object holds 3.5 nats even if kind and place are known, and a small model spends all it has on them. In many training
// rows the objects of pictures that are to be drawn therefore stand on the grid of the codes, in heights of whole
// cells, and look one way: 0.3 to 0.8 nats a cell (measured: docs/training.md). What is looked at (described,
// asked about, segmented) and all of evaluation stays as the world has it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "training/storybook/scene.h"

namespace leon {

// A number that looks random, of two: splitmix64's finaliser (S. Vigna, 2015) over both.
uint64_t mixed(uint64_t a, uint64_t b);

// The scene of a background with objects on it: sorted, composed, captioned. At least one object.
Scene scene_of(const World& world, Background background, std::vector<SceneObject> objects, uint64_t seed);

// The kinds that may stand in a place, whose ground at sea is water; no sun at night.
std::vector<const ObjectKind*> kinds_for(Place place);

// The scene with its objects moved to the nearest corners of the grid, each as high as a whole number of cells and not
// mirrored: the same kinds in the same order, by the rules of the world. Nothing if they do not fit so.
std::optional<Scene> on_grid(const World& world, const Scene& scene);

// The scene with its object of this name as high as `like`, as `like` mirrored, and whole cells away from where that
// stands: it is then made of the same codes, but where the background shines through. Nothing if it does not fit so, or
// the scene has none.
std::optional<Scene> with_codes_of(const World& world, const Scene& scene, const SceneObject& like);

class Stage {
public:
    // Seeds below FIRST_TRAINING_SEED are for evaluation. `stream` tells the draws of different kinds of rows apart.
    Stage(const World& world, uint64_t seed, uint64_t stream);

    const World& world() const { return world_; }
    PythonRandom& random() { return random_; }
    bool evaluates() const { return seed_ < FIRST_TRAINING_SEED; }
    bool chance(double probability) { return random_.random() < probability; }

    // First the world's own scene of this seed (training: the training_scene of its number), then others.
    Scene next();
    // The scene as training draws it: on the grid, if it fits. Evaluation's: the scene itself.
    Scene to_draw(const Scene& scene) const;
    // For scenes of which evaluation shows a part: the same in half of the rows of training, and else the scene itself.
    Scene to_continue(const Scene& scene) const { return continues_on_grid() ? to_draw(scene) : scene; }
    bool continues_on_grid() const { return !evaluates() && continues_on_grid_; }

    // May this row show the scene?
    bool allows(const Scene& scene) const { return evaluates() || !held_out(scene); }

    // A scene with exactly these kinds. Nothing if they did not fit after some tries, or if training may not see it.
    std::optional<Scene> with(Place place, std::span<const ObjectKind> kinds);
    Background background(Place place);
    Place any_place() { return static_cast<Place>(random_.below(PLACE_COUNT)); }
    uint64_t draw_seed();  // a number of 48 bits for what has a random number generator of its own

private:
    const World& world_;
    const uint64_t seed_;
    const bool continues_on_grid_;
    uint64_t scenes_ = 0;  // given out
    PythonRandom random_;
};

}  // namespace leon
