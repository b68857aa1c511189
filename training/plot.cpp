// Lines and letters into pixels; see plot.h.
#include "training/plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "training/storybook/sign_fonts.h"
#include "training/training_log.h"

namespace leon {
namespace {

using Colour = std::array<uint8_t, 3>;
constexpr Colour INK = {40, 40, 48}, GRID = {226, 226, 232};
// Well apart in hue and lightness; they begin anew after the last.
constexpr Colour COLOURS[] = {{31, 119, 180}, {214, 39, 40},   {44, 160, 44}, {255, 127, 14}, {148, 103, 189},
                              {140, 86, 75},  {227, 119, 194}, {90, 90, 90},  {188, 189, 34}, {23, 190, 207},
                              {0, 60, 130},   {120, 0, 20},    {0, 90, 40},   {160, 90, 0},   {70, 30, 110}};

// 5x7, in the manner of sign_fonts.h: 0-9 . - ( )
constexpr const char* DIGITS[] = {
    ".###. ..#.. .###. ####. ...#. ##### .###. ##### .###. .###. ..... ..... ...#. .#...",
    "#...# .##.. #...# ....# ..##. #.... #.... ....# #...# #...# ..... ..... ..#.. ..#..",
    "#..## ..#.. ....# ....# .#.#. ####. #.... ...#. #...# #...# ..... ..... .#... ...#.",
    "#.#.# ..#.. ..##. .###. #..#. ....# ####. ..#.. .###. .#### ..... .###. .#... ...#.",
    "##..# ..#.. .#... ....# ##### ....# #...# ..#.. #...# ....# ..... ..... .#... ...#.",
    "#...# ..#.. #.... ....# ...#. #...# #...# ..#.. #...# ....# .##.. ..... ..#.. ..#..",
    ".###. .###. ##### ####. ...#. .###. .###. ..#.. .###. .###. .##.. ..... ...#. .#...",
};
constexpr std::string_view DIGIT_ORDER = "0123456789.-()";
constexpr int GLYPH_WIDTH = 5, GLYPH_HEIGHT = 7, LETTER = GLYPH_WIDTH + 1;

struct Canvas {
    Picture picture;

    void dot(int x, int y, const Colour& c) {
        if (x < 0 || y < 0 || x >= picture.width || y >= picture.height) return;
        for (int i = 0; i < 3; i++) picture.rgb[(static_cast<size_t>(y) * picture.width + x) * 3 + i] = c[i];
    }
    void line(double x0, double y0, double x1, double y1, const Colour& c, bool bold) {
        const int steps = static_cast<int>(std::ceil(std::max({std::abs(x1 - x0), std::abs(y1 - y0), 1.0})));
        for (int i = 0; i <= steps; i++) {
            const int x = static_cast<int>(std::lround(x0 + (x1 - x0) * i / steps));
            const int y = static_cast<int>(std::lround(y0 + (y1 - y0) * i / steps));
            dot(x, y, c);
            if (!bold) continue;
            dot(x + 1, y, c);
            dot(x, y + 1, c);
            dot(x + 1, y + 1, c);
        }
    }
    void text(int x, int y, const std::string& text, const Colour& c) {
        for (size_t i = 0; i < text.size(); i++) glyph(x + static_cast<int>(i) * LETTER, y, text[i], c);
    }

private:
    void glyph(int x, int y, char letter, const Colour& c) {
        const char upper = letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 32) : letter;
        const size_t digit = DIGIT_ORDER.find(letter);
        for (int row = 0; row < GLYPH_HEIGHT; row++) {
            const char* from = nullptr;
            if (upper >= 'A' && upper <= 'Z') {
                const int at = upper - 'A';  // two lines of thirteen letters
                from = THIN_5X7[row + (at >= 13 ? GLYPH_HEIGHT : 0)] + at % 13 * LETTER;
            } else if (digit != std::string_view::npos) {
                from = DIGITS[row] + static_cast<int>(digit) * LETTER;
            }
            for (int col = 0; from && col < GLYPH_WIDTH; col++)
                if (from[col] == '#') dot(x + col, y + row, c);
        }
    }
};

struct Range {
    double low = INFINITY, high = -INFINITY;
    void add(double value) {
        low = std::min(low, value);
        high = std::max(high, value);
    }
    void widen() {
        if (!(low <= high)) low = high = 0;
        if (low == high) low -= 0.5, high += 0.5;
    }
};

// 1, 2 or 5 times a power of ten, so that `range` holds four to nine of it.
double round_step(const Range& range) {
    const double raw = (range.high - range.low) / 5, power = std::pow(10, std::floor(std::log10(raw)));
    for (double factor : {1.0, 2.0, 5.0})
        if (factor * power >= raw * 0.999) return factor * power;
    return 10 * power;
}

std::string number_text(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", std::abs(value) < 1e-12 ? 0 : value);
    return text;
}

// Means of so many neighbours that about `points` remain.
std::vector<std::pair<double, double>> thinned(const std::vector<std::pair<double, double>>& all, size_t points) {
    const size_t each = std::max<size_t>(1, all.size() / points);
    std::vector<std::pair<double, double>> means;
    for (size_t i = 0; i < all.size(); i += each) {
        const size_t end = std::min(all.size(), i + each);
        double x = 0, y = 0;
        for (size_t j = i; j < end; j++) x += all[j].first, y += all[j].second;
        means.emplace_back(x / static_cast<double>(end - i), y / static_cast<double>(end - i));
    }
    return means;
}

}  // namespace

