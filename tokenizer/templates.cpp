// The words of every task and family; see templates.h. Sources: docs/models.md §4.
#include "tokenizer/templates.h"

#include <algorithm>
#include <cstdio>

#include "kernels/check.h"

namespace leon {
namespace {

using enum Task;
constexpr Layout CM3 = Layout::CM3Leon;
constexpr int DENSE_TOP_K = 200;  // Lumina-mGPT's pictures from pictures

const std::vector<Template>& all_templates() {
    static const std::vector<Template> rows = {
        // CM3Leon: the paper's instruction tuning (Table 5). Segmentation as an output is an extension of ours.
        {Draw, CM3, {"{text}", "{new picture}"}, 3},
        {Describe, CM3, {"Describe the given picture. {answer}", "{picture}"}},
        {DescribeLong, CM3, {"Describe all the objects in the given image in very detail. {answer}", "{picture}"}},
        {Ask, CM3, {"Question: {question} Answer: {answer}", "{picture}"}, 1, 0, 0, "."},
        {Edit,
         CM3,
         {"Edit first image following the instruction", "{picture}", "{instruction}", "{new picture}"},
         7.5f,
         1.5f},
        {DrawFromMap, CM3, {"Make high quality image from {kind}", "{map}", "{text}", "{new picture}"}, 3},
        {DrawObjects, CM3, {"Generate high quality image of {text} with segmentations {objects}", "{new picture}"}, 3},
        {DrawSign, CM3, {"draw \"{word}\"", "{new picture}"}, 3},
        {SegmentAll, CM3, {"Make a segmentation map of the given image", "{picture}", "{new picture}"}},
        {SegmentObject, CM3, {"Make a segmentation map of {object} in the given image", "{picture}", "{new picture}"}},
        {FillPicture, CM3, {"{text}", "{picture}"}, 3},
        {FillText, CM3, {"{text with holes}"}},
        {FillTextOfPicture, CM3, {"{text with holes}", "{picture}"}},

        // Chameleon, whose own weights were released without drawing, and Anole, which draws.
        {Draw, Layout::Chameleon, {"{text}", "{turn}", "{new picture}"}, 3},
        {Describe, Layout::Chameleon, {"{picture}", "Describe the given picture.", "{turn}", "{reply}"}},
        {DescribeLong, Layout::Chameleon, {"{picture}", "Describe the given picture in detail.", "{turn}", "{reply}"}},
        {Ask, Layout::Chameleon, {"{picture}", "{question}", "{turn}", "{reply}"}},
        {Edit, Layout::Chameleon, {"{picture}", "{instruction}", "{turn}", "{new picture}"}, 3, 1.2f},
        {FillPicture, Layout::Chameleon, {"{text}", "{turn}", "{picture}"}, 3},

        // Lumina-mGPT: trained phrases, one of them misspelled.
        {Draw,
         Layout::Lumina,
         {"Generate an image of {width}x{height} according to the following prompt:\n{text}", "{turn}",
          "{new picture}"},
         4},
        {Describe, Layout::Lumina, {"Describe the image in detail. ", "{picture}", "{turn}", "{reply}"}},
        {DescribeLong, Layout::Lumina, {"Describe the image in detail. ", "{picture}", "{turn}", "{reply}"}},
        {Ask, Layout::Lumina, {"{picture}", " {question}", "{turn}", "{reply}"}},
        {Edit, Layout::Lumina, {"{instruction} ", "{picture}", "{turn}", "{new picture}"}, 1, 0, DENSE_TOP_K},
        {DrawFromMap,
         Layout::Lumina,
         {"Generate an image according to the provided image, and according to the following caption:\n{text} ",
          "{map}", "{turn}", "{new picture}"},
         1,
         0,
         DENSE_TOP_K},
        {SegmentAll,
         Layout::Lumina,
         {"Segmentic segmentation. ", "{picture}", "{turn}", "{new picture}"},
         1,
         0,
         DENSE_TOP_K},
        {SegmentObject,
         Layout::Lumina,
         {"Detect: {object} ", "{picture}", "{turn}", "{new picture}"},
         1,
         0,
         DENSE_TOP_K},
        {EstimateDepth,
         Layout::Lumina,
         {"Depth estimation. ", "{picture}", "{turn}", "{new picture}"},
         1,
         0,
         DENSE_TOP_K},
        {EstimateNormals,
         Layout::Lumina,
         {"Surface normal estimation. ", "{picture}", "{turn}", "{new picture}"},
         1,
         0,
         DENSE_TOP_K},
        {EstimatePose,
         Layout::Lumina,
         {"Human pose estimation. ", "{picture}", "{turn}", "{new picture}"},
         1,
         0,
         DENSE_TOP_K},
        {FillPicture,
         Layout::Lumina,
         {"Generate an image of {width}x{height} according to the following prompt:\n{text}", "{turn}", "{picture}"},
         4},
    };
    return rows;
}

struct TaskName {
    Task task;
    const char* name;
};
constexpr TaskName TASK_NAMES[] = {
    {Draw, "draw"},
    {Describe, "describe"},
    {DescribeLong, "describe-long"},
    {Ask, "ask"},
    {Edit, "edit"},
    {DrawFromMap, "draw-from-map"},
    {DrawObjects, "draw-objects"},
    {DrawSign, "draw-sign"},
    {SegmentAll, "segment"},
    {SegmentObject, "segment-object"},
    {EstimateDepth, "depth"},
    {EstimateNormals, "normals"},
    {EstimatePose, "pose"},
    {FillPicture, "fill"},
    {FillText, "fill-text"},
    {FillTextOfPicture, "fill-text-of-picture"},
};

struct MapWords {
    const char *kind, *words;
};
constexpr MapWords MAP_WORDS[] = {
    {"edges", "canny edge features"},
    {"segmentation", "a segmentation map"},
    {"hed", "hed features"},
    {"pose", "openpose features"},
    {"depth", "depth features"},
    {"normals", "3D norm features"},
    {"scribble", "children's scribbles"},
};

constexpr const char* ANSWER = "answer";

enum class Form { Query, Whole };

// One part of a template, its fields replaced.
class Expansion {
public:
    Expansion(const Template& row, const Fields& fields, Form form) : row_(row), fields_(fields), form_(form) {}

