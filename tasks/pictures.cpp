// draw and fill: prompts from tokenizer/document.h, runs for the decode loop, pixels from the VQGAN.
#include "tasks/pictures.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

namespace leon {
namespace {

using Ids = std::vector<int32_t>;

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Run image_run(const Model& model, int tokens, const SamplerChain& chain) {
    Run run;
    run.kind = Run::Kind::Image;
    run.tokens = tokens;
    run.allowed = model.vocabulary().image();
    run.chain = chain;
    return run;
}

Run forced_run(Ids ids) {
    Run run;
    run.kind = Run::Kind::Forced;
    run.forced = std::move(ids);
    return run;
}

// Performs a fixed list of runs for every candidate.
NextRun in_order(const std::vector<Run>& runs, int candidates) {
    return [runs, next = std::vector<size_t>(candidates, 0)](int candidate, const Ids&) mutable -> std::optional<Run> {
        if (next[candidate] == runs.size()) return std::nullopt;
        return runs[next[candidate]++];
    };
}

int tokens_of(const std::vector<Run>& runs) {
    int tokens = 0;
    for (const Run& run : runs)
        tokens += run.kind == Run::Kind::Forced ? static_cast<int>(run.forced.size()) : run.tokens;
    return tokens;
}

// Runs the decode loop for pictures; `cells` receives each candidate's drawn codes, in order.
struct PictureLoop {
    std::vector<Ids> drawn;
    bool cancelled = false;

