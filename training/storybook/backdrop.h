// Which place a picture shows, and how the picture would look without what stands in it.
//
// The places are families of row colours (a sky's gradient, the ground) with two unknowns: the horizon and, in rooms,
// the wall. All of them are compared with the picture, with a limit on what one pixel can cost, so that objects do not
// matter; the best one is then moved onto the rows it fits. It knows nothing of objects.
#pragma once

#include <vector>

#include "training/storybook/scene.h"

namespace leon {

struct Backdrop {
    Place place{};
    int horizon = 0;
    double fit = 0;          // 1: every pixel has the place's colours; 0: none has
    std::vector<float> rgb;  // [SCENE_SIZE, SCENE_SIZE, 3], 0 to 255
};

// picture: SCENE_SIZE x SCENE_SIZE
Backdrop find_backdrop(const Picture& picture);

// Squared distances of colours (sums over three channels) count up to here: what lies further apart is just different.
constexpr float DIFFERENT = 3 * 50 * 50;

inline float distance(const float* a, const float* b) {
    const float r = a[0] - b[0], g = a[1] - b[1], blue = a[2] - b[2];
    const float sum = r * r + g * g + blue * blue;
    return sum < DIFFERENT ? sum : DIFFERENT;
}

// Both sides by half, means of 2 x 2 pixels of `channels` floats; sides must be even.
std::vector<float> halve(const std::vector<float>& values, int width, int height, int channels);

}  // namespace leon
