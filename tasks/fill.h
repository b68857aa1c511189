// Holes: in a picture a box, any mask, or the margin that a larger canvas adds; in a text every ___.
//
// What is outside a hole stays: its codes are not drawn again, and its pixels are those of the frame, bit for bit.
#pragma once

#include <string>
#include <vector>

#include "tasks/pictures.h"

namespace leon {

// Half open, in pixels of the picture as it was given: x0 <= x < x1.
struct PixelBox {
    int x0 = 0, y0 = 0, x1 = 0, y1 = 0;
};
PixelBox parse_box(const std::string& text);  // "x0,y0,x1,y1"; Error on anything else

// Pixels to add around a picture.
struct Margins {
    int left = 0, top = 0, right = 0, bottom = 0;
};
Margins parse_margins(const std::string& text);  // "left,top,right,bottom"; Error on anything else

// The picture in the model's frame, and which cells of it are to be filled: [rows, cols], 1 = filled.
struct HoleInFrame {
    Picture frame;
    std::vector<uint8_t> hidden;
};

// Frame: shorter side to the resolution, centre crop. The cells that the box touches in it. Error if the box is empty,
// outside the picture, or outside the frame.
HoleInFrame place_hole(const Picture& picture, const PixelBox& box, int resolution, int patch);
// The same for the white pixels (128 and more) of a mask that has the picture's size. Error if there are none.
HoleInFrame place_mask(const Picture& picture, const Picture& mask, int resolution, int patch);
// The picture on a canvas that is larger by the margins, as a frame: every cell that touches the margin. Error if that
// is more than the model can see, or nothing.
HoleInFrame place_margins(const Picture& picture, const Margins& margins, int resolution, int patch);

// The one of the three that a person chose, in their options' words; `mask` is a file. Error unless exactly one is
// given.
HoleInFrame chosen_hole(const Model& model, const Picture& picture, const std::string& box, const std::string& mask,
                        const std::string& margins);

// The frame with the pixels of its hidden cells, `patch` a side, taken from a picture of the same size.
Picture filled_frame(const Picture& frame, const Picture& drawn, const std::vector<uint8_t>& hidden, int patch);

// Fills the hole, led by `text` if that is not empty.
Drawing fill(const Model& model, const HoleInFrame& hole, const std::string& text, const Settings& settings,
             const Progress& progress = {}, const std::vector<Document>& retrieved = {});
Drawing fill(const Model& model, const Picture& picture, const PixelBox& box, const std::string& text,
             const Settings& settings, const Progress& progress = {});

struct FilledText {
    std::string text;                // without holes
    std::vector<std::string> words;  // what stands in them, in order
    bool complete = true;            // false if one was cut at max_tokens
};
struct FilledTexts {
    std::vector<FilledText> candidates;
    bool cancelled = false;
    std::string prompt;
    GenerateStatistics statistics;
    double picture_seconds = 0;
};
// Every ___ of the text, in order; about the picture, if there is one. Error if there is no ___.
FilledTexts fill_text(const Model& model, const std::string& text, const Picture* picture, const Settings& settings,
                      const Progress& progress = {});

}  // namespace leon
