// The colours of the places: what background() paints with, and the recogniser looks for.
#pragma once

#include <array>

#include "training/storybook/scene.h"

namespace leon {

using Colour = std::array<double, 3>;

struct Palette {
    Colour sky_top, sky_bottom;  // a gradient down to the horizon
    Colour ground;
    float ground_noise;
    bool has_clouds;
    double hill_height;  // 0: none. Hills stand on the horizon, 2 to 2 + hill_height pixels high
    Colour hills;
};

// Indexed by Place; a room's wall is one of WALLS, its sky is not used.
constexpr Palette PALETTES[PLACE_COUNT] = {
    {{96, 170, 240}, {190, 224, 250}, {104, 168, 62}, 16, true, 10, {88, 140, 90}},
    {{90, 180, 245}, {205, 235, 250}, {232, 206, 150}, 12, true, 0, {}},
    {{110, 190, 245}, {215, 238, 250}, {30, 110, 180}, 10, true, 0, {}},
    {{8, 10, 40}, {40, 44, 100}, {30, 58, 44}, 10, false, 10, {18, 24, 44}},
    {{120, 185, 235}, {248, 226, 180}, {222, 170, 98}, 14, false, 16, {190, 128, 80}},
    {{150, 180, 215}, {220, 230, 240}, {238, 243, 250}, 8, false, 18, {172, 190, 210}},
    {{70, 40, 110}, {255, 150, 70}, {96, 84, 48}, 12, false, 10, {70, 40, 60}},
    {{}, {}, {150, 100, 60}, 0, false, 0, {}},
};
constexpr const Palette& palette_of(Place place) {
    return PALETTES[static_cast<int>(place)];
}

constexpr int SHORE_HEIGHT = 16;  // of the strip of water on the beach
constexpr Colour SHORE_WATER = {44, 132, 190};
constexpr double WAVE_HEIGHT = 7, WAVE_FREQUENCY = .8;  // of the sea: added to whole rows, from the horizon down

constexpr int WALL_COUNT = 4;
constexpr Colour WALLS[WALL_COUNT] = {{214, 190, 160}, {170, 200, 190}, {200, 180, 210}, {240, 220, 170}};
constexpr int STRIPE_PERIOD = 16, JOINT_PERIOD = 9;    // columns of the wall, rows of the floor
constexpr double STRIPE_DEPTH = 14, JOINT_DEPTH = 26;  // darker by
constexpr Colour SKIRTING = {245, 240, 230};           // the lowest rows of the wall
constexpr int SKIRTING_HEIGHT = 3;

constexpr double HORIZON_LOW = .47, HORIZON_HIGH = .58;  // of SCENE_SIZE

// The sky's colour in row y above the horizon.
inline Colour sky_colour(const Palette& palette, int y, int horizon) {
    const double t = y + 1 == horizon ? 1.0 : y * (1.0 / (horizon - 1));
    Colour colour;
    for (int c = 0; c < 3; c++) colour[c] = palette.sky_top[c] * (1 - t) + palette.sky_bottom[c] * t;
    return colour;
}

}  // namespace leon
