// The sums of loss.h, pixel by pixel.
#include "training/vqgan/loss.h"

#include <cmath>

#include "kernels/check.h"

namespace leon {
namespace {

// sqrt(x^2 + corner^2) - corner and its derivative.
struct Rounded {
    float value, slope;
};
Rounded absolute(float x) {
    const float root = std::sqrt(x * x + ABSOLUTE_CORNER * ABSOLUTE_CORNER);
    return {root - ABSOLUTE_CORNER, x / root};
}

}  // namespace

PictureLoss picture_loss(Tensor dpicture, Tensor picture, std::span<const float> target, std::span<const float> weights,
                         const PictureLossRule& rule, double scale) {
    CHECK(picture.rank == 3 && same_shape(dpicture, picture) && picture.shape[2] == 3);
    const int64_t height = picture.shape[0], width = picture.shape[1], n = picture.elements();
    CHECK(target.size() == static_cast<size_t>(n) && weights.size() == static_cast<size_t>(height * width));
    const double share = 1.0 / static_cast<double>(n);
    const float of_squares = static_cast<float>(2 * rule.squares * scale * share);
    const float of_absolutes = static_cast<float>(rule.absolutes * scale * share);
    const float of_edges = static_cast<float>(rule.edges * scale * share);
    const float *x = picture.f32(), *t = target.data(), *w = weights.data();
    float* d = dpicture.f32();

    double squares = 0, weighted = 0, absolutes = 0, edges = 0;
    for (int64_t p = 0; p < height * width; p++)
        for (int64_t i = p * 3; i < p * 3 + 3; i++) {
            const float e = x[i] - t[i];
            const Rounded a = absolute(e);
            squares += static_cast<double>(e) * e;
            weighted += static_cast<double>(w[p]) * e * e;
            absolutes += static_cast<double>(w[p]) * a.value;
            d[i] = w[p] * (of_squares * e + of_absolutes * a.slope);
        }
    auto edge = [&](int64_t p, int64_t q) {  // from pixel p to pixel q
        const float weight = 0.5f * (w[p] + w[q]);
        for (int64_t c = 0; c < 3; c++) {
            const int64_t i = p * 3 + c, j = q * 3 + c;
            const Rounded a = absolute((x[j] - t[j]) - (x[i] - t[i]));
            edges += static_cast<double>(weight) * a.value;
            d[j] += of_edges * weight * a.slope;
            d[i] -= of_edges * weight * a.slope;
        }
    };
    if (rule.edges > 0)
        for (int64_t y = 0; y < height; y++)
            for (int64_t col = 0; col < width; col++) {
                if (col + 1 < width) edge(y * width + col, y * width + col + 1);
                if (y + 1 < height) edge(y * width + col, (y + 1) * width + col);
            }
    return {(rule.squares * weighted + rule.absolutes * absolutes + rule.edges * edges) * share, squares * share};
}

}  // namespace leon
