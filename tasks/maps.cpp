// Canny's edges as OpenCV computes them, and sketches made of them; see maps.h.
#include "tasks/maps.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "kernels/check.h"

namespace leon {
namespace {

constexpr int LARGEST_GRADIENT = 2 * 4 * 255;  // |dx| + |dy| of 8-bit levels: each weighs (1 2 1) x one step
constexpr int FINE = 16;                       // blurred levels are kept in sixteenths; their gradient fits 16 bits

// The Sobel gradient and its L1 magnitude, with the border repeated.
struct Gradient {
    size_t width, height;
    std::vector<int16_t> dx, dy, magnitude;  // [height, width]

    Gradient(size_t w, size_t h) : width(w), height(h), dx(w * h), dy(w * h), magnitude(w * h, -1) {}
    int magnitude_at(int64_t x, int64_t y) const {  // 0 outside
        const bool inside = x >= 0 && y >= 0 && x < static_cast<int64_t>(width) && y < static_cast<int64_t>(height);
        return inside ? magnitude[static_cast<size_t>(y) * width + static_cast<size_t>(x)] : 0;
    }
};

// Puts in the gradient of one plane wherever it is larger than what is there; value(x, y) is the plane.
template <class Value>
void take_larger(Gradient& gradient, const Value& value) {
    for (size_t y = 0; y < gradient.height; y++) {
        const size_t above = y > 0 ? y - 1 : 0, below = std::min(y + 1, gradient.height - 1);
        for (size_t x = 0; x < gradient.width; x++) {
            const size_t left = x > 0 ? x - 1 : 0, right = std::min(x + 1, gradient.width - 1);
            const int dx = value(right, above) - value(left, above) + 2 * (value(right, y) - value(left, y)) +
                           value(right, below) - value(left, below);
            const int dy = value(left, below) - value(left, above) + 2 * (value(x, below) - value(x, above)) +
                           value(right, below) - value(right, above);
            const int magnitude = std::abs(dx) + std::abs(dy);
            const size_t i = y * gradient.width + x;
            if (magnitude <= gradient.magnitude[i]) continue;
            gradient.dx[i] = static_cast<int16_t>(dx);
            gradient.dy[i] = static_cast<int16_t>(dy);
            gradient.magnitude[i] = static_cast<int16_t>(magnitude);
        }
    }
}

// Is the pixel a ridge of the magnitude across its edge? One side may be as high, so that of two equals one stays.
bool is_ridge(const Gradient& g, size_t px, size_t py) {
    constexpr int SHIFT = 15, TAN_22_5 = 13573;  // tan(22.5 degrees) in 15-bit fixed point; tan(67.5) = tan(22.5) + 2
    const size_t i = py * g.width + px;
    const int64_t x = static_cast<int64_t>(px), y = static_cast<int64_t>(py);
    const int magnitude = g.magnitude[i], dx = g.dx[i], dy = g.dy[i];
    const int across = std::abs(dx) * TAN_22_5, along = std::abs(dy) << SHIFT;
    if (along < across) return magnitude > g.magnitude_at(x - 1, y) && magnitude >= g.magnitude_at(x + 1, y);
    if (along > across + (std::abs(dx) << (SHIFT + 1)))
        return magnitude > g.magnitude_at(x, y - 1) && magnitude >= g.magnitude_at(x, y + 1);
    const int s = (dx ^ dy) < 0 ? -1 : 1;
    return magnitude > g.magnitude_at(x - s, y - 1) && magnitude > g.magnitude_at(x + s, y + 1);
}

// The pixels of `set` that are connected with `start` over eight neighbours, which leave the set.
std::vector<size_t> take_connected(std::vector<uint8_t>& set, size_t start, size_t width, size_t height) {
    std::vector<size_t> taken{start};
    set[start] = 0;
    for (size_t next = 0; next < taken.size(); next++) {
        const size_t x = taken[next] % width, y = taken[next] / width;
        for (size_t ny = y > 0 ? y - 1 : 0; ny <= std::min(y + 1, height - 1); ny++)
            for (size_t nx = x > 0 ? x - 1 : 0; nx <= std::min(x + 1, width - 1); nx++)
                if (const size_t i = ny * width + nx; set[i]) {
                    set[i] = 0;
                    taken.push_back(i);
                }
    }
    return taken;
}

// Non-maximum suppression and hysteresis. Groups of connected edge pixels, each in no particular order.
std::vector<std::vector<size_t>> trace(const Gradient& gradient, int low, int high) {
    std::vector<uint8_t> ridges(gradient.magnitude.size());
    std::vector<size_t> strong;
    for (size_t y = 0; y < gradient.height; y++)
        for (size_t x = 0; x < gradient.width; x++) {
            const size_t i = y * gradient.width + x;
            if (gradient.magnitude[i] <= low || !is_ridge(gradient, x, y)) continue;
            ridges[i] = 1;
            if (gradient.magnitude[i] > high) strong.push_back(i);
        }
    std::vector<std::vector<size_t>> lines;
    for (size_t i : strong)
        if (ridges[i]) lines.push_back(take_connected(ridges, i, gradient.width, gradient.height));
    return lines;
}

void whiten(Picture& map, size_t pixel) {
    std::fill_n(&map.rgb[pixel * 3], 3, uint8_t{255});
}

// Levels blurred by a Gaussian, in sixteenths, the border repeated; columns, then rows.
std::vector<int16_t> blurred(const std::vector<uint8_t>& levels, int width, int height, double sigma) {
    const int reach = static_cast<int>(std::ceil(3 * sigma));
    std::vector<double> weights;
    double sum = 0;
    for (int d = -reach; d <= reach; d++) sum += weights.emplace_back(std::exp(-d * d / (2 * sigma * sigma)));
    for (double& weight : weights) weight /= sum;

    const size_t columns = static_cast<size_t>(width);
    std::vector<int16_t> out(levels.size());
    std::vector<double> row(columns);
    for (int y = 0; y < height; y++) {
        std::fill(row.begin(), row.end(), 0);
        for (int d = -reach; d <= reach; d++) {
            const uint8_t* line = &levels[static_cast<size_t>(std::clamp(y + d, 0, height - 1)) * columns];
            for (size_t x = 0; x < columns; x++) row[x] += weights[static_cast<size_t>(d + reach)] * line[x];
        }
        for (int x = 0; x < width; x++) {
            double value = 0;
            for (int d = -reach; d <= reach; d++)
                value +=
                    weights[static_cast<size_t>(d + reach)] * row[static_cast<size_t>(std::clamp(x + d, 0, width - 1))];
            out[static_cast<size_t>(y) * columns + static_cast<size_t>(x)] =
                static_cast<int16_t>(std::lround(value * FINE));
        }
    }
    return out;
}

// Everything within `radius` of pixel `centre`.
void dab(Picture& map, size_t centre, double radius) {
    const int x = static_cast<int>(centre % static_cast<size_t>(map.width));
    const int y = static_cast<int>(centre / static_cast<size_t>(map.width));
    const int reach = static_cast<int>(radius);
    for (int row = std::max(y - reach, 0); row <= std::min(y + reach, map.height - 1); row++) {
        const int half = static_cast<int>(std::sqrt(radius * radius - (row - y) * (row - y)));
        const int from = std::max(x - half, 0), to = std::min(x + half, map.width - 1);
        std::fill(map.at(from, row), map.at(to, row) + 3, uint8_t{255});
    }
}

void check(const EdgeRule& rule) {
    if (rule.low < 0 || rule.high > LARGEST_GRADIENT || rule.low > rule.high)
        throw Error("the thresholds are " + std::to_string(rule.low) + " and " + std::to_string(rule.high),
                    "--low, --high", "they must rise, from 0 to " + std::to_string(LARGEST_GRADIENT));
}

}  // namespace

MapKind parse_map_kind(const std::string& name) {
    if (name == "edges") return MapKind::Edges;
    if (name == "scribble") return MapKind::Scribble;
    if (name == "segmentation")
        throw Error("a segmentation map is drawn by the model", "--kind segmentation", "use leon segment");
    for (const char* estimated : {"depth", "pose", "hed", "normals", "lines"})
        if (name == estimated)
            throw Error("such a map needs a trained network of its own, which leon does not have", "--kind " + name,
                        "make it with another program and give that picture to leon draw --layout");
    throw Error("there is no such map", "--kind " + name, "leon computes edges and scribble");
}

std::vector<uint8_t> grey_levels(const Picture& picture) {
    std::vector<uint8_t> grey(picture.rgb.size() / 3);
    for (size_t i = 0; i < grey.size(); i++) {
        const uint8_t* rgb = &picture.rgb[i * 3];
        grey[i] = static_cast<uint8_t>((9798 * rgb[0] + 19235 * rgb[1] + 3735 * rgb[2] + (1 << 14)) >> 15);
    }
    return grey;
}

Picture edge_map(const Picture& picture, const EdgeRule& rule) {
    check(rule);
    const size_t width = static_cast<size_t>(picture.width);
    Gradient gradient(width, static_cast<size_t>(picture.height));
    if (rule.gradient == GradientOf::Grey) {
        const std::vector<uint8_t> grey = grey_levels(picture);
        take_larger(gradient, [&](size_t x, size_t y) { return int{grey[y * width + x]}; });
    } else {
        for (size_t c = 0; c < 3; c++)  // of equals, the first channel counts
            take_larger(gradient, [&](size_t x, size_t y) { return int{picture.rgb[(y * width + x) * 3 + c]}; });
    }
    Picture map(picture.width, picture.height);
    for (const auto& line : trace(gradient, rule.low, rule.high))
        for (size_t pixel : line) whiten(map, pixel);
    return map;
}

Picture scribble_map(const Picture& picture, const EdgeRule& rule) {
    check(rule);
    if (rule.gradient != GradientOf::Grey)
        throw Error("a scribble is made of grey levels", "--gradient strongest", "leave it out, or ask for edges");
    const double s = std::max(1.0, std::min(picture.width, picture.height) / 128.0);
    const std::vector<int16_t> soft = blurred(grey_levels(picture), picture.width, picture.height, 1.5 * s);
    const size_t width = static_cast<size_t>(picture.width);
    Gradient gradient(width, static_cast<size_t>(picture.height));
    take_larger(gradient, [&](size_t x, size_t y) { return int{soft[y * width + x]}; });
    const auto flattened = [&](int threshold) { return static_cast<int>(std::lround(threshold * FINE / (2 * s))); };
    Picture map(picture.width, picture.height);
    for (const auto& line : trace(gradient, flattened(rule.low), flattened(rule.high)))
        if (static_cast<double>(line.size()) >= 12 * s)
            for (size_t pixel : line) dab(map, pixel, 0.9 * s + 0.5);
    return map;
}

}  // namespace leon
