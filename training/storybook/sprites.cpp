// Emoji out of the font, through FreeType: the list gives a name's code point, the font its bitmap, and Pillow's way of
// drawing text its colours. Whatever was drawn or scaled is kept, under one lock.
#include "training/storybook/sprites.h"

#include <ft2build.h>
#include FT_FREETYPE_H

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "kernels/check.h"
#include "runtime/files.h"
#include "training/storybook/painting.h"

namespace leon {
namespace {

constexpr int FONT_SIZE = 109;                          // the only one the font has
constexpr int CANVAS_WIDTH = 136, CANVAS_HEIGHT = 128;  // of one emoji
constexpr uint32_t VARIATION_SELECTOR_16 = 0xfe0f;      // "as a picture, not as text": Noto draws nothing for it

struct Emoji {
    ListedEmoji listed;
    std::vector<uint32_t> code_points;  // without the variation selectors
};

// Lines like "1F333 ; fully-qualified # TREE E0.6 deciduous tree", where TREE is the emoji itself.
std::optional<Emoji> parse_line(std::string_view line) {
    const size_t status = line.find("; fully-qualified"), comment = line.find("# ");
    if (status == line.npos || comment == line.npos || comment < status) return {};
    Emoji emoji;
    const std::string hexadecimal(line.substr(0, status));
    for (const char* at = hexadecimal.c_str();;) {
        char* end = nullptr;
        const unsigned long code = std::strtoul(at, &end, 16);
        if (end == at) break;
        if (code != VARIATION_SELECTOR_16) emoji.code_points.push_back(static_cast<uint32_t>(code));
        at = end;
    }
    std::string_view text = line.substr(comment + 2);
    for (int word = 0; word < 2; word++) {  // the emoji and its version
        const size_t space = text.find(' ');
        if (space == text.npos) return {};
        text.remove_prefix(space + 1);
    }
    while (!text.empty() && (text.back() == ' ' || text.back() == '\r')) text.remove_suffix(1);
    if (text.empty() || emoji.code_points.empty()) return {};
    emoji.listed.name = text;
    return emoji;
}

void take_heading(std::string_view line, std::string_view what, std::string& heading) {
    if (!line.starts_with(what)) return;
    while (line.back() == '\r') line.remove_suffix(1);
    heading = line.substr(std::min(what.size(), line.size()));
}

void demand_file(const std::string& path, const char* what, const char* package) {
    struct stat status;
    if (stat(path.c_str(), &status) != 0)
        throw Error(std::string("is not there: ") + what, path, std::string("apt-get install ") + package);
}

// Premultiplied BGRA to what Pillow has after drawing the glyph onto nothing: divided by alpha, cut, and multiplied
// again, so that colours at soft edges are darker than they need to be.
void convert_row(uint8_t* rgba, const uint8_t* bgra, int count) {
    for (int x = 0; x < count; x++, rgba += 4, bgra += 4) {
        const unsigned alpha = bgra[3];
        if (alpha == 0) continue;
        for (int c = 0; c < 3; c++) rgba[c] = multiply_255(std::min(255u, 255u * bgra[2 - c] / alpha), alpha);
        rgba[3] = static_cast<uint8_t>(alpha);
    }
}

Sprite crop_to_visible(const Sprite& whole) {
    int x0 = whole.width, y0 = whole.height, x1 = 0, y1 = 0;
    for (int y = 0; y < whole.height; y++)
        for (int x = 0; x < whole.width; x++)
            if (whole.rgba[(static_cast<size_t>(y) * whole.width + x) * 4 + 3]) {
                x0 = std::min(x0, x);
                x1 = std::max(x1, x + 1);
                y0 = std::min(y0, y);
                y1 = std::max(y1, y + 1);
            }
    Sprite out;
    out.emoji = whole.emoji;
    if (x0 >= x1) return out;
    out.width = x1 - x0;
    out.height = y1 - y0;
    for (int y = y0; y < y1; y++) {
        const uint8_t* row = whole.rgba.data() + (static_cast<size_t>(y) * whole.width + x0) * 4;
        out.rgba.insert(out.rgba.end(), row, row + static_cast<size_t>(out.width) * 4);
    }
    return out;
}

// LANCZOS on colours that carry alpha, as three channels and one. Going there and back would change colours at soft
// edges, so a sprite of that size already is left alone.
Sprite resize_sprite(const Sprite& sprite, int width, int height) {
    if (sprite.width == width && sprite.height == height) return sprite;
    Picture colours(sprite.width, sprite.height), alphas(sprite.width, sprite.height);
    for (size_t i = 0; i < colours.rgb.size() / 3; i++) {
        const uint8_t* pixel = sprite.rgba.data() + i * 4;
        for (int c = 0; c < 3; c++) {
            colours.rgb[i * 3 + c] = multiply_255(pixel[c], pixel[3]);
            alphas.rgb[i * 3 + c] = pixel[3];
        }
    }
    colours = resize(colours, width, height, Filter::Lanczos);
    alphas = resize(alphas, width, height, Filter::Lanczos);
    Sprite out;
    out.emoji = sprite.emoji;
    out.width = width;
    out.height = height;
    out.rgba.resize(static_cast<size_t>(width) * height * 4);
    for (size_t i = 0; i < colours.rgb.size() / 3; i++) {
        const unsigned alpha = alphas.rgb[i * 3];
        for (int c = 0; c < 3; c++) {
            const unsigned value = colours.rgb[i * 3 + c];
            out.rgba[i * 4 + c] = static_cast<uint8_t>(alpha == 0 ? value : std::min(255u, 255 * value / alpha));
        }
        out.rgba[i * 4 + 3] = static_cast<uint8_t>(alpha);
    }
    return out;
}

}  // namespace

struct World::Files {
    std::string font_path, list_path;
    FT_Library freetype = nullptr;
    FT_Face face = nullptr;
    std::vector<Emoji> emoji;  // of the list, first come first
    std::vector<ListedEmoji> drawable;
    std::map<std::string, size_t, std::less<>> by_name;

