// The eight places. Everything is painted in double and cut to 8 bits at the end; noise and its mean are float32, as
// the reference has them, down to the order in which the mean is added up.
#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "training/storybook/painting.h"
#include "training/storybook/scene.h"

namespace leon {
namespace {

using Colour = std::array<double, 3>;

struct Canvas {
    std::vector<double> values = std::vector<double>(static_cast<size_t>(SCENE_SIZE) * SCENE_SIZE * 3);

    double* at(int x, int y) { return values.data() + (static_cast<size_t>(y) * SCENE_SIZE + x) * 3; }
    void set(int x, int y, const Colour& colour) { std::copy(colour.begin(), colour.end(), at(x, y)); }
    void fill_rows(int from, int to, const Colour& colour) {
        for (int y = from; y < to; y++)
            for (int x = 0; x < SCENE_SIZE; x++) set(x, y, colour);
    }
};

std::vector<float> noise(NumpyRandom& random, int height, int cells) {
    std::vector<float> grid(static_cast<size_t>(cells + 1) * (cells + 1));
    for (float& value : grid) value = static_cast<float>(random.random());
    return resize_floats(grid, cells + 1, cells + 1, SCENE_SIZE, height);
}

// numpy's sum of float32: halves of halves, and eight running sums in pieces of at most 128.
float pairwise_sum(std::span<const float> values) {
    const size_t count = values.size();
    if (count < 8) {
        float sum = 0;
        for (float value : values) sum += value;
        return sum;
    }
    if (count <= 128) {
        float r[8];
        std::copy_n(values.begin(), 8, r);
        size_t i = 8;
        for (; i + 8 <= count; i += 8)
            for (size_t j = 0; j < 8; j++) r[j] += values[i + j];
        float sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
        for (; i < count; i++) sum += values[i];
        return sum;
    }
    const size_t half = count / 2 - count / 2 % 8;
    return pairwise_sum(values.first(half)) + pairwise_sum(values.subspan(half));
}

void paint_sky(Canvas& canvas, int horizon, const Colour& top, const Colour& bottom) {
    const double step = 1.0 / (horizon - 1);
    for (int y = 0; y < horizon; y++) {
        const double t = y + 1 == horizon ? 1.0 : y * step;
        Colour colour;
        for (int c = 0; c < 3; c++) colour[c] = top[c] * (1 - t) + bottom[c] * t;
        canvas.fill_rows(y, y + 1, colour);
    }
}

// From row `from` down: a colour with coarse and fine noise.
void paint_ground(Canvas& canvas, NumpyRandom& random, int from, const Colour& base, float amplitude) {
    const int height = SCENE_SIZE - from;
    std::vector<float> values = noise(random, height, 4);
    const std::vector<float> fine = noise(random, height, 10);
    for (size_t i = 0; i < values.size(); i++) values[i] += fine[i] / 2;
    const float mean = pairwise_sum(values) / static_cast<float>(values.size());
    double* out = canvas.at(0, from);
    for (float value : values)
        for (int c = 0; c < 3; c++) *out++ = base[c] + (value - mean) * amplitude;
}

void paint_clouds(Canvas& canvas, NumpyRandom& random, int horizon) {
    Mask mask(SCENE_SIZE, horizon);
    for (int cloud = 0; cloud < 2; cloud++) {
        const int x = random.integers(14, SCENE_SIZE - 14);
        const int y = random.integers(6, std::max(7, static_cast<int>(horizon * .6)));
        for (int puff = 0; puff < 4; puff++) {
            const int r = random.integers(4, 9), dx = random.integers(-10, 11);
            fill_ellipse(mask, x + dx - r, y - r * .6, x + dx + r, y + r * .6, 230);
        }
    }
    gaussian_blur(mask, {0, 0, SCENE_SIZE, horizon}, 1.6f);
    double* out = canvas.at(0, 0);
    for (uint8_t value : mask.values) {
        const double m = value / 255.0;
        for (int c = 0; c < 3; c++, out++) *out = *out * (1 - m) + 250 * m;
    }
}

void paint_hills(Canvas& canvas, NumpyRandom& random, int horizon, const Colour& colour, double amplitude) {
    constexpr double WAVES[3][2] = {{.03, 1}, {.08, .5}, {.19, .2}};  // frequency, height
    std::array<double, SCENE_SIZE> heights{};
    for (const auto& [frequency, height] : WAVES) {
        const double phase = random.uniform(0, 6.28);
        for (int x = 0; x < SCENE_SIZE; x++) heights[x] += std::sin(x * frequency + phase) * height;
    }
    const auto [low, high] = std::minmax_element(heights.begin(), heights.end());
    const double bottom = *low, range = *high - *low + 1e-6;
    for (int x = 0; x < SCENE_SIZE; x++) {
        const int top = horizon - static_cast<int>(2 + amplitude * ((heights[x] - bottom) / range));
        for (int y = top; y < horizon; y++) canvas.set(x, y, colour);
    }
}

void paint_waves(Canvas& canvas, int from) {
    for (int y = from; y < SCENE_SIZE; y++) {
        const double lift = 7 * std::sin((y - from) * .8);
        for (double* value = canvas.at(0, y); value != canvas.at(0, y) + SCENE_SIZE * 3; value++) *value += lift;
    }
}

void paint_stars(Canvas& canvas, NumpyRandom& random, int horizon) {
    for (int star = 0; star < 26; star++) {
        const double light = random.integers(150, 240);
        const int y = random.integers(0, horizon - 14), x = random.integers(0, SCENE_SIZE);
        canvas.set(x, y, {light, light, light});
    }
}

void paint_room(Canvas& canvas, NumpyRandom& random, int horizon) {
    constexpr Colour WALLS[] = {{214, 190, 160}, {170, 200, 190}, {200, 180, 210}, {240, 220, 170}};
    Colour wall = WALLS[random.integers(0, 4)], stripe = wall, floor = {150, 100, 60}, joint = floor;
    for (double& value : stripe) value -= 14;
    for (double& value : joint) value -= 26;
    for (int y = 0; y < horizon; y++)
        for (int x = 0; x < SCENE_SIZE; x++) canvas.set(x, y, x % 16 == 0 ? stripe : wall);
    canvas.fill_rows(horizon, SCENE_SIZE, floor);
    for (int y = horizon; y < SCENE_SIZE; y += 9) canvas.fill_rows(y, y + 1, joint);
    canvas.fill_rows(horizon - 3, horizon, {245, 240, 230});  // the skirting board
}

}  // namespace

Background background(Place place, NumpyRandom& random) {
    Background out;
    out.place = place;
    const int horizon = static_cast<int>(SCENE_SIZE * random.uniform(.47, .58));
    out.horizon = out.shore = horizon;
    Canvas canvas;
    switch (place) {
        case Place::Meadow:
            paint_sky(canvas, horizon, {96, 170, 240}, {190, 224, 250});
            paint_clouds(canvas, random, horizon);
            paint_hills(canvas, random, horizon, {88, 140, 90}, 10);
            paint_ground(canvas, random, horizon, {104, 168, 62}, 16);
            break;
        case Place::Beach:
            out.shore = horizon + 16;
            paint_sky(canvas, horizon, {90, 180, 245}, {205, 235, 250});
            paint_clouds(canvas, random, horizon);
            canvas.fill_rows(horizon, out.shore, {44, 132, 190});
            paint_ground(canvas, random, out.shore, {232, 206, 150}, 12);
            break;
        case Place::Sea:
            paint_sky(canvas, horizon, {110, 190, 245}, {215, 238, 250});
            paint_clouds(canvas, random, horizon);
            paint_ground(canvas, random, horizon, {30, 110, 180}, 10);
            paint_waves(canvas, horizon);
            break;
        case Place::Night:
            paint_sky(canvas, horizon, {8, 10, 40}, {40, 44, 100});
            paint_stars(canvas, random, horizon);
            paint_hills(canvas, random, horizon, {18, 24, 44}, 10);
            paint_ground(canvas, random, horizon, {30, 58, 44}, 10);
            break;
        case Place::Desert:
            paint_sky(canvas, horizon, {120, 185, 235}, {248, 226, 180});
            paint_hills(canvas, random, horizon, {190, 128, 80}, 16);
            paint_ground(canvas, random, horizon, {222, 170, 98}, 14);
            break;
        case Place::Snow:
            paint_sky(canvas, horizon, {150, 180, 215}, {220, 230, 240});
            paint_hills(canvas, random, horizon, {172, 190, 210}, 18);
            paint_ground(canvas, random, horizon, {238, 243, 250}, 8);
            break;
        case Place::Sunset:
            paint_sky(canvas, horizon, {70, 40, 110}, {255, 150, 70});
            paint_hills(canvas, random, horizon, {70, 40, 60}, 10);
            paint_ground(canvas, random, horizon, {96, 84, 48}, 12);
            break;
        case Place::Room:
            paint_room(canvas, random, horizon);
            break;
    }
    out.picture = Picture(SCENE_SIZE, SCENE_SIZE);
    std::transform(canvas.values.begin(), canvas.values.end(), out.picture.rgb.begin(),
                   [](double value) { return static_cast<uint8_t>(std::clamp(value, 0.0, 255.0)); });
    return out;
}

}  // namespace leon