Picture plot(const std::string& title, const std::vector<Curve>& curves, int width, int height) {
    Canvas canvas;
    canvas.picture.width = width;
    canvas.picture.height = height;
    canvas.picture.rgb.assign(static_cast<size_t>(width) * height * 3, 255);

    Range x_range, y_range;
    size_t longest = 0;
    for (const Curve& curve : curves) {
        for (const auto& [x, y] : curve.points) {
            x_range.add(x);
            y_range.add(y);
        }
        if (!curve.points.empty()) longest = std::max(longest, curve.name.size());
    }
    x_range.widen();
    y_range.widen();

    const int left = 9 * LETTER, top = 24, bottom = height - 24;
    const int right = width - static_cast<int>(longest) * LETTER - 24;
    const auto at_x = [&](double x) {
        return left + (x - x_range.low) / (x_range.high - x_range.low) * (right - left);
    };
    const auto at_y = [&](double y) {
        return bottom - (y - y_range.low) / (y_range.high - y_range.low) * (bottom - top);
    };

    const double y_step = round_step(y_range), x_step = round_step(x_range);
    for (double y = std::ceil(y_range.low / y_step) * y_step; y <= y_range.high + y_step * 1e-6; y += y_step) {
        canvas.line(left, at_y(y), right, at_y(y), GRID, false);
        const std::string text = number_text(y);
        canvas.text(left - 6 - static_cast<int>(text.size()) * LETTER, static_cast<int>(at_y(y)) - 3, text, INK);
    }
    for (double x = std::ceil(x_range.low / x_step) * x_step; x <= x_range.high + x_step * 1e-6; x += x_step) {
        canvas.line(at_x(x), top, at_x(x), bottom, GRID, false);
        const std::string text = number_text(x);
        canvas.text(static_cast<int>(at_x(x)) - static_cast<int>(text.size()) * LETTER / 2, bottom + 8, text, INK);
    }
    canvas.line(left, top, left, bottom, INK, false);
    canvas.line(left, bottom, right, bottom, INK, false);
    canvas.text(left, 8, title, INK);

    size_t shown = 0;
    for (const Curve& curve : curves) {
        if (curve.points.empty()) continue;
        const Colour& colour = COLOURS[shown % std::size(COLOURS)];
        for (size_t i = 0; i + 1 < curve.points.size(); i++)
            canvas.line(at_x(curve.points[i].first), at_y(curve.points[i].second), at_x(curve.points[i + 1].first),
                        at_y(curve.points[i + 1].second), colour, curve.bold);
        const int y = top + static_cast<int>(shown) * (GLYPH_HEIGHT + 5);
        canvas.line(right + 8, y + 3, right + 16, y + 3, colour, true);
        canvas.text(right + 20, y, curve.name, INK);
        shown++;
    }
    return canvas.picture;
}

void plot_log(const std::string& log_path, const std::string& png_path) {
    const LogTable table = read_log(log_path);
    const int steps = table.find("step");
    std::vector<Curve> curves;
    for (size_t c = 0; c < table.columns.size(); c++) {
        const std::string& name = table.columns[c];
        const bool held_out = name.starts_with("held out ");
        if (name != "loss" && !name.starts_with("loss ") && !held_out) continue;
        Curve curve{name, {}, held_out};
        for (size_t row = 0; row < table.values[c].size(); row++)
            if (table.values[c][row] && table.values[steps][row])
                curve.points.emplace_back(*table.values[steps][row], *table.values[c][row]);
        if (!held_out) curve.points = thinned(curve.points, 200);
        curves.push_back(curve);
    }
    save_picture(png_path, plot("loss in nats a token by step", curves, 1000, 560));
}

}  // namespace leon
