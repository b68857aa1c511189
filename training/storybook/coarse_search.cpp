// About 600 small correlations. The eight sums of one run side by side, so that a compiler needs no leave to reorder
// them.
#include "training/storybook/coarse_search.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"

namespace leon {
namespace {

constexpr int SIZE = CoarseSearch::SIZE;
constexpr int CHANNELS = 8;
constexpr size_t KEPT = 4;  // places of each kind
constexpr float TOLERANCE =
    3 * 15 * 15;                      // sprites may raise the error by so much a pixel: they are not in their pose yet
constexpr int LARGE = 12;             // from this height on, every other place will do
constexpr float QUIET = 3 * 10 * 10;  // the error of a backdrop that is not quite right, by pixel

// [SIZE, SIZE, CHANNELS]: J, BJ, B, |B|^2
std::vector<float> channels_of(const std::vector<float>& picture, const std::vector<float>& backdrop) {
    std::vector<float> channels(static_cast<size_t>(SIZE) * SIZE * CHANNELS);
    CHECK(picture.size() == channels.size() / CHANNELS * 3 && backdrop.size() == picture.size());
    for (size_t i = 0; i < picture.size() / 3; i++) {
        float* out = &channels[i * CHANNELS];
        for (int c = 0; c < 3; c++) {
            const float b = backdrop[i * 3 + c], j = picture[i * 3 + c] - b;
            out[c] = j;
            out[3] += b * j;
            out[4 + c] = b;
            out[7] += b * b;
        }
    }
    return channels;
}

// The error in front of the backdrop under a mask.
float error_under(const float* errors, const float* mask, int width, int height) {
    float sum = 0;
    for (int y = 0; y < height; y++, errors += SIZE, mask += width)
        for (int x = 0; x < width; x++) sum += errors[x] * mask[x];
    return sum;
}

float correlate(const float* channels, const float* weights, int width, int height) {
    float sums[CHANNELS] = {};
    for (int y = 0; y < height; y++) {
        const float* p = channels + static_cast<size_t>(y) * SIZE * CHANNELS;
        const float* w = weights + static_cast<size_t>(y) * width * CHANNELS;
        for (int x = 0; x < width; x++, p += CHANNELS, w += CHANNELS)
            for (int c = 0; c < CHANNELS; c++) sums[c] += p[c] * w[c];
    }
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// Keeps the best few; of those that stand nearly in the same place, the best one.
void keep(std::vector<CoarseMatch>& list, const CoarseMatch& candidate, int width) {
    const auto is_near = [&](const CoarseMatch& other) {
        const Pose &a = candidate.pose, &b = other.pose;
        return std::abs(a.left - b.left) <= width / 4 + 1 && std::abs(a.top + a.height - b.top - b.height) <= 2;
    };
    const auto is_worse = [](const CoarseMatch& a, const CoarseMatch& b) { return a.gain.score() < b.gain.score(); };
    auto rival = std::find_if(list.begin(), list.end(), is_near);
    if (rival == list.end() && list.size() == KEPT) rival = std::min_element(list.begin(), list.end(), is_worse);
    if (rival == list.end())
        list.push_back(candidate);
    else if (is_worse(*rival, candidate))
        *rival = candidate;
}

}  // namespace

// On the ground, depth makes a thing of relative height 1 between 43 and 63 pixels high; in the sky, chance between 30
// and 38.
Heights heights_of(const ObjectKind& kind) {
    const Heights of_zone = kind.zone == Zone::Sky ? Heights{29, 39.5} : Heights{42, 65};
    return {of_zone.low * kind.relative_height, of_zone.high * kind.relative_height};
}

bool is_allowed(Zone zone, int width, int height, int left, int top, int size) {
    const int foot = (top + height) * SCENE_SIZE / size;
    if (zone == Zone::Sky ? foot > 84 : foot < 60) return false;
    return left >= -width / 4 && left + width <= size + width / 4 && top >= -height / 4 &&
           top + height <= size + height / 4;
}

CoarseSearch::CoarseSearch(const World& world, std::span<const ObjectKind> kinds) {
    for (size_t k = 0; k < kinds.size(); k++) {
        const Heights range = heights_of(kinds[k]);
        const int low = std::max(3, static_cast<int>(std::lround(range.low / 4)));
        const int high = std::min(SIZE, static_cast<int>(std::lround(range.high / 4)));
        for (int height = low; height <= high; height++) {
            const Sprite& sprite = world.scaled(kinds[k].emoji, height);
            for (bool flip : {false, true}) {
                Template t{static_cast<int>(k), kinds[k].zone, flip, sprite.width, sprite.height, {}, {}, 0, 0};
                t.weights.resize(static_cast<size_t>(t.width) * t.height * CHANNELS);
                t.mask.resize(static_cast<size_t>(t.width) * t.height);
                const Pose at_origin{t.kind, flip, height, 0, 0};
                visit_pixels(sprite, at_origin, SIZE, [&](int x, int y, const uint8_t* rgba) {
                    float* w = t.weights.data() + (static_cast<size_t>(y) * t.width + x) * CHANNELS;
                    const float m = static_cast<float>(rgba[3]) / 255;
                    for (int c = 0; c < 3; c++) {
                        const float colour = rgba[c];
                        w[c] = 2 * m * colour;
                        w[4 + c] = 2 * m * m * colour;
                        t.constant += m * m * colour * colour;
                    }
                    w[3] = -2 * m;
                    w[7] = -m * m;
                    t.mask[static_cast<size_t>(y) * t.width + x] = m;
                    t.area += m;
                });
                if (t.width <= SIZE) templates_.push_back(std::move(t));
            }
        }
    }
}

std::vector<CoarseMatch> CoarseSearch::search(const std::vector<float>& picture,
                                              const std::vector<float>& backdrop) const {
    const std::vector<float> channels = channels_of(picture, backdrop);
    std::vector<float> errors(static_cast<size_t>(SIZE) * SIZE);
    for (size_t i = 0; i < errors.size(); i++) {
        const float* j = &channels[i * CHANNELS];
        errors[i] = j[0] * j[0] + j[1] * j[1] + j[2] * j[2];
    }
    std::vector<CoarseMatch> all, of_one;
    for (size_t i = 0; i < templates_.size(); i++) {
        const Template& t = templates_[i];
        const int stride = t.height >= LARGE ? 2 : 1;
        for (int top = 0; top + t.height <= SIZE; top += stride) {
            if (!is_allowed(t.zone, t.width, t.height, 0, top, SIZE)) continue;
            for (int left = 0; left + t.width <= SIZE; left += stride) {
                const size_t corner = static_cast<size_t>(top) * SIZE + left;
                const float lowered =
                    correlate(&channels[corner * CHANNELS], t.weights.data(), t.width, t.height) - t.constant;
                if (lowered <= -t.area * TOLERANCE) continue;
                const float error = error_under(&errors[corner], t.mask.data(), t.width, t.height);
                keep(of_one, {{t.kind, t.flip, t.height, left, top}, {lowered, error + t.area * QUIET}}, t.width);
            }
        }
        const bool is_last = i + 1 == templates_.size() || templates_[i + 1].kind != t.kind;
        if (!is_last) continue;
        all.insert(all.end(), of_one.begin(), of_one.end());
        of_one.clear();
    }
    return all;
}

}  // namespace leon
