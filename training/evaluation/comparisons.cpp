// See comparisons.h.
#include "training/evaluation/comparisons.h"

#include <algorithm>
#include <cmath>

#include "metrics/likeness.h"
#include "training/evaluation/scores.h"

namespace leon {

void cut_out(PixelMask& mask, const std::array<int, 4>& box, int margin) {
    if (box[0] >= box[2]) return;
    for (int y = std::max(0, box[1] - margin); y < std::min(SCENE_SIZE, box[3] + margin); y++)
        for (int x = std::max(0, box[0] - margin); x < std::min(SCENE_SIZE, box[2] + margin); x++)
            mask[static_cast<size_t>(y * SCENE_SIZE + x)] = 0;
}

double psnr_within(const Picture& a, const Picture& b, const PixelMask& mask) {
    int64_t squares = 0, values = 0;
    for (size_t i = 0; i < mask.size(); i++) {
        if (!mask[i]) continue;
        for (size_t c = 0; c < 3; c++) {
            const int off = a.rgb[i * 3 + c] - b.rgb[i * 3 + c];
            squares += off * off;
        }
        values += 3;
    }
    if (squares == 0) return MOST_DECIBELS;
    return std::min(MOST_DECIBELS,
                    10 * std::log10(255.0 * 255.0 * static_cast<double>(values) / static_cast<double>(squares)));
}

double ssim_within(const Picture& a, const Picture& b, const PixelMask& mask) {
    Picture patched = a;
    for (size_t i = 0; i < mask.size(); i++)
        if (mask[i])
            std::copy_n(b.rgb.begin() + static_cast<std::ptrdiff_t>(i * 3), 3,
                        patched.rgb.begin() + static_cast<std::ptrdiff_t>(i * 3));
    return ssim(a, patched);
}

bool is_equal_outside(const Picture& a, const Picture& b, const std::vector<uint8_t>& hidden) {
    for (int y = 0; y < SCENE_SIZE; y++)
        for (int x = 0; x < SCENE_SIZE; x++)
            if (!hidden[static_cast<size_t>(y / CELL * CELLS + x / CELL)] &&
                !std::equal(a.at(x, y), a.at(x, y) + 3, b.at(x, y)))
                return false;
    return true;
}

PixelMask sprite_mask(const World& world, const std::string& emoji, int height, int cx, int by, bool flip) {
    const Sprite& sprite = world.scaled(emoji, height);
    const int left = static_cast<int>(cx - sprite.width / 2.0), top = by - height;
    PixelMask mask(static_cast<size_t>(SCENE_SIZE) * SCENE_SIZE);
    for (int y = std::max(top, 0); y < std::min(top + sprite.height, SCENE_SIZE); y++)
        for (int x = std::max(left, 0); x < std::min(left + sprite.width, SCENE_SIZE); x++) {
            const int from_x = flip ? sprite.width - 1 - (x - left) : x - left;
            const size_t at =
                (static_cast<size_t>(y - top) * static_cast<size_t>(sprite.width) + static_cast<size_t>(from_x)) * 4;
            mask[static_cast<size_t>(y * SCENE_SIZE + x)] = sprite.rgba[at + 3] > 127;
        }
    return mask;
}

double mask_iou(const PixelMask& a, const PixelMask& b) {
    int64_t common = 0, either = 0;
    for (size_t i = 0; i < a.size(); i++) {
        common += a[i] && b[i];
        either += a[i] || b[i];
    }
    return either == 0 ? 0 : static_cast<double>(common) / static_cast<double>(either);
}

}  // namespace leon
