// The pictures that the storybook world is made of: Noto Color Emoji, one at a time, by their Unicode names.
//
// A World opens the font and the list of emoji once; every function below only reads it, so threads may share one.
// Sprites are drawn as Pillow draws them (embedded_color at size 109, cropped to what is not transparent), byte for
// byte. Emoji of one code point, with or without the variation selector 16, are drawn; sequences of several (flags,
// families, skin tones) need a shaper and are refused with an Error.
//
// Debian: fonts-noto-color-emoji, unicode-data. A missing file is an Error that says so.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace leon {

struct Sprite {
    std::string emoji;  // its name in the Unicode list, "deciduous tree"
    int width = 0, height = 0;
    std::vector<uint8_t> rgba;  // [height, width, 4], alpha not multiplied in
};

// An emoji and the headings of the list that it stands under: {"crab", "Food & Drink", "food-marine"}.
struct ListedEmoji {
    std::string name, group, subgroup;
};

class World {
public:
    World();  // the files where Debian puts them
    World(const std::string& font_path, const std::string& emoji_list_path);
    ~World();
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    // A fully-qualified emoji of the list, by its name there; Error if there is none of that name or it cannot be
    // drawn. The reference stays valid as long as the World.
    const Sprite& sprite(std::string_view emoji) const;

    // The same, resized by LANCZOS to `height` pixels and width in proportion (scaled_width()); kept, like sprite().
    const Sprite& scaled(std::string_view emoji, int height) const;

    // All emoji that sprite() can draw, in the list's order.
    const std::vector<ListedEmoji>& drawable() const;

private:
    struct Files;
    std::unique_ptr<Files> files_;
};

// max(4, round(width * height / sprite.height)), halves to even.
int scaled_width(const Sprite& sprite, int height);

}  // namespace leon
