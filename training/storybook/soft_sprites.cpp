// A blur of colours that carry their alpha, so that nothing from behind the sprite comes in.
#include "training/storybook/soft_sprites.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"

namespace leon {
namespace {

uint8_t to_byte(float value) {
    return static_cast<uint8_t>(std::lround(std::clamp(value, 0.f, 255.f)));
}

Sprite softened(const Sprite& sprite, int margin, int times) {
    Sprite out;
    out.emoji = sprite.emoji;
    out.width = sprite.width + 2 * margin;
    out.height = sprite.height + 2 * margin;
    std::vector<float> values(static_cast<size_t>(out.width) * out.height * 4);
    for (int y = 0; y < sprite.height; y++)
        for (int x = 0; x < sprite.width; x++) {
            const uint8_t* from = sprite.rgba.data() + (static_cast<size_t>(y) * sprite.width + x) * 4;
            float* to = values.data() + (static_cast<size_t>(y + margin) * out.width + x + margin) * 4;
            const float alpha = from[3];
            for (int c = 0; c < 3; c++) to[c] = from[c] * alpha / 255;
            to[3] = alpha;
        }
    soften(values, out.width, out.height, 4, times);
    out.rgba.resize(values.size());
    for (size_t i = 0; i < values.size(); i += 4) {
        const float alpha = values[i + 3];
        for (int c = 0; c < 3; c++) out.rgba[i + c] = alpha > 0 ? to_byte(values[i + c] * 255 / alpha) : uint8_t{0};
        out.rgba[i + 3] = to_byte(alpha);
    }
    return out;
}

}  // namespace

void soften(std::vector<float>& values, int width, int height, int channels, int times) {
    CHECK(values.size() == static_cast<size_t>(width) * height * channels);
    std::vector<float> other(values.size());
    const auto pass = [&](const std::vector<float>& in, std::vector<float>& out, int count, size_t step, int lines,
                          size_t line_step) {  // over `count` pixels that are `step` apart, in each of the lines
        for (int line = 0; line < lines; line++)
            for (int i = 0; i < count; i++)
                for (int c = 0; c < channels; c++) {
                    const size_t at = line * line_step + i * step + c;
                    const float before = i > 0 ? in[at - step] : in[at];
                    const float after = i + 1 < count ? in[at + step] : in[at];
                    out[at] = (before + 2 * in[at] + after) / 4;
                }
    };
    const size_t pixel = channels, row = static_cast<size_t>(width) * channels;
    for (int i = 0; i < times; i++) {
        pass(values, other, width, pixel, height, row);
        pass(other, values, height, row, width, pixel);
    }
}

SoftSprites::SoftSprites(const World& world, std::span<const ObjectKind> kinds, int max_height, int times)
    : world_(world), max_height_(max_height), times_(times), made_(kinds.size() * (max_height + 1)) {
    CHECK(times <= MARGIN);
    for (const ObjectKind& kind : kinds) emoji_.push_back(kind.emoji);
}

SoftSprites::~SoftSprites() = default;

const Sprite& SoftSprites::get(int kind, int height) const {
    CHECK(height >= 1 && height <= max_height_);
    std::atomic<const Sprite*>& slot = made_[static_cast<size_t>(kind) * (max_height_ + 1) + height];
    if (const Sprite* sprite = slot.load(std::memory_order_acquire)) return *sprite;
    auto sprite = std::make_unique<const Sprite>(softened(world_.scaled(emoji_[kind], height), MARGIN, times_));
    const std::lock_guard lock(mutex_);
    if (const Sprite* other = slot.load(std::memory_order_acquire)) return *other;  // another thread was first
    slot.store(sprite.get(), std::memory_order_release);
    owned_.push_back(std::move(sprite));
    return *owned_.back();
}

}  // namespace leon
