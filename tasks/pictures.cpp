// A template, its fields, the decode loop, pixels; see pictures.h.
#include "tasks/pictures.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "tasks/common.h"
#include "tasks/ranking.h"

namespace leon {
namespace {

constexpr int LUMINA_STEP = 32;  // pixels: sides are multiples of it

// Lumina-mGPT's sizes: as many squares of 32 pixels as the resolution's square has, at most four times as wide as high
// or the reverse. The one whose shape is nearest to the picture's.
std::pair<int, int> lumina_size(const Picture& picture, int resolution) {
    const int n = (resolution / LUMINA_STEP) * (resolution / LUMINA_STEP);
    std::pair<int, int> best{resolution, resolution};
    double best_fit = -1;
    for (int w = n, h = 1; w > 0;) {
        if (std::max(w, h) <= 4 * std::min(w, h)) {
            const double x = double(w) / picture.width, y = double(h) / picture.height;
            const double fit = std::min(x, y) / std::max(x, y);
            if (fit > best_fit) {
                best_fit = fit;
                best = {w * LUMINA_STEP, h * LUMINA_STEP};
            }
        }
        (h + 1) * w <= n ? h++ : w--;
    }
    return best;
}

}  // namespace

Picture frame_of(const Model& model, const Picture& picture) {
    const int grid = model.grid(), resolution = grid * model.config().vqgan.patch();
    if (model.config().layout != Layout::Lumina) return chameleon_preprocess(picture, resolution);
    const std::pair<int, int> size = lumina_size(picture, resolution);
    return lumina_preprocess(picture, size.first, size.second);
}

Part picture_part_of(const Model& model, const Picture& frame) {
    const int patch = model.config().vqgan.patch();
    CodeGrid grid{frame.height / patch, frame.width / patch, {}};
    grid.codes = model.encoder().encode(to_floats(frame), frame.height, frame.width);
    return picture_part(std::move(grid));
}

Fields fields_for(const Model& model, const Picture& picture) {
    Fields fields;
    const Part& part = fields.pictures["picture"] = picture_part_of(model, frame_of(model, picture));
    fields.rows = part.picture.rows;
    fields.cols = part.picture.cols;
    return fields;
}

Settings settled(const Model& model, Task task, Settings given) {
    const auto found = model.config().defaults.find(name_of(task));
    if (found == model.config().defaults.end()) return given;
    const TaskDefaults& d = found->second;
    const Template* row = find_template(model.config().layout, task);
    if (!given.guidance) given.guidance = d.guidance;
    if (!given.image_guidance && row && row->image_guidance != 0) given.image_guidance = d.image_guidance;
    if (!given.best_of && given.candidates == 1) given.best_of = d.best_of;
    // The contrast of CD-K is drawn from as it is.
    if (!given.temperature && given.strategy == Strategy::TopP) given.temperature = d.temperature;
    return given;
}

Guidance guidance_for(const Template& row, const Settings& settings) {
    return guidance_of(settings, {row.guidance, row.image_guidance});
}

Wish wish_of(const Fields& fields) {
    const auto text = [&](const char* name) {
        const auto found = fields.text.find(name);
        return found == fields.text.end() ? std::string() : found->second;
    };
    Wish wish;
    wish.sign = text("text").empty() && !text("word").empty();
    wish.caption = text(wish.sign ? "word" : "text");
    if (const auto map = fields.pictures.find("map"); map != fields.pictures.end()) {
        wish.map = map->second.picture;
        wish.map_kind = text("kind");
    }
    return wish;
}

int take_tries(const Model& model, Settings& settings, const Wish& wish) {
    check_settings(settings);
    const int tries = can_be_ranked(model, wish) ? settings.best_of.value_or(1) : 1;
    if (tries > 1) settings.candidates = tries;
    settings.best_of.reset();
    return tries;
}

size_t best_of(const Model& model, const std::vector<CodeGrid>& grids, const Wish& wish, const Settings& settings) {
    Drawing drawing;
    drawing.grids = grids;
    drawing.wish = wish;
    const std::vector<double> marks = model_scorer(model, settings)(drawing);
    return static_cast<size_t>(std::max_element(marks.begin(), marks.end()) - marks.begin());
}

void keep_grids(const Model& model, Drawing& drawing, std::vector<CodeGrid> grids, int tries,
                const Settings& settings) {
    if (tries > 1 && !grids.empty()) {  // none are there if it was cancelled
        const size_t best = best_of(model, grids, drawing.wish, settings);
        drawing.seeds = {settings.seed + best};
        drawing.grids = {std::move(grids[best])};
        return;
    }
    for (CodeGrid& grid : grids) {
        drawing.seeds.push_back(settings.seed + drawing.seeds.size());
        drawing.grids.push_back(std::move(grid));
    }
}

std::string readable_prompts(const Model& model, const Prompt& prompt, const Guidance& guidance,
                             const Settings& settings) {
    std::string all;
    for (const auto& ids : stream_prompts(model.documents(), prompt, guidance, settings))
        all += (all.empty() ? "" : "\n") + model.documents().readable(ids);
    return all;
}

Drawing make_picture(const Model& model, Task task, Fields fields, const Settings& given, const Progress& progress) {
    const Vqgan& decoder = model.decoder();
    if (fields.rows == 0) fields.rows = fields.cols = model.grid();
    if (model.config().layout != Layout::Lumina && (fields.rows != model.grid() || fields.cols != model.grid()))
        throw Error("this model draws squares of " + std::to_string(model.grid() * model.config().vqgan.patch()) +
                        " pixels only",
                    "--size");
    const int patch = model.config().vqgan.patch();
    fields.text["width"] = std::to_string(fields.cols * patch);
    fields.text["height"] = std::to_string(fields.rows * patch);

    const Template& row = template_of(model.config().layout, task);
    const Prompt prompt = query(row, fields);
    Settings settings = settled(model, task, given);
    Drawing drawing;
    drawing.wish = wish_of(fields);
    const int tries = take_tries(model, settings, drawing.wish);
    const Guidance guidance = guidance_for(row, settings);
    if (!settings.top_k && row.picture_top_k > 0) settings.top_k = row.picture_top_k;
    drawing.prompt = readable_prompts(model, prompt, guidance, settings);
    Completions completions = complete(model, prompt, guidance, settings, progress);
    drawing.statistics = completions.statistics;
    drawing.cancelled = completions.cancelled;
    const double start = now();
    std::vector<CodeGrid> grids;
    for (Completion& completion : completions.candidates) grids.push_back(std::move(completion.picture));
    keep_grids(model, drawing, std::move(grids), tries, settings);
    for (const CodeGrid& grid : drawing.grids)
        drawing.pictures.push_back(decoder.decode_u8(grid.codes, grid.rows, grid.cols));
    drawing.picture_seconds = now() - start;
    return drawing;
}

std::string remark_on_drawing(const Model& model) {
    if (model.config().layout != Layout::Chameleon) return "";
    return "Chameleon's own weights were released unable to draw: expect noise. Of Anole's, which can, convert them "
           "with "
           "--layout anole.";
}

std::string DrawRequest::caption() const {
    return text.empty() ? sign : text;
}

Drawing draw(const Model& model, const DrawRequest& request, const Settings& settings, const Progress& progress) {
    const int wishes = request.map.has_value() + !request.objects.empty() + !request.sign.empty();
    if (wishes > 1)
        throw Error("a map, objects and a sign cannot be asked for at once", "draw",
                    "choose one of --layout, --object and --sign");
    if (wishes == 0 && request.text.empty()) throw Error("there is nothing to draw", "draw", "say what, in words");
    if (request.map && request.kind.empty())
        throw Error("it is not said what the map is", "--kind", "for example --kind segmentation");
    if (!request.map && !request.kind.empty()) throw Error("there is no map", "--kind", "name one with --layout");
    if (!request.sign.empty() && !request.text.empty())
        throw Error("a sign has no other text", "--sign", "leave the text out");

    const int grid = model.grid(), side = grid * model.config().vqgan.patch();
    for (const PlacedObject& o : request.objects)
        if (o.x0 < 0 || o.y0 < 0 || o.x0 >= o.x1 || o.y0 >= o.y1 || o.x1 > side || o.y1 > side)
            throw Error("the place of the " + o.name + " is empty or outside the picture", "--object",
                        "0 <= x0 < x1 <= " + std::to_string(side) + " is needed, and the same for y");
    Fields fields;
    fields.retrieved = request.retrieved;
    fields.text = {{"text", request.text}, {"word", request.sign}, {"objects", words_of_objects(request.objects)}};
    if (request.size) {
        const int patch = model.config().vqgan.patch();
        if (request.size->first % patch != 0 || request.size->second % patch != 0 || request.size->first <= 0 ||
            request.size->second <= 0)
            throw Error("sides must be multiples of " + std::to_string(patch) + " pixels", "--size");
        fields.cols = request.size->first / patch;
        fields.rows = request.size->second / patch;
    }
    if (request.map) {
        fields.text["kind"] = words_of_map(request.kind);
        fields.pictures["map"] = picture_part_of(model, frame_of(model, *request.map));
        return make_picture(model, Task::DrawFromMap, std::move(fields), settings, progress);
    }
    if (!request.objects.empty()) return make_picture(model, Task::DrawObjects, std::move(fields), settings, progress);
    if (!request.sign.empty()) return make_picture(model, Task::DrawSign, std::move(fields), settings, progress);
    return make_picture(model, Task::Draw, std::move(fields), settings, progress);
}

Drawing draw(const Model& model, const std::string& text, const Settings& settings, const Progress& progress) {
    Fields fields;
    fields.text["text"] = text;
    return make_picture(model, Task::Draw, std::move(fields), settings, progress);
}

Drawing edit(const Model& model, const Picture& picture, const std::string& instruction, const Settings& settings,
             const Progress& progress, const std::vector<Document>& retrieved) {
    if (instruction.empty()) throw Error("is empty", "instruction", "say what to change");
    Fields fields = fields_for(model, picture);
    fields.retrieved = retrieved;
    fields.text["instruction"] = instruction;
    return make_picture(model, Task::Edit, std::move(fields), settings, progress);
}

std::pair<int, int> parse_size(const std::string& text) {
    std::pair<int, int> size;
    char excess;
    if (std::sscanf(text.c_str(), "%dx%d%c", &size.first, &size.second, &excess) != 2)
        throw Error("'" + text + "' is no size", "--size", "write WIDTHxHEIGHT in pixels, for example 768x512");
    return size;
}

Drawing estimate(const Model& model, const Picture& picture, const std::string& kind, const Settings& settings,
                 const Progress& progress) {
    const std::map<std::string, Task> tasks = {
        {"depth", Task::EstimateDepth}, {"normals", Task::EstimateNormals}, {"pose", Task::EstimatePose}};
    const auto task = tasks.find(kind);
    if (task == tasks.end())
        throw Error("'" + kind + "' is nothing that a model estimates", "--kind", "choose depth, normals or pose");
    return make_picture(model, task->second, fields_for(model, picture), settings, progress);
}

Picture candidate_sheet(const Drawing& drawing) {
    const int count = static_cast<int>(drawing.pictures.size());
    int columns = 1;
    while (columns * columns < count) columns++;
    return contact_sheet(drawing.pictures, columns);
}

}  // namespace leon