    PictureLoop(const Model& model, const Ids& prompt, const std::vector<Run>& runs, const Settings& settings,
                const Progress& progress, GenerateStatistics& statistics)
        : drawn(settings.candidates) {
        int total = 0;
        for (const Run& run : runs)
            if (run.kind == Run::Kind::Image) total += run.tokens;
        GenerateOptions options;
        options.candidates = settings.candidates;
        options.seed = settings.seed;
        options.max_tokens = tokens_of(runs);
        options.cache_dtype = settings.cache_dtype;
        options.on_token = [&](const TokenEvent& event) {
            if (event.kind != Run::Kind::Image) return true;
            Ids& codes = drawn[event.candidate];
            codes.push_back(event.token - model.vocabulary().image_first);
            if (progress.picture && !progress.picture(event.candidate, codes, total)) cancelled = true;
            return !cancelled;
        };
        const Model& m = model;
        generate(m.config().transformer, m.weights(), m.kernels(), prompt, in_order(runs, settings.candidates), options,
                 &statistics);
    }
};

void check_settings(const Settings& settings) {
    if (settings.candidates < 1 || settings.candidates > 64)
        throw Error(std::to_string(settings.candidates) + " is out of range", "--candidates", "choose from 1 to 64");
    if (settings.top_k.value_or(0) < 0) throw Error("must not be negative", "--top-k");
}

}  // namespace

Drawing draw(const Model& model, const std::string& text, const Settings& settings, const Progress& progress) {
    check_settings(settings);
    const Vqgan& decoder = model.decoder();
    const DocumentWriter& documents = model.documents();
    const int side = model.grid();
    const bool guided = guidance_scale(model.config().layout, settings) != 1;

    Run run = image_run(model, side * side, picture_chain(model.config().layout, settings, guided));
    run.guidance = guided ? std::vector<Ids>{documents.unconditional_prompt()} : std::vector<Ids>{};

    Drawing drawing;
    PictureLoop loop(model, documents.draw_prompt(text), {run}, settings, progress, drawing.statistics);
    drawing.cancelled = loop.cancelled;
    if (loop.cancelled) return drawing;
    const double start = now();
    for (const Ids& codes : loop.drawn) {
        drawing.grids.push_back({side, side, codes});
        drawing.pictures.push_back(decoder.decode_u8(codes, side, side));
    }
    drawing.picture_seconds = now() - start;
    return drawing;
}

Picture candidate_sheet(const Drawing& drawing) {
    const int count = static_cast<int>(drawing.pictures.size());
    int columns = 1;
    while (columns * columns < count) columns++;
    return contact_sheet(drawing.pictures, columns);
}

PixelBox parse_box(const std::string& text) {
    PixelBox box;
    char excess;
    if (std::sscanf(text.c_str(), "%d,%d,%d,%d%c", &box.x0, &box.y0, &box.x1, &box.y1, &excess) != 4)
        throw Error("'" + text + "' is not a box", "--box", "write x0,y0,x1,y1 in pixels, for example 40,30,90,80");
    return box;
}

HoleInFrame place_hole(const Picture& picture, const PixelBox& box, int resolution, int patch) {
    if (box.x0 >= box.x1 || box.y0 >= box.y1)
        throw Error("the box is empty", "--box", "x0 < x1 and y0 < y1 are needed");
    if (box.x0 < 0 || box.y0 < 0 || box.x1 > picture.width || box.y1 > picture.height)
        throw Error("the box reaches outside the picture, which is " + std::to_string(picture.width) + "x" +
                        std::to_string(picture.height),
                    "--box");
    // The same scale and crop as chameleon_preprocess: what it does to pixels, done to coordinates.
    const double scale = double(resolution) / std::min(picture.width, picture.height);
    const int left = (int(std::nearbyint(scale * picture.width)) - resolution) / 2;
    const int top = (int(std::nearbyint(scale * picture.height)) - resolution) / 2;
    auto cell = [&](double pixel, int offset, bool end) {
        const double cells = (pixel * scale - offset) / patch;
        return std::clamp(int(end ? std::ceil(cells) : std::floor(cells)), 0, resolution / patch);
    };
    HoleInFrame hole;
    hole.cells = {cell(box.x0, left, false), cell(box.y0, top, false), cell(box.x1, left, true),
                  cell(box.y1, top, true)};
    if (hole.cells.width() <= 0 || hole.cells.height() <= 0)
        throw Error("the box lies outside the square in the middle of the picture, which is all that the model sees",
                    "--box");
    hole.frame = chameleon_preprocess(picture, resolution);
    return hole;
}

namespace {

// CM3Leon: the prompt ends with <sentinel:0>; row by row: codes <eoss> <sentinel:i> codes <eoss> ...
std::vector<Run> cm3_fill_runs(const Model& model, const CellBox& hole, const SamplerChain& chain) {
    const Vocabulary& v = model.vocabulary();
    std::vector<Run> runs;
    for (int row = 0; row < hole.height(); row++) {
        if (row > 0) runs.push_back(forced_run({v.eoss, v.sentinels[row]}));
        runs.push_back(image_run(model, hole.width(), chain));
    }
    return runs;
}

// Chameleon was not trained to look ahead: in raster order, visible codes are forced and cells of the hole are drawn.
std::vector<Run> raster_fill_runs(const Model& model, const CodeGrid& grid, const CellBox& hole,
                                  const SamplerChain& chain) {
    std::vector<Run> runs;
    for (int row = hole.y0; row < hole.y1; row++) {
        const int from = row == hole.y0 ? 0 : (row - 1) * grid.cols + hole.x1;
        const int to = row * grid.cols + hole.x0;
        if (from < to)
            runs.push_back(forced_run(model.documents().image_ids(std::span(grid.codes).subspan(from, to - from))));
        runs.push_back(image_run(model, hole.width(), chain));
    }
    return runs;
}

}  // namespace

Drawing fill(const Model& model, const Picture& picture, const PixelBox& box, const std::string& text,
             const Settings& settings, const Progress& progress) {
    check_settings(settings);
    const int patch = model.config().vqgan.patch(), side = model.grid();
    const Vqgan& encoder = model.encoder();
    const Vqgan& decoder = model.decoder();
    const HoleInFrame hole = place_hole(picture, box, side * patch, patch);
    const CellBox& cells = hole.cells;

    Drawing drawing;
    double start = now();
    const CodeGrid grid{side, side, encoder.encode(to_floats(hole.frame), side * patch, side * patch)};
    drawing.picture_seconds = now() - start;

    const Layout layout = model.config().layout;
    const DocumentWriter& documents = model.documents();
    const bool guided = !text.empty() && guidance_scale(layout, settings) != 1;
    const SamplerChain chain = picture_chain(layout, settings, guided);
    std::vector<Run> runs =
        layout == Layout::CM3Leon ? cm3_fill_runs(model, cells, chain) : raster_fill_runs(model, grid, cells, chain);
    runs.front().guidance = guided ? std::vector<Ids>{documents.fill_prompt("", grid, cells)} : std::vector<Ids>{};
    PictureLoop loop(model, documents.fill_prompt(text, grid, cells), runs, settings, progress, drawing.statistics);
    drawing.cancelled = loop.cancelled;
    if (loop.cancelled) return drawing;

    start = now();
    for (const Ids& codes : loop.drawn) {
        CodeGrid& filled = drawing.grids.emplace_back(grid);
        size_t next = 0;
        for (int y = cells.y0; y < cells.y1; y++)
            for (int x = cells.x0; x < cells.x1; x++) filled.codes[y * side + x] = codes[next++];
        const Picture decoded = decoder.decode_u8(filled.codes, side, side);
        Picture& result = drawing.pictures.emplace_back(hole.frame);
        for (int y = cells.y0 * patch; y < cells.y1 * patch; y++)
            std::copy_n(decoded.at(cells.x0 * patch, y), size_t(cells.width()) * patch * 3,
                        result.at(cells.x0 * patch, y));
    }
    drawing.picture_seconds += now() - start;
    return drawing;
}

}  // namespace leon
