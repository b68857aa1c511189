// PSNR and SSIM in double precision; see likeness.h.
#include "metrics/likeness.h"

#include <array>
#include <cmath>
#include <vector>

#include "kernels/check.h"

namespace leon {
namespace {

constexpr double RANGE = 255;

std::array<double, SSIM_WINDOW> window() {
    constexpr double SIGMA = 1.5;
    std::array<double, SSIM_WINDOW> weights{};
    double sum = 0;
    for (int i = 0; i < SSIM_WINDOW; i++) {
        const int d = i - SSIM_WINDOW / 2;
        sum += weights[static_cast<size_t>(i)] = std::exp(-d * d / (2 * SIGMA * SIGMA));
    }
    for (double& weight : weights) weight /= sum;
    return weights;
}

// Weighted means over the window of x, y, x^2, y^2 and xy.
struct Moments {
    double x = 0, y = 0, xx = 0, yy = 0, xy = 0;

    void add(double weight, const Moments& m) {
        x += weight * m.x;
        y += weight * m.y;
        xx += weight * m.xx;
        yy += weight * m.yy;
        xy += weight * m.xy;
    }
};

double similarity(const Moments& m) {
    constexpr double C1 = (0.01 * RANGE) * (0.01 * RANGE), C2 = (0.03 * RANGE) * (0.03 * RANGE);
    const double x_variance = m.xx - m.x * m.x, y_variance = m.yy - m.y * m.y, covariance = m.xy - m.x * m.y;
    return (2 * m.x * m.y + C1) * (2 * covariance + C2) /
           ((m.x * m.x + m.y * m.y + C1) * (x_variance + y_variance + C2));
}

}  // namespace

double mean_squared_error(const Picture& a, const Picture& b) {
    CHECK(a.width == b.width && a.height == b.height && !a.rgb.empty());
    int64_t sum = 0;
    for (size_t i = 0; i < a.rgb.size(); i++) {
        const int difference = a.rgb[i] - b.rgb[i];
        sum += difference * difference;
    }
    return static_cast<double>(sum) / static_cast<double>(a.rgb.size());
}

double psnr(const Picture& a, const Picture& b) {
    return 10 * std::log10(RANGE * RANGE / mean_squared_error(a, b));
}

double ssim(const Picture& a, const Picture& b) {
    CHECK(a.width == b.width && a.height == b.height && a.width >= SSIM_WINDOW && a.height >= SSIM_WINDOW);
    const auto weights = window();
    double sum = 0;
    std::vector<Moments> columns(static_cast<size_t>(a.width));
    for (int c = 0; c < 3; c++)
        for (int y = 0; y + SSIM_WINDOW <= a.height; y++) {
            for (int x = 0; x < a.width; x++) {
                Moments& column = columns[static_cast<size_t>(x)] = {};
                for (int row = 0; row < SSIM_WINDOW; row++) {
                    const double p = a.at(x, y + row)[c], q = b.at(x, y + row)[c];
                    column.add(weights[static_cast<size_t>(row)], {p, q, p * p, q * q, p * q});
                }
            }
            for (int x = 0; x + SSIM_WINDOW <= a.width; x++) {
                Moments inside;
                for (int i = 0; i < SSIM_WINDOW; i++)
                    inside.add(weights[static_cast<size_t>(i)], columns[static_cast<size_t>(x + i)]);
                sum += similarity(inside);
            }
        }
    return sum / (3.0 * (a.width - SSIM_WINDOW + 1) * (a.height - SSIM_WINDOW + 1));
}

}  // namespace leon
