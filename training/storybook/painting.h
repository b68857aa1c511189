// The few drawing operations of Pillow that the world is painted with, in Pillow's arithmetic to the byte.
//
// A Mask is one channel of 8 bits. Colours are not here: shadows are black and clouds white, so one channel says it
// all. Resampling of pictures is tokenizer/image.h's.
#pragma once

#include <cstdint>
#include <vector>

#include "tokenizer/image.h"

namespace leon {

struct Mask {
    int width = 0, height = 0;
    std::vector<uint8_t> values;  // [height, width]

    Mask(int w, int h) : width(w), height(h), values(static_cast<size_t>(w) * h) {}
    uint8_t* row(int y) { return values.data() + static_cast<size_t>(y) * width; }
    const uint8_t* row(int y) const { return values.data() + static_cast<size_t>(y) * width; }
};

// Pixel boxes, half open.
struct MaskBox {
    int x0, y0, x1, y1;
};

// ImageDraw.ellipse([x0, y0, x1, y1], fill): corners inclusive and cut to integers, Bresenham's walk over a quarter.
// What lies outside the mask is left out.
void fill_ellipse(Mask& mask, double x0, double y0, double x1, double y1, uint8_t fill);

// GaussianBlur(sigma): three box blurs of a fractional radius in x, then three in y, each rounded to 8 bits; the edge
// is repeated. Reads and writes `inside` only, which must hold everything that is not zero, and blur_reach(sigma) more
// around it as far as the mask goes. (Gwosdek et al., "Theoretical foundations of Gaussian convolution by extended box
// filtering", 2011.)
void gaussian_blur(Mask& mask, MaskBox inside, float sigma);
int blur_reach(float sigma);

// a*b/255 and (a*(255 - alpha) + b*alpha)/255, rounded.
constexpr uint8_t multiply_255(unsigned a, unsigned b) {
    const unsigned t = a * b + 128;
    return static_cast<uint8_t>((t + (t >> 8)) >> 8);
}

// Image.alpha_composite over an opaque picture, one channel: seven bits more than multiply_255 on the way.
constexpr uint8_t composite_255(unsigned below, unsigned above, unsigned alpha) {
    const unsigned t = (above * alpha + below * (255 - alpha) + 128) << 7;
    return static_cast<uint8_t>(((t + (t >> 8)) >> 8) >> 7);
}

// Values [in_height, in_width] of float32 resized by BICUBIC: sums in double, rounded to float32 after x and after y.
std::vector<float> resize_floats(const std::vector<float>& values, int in_width, int in_height, int width, int height);

}  // namespace leon
