// Pillow's ellipse, blur and float resampling. Integers where it has integers, float where it has float: a picture that
// differs by one grey level in one pixel would be another scene.
#include "training/storybook/painting.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"

namespace leon {
namespace {

// One quarter of an ellipse with the half axes a and b, in half pixels: from (a, b mod 2) upward to (a mod 2, b), in
// steps of one pixel to the neighbour that lies nearest to the curve.
class QuarterWalk {
public:
    QuarterWalk(int a, int b) : a2_(int64_t{a} * a), b2_(int64_t{b} * b), x_(a), y_(b % 2), end_x_(a % 2), end_y_(b) {}

    int x() const { return x_; }
    int y() const { return y_; }
    bool at_end() const { return x_ == end_x_ && y_ == end_y_; }

    void step() {
        int x = x_, y = y_ + 2;
        if (x_ > 1) {
            if (distance(x, y) > distance(x_ - 2, y_ + 2)) x = x_ - 2;
            if (distance(x, y) > distance(x_ - 2, y_)) x = x_ - 2, y = y_;
        }
        x_ = x;
        y_ = y;
    }

private:
    int64_t distance(int64_t x, int64_t y) const { return std::abs(a2_ * y * y + b2_ * x * x - a2_ * b2_); }

    int64_t a2_, b2_;
    int x_, y_, end_x_, end_y_;
};

void fill_row(Mask& mask, int x0, int x1, int y, uint8_t fill) {
    if (y < 0 || y >= mask.height) return;
    x0 = std::max(x0, 0);
    x1 = std::min(x1, mask.width - 1);
    if (x0 <= x1) std::fill(mask.row(y) + x0, mask.row(y) + x1 + 1, fill);
}

// The box whose three passes come nearest to the Gaussian; all in float32, as there.
float box_radius(float sigma) {
    const float variance = sigma * sigma / 3;
    const float length = static_cast<float>(std::sqrt(12.0 * variance + 1.0));
    const float whole = static_cast<float>(std::floor((length - 1.0) / 2.0));
    float fraction = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
    fraction /= 6 * (variance - (whole + 1) * (whole + 1));
    return whole + fraction;
}

// A running sum over 2 radius + 1 samples with full weight and one more on each side with a fraction of it: 24 bits.
struct BoxFilter {
    int radius;
    uint32_t full, edge;

    explicit BoxFilter(float sigma) {
        const float exact = box_radius(sigma);
        radius = static_cast<int>(exact);
        full = static_cast<uint32_t>((1 << 24) / (exact * 2 + 1));
        edge = ((1 << 24) - static_cast<uint32_t>(radius * 2 + 1) * full) / 2;
    }

