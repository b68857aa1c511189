// Places by their colours: a coarse search over all of them at a quarter of the size, then the horizon to the pixel.
#include "training/storybook/backdrop.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/check.h"
#include "training/storybook/palette.h"

namespace leon {
namespace {

constexpr int QUARTER = SCENE_SIZE / 4;
constexpr int FIRST_HORIZON = static_cast<int>(SCENE_SIZE * HORIZON_LOW) - 2;
constexpr int LAST_HORIZON = static_cast<int>(SCENE_SIZE * HORIZON_HIGH) + 2;
constexpr int HORIZON_ERROR = 12;    // of the coarse search, which takes hills for ground
constexpr float NEAR = 3 * 22 * 22;  // such pixels are taken for the backdrop when rows are moved onto the picture

struct Guess {
    Place place;
    int wall;  // of a room
    int horizon;
};

using Rows = std::array<std::array<float, 3>, SCENE_SIZE>;

// The colours of a place by rows: no noise, no hills, no clouds, stripes and joints as on average.
Rows rows_of(const Guess& guess) {
    const Palette& palette = palette_of(guess.place);
    const bool is_room = guess.place == Place::Room;
    Rows rows;
    for (int y = 0; y < SCENE_SIZE; y++) {
        Colour colour = palette.ground;
        double shift = 0;
        if (y < guess.horizon) {
            colour = sky_colour(palette, y, guess.horizon);
            if (is_room) {
                colour = y < guess.horizon - SKIRTING_HEIGHT ? WALLS[guess.wall] : SKIRTING;
                if (y < guess.horizon - SKIRTING_HEIGHT) shift = -STRIPE_DEPTH / STRIPE_PERIOD;
            }
        } else if (guess.place == Place::Beach && y < guess.horizon + SHORE_HEIGHT) {
            colour = SHORE_WATER;
        } else if (guess.place == Place::Sea) {
            shift = WAVE_HEIGHT * std::sin((y - guess.horizon) * WAVE_FREQUENCY);
        } else if (is_room) {
            shift = -((y - guess.horizon) % JOINT_PERIOD == 0 ? JOINT_DEPTH : 0);
        }
        for (int c = 0; c < 3; c++) rows[y][c] = static_cast<float>(colour[c] + shift);
    }
    return rows;
}

std::vector<Guess> all_guesses() {
    std::vector<Guess> guesses;
    for (int place = 0; place < PLACE_COUNT; place++)
        for (int wall = 0; wall < (static_cast<Place>(place) == Place::Room ? WALL_COUNT : 1); wall++)
            for (int horizon = FIRST_HORIZON; horizon <= LAST_HORIZON; horizon++)
                guesses.push_back({static_cast<Place>(place), wall, horizon});
    return guesses;
}

struct CoarseGuess {
    Guess guess;
    float rows[QUARTER][3];
};

const std::vector<CoarseGuess>& coarse_guesses() {
    static const std::vector<CoarseGuess> table = [] {
        std::vector<CoarseGuess> made;
        for (const Guess& guess : all_guesses()) {
            CoarseGuess coarse{guess, {}};
            const Rows rows = rows_of(guess);
            for (int y = 0; y < SCENE_SIZE; y++)
                for (int c = 0; c < 3; c++) coarse.rows[y / 4][c] += rows[y][c] / 4;
            made.push_back(coarse);
        }
        return made;
    }();
    return table;
}

double cost_of_rows(const std::vector<float>& rgb, int size, const float (*rows)[3]) {
    double cost = 0;
    for (int y = 0; y < size; y++) {
        float sum = 0;
        const float* pixel = rgb.data() + static_cast<size_t>(y) * size * 3;
        for (int x = 0; x < size; x++, pixel += 3) sum += distance(pixel, rows[y]);
        cost += sum;
    }
    return cost;
}

std::array<float, 3> hill_colour(const Palette& palette) {
    return {static_cast<float>(palette.hills[0]), static_cast<float>(palette.hills[1]),
            static_cast<float>(palette.hills[2])};
}

bool may_be_hill(const Palette& palette, int y, int horizon) {
    return palette.hill_height > 0 && y < horizon && y >= horizon - 2 - static_cast<int>(palette.hill_height);
}

double cost_with_hills(const std::vector<float>& rgb, const Rows& rows, const Palette& palette, int horizon) {
    const auto hills = hill_colour(palette);
    double cost = 0;
    for (int y = 0; y < SCENE_SIZE; y++) {
        const float* pixel = rgb.data() + static_cast<size_t>(y) * SCENE_SIZE * 3;
        const bool with_hills = may_be_hill(palette, y, horizon);
        for (int x = 0; x < SCENE_SIZE; x++, pixel += 3) {
            const float plain = distance(pixel, rows[y].data());
            cost += with_hills ? std::min(plain, distance(pixel, hills.data())) : plain;
        }
    }
    return cost;
}

// Row colours follow the pixels that are near them: what a tokenizer has shifted, or one place's ground is by chance.
void move_onto(Backdrop& backdrop, const std::vector<float>& rgb) {
    constexpr int REACH = 2;  // rows above and below that say how far
    std::vector<std::array<double, 4>> sums(SCENE_SIZE);
    for (int y = 0; y < SCENE_SIZE; y++)
        for (int x = 0; x < SCENE_SIZE; x++) {
            const size_t i = (static_cast<size_t>(y) * SCENE_SIZE + x) * 3;
            if (distance(&rgb[i], &backdrop.rgb[i]) >= NEAR) continue;
            for (int c = 0; c < 3; c++) sums[y][c] += rgb[i + c] - backdrop.rgb[i + c];
            sums[y][3] += 1;
        }
    for (int y = 0; y < SCENE_SIZE; y++) {
        std::array<double, 4> total{};
        for (int row = std::max(0, y - REACH); row <= std::min(SCENE_SIZE - 1, y + REACH); row++)
            for (int c = 0; c < 4; c++) total[c] += sums[row][c];
        for (int x = 0; x < SCENE_SIZE; x++)
            for (int c = 0; c < 3; c++)
                backdrop.rgb[(static_cast<size_t>(y) * SCENE_SIZE + x) * 3 + c] +=
                    static_cast<float>(total[c] / (total[3] + 4));
    }
}

}  // namespace

std::vector<float> halve(const std::vector<float>& values, int width, int height, int channels) {
    CHECK(width % 2 == 0 && height % 2 == 0 && values.size() == static_cast<size_t>(width) * height * channels);
    std::vector<float> out(values.size() / 4);
    const size_t row = static_cast<size_t>(width) * channels;
    float* to = out.data();
    for (int y = 0; y < height; y += 2)
        for (int x = 0; x < width; x += 2)
            for (int c = 0; c < channels; c++) {
                const float* from = values.data() + y * row + static_cast<size_t>(x) * channels + c;
                *to++ = (from[0] + from[channels] + from[row] + from[row + channels]) / 4;
            }
    return out;
}

Backdrop find_backdrop(const Picture& picture) {
    CHECK(picture.width == SCENE_SIZE && picture.height == SCENE_SIZE);
    const std::vector<float> rgb(picture.rgb.begin(), picture.rgb.end());
    const auto quarter = halve(halve(rgb, SCENE_SIZE, SCENE_SIZE, 3), SCENE_SIZE / 2, SCENE_SIZE / 2, 3);

    Guess best{};
    double best_cost = std::numeric_limits<double>::infinity();
    for (const CoarseGuess& coarse : coarse_guesses()) {
        const double cost = cost_of_rows(quarter, QUARTER, coarse.rows);
        if (cost < best_cost) best = coarse.guess, best_cost = cost;
    }
    Rows rows{};
    const Palette& palette = palette_of(best.place);
    const int coarse_horizon = best.horizon;
    best_cost = std::numeric_limits<double>::infinity();
    for (int horizon = coarse_horizon - HORIZON_ERROR; horizon <= coarse_horizon + HORIZON_ERROR; horizon++) {
        const Rows candidate = rows_of({best.place, best.wall, horizon});
        const double cost = cost_with_hills(rgb, candidate, palette, horizon);
        if (cost < best_cost) rows = candidate, best.horizon = horizon, best_cost = cost;
    }

    Backdrop out;
    out.place = best.place;
    out.horizon = best.horizon;
    out.fit = 1 - best_cost / (static_cast<double>(DIFFERENT) * SCENE_SIZE * SCENE_SIZE);
    out.rgb.resize(rgb.size());
    const auto hills = hill_colour(palette);
    for (int y = 0; y < SCENE_SIZE; y++) {
        const bool on_wall = best.place == Place::Room && y < best.horizon - SKIRTING_HEIGHT;
        for (int x = 0; x < SCENE_SIZE; x++) {
            const size_t i = (static_cast<size_t>(y) * SCENE_SIZE + x) * 3;
            const bool is_hill = may_be_hill(palette, y, best.horizon) &&
                                 distance(&rgb[i], hills.data()) < distance(&rgb[i], rows[y].data());
            const float stripe = on_wall && x % STRIPE_PERIOD == 0 ? static_cast<float>(STRIPE_DEPTH) : 0;
            for (int c = 0; c < 3; c++) out.rgb[i + c] = (is_hill ? hills : rows[y])[c] - stripe;
        }
    }
    move_onto(out, rgb);
    return out;
}

}  // namespace leon
