// Where sprites might stand: every one of them, at every size its kind can have, mirrored or not, everywhere in the
// picture, at a quarter of the size.
//
// A sprite T of alpha m in front of the backdrop B lowers the error of the picture I = B + J by
//   sum |J|^2 - |J - m (T - B)|^2 = sum 2m T J - 2m BJ + 2m^2 T B - m^2 |B|^2 - m^2 |T|^2
// which is one correlation of eight channels and a constant. Errors count without a limit here, so that one loud object
// would draw all sprites to itself: places are compared by the share of the error, sum m |J|^2, that a sprite takes
// away.
#pragma once

#include <span>
#include <vector>

#include "training/storybook/explanation.h"
#include "training/storybook/scene.h"

namespace leon {

// The heights in pixels that the world gives a kind, and a little beyond.
struct Heights {
    double low, high;
};
Heights heights_of(const ObjectKind& kind);

// Whether a sprite may stand so in a picture of size x size: at least three quarters of each side in the frame, its
// foot where its zone is, which leaves the world's own rules some room.
bool is_allowed(Zone zone, int width, int height, int left, int top, int size);

struct CoarseMatch {
    Pose pose;
    Gain gain;
};

class CoarseSearch {
public:
    static constexpr int SIZE = SCENE_SIZE / 4;

    CoarseSearch(const World& world, std::span<const ObjectKind> kinds);

    // The best places of each kind and direction that lower the error at all, a few of each and apart from one another.
    //   picture, backdrop [SIZE, SIZE, 3]
    std::vector<CoarseMatch> search(const std::vector<float>& picture, const std::vector<float>& backdrop) const;

private:
    struct Template {
        int kind;
        Zone zone;
        bool flip;
        int width, height;
        std::vector<float> weights;  // [height, width, CHANNELS], in the order of channels_of()
        std::vector<float> mask;     // [height, width]: m
        float constant;              // sum of m^2 |T|^2
        float area;                  // sum of m
    };
    std::vector<Template> templates_;
};

}  // namespace leon