    // line [count] in place; `padded` is scratch for count + 2 radius + 2
    void apply(uint8_t* line, int count, std::vector<uint8_t>& padded) const {
        const int reach = radius + 1;
        padded.resize(static_cast<size_t>(count + 2 * reach));
        std::fill_n(padded.begin(), reach, line[0]);
        std::copy_n(line, count, padded.begin() + reach);
        std::fill_n(padded.begin() + reach + count, reach, line[count - 1]);
        uint32_t sum = 0;
        for (int t = 1; t <= 2 * radius; t++) sum += padded[t];
        for (int i = 0; i < count; i++) {
            sum += padded[i + 2 * radius + 1];
            const uint32_t far = uint32_t{padded[i]} + padded[i + 2 * radius + 2];
            line[i] = static_cast<uint8_t>((sum * full + far * edge + (1 << 23)) >> 24);
            sum -= padded[i + 1];
        }
    }
};

double bicubic(double x) {  // Keys, a = -0.5
    const double a = std::abs(x);
    if (a < 1.0) return (1.5 * a - 2.5) * a * a + 1.0;
    if (a < 2.0) return (((a - 5.0) * a + 8.0) * a - 4.0) * -0.5;
    return 0.0;
}

// Going up only: the window of output i is the (at most) five inputs from first on.
struct Window {
    int first, count;
    double weights[5];
};

std::vector<Window> windows(int in_size, int size) {
    CHECK(size >= in_size);
    std::vector<Window> result(size);
    const double scale = static_cast<double>(in_size) / size;
    for (int i = 0; i < size; i++) {
        const double centre = (i + 0.5) * scale;
        Window& window = result[i];
        window.first = std::max(0, static_cast<int>(centre - 2.0 + 0.5));
        window.count = std::min(in_size, static_cast<int>(centre + 2.0 + 0.5)) - window.first;
        double sum = 0;
        for (int t = 0; t < window.count; t++) sum += window.weights[t] = bicubic(t + window.first - centre + 0.5);
        for (int t = 0; t < window.count; t++) window.weights[t] /= sum;
    }
    return result;
}

}  // namespace

void fill_ellipse(Mask& mask, double x0, double y0, double x1, double y1, uint8_t fill) {
    const int left = static_cast<int>(x0), top = static_cast<int>(y0);
    const int a = static_cast<int>(x1) - left, b = static_cast<int>(y1) - top;
    if (a < 0 || b < 0) return;
    int last_y = -1;
    for (QuarterWalk walk(a, b);; walk.step()) {
        if (walk.y() != last_y) {  // the first point of a row is its widest
            last_y = walk.y();
            const int row_x0 = left + (a - walk.x()) / 2, row_x1 = left + (a + walk.x()) / 2;
            fill_row(mask, row_x0, row_x1, top + (b - last_y) / 2, fill);
            fill_row(mask, row_x0, row_x1, top + (b + last_y) / 2, fill);
        }
        if (walk.at_end()) break;
    }
}

int blur_reach(float sigma) {
    return 3 * (BoxFilter(sigma).radius + 1);
}

void gaussian_blur(Mask& mask, MaskBox inside, float sigma) {
    const BoxFilter filter(sigma);
    const int width = inside.x1 - inside.x0, height = inside.y1 - inside.y0;
    CHECK(inside.x0 >= 0 && inside.y0 >= 0 && inside.x1 <= mask.width && inside.y1 <= mask.height);
    if (width <= 0 || height <= 0) return;
    std::vector<uint8_t> padded, column(height);
    for (int y = inside.y0; y < inside.y1; y++)
        for (int pass = 0; pass < 3; pass++) filter.apply(mask.row(y) + inside.x0, width, padded);
    for (int x = inside.x0; x < inside.x1; x++) {
        for (int y = 0; y < height; y++) column[y] = mask.row(inside.y0 + y)[x];
        for (int pass = 0; pass < 3; pass++) filter.apply(column.data(), height, padded);
        for (int y = 0; y < height; y++) mask.row(inside.y0 + y)[x] = column[y];
    }
}

std::vector<float> resize_floats(const std::vector<float>& values, int in_width, int in_height, int width, int height) {
    CHECK(values.size() == static_cast<size_t>(in_width) * in_height);
    const auto across = windows(in_width, width), down = windows(in_height, height);
    std::vector<float> wide(static_cast<size_t>(width) * in_height), out(static_cast<size_t>(width) * height);
    for (int y = 0; y < in_height; y++)
        for (int x = 0; x < width; x++) {
            double sum = 0;
            for (int t = 0; t < across[x].count; t++)
                sum += values[static_cast<size_t>(y) * in_width + across[x].first + t] * across[x].weights[t];
            wide[static_cast<size_t>(y) * width + x] = static_cast<float>(sum);
        }
    std::vector<double> sums(width);
    for (int y = 0; y < height; y++) {
        std::fill(sums.begin(), sums.end(), 0.0);
        for (int t = 0; t < down[y].count; t++) {
            const float* row = wide.data() + static_cast<size_t>(down[y].first + t) * width;
            for (int x = 0; x < width; x++) sums[x] += row[x] * down[y].weights[t];
        }
        for (int x = 0; x < width; x++) out[static_cast<size_t>(y) * width + x] = static_cast<float>(sums[x]);
    }
    return out;
}

}  // namespace leon