    std::mutex mutex;  // over the face and what has been drawn
    std::map<std::string, Sprite, std::less<>> drawn;
    std::map<std::pair<const Sprite*, int>, Sprite> scaled;

    ~Files() {
        if (face) FT_Done_Face(face);
        if (freetype) FT_Done_FreeType(freetype);
    }

    FT_UInt glyph_of(const Emoji& emoji) const {
        return emoji.code_points.size() == 1 ? FT_Get_Char_Index(face, emoji.code_points[0]) : 0;
    }

    Sprite draw(std::string_view name) {
        const auto found = by_name.find(name);
        if (found == by_name.end())
            throw Error("has no fully-qualified emoji called '" + std::string(name) + "'", list_path,
                        "names are those of that list, such as 'deciduous tree'");
        const Emoji& what = emoji[found->second];
        if (what.code_points.size() > 1)
            throw Error("the emoji '" + what.listed.name + "' is a sequence, which only a text shaper can draw", "",
                        "take one of a single code point");
        const FT_UInt glyph = glyph_of(what);
        const FT_GlyphSlot slot = face->glyph;
        if (!glyph || FT_Load_Glyph(face, glyph, FT_LOAD_COLOR | FT_LOAD_RENDER) ||
            slot->bitmap.pixel_mode != FT_PIXEL_MODE_BGRA)
            throw Error("has no picture for the emoji '" + what.listed.name + "'", font_path, "take another one");

        Sprite whole;
        whole.emoji = what.listed.name;
        whole.width = std::min(static_cast<int>(slot->bitmap.width), CANVAS_WIDTH);
        whole.height = std::min(static_cast<int>(slot->bitmap.rows), CANVAS_HEIGHT);
        whole.rgba.resize(static_cast<size_t>(whole.width) * whole.height * 4);
        for (int y = 0; y < whole.height; y++)
            convert_row(whole.rgba.data() + static_cast<size_t>(y) * whole.width * 4,
                        slot->bitmap.buffer + static_cast<ptrdiff_t>(y) * slot->bitmap.pitch, whole.width);
        whole = crop_to_visible(whole);
        if (whole.rgba.empty())
            throw Error("the emoji '" + what.listed.name + "' is empty", font_path, "take another one");
        return whole;
    }

    const Sprite& sprite(std::string_view name) {  // under the mutex
        const auto found = drawn.find(name);
        if (found != drawn.end()) return found->second;
        return drawn.emplace(std::string(name), draw(name)).first->second;
    }
};

World::World()
    : World("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf", "/usr/share/unicode/emoji/emoji-test.txt") {}

World::World(const std::string& font_path, const std::string& emoji_list_path) : files_(std::make_unique<Files>()) {
    Files& files = *files_;
    files.font_path = font_path;
    files.list_path = emoji_list_path;
    demand_file(font_path, "the font of the storybook's objects", "fonts-noto-color-emoji");
    demand_file(emoji_list_path, "the list of emoji and their names", "unicode-data");

    const std::vector<uint8_t> bytes = read_file(emoji_list_path);
    std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    std::string group, subgroup;
    while (!text.empty()) {
        const size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        take_heading(line, "# group: ", group);
        take_heading(line, "# subgroup: ", subgroup);
        if (auto emoji = parse_line(line)) {
            emoji->listed.group = group;
            emoji->listed.subgroup = subgroup;
            if (files.by_name.try_emplace(emoji->listed.name, files.emoji.size()).second)
                files.emoji.push_back(std::move(*emoji));
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    if (files.emoji.empty())
        throw Error("lists no fully-qualified emoji", emoji_list_path, "take emoji-test.txt of Unicode");

    if (FT_Init_FreeType(&files.freetype)) throw Error("FreeType does not start");
    if (FT_New_Face(files.freetype, font_path.c_str(), 0, &files.face))
        throw Error("is not a font", font_path, "take NotoColorEmoji.ttf of fonts-noto-color-emoji");
    bool has_size = false;
    for (int i = 0; i < files.face->num_fixed_sizes && !has_size; i++)
        has_size = files.face->available_sizes[i].y_ppem == FONT_SIZE * 64 && !FT_Select_Size(files.face, i);
    if (!has_size)
        throw Error("has no bitmaps of size 109", font_path, "take NotoColorEmoji.ttf of fonts-noto-color-emoji");
    for (const Emoji& emoji : files.emoji)
        if (files.glyph_of(emoji)) files.drawable.push_back(emoji.listed);
}

World::~World() = default;

const Sprite& World::sprite(std::string_view emoji) const {
    const std::lock_guard lock(files_->mutex);
    return files_->sprite(emoji);
}

const Sprite& World::scaled(std::string_view emoji, int height) const {
    CHECK(height > 0);
    const std::lock_guard lock(files_->mutex);
    const Sprite& sprite = files_->sprite(emoji);
    const auto key = std::pair(&sprite, height);
    const auto found = files_->scaled.find(key);
    if (found != files_->scaled.end()) return found->second;
    return files_->scaled.emplace(key, resize_sprite(sprite, scaled_width(sprite, height), height)).first->second;
}

const std::vector<ListedEmoji>& World::drawable() const {
    return files_->drawable;
}

int scaled_width(const Sprite& sprite, int height) {
    return std::max(4, static_cast<int>(std::nearbyint(static_cast<double>(sprite.width * height) / sprite.height)));
}

}  // namespace leon
