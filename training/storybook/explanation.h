// A picture at one size, and what explains it so far: a backdrop and sprites in front of it.
//
// The error of a pixel is the squared distance between picture and rendering, up to DIFFERENT. A sprite in a pose
// lowers it by some amount (its gain), counted over its own pixels only.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "training/storybook/backdrop.h"
#include "training/storybook/sprites.h"

namespace leon {

// A sprite somewhere, in pixels of the explanation's size.
struct Pose {
    int kind = 0;  // index in the recogniser's list
    bool flip = false;
    int height = 0, left = 0, top = 0;
};

struct Gain {
    double lowered = 0;  // how much the error falls
    double initial = 0;  // the error in front of the backdrop alone, over the sprite's pixels
    double score() const { return initial > 0 ? lowered / initial : 0; }
};

struct Explanation {
    int size;
    std::vector<float> picture, render;  // [size, size, 3], 0 to 255
    std::vector<float> initial, error;   // [size, size]: in front of the backdrop alone, and now
    std::vector<uint8_t> is_claimed;     // [size, size]: by a sprite

    Explanation(int size, std::vector<float> picture, std::vector<float> backdrop);

    // What is claimed already may lie in front of this sprite, so it is not held against it.
    Gain gain_of(const Sprite& sprite, const Pose& pose) const;
    // Puts the sprite into the rendering: in front of the backdrop, and of other sprites where that lowers the error.
    void claim(const Sprite& sprite, const Pose& pose);
};

// visit(x, y, rgba) for each pixel of the sprite that lies in the frame and can be seen at all.
constexpr int VISIBLE_ALPHA = 16;
template <class Visit>
void visit_pixels(const Sprite& sprite, const Pose& pose, int size, Visit visit) {
    const int x0 = pose.left < 0 ? 0 : pose.left,
              x1 = pose.left + sprite.width < size ? pose.left + sprite.width : size;
    const int y0 = pose.top < 0 ? 0 : pose.top, y1 = pose.top + sprite.height < size ? pose.top + sprite.height : size;
    for (int y = y0; y < y1; y++) {
        const uint8_t* row = sprite.rgba.data() + static_cast<size_t>(y - pose.top) * sprite.width * 4;
        for (int x = x0; x < x1; x++) {
            const int from_x = pose.flip ? sprite.width - 1 - (x - pose.left) : x - pose.left;
            const uint8_t* rgba = row + static_cast<size_t>(from_x) * 4;
            if (rgba[3] >= VISIBLE_ALPHA) visit(x, y, rgba);
        }
    }
}

}  // namespace leon