    Prompt prompt() {
        Prompt prompt;
        prompt.retrieved = fields_.retrieved;
        prompt.rows = prompt.cols = 0;
        for (const std::string& part : row_.parts) {
            if (part == "{new picture}") {
                if (form_ == Form::Whole) {
                    add(prompt, picture("new picture"));
                } else {
                    prompt.next = Prompt::Next::Picture;
                    prompt.rows = fields_.rows;
                    prompt.cols = fields_.cols;
                }
            } else if (part == "{reply}") {
                if (form_ == Form::Whole)
                    add(prompt, text_part(text(ANSWER) + row_.answer_end));
                else
                    prompt.next = Prompt::Next::Text;
            } else if (part == "{turn}") {
                add(prompt, end_of_turn());
            } else if (part == "{picture}" || part == "{map}") {
                add(prompt, picture(part.substr(1, part.size() - 2)));
            } else if (part == "{text with holes}") {
                add(prompt, text_with_holes(text("text with holes")));
            } else {
                add(prompt, expand(part));
            }
        }
        if (form_ == Form::Query && !holes_of(prompt.document).empty()) prompt.next = Prompt::Next::Holes;
        return prompt;
    }

private:
    static void add(Prompt& prompt, Part part) { prompt.document.parts.push_back(std::move(part)); }

    const std::string& text(const std::string& name) const {
        const auto found = fields_.text.find(name);
        CHECK(found != fields_.text.end());
        return found->second;
    }
    const Part& picture(const std::string& name) const {
        const auto found = fields_.pictures.find(name);
        CHECK(found != fields_.pictures.end());
        return found->second;
    }

