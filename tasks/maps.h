// Control maps that a picture's pixels alone determine, for drawing after them: edges and scribbles, white on black.
//
// Depth, poses, soft (HED) edges, normals and straight lines are estimated by trained networks, which leon does not
// have; parse_map_kind says so. A segmentation map is drawn by the model itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/image.h"

namespace leon {

enum class MapKind { Edges, Scribble };

// "edges" or "scribble"; Error on anything else, which for maps that need a network says what can be used instead.
MapKind parse_map_kind(const std::string& name);

// What a colour picture's gradient is. Grey: that of its grey levels. Strongest: that of the channel where it is
// largest at the pixel, which is what cv2.Canny does when it is given a colour picture, as ControlNet's annotator does.
enum class GradientOf { Grey, Strongest };

// Canny's thresholds on |dx| + |dy| of the Sobel gradient, 0 to 2040 each. 100 and 200 are ControlNet's defaults.
struct EdgeRule {
    int low = 100, high = 200;
    GradientOf gradient = GradientOf::Grey;
};

// Pixel for pixel what OpenCV computes (cv2.Canny with aperture 3 and L2gradient off): Sobel 3x3 with the border
// repeated, L1 magnitude, zero outside; non-maximum suppression in four directions parted at 22.5 and 67.5 degrees in
// 15-bit fixed point; then all above `low` that hang on one above `high`, over eight neighbours. Error unless 0 <= low
// <= high <= 2040.
Picture edge_map(const Picture& picture, const EdgeRule& rule);

// A sketch as with a thick pen: the outlines that stay when detail is blurred away. With s = the shorter side / 128, at
// least 1: grey levels blurred by a Gaussian of sigma 1.5 s; Canny at the rule's thresholds divided by 2 s (a blurred
// step is that much flatter); lines of fewer than 12 s pixels (8-connected) left out; every pixel within 0.9 s + 0.5 of
// a line is white, so that a line is about 2 s + 1 pixels wide.
Picture scribble_map(const Picture& picture, const EdgeRule& rule);

// 8-bit luma as cv2.cvtColor computes it: (9798 R + 19235 G + 3735 B + 2^14) >> 15.
std::vector<uint8_t> grey_levels(const Picture& picture);  // [height, width]

}  // namespace leon
