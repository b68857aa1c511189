// The eight places. Everything is painted in double and cut to 8 bits at the end; noise and its mean are float32, as
// the reference has them, down to the order in which the mean is added up.
#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "training/storybook/painting.h"
#include "training/storybook/palette.h"
#include "training/storybook/scene.h"

namespace leon {
namespace {

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

void paint_sky(Canvas& canvas, int horizon, const Palette& palette) {
    for (int y = 0; y < horizon; y++) canvas.fill_rows(y, y + 1, sky_colour(palette, y, horizon));
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
        const double lift = WAVE_HEIGHT * std::sin((y - from) * WAVE_FREQUENCY);
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
    const Colour floor = palette_of(Place::Room).ground;
    Colour wall = WALLS[random.integers(0, WALL_COUNT)], stripe = wall, joint = floor;
    for (double& value : stripe) value -= STRIPE_DEPTH;
    for (double& value : joint) value -= JOINT_DEPTH;
    for (int y = 0; y < horizon; y++)
        for (int x = 0; x < SCENE_SIZE; x++) canvas.set(x, y, x % STRIPE_PERIOD == 0 ? stripe : wall);
    canvas.fill_rows(horizon, SCENE_SIZE, floor);
    for (int y = horizon; y < SCENE_SIZE; y += JOINT_PERIOD) canvas.fill_rows(y, y + 1, joint);
    canvas.fill_rows(horizon - SKIRTING_HEIGHT, horizon, SKIRTING);
}

}  // namespace

Background background(Place place, NumpyRandom& random) {
    const Palette& palette = palette_of(place);
    Background out;
    out.place = place;
    out.horizon = static_cast<int>(SCENE_SIZE * random.uniform(HORIZON_LOW, HORIZON_HIGH));
    out.shore = out.horizon + (place == Place::Beach ? SHORE_HEIGHT : 0);
    Canvas canvas;
    if (place == Place::Room) {
        paint_room(canvas, random, out.horizon);
    } else {
        paint_sky(canvas, out.horizon, palette);
        if (palette.has_clouds) paint_clouds(canvas, random, out.horizon);
        if (place == Place::Night) paint_stars(canvas, random, out.horizon);
        if (palette.hill_height > 0) paint_hills(canvas, random, out.horizon, palette.hills, palette.hill_height);
        canvas.fill_rows(out.horizon, out.shore, SHORE_WATER);
        paint_ground(canvas, random, out.shore, palette.ground, palette.ground_noise);
        if (place == Place::Sea) paint_waves(canvas, out.horizon);
    }
    out.picture = Picture(SCENE_SIZE, SCENE_SIZE);
    std::transform(canvas.values.begin(), canvas.values.end(), out.picture.rgb.begin(),
                   [](double value) { return static_cast<uint8_t>(std::clamp(value, 0.0, 255.0)); });
    return out;
}

}  // namespace leon
