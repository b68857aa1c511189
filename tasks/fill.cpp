// Where holes lie, and what goes into them; see fill.h.
#include "tasks/fill.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tasks/common.h"

namespace leon {
namespace {

// The scale and crop of chameleon_preprocess: what it does to pixels, done to coordinates.
class FrameGeometry {
public:
    FrameGeometry(const Picture& picture, int resolution, int patch)
        : scale_(double(resolution) / std::min(picture.width, picture.height)),
          left_((int(std::nearbyint(scale_ * picture.width)) - resolution) / 2),
          top_((int(std::nearbyint(scale_ * picture.height)) - resolution) / 2),
          cells_(resolution / patch),
          patch_(patch) {}

    // The cells that a box of pixels touches; empty if it lies outside the frame.
    CellBox cells_of(const PixelBox& box) const {
        return {cell(box.x0, left_, false), cell(box.y0, top_, false), cell(box.x1, left_, true),
                cell(box.y1, top_, true)};
    }
    int side() const { return cells_; }

private:
    int cell(double pixel, int offset, bool end) const {
        const double cells = (pixel * scale_ - offset) / patch_;
        return std::clamp(int(end ? std::ceil(cells) : std::floor(cells)), 0, cells_);
    }

    double scale_;
    int left_, top_, cells_, patch_;
};

void hide(std::vector<uint8_t>& hidden, int side, const CellBox& box) {
    for (int y = box.y0; y < box.y1; y++)
        for (int x = box.x0; x < box.x1; x++) hidden[y * side + x] = 1;
}

bool hides_any(const std::vector<uint8_t>& hidden) {
    return std::find(hidden.begin(), hidden.end(), 1) != hidden.end();
}

constexpr int WHITE = 128;  // a mask's pixel is white from here on

}  // namespace

PixelBox parse_box(const std::string& text) {
    PixelBox box;
    char excess;
    if (std::sscanf(text.c_str(), "%d,%d,%d,%d%c", &box.x0, &box.y0, &box.x1, &box.y1, &excess) != 4)
        throw Error("'" + text + "' is not a box", "--box", "write x0,y0,x1,y1 in pixels, for example 40,30,90,80");
    return box;
}

Margins parse_margins(const std::string& text) {
    Margins m;
    char excess;
    if (std::sscanf(text.c_str(), "%d,%d,%d,%d%c", &m.left, &m.top, &m.right, &m.bottom, &excess) != 4)
        throw Error("'" + text + "' are no margins", "--grow",
                    "write left,top,right,bottom in pixels, for example 32,0,32,0");
    return m;
}

HoleInFrame place_hole(const Picture& picture, const PixelBox& box, int resolution, int patch) {
    if (box.x0 >= box.x1 || box.y0 >= box.y1)
        throw Error("the box is empty", "--box", "x0 < x1 and y0 < y1 are needed");
    if (box.x0 < 0 || box.y0 < 0 || box.x1 > picture.width || box.y1 > picture.height)
        throw Error("the box reaches outside the picture, which is " + std::to_string(picture.width) + "x" +
                        std::to_string(picture.height),
                    "--box");
    const FrameGeometry geometry(picture, resolution, patch);
    const CellBox cells = geometry.cells_of(box);
    if (cells.width() <= 0 || cells.height() <= 0)
        throw Error("the box lies outside the square in the middle of the picture, which is all that the model sees",
                    "--box");
    HoleInFrame hole;
    hole.hidden.resize(geometry.side() * geometry.side());
    hide(hole.hidden, geometry.side(), cells);
    hole.frame = chameleon_preprocess(picture, resolution);
    return hole;
}

HoleInFrame place_mask(const Picture& picture, const Picture& mask, int resolution, int patch) {
    if (mask.width != picture.width || mask.height != picture.height)
        throw Error("the mask is " + size_text(mask.width, mask.height) + ", but the picture is " +
                        size_text(picture.width, picture.height),
                    "--mask", "make them the same size; white is what will be filled");
    const FrameGeometry geometry(picture, resolution, patch);
    HoleInFrame hole;
    hole.hidden.resize(geometry.side() * geometry.side());
    for (int y = 0; y < mask.height; y++) {
        for (int x = 0; x < mask.width; x++) {
            const uint8_t* p = mask.at(x, y);
            if ((p[0] + p[1] + p[2]) / 3 < WHITE) continue;
            const CellBox cells = geometry.cells_of({x, y, x + 1, y + 1});
            hide(hole.hidden, geometry.side(), cells);
        }
    }
    if (!hides_any(hole.hidden))
        throw Error("the mask has no white in the square in the middle, which is all that the model sees", "--mask",
                    "paint white what is to be filled");
    hole.frame = chameleon_preprocess(picture, resolution);
    return hole;
}

HoleInFrame place_margins(const Picture& picture, const Margins& m, int resolution, int patch) {
    for (int margin : {m.left, m.top, m.right, m.bottom})
        if (margin < 0 || margin > MAX_SIDE)
            throw Error("margins must be from 0 to " + std::to_string(MAX_SIDE), "--grow");
    const int64_t width = int64_t{picture.width} + m.left + m.right,
                  height = int64_t{picture.height} + m.top + m.bottom;
    if (width * height > MAX_PIXELS || std::max(width, height) > MAX_SIDE)
        throw Error("the canvas would be " + size_text(width, height), "--grow", "choose smaller margins");
    Picture canvas(static_cast<int>(width), static_cast<int>(height)), mask(canvas.width, canvas.height, 255);
    for (int y = 0; y < picture.height; y++) std::fill_n(mask.at(m.left, y + m.top), picture.width * 3, uint8_t{0});
    // The edge goes on outwards: resampling mixes it with its neighbours, and what stays is to keep its colours.
    for (int y = 0; y < canvas.height; y++) {
        for (int x = 0; x < canvas.width; x++) {
            const int px = std::clamp(x - m.left, 0, picture.width - 1),
                      py = std::clamp(y - m.top, 0, picture.height - 1);
            std::copy_n(picture.at(px, py), 3, canvas.at(x, y));
        }
    }
    HoleInFrame hole;
    try {
        hole = place_mask(canvas, mask, resolution, patch);
    } catch (const Error&) {
        throw Error("the margins lie outside the square in the middle of the canvas, which is all that the model sees",
                    "--grow", "add at both sides, or at the shorter side");
    }
    if (std::find(hole.hidden.begin(), hole.hidden.end(), 0) == hole.hidden.end())
        throw Error("nothing of the picture would be left", "--grow", "choose smaller margins");
    return hole;
}

HoleInFrame chosen_hole(const Model& model, const Picture& picture, const std::string& box, const std::string& mask,
                        const std::string& margins) {
    const int grid = model.grid(), patch = model.config().vqgan.patch(), resolution = grid * patch;
    if (!box.empty() + !mask.empty() + !margins.empty() != 1)
        throw Error("where is the hole?", "fill", "name exactly one of --box, --mask and --grow");
    if (!box.empty()) return place_hole(picture, parse_box(box), resolution, patch);
    if (!margins.empty()) return place_margins(picture, parse_margins(margins), resolution, patch);
    return place_mask(picture, load_picture(mask, Orientation::Upright), resolution, patch);
}

Picture filled_frame(const Picture& frame, const Picture& drawn, const std::vector<uint8_t>& hidden, int patch) {
    Picture result = frame;
    const int cols = frame.width / patch;
    for (size_t cell = 0; cell < hidden.size(); cell++) {
        if (!hidden[cell]) continue;
        const int x = static_cast<int>(cell) % cols * patch, y = static_cast<int>(cell) / cols * patch;
        for (int row = y; row < y + patch; row++) std::copy_n(drawn.at(x, row), patch * 3, result.at(x, row));
    }
    return result;
}

Drawing fill(const Model& model, const HoleInFrame& hole, const std::string& text, const Settings& given,
             const Progress& progress, const std::vector<Document>& retrieved) {
    const int patch = model.config().vqgan.patch();
    const Vqgan& decoder = model.decoder();
    Drawing drawing;
    double start = now();
    Fields fields;
    fields.retrieved = retrieved;
    Part part = picture_part_of(model, hole.frame);
    drawing.picture_seconds = now() - start;
    part.hidden = hole.hidden;
    fields.text = {
        {"text", text}, {"width", std::to_string(hole.frame.width)}, {"height", std::to_string(hole.frame.height)}};
    fields.pictures["picture"] = part;

    const Template& row = template_of(model.config().layout, Task::FillPicture);
    const Prompt prompt = query(row, fields);
    Settings settings = settled(model, Task::FillPicture, given);
    drawing.wish = wish_of(fields);
    const int tries = take_tries(model, settings, drawing.wish);
    const Guidance guidance = guidance_for(row, settings);
    drawing.prompt = readable_prompts(model, prompt, guidance, settings);
    const Completions completions = complete(model, prompt, guidance, settings, progress);
    drawing.statistics = completions.statistics;
    drawing.cancelled = completions.cancelled;

    start = now();
    std::vector<CodeGrid> grids;
    for (const Completion& completion : completions.candidates)
        grids.push_back(filled(prompt.document, completion.fillings).parts.back().picture);
    keep_grids(model, drawing, std::move(grids), tries, settings);
    for (const CodeGrid& grid : drawing.grids) {
        const Picture decoded = decoder.decode_u8(grid.codes, grid.rows, grid.cols);
        drawing.pictures.push_back(filled_frame(hole.frame, decoded, hole.hidden, patch));
    }
    drawing.picture_seconds += now() - start;
    return drawing;
}

Drawing fill(const Model& model, const Picture& picture, const PixelBox& box, const std::string& text,
             const Settings& settings, const Progress& progress) {
    const int grid = model.grid(), patch = model.config().vqgan.patch();
    return fill(model, place_hole(picture, box, grid * patch, patch), text, settings, progress);
}

FilledTexts fill_text(const Model& model, const std::string& text, const Picture* picture, const Settings& settings,
                      const Progress& progress) {
    Fields fields;
    fields.text["text with holes"] = text;
    FilledTexts result;
    if (picture) {
        const double start = now();
        fields.pictures["picture"] = picture_part_of(model, frame_of(model, *picture));
        result.picture_seconds = now() - start;
    }
    const Prompt prompt =
        query(template_of(model.config().layout, picture ? Task::FillTextOfPicture : Task::FillText), fields);
    if (prompt.next != Prompt::Next::Holes)
        throw Error("there is no hole in '" + text + "'", "text", "write ___ where words are missing");
    result.prompt = readable_prompts(model, prompt, {}, settings);
    const Completions completions = complete(model, prompt, {}, settings, progress);
    result.cancelled = completions.cancelled;
    result.statistics = completions.statistics;
    for (const Completion& completion : completions.candidates) {
        FilledText& filled_text = result.candidates.emplace_back();
        for (const Filling& filling : completion.fillings) filled_text.words.push_back(filling.text);
        filled_text.text = plain_text(filled(prompt.document, completion.fillings));
        filled_text.complete = completion.complete;
    }
    return result;
}

}  // namespace leon
