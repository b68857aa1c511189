// See vectors.h.
#include "retrieval/vectors.h"

#include <cmath>

#include "kernels/check.h"

namespace leon {

float inner_product(std::span<const float> a, std::span<const float> b) {
    CHECK(a.size() == b.size());
    constexpr size_t LANES = 16;
    float sums[LANES] = {};
    size_t i = 0;
    for (; i + LANES <= a.size(); i += LANES)
        for (size_t lane = 0; lane < LANES; lane++) sums[lane] += a[i + lane] * b[i + lane];
    for (size_t lane = 0; i < a.size(); i++, lane++) sums[lane] += a[i] * b[i];
    for (size_t width = LANES / 2; width > 0; width /= 2)
        for (size_t lane = 0; lane < width; lane++) sums[lane] += sums[lane + width];
    return sums[0];
}

void normalise(std::span<float> vector) {
    double squares = 0;
    for (float value : vector) squares += static_cast<double>(value) * value;
    if (squares == 0) return;
    const double scale = 1 / std::sqrt(squares);
    for (float& value : vector) value = static_cast<float>(value * scale);
}

std::vector<float> document_vector(std::span<const float> text, std::span<const float> picture) {
    CHECK(!text.empty() || !picture.empty());
    if (text.empty()) return {picture.begin(), picture.end()};
    if (picture.empty()) return {text.begin(), text.end()};
    CHECK(text.size() == picture.size());
    std::vector<float> sum(text.begin(), text.end());
    for (size_t i = 0; i < sum.size(); i++) sum[i] += picture[i];
    normalise(sum);
    return sum;
}

}  // namespace leon
