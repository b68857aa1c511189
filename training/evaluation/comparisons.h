// What scorers compare pixels with: error outside a region, equality outside holes, the pixels of a sprite.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "training/storybook/rows.h"

namespace leon {

// One for each pixel of a scene.
using PixelMask = std::vector<uint8_t>;  // [SCENE_SIZE, SCENE_SIZE]: 0 or 1

// Sets the pixels of the box grown by `margin` that lie in the frame to 0.
void cut_out(PixelMask& mask, const std::array<int, 4>& box, int margin);

// PSNR over the pixels of the mask; MOST_DECIBELS for equal ones and if there are none.
double psnr_within(const Picture& a, const Picture& b, const PixelMask& mask);
// SSIM of a against b with all pixels outside the mask taken from a.
double ssim_within(const Picture& a, const Picture& b, const PixelMask& mask);

// Are all pixels of the cells that are not hidden equal?
bool is_equal_outside(const Picture& a, const Picture& b, const std::vector<uint8_t>& hidden);

// The pixels of alpha above 127 that a sprite covers, as compose() draws it.
PixelMask sprite_mask(const World& world, const std::string& emoji, int height, int cx, int by, bool flip);
double mask_iou(const PixelMask& a, const PixelMask& b);  // 0 if both are empty

}  // namespace leon