    // Fields are put in once: braces that a person typed stay braces.
    Part expand(const std::string& pattern) const {
        Part part;
        std::string piece;
        for (size_t at = 0; at < pattern.size();) {
            if (pattern[at] != '{') {
                piece += pattern[at++];
                continue;
            }
            const size_t end = pattern.find('}', at);
            const std::string name = pattern.substr(at + 1, end - at - 1);
            at = end + 1;
            if (name != ANSWER) {
                piece += text(name);
                continue;
            }
            if (!piece.empty()) part.text.push_back({piece});
            piece.clear();
            if (form_ == Form::Query)
                part.text.push_back({"", true});
            else
                part.text.push_back({text(ANSWER) + row_.answer_end});
        }
        if (!piece.empty()) part.text.push_back({piece});
        return part;
    }

    const Template& row_;
    const Fields& fields_;
    const Form form_;
};

}  // namespace

const char* name_of(Task task) {
    for (const TaskName& row : TASK_NAMES)
        if (row.task == task) return row.name;
    check_failed(__FILE__, __LINE__, "known task");
}

std::optional<Task> task_named(const std::string& name) {
    for (const TaskName& row : TASK_NAMES)
        if (name == row.name) return row.task;
    return std::nullopt;
}

const Template* find_template(Layout layout, Task task) {
    const Layout words = layout == Layout::Anole ? Layout::Chameleon : layout;
    for (const Template& row : all_templates())
        if (row.layout == words && row.task == task) return &row;
    return nullptr;
}

const Template& template_of(Layout layout, Task task) {
    if (const Template* row = find_template(layout, task)) return *row;
    std::string known;
    for (const TaskName& row : TASK_NAMES)
        if (find_template(layout, row.task)) known += (known.empty() ? "" : ", ") + std::string(row.name);
    throw Error(std::string("models of the ") + name_of(layout) + " family were not trained for it", name_of(task),
                "they know " + known);
}

Prompt query(const Template& row, const Fields& fields) {
    return Expansion(row, fields, Form::Query).prompt();
}

Prompt whole(const Template& row, const Fields& fields) {
    return Expansion(row, fields, Form::Whole).prompt();
}

std::string words_of_map(const std::string& kind) {
    std::string known;
    for (const MapWords& row : MAP_WORDS) {
        if (kind == row.kind) return row.words;
        known += (known.empty() ? "" : ", ") + std::string(row.kind);
    }
    throw Error("'" + kind + "' is no kind of map", "--kind", "choose one of " + known);
}

std::vector<std::string> kinds_of_maps() {
    std::vector<std::string> kinds;
    for (const MapWords& row : MAP_WORDS) kinds.emplace_back(row.kind);
    return kinds;
}

std::string words_of_objects(const std::vector<PlacedObject>& objects) {
    std::string all;
    for (const PlacedObject& o : objects)
        all += (all.empty() ? "" : ", ") + o.name + " at location (" + std::to_string(o.x0) + ", " +
               std::to_string(o.y0) + ") -> (" + std::to_string(o.x1) + ", " + std::to_string(o.y1) + ")";
    return all;
}

PlacedObject parse_object(const std::string& text) {
    const size_t at = text.rfind('@');
    PlacedObject o;
    char excess;
    if (at == std::string::npos || at == 0 ||
        std::sscanf(text.c_str() + at, "@%d,%d,%d,%d%c", &o.x0, &o.y0, &o.x1, &o.y1, &excess) != 4)
        throw Error("'" + text + "' is not an object with its place", "--object",
                    "write NAME@x0,y0,x1,y1, for example dog@10,20,60,80");
    o.name = text.substr(0, at);
    return o;
}

std::vector<PlacedObject> parse_objects(const std::string& words) {
    const std::string middle = " at location ";
    std::vector<PlacedObject> objects;
    for (size_t at = 0; at < words.size();) {
        const size_t name_end = words.find(middle, at);
        PlacedObject o;
        int length = 0;
        if (name_end == std::string::npos ||
            std::sscanf(words.c_str() + name_end + middle.size(), "(%d, %d) -> (%d, %d)%n", &o.x0, &o.y0, &o.x1, &o.y1,
                        &length) != 4 ||
            length == 0)
            throw Error("'" + words + "' is not a list of objects with their places", "document");
        o.name = words.substr(at, name_end - at);
        objects.push_back(o);
        at = name_end + middle.size() + static_cast<size_t>(length);
        if (words.compare(at, 2, ", ") == 0) at += 2;
    }
    return objects;
}

}  // namespace leon
