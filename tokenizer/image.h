// Pictures on the outside: loading, Pillow-exact resampling, the published resize-and-crop rules, saving.
//
// A Picture is 8-bit RGB, row-major, top to bottom. Resampling follows Pillow's 8-bit arithmetic bit for bit
// (horizontal pass, rounded to u8, then vertical), because codes change with single grey levels (docs/models.md).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace leon {

struct Picture {
    int width = 0, height = 0;
    std::vector<uint8_t> rgb;  // [height, width, 3]

    Picture() = default;
    Picture(int w, int h, uint8_t fill = 0) : width(w), height(h), rgb(static_cast<size_t>(w) * h * 3, fill) {}
    uint8_t* at(int x, int y) { return rgb.data() + (static_cast<size_t>(y) * width + x) * 3; }
    const uint8_t* at(int x, int y) const { return rgb.data() + (static_cast<size_t>(y) * width + x) * 3; }
};

inline std::string size_text(int64_t width, int64_t height) {  // "640x480"
    return std::to_string(width) + "x" + std::to_string(height);
}

// No picture is larger, coming in or resized: 64 megapixels, and JPEG's longest side.
constexpr int64_t MAX_PIXELS = int64_t{1} << 26;
constexpr int MAX_SIDE = 65535;

// AsStored: the pixels as they stand in the file, which is what the published pipelines fed to the models.
// Upright: turned and mirrored as a JPEG's EXIF orientation asks, which is what a person with a camera expects.
enum class Orientation { AsStored, Upright };

// PNG, JPEG, BMP, GIF (first frame) and binary PNM. Alpha is blended on white as Meta's code does: float64
// (1-a)*255 + a*c, truncated, only if any alpha is below 255; a colour key in an RGB PNG is ignored, as there. Error on
// anything else, on files that end early, above the limits (before memory is taken: a header alone never makes this
// take more than 64 MiB beside the file), on GIF above 4 megapixels, and on 16-bit grey PNG, which Pillow clips to
// white (16-bit colour is cut to its high byte, like Pillow). No TGA: it has no signature, so random bytes pass for it.
// JPEG is decoded by stb_image, which differs from libjpeg by a few grey levels (measured: 2, and 10 for 4:2:2).
Picture load_picture(const std::string& path, Orientation orientation = Orientation::AsStored);
Picture decode_picture(std::span<const uint8_t> file, const std::string& where,
                       Orientation orientation = Orientation::AsStored);  // the same from memory

// By the ending: .png, .jpg/.jpeg (quality 95), .bmp; anything else is an Error. Atomic.
void save_picture(const std::string& path, const Picture& picture);
// The same complaints before any work is done: a wrong ending, a folder that is not there or not writable.
void check_picture_path(const std::string& path);
std::vector<uint8_t> encode_png(const Picture& picture);

enum class Filter { Box, Bilinear, Bicubic, Lanczos };
Picture resize(const Picture& picture, int width, int height, Filter filter);
Picture crop(const Picture& picture, int x, int y, int width, int height);  // must lie inside

// docs/models.md §6: shorter side to `size` by LANCZOS (half-to-even rounding), then centre crop to size x size.
Picture chameleon_preprocess(const Picture& picture, int size);
// Lumina-mGPT: BOX-halve while both sides are >= 2x the target, BICUBIC by max(cw/w, ch/h), centre crop.
Picture lumina_preprocess(const Picture& picture, int width, int height);
// CLIP: shorter side to `size` by BICUBIC, the longer one in proportion without its fraction, centre crop.
Picture clip_preprocess(const Picture& picture, int size);

// u8/255*2 - 1, channels last: [height, width, 3] float32 in [-1, 1].
std::vector<float> to_floats(const Picture& picture);
// clamp to [-1, 1], (x+1)/2*255, truncated: from channels-last floats.
Picture to_picture(std::span<const float> values, int width, int height);

// Pictures side by side, `columns` a row, with a white gap; for candidates. All must have the same size.
Picture contact_sheet(const std::vector<Picture>& pictures, int columns, int gap = 4);

}  // namespace leon
