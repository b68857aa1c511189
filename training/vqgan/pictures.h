// What a VQGAN of the storybook world must be able to carry: scenes, maps of them, signs, and things that the world
// does not know. A picture is a pure function of its kind and seed; seeds below FIRST_TRAINING_SEED are for evaluation.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "tokenizer/image.h"
#include "tokenizer/legend.h"
#include "training/storybook/scene.h"

namespace leon {

enum class PictureKind { Scene, Segmentation, Edges, Scribble, Depth, Sign, Novel };
constexpr int PICTURE_KINDS = 7;
const char* name_of(PictureKind kind);  // "scene", "segmentation": as recipes and logs call it

struct TrainingPicture {
    Picture picture;                 // SCENE_SIZE x SCENE_SIZE
    std::vector<uint8_t> matters;    // [SCENE_SIZE, SCENE_SIZE]: 1 where objects, or letters, are
    std::optional<LabelMap> labels;  // Segmentation
};

TrainingPicture training_picture(const World& world, PictureKind kind, uint64_t seed);

}  // namespace leon
