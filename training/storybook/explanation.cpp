// Pixel by pixel, in float.
#include "training/storybook/explanation.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"

namespace leon {
namespace {

std::array<float, 3> composite(const float* below, const uint8_t* rgba) {
    const float alpha = static_cast<float>(rgba[3]) * (1 / 255.f);
    return {below[0] + (static_cast<float>(rgba[0]) - below[0]) * alpha,
            below[1] + (static_cast<float>(rgba[1]) - below[1]) * alpha,
            below[2] + (static_cast<float>(rgba[2]) - below[2]) * alpha};
}

}  // namespace

Explanation::Explanation(int side, std::vector<float> given, std::vector<float> backdrop)
    : size(side),
      picture(std::move(given)),
      render(std::move(backdrop)),
      initial(static_cast<size_t>(side) * side),
      is_claimed(initial.size()) {
    CHECK(picture.size() == initial.size() * 3 && render.size() == initial.size() * 3);
    for (size_t i = 0; i < initial.size(); i++) initial[i] = distance(&picture[i * 3], &render[i * 3]);
    error = initial;
}

Gain Explanation::gain_of(const Sprite& sprite, const Pose& pose) const {
    float lowered = 0, before = 0;
    visit_pixels(sprite, pose, size, [&](int x, int y, const uint8_t* rgba) {
        const size_t i = static_cast<size_t>(y) * size + x;
        const float fall = error[i] - distance(&picture[i * 3], composite(&render[i * 3], rgba).data());
        lowered += is_claimed[i] ? std::max(fall, 0.f) : fall;
        before += initial[i];
    });
    return {lowered, before};
}

void Explanation::claim(const Sprite& sprite, const Pose& pose) {
    visit_pixels(sprite, pose, size, [&](int x, int y, const uint8_t* rgba) {
        const size_t i = static_cast<size_t>(y) * size + x;
        const auto colour = composite(&render[i * 3], rgba);
        const float now = distance(&picture[i * 3], colour.data());
        if (is_claimed[i] && now >= error[i]) return;
        std::copy(colour.begin(), colour.end(), &render[i * 3]);
        error[i] = now;
        is_claimed[i] = is_claimed[i] || rgba[3] > 127;
    });
}

}  // namespace leon
