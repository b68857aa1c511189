// Tasks that make a picture: draw one from text, fill a hole in one.
#pragma once

#include <string>
#include <vector>

#include "tasks/model.h"
#include "tasks/settings.h"
#include "tokenizer/document.h"
#include "tokenizer/image.h"

namespace leon {

struct Drawing {
    std::vector<Picture> pictures;  // one a candidate, in order of their seeds
    std::vector<CodeGrid> grids;    // their codes
    bool cancelled = false;         // by Progress; pictures are then empty
    GenerateStatistics statistics;
    double picture_seconds = 0;  // spent in the VQGAN
};

// Error if the model lacks a part, a setting is out of range, or the text does not fit the context.
Drawing draw(const Model& model, const std::string& text, const Settings& settings, const Progress& progress = {});

// All candidates on one sheet, about as wide as high.
Picture candidate_sheet(const Drawing& drawing);

// Half open, in pixels of the picture as it was given: x0 <= x < x1.
struct PixelBox {
    int x0 = 0, y0 = 0, x1 = 0, y1 = 0;
};
PixelBox parse_box(const std::string& text);  // "x0,y0,x1,y1"; Error on anything else

// The picture in the model's frame (shorter side to the resolution, centre crop), and the cells that the box touches in
// it. Error if the box is empty, outside the picture, or outside the frame.
struct HoleInFrame {
    Picture frame;
    CellBox cells;
};
HoleInFrame place_hole(const Picture& picture, const PixelBox& box, int resolution, int patch);

// Fills the box, led by `text` if that is not empty. Cells outside stay: their codes are not drawn again and their
// pixels are those of the frame, bit for bit.
Drawing fill(const Model& model, const Picture& picture, const PixelBox& box, const std::string& text,
             const Settings& settings, const Progress& progress = {});

}  // namespace leon
