// Segmentation maps as pictures: which colour stands for which kind, and back from drawn colours to labels.
//
// A legend is a table of kinds, each with a name and a colour of its own; a label is an index into it. A map that a
// model draws has soft colours: edges are blends of two kinds, and a blend can be the colour of a third. classify_map
// therefore trusts only pixels whose whole neighbourhood agrees and lets these grow over the rest. Its limit: a part
// that is nowhere three pixels of clear colour wide, and does not hang on a larger one of its kind, goes to its
// surroundings.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/image.h"

namespace leon {

enum class KindOf { Place, Object, Spare };  // Spare: a colour kept free for kinds that come later

struct LegendKind {
    std::string name;
    KindOf of;
    std::array<uint8_t, 3> colour;  // sRGB
};

struct Legend {
    std::string name;
    std::vector<LegendKind> kinds;  // names and colours are unique; at most MAX_KINDS

    std::optional<int> find(std::string_view kind) const;  // its label
};
constexpr size_t MAX_KINDS = 1024;

// The Storybook world: 8 places in dark colours, its 55 objects, and 24 spare slots "rare 1" ... "rare 24".
const Legend& storybook_legend();

// {"name": "...", "kinds": [{"name": "dog", "of": "place" | "object" | "spare", "colour": [r, g, b]}, ...]}
// Error if that is not what the text holds, or a name or colour comes twice.
Legend parse_legend(std::string_view text, const std::string& where);
Legend load_legend(const std::string& path);
std::string legend_text(const Legend& legend);  // what parse_legend reads

struct LabelMap {
    int width = 0, height = 0;
    std::vector<int32_t> labels;  // [height, width]

    int32_t at(int x, int y) const { return labels[static_cast<size_t>(y) * width + x]; }
};

// The label of every pixel:
//   1. nearest colour of the legend (Euclid in sRGB, in which a decoder errs);
//   2. a pixel whose 3x3 neighbourhood has one nearest kind is a seed; the seeds' labels grow into the other pixels, at
//      each step where the colour fits best (squared distance of the pixel's colour to the kind's), so that blends
//      along an edge go to one of its two sides and thin parts stay with the body that they hang on;
//   3. islands (4-connected) of fewer than speck_pixels lose their label, and the others grow over them as in 2.
// speck_pixels: 0 keeps them all; absent: a 1024th of the picture, 16 pixels at 128 x 128. A picture without a seed is
// noise: its pixels keep their nearest kinds.
LabelMap classify_map(const Picture& drawn, const Legend& legend, std::optional<int64_t> speck_pixels = {});

// The label whose colour each pixel has exactly; Error naming the first pixel of another colour.
LabelMap exact_map(const Picture& picture, const Legend& legend, const std::string& where);

Picture paint_map(const LabelMap& map, const Legend& legend);

// What of one label is in a map. The box is half open: x0 <= x < x1.
struct LabelRegion {
    int32_t label;
    int64_t pixels;
    int x0, y0, x1, y1;
};
std::vector<LabelRegion> regions_of(const LabelMap& map);  // of the labels that occur, in the order of the legend

Picture mask_of(const LabelMap& map, int32_t label);  // white where the label is, else black

// [{"name", "of", "colour", "pixels", "box": [x0, y0, x1, y1], "mask": file}, ...], a kind a line, in the order of
// `regions`; mask_files has one name for each, or is empty, and then there is no "mask".
std::string legend_json(const std::vector<LabelRegion>& regions, const Legend& legend,
                        const std::vector<std::string>& mask_files);

}  // namespace leon
