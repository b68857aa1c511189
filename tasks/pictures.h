// Tasks that make a picture from words and other pictures: everything that tokenizer/templates.h has a row for.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tasks/completion.h"
#include "tasks/model.h"
#include "tasks/settings.h"
#include "tokenizer/image.h"
#include "tokenizer/templates.h"

namespace leon {

// What was asked for, as far as it can be read back from a picture: what candidates are ranked by (tasks/ranking.h).
struct Wish {
    std::string caption;   // of a sign its word; empty: none
    bool sign = false;     // whether it is a sign's word
    CodeGrid map;          // no cells: none
    std::string map_kind;  // in words: "a segmentation map"
};
Wish wish_of(const Fields& fields);

struct Drawing {
    std::vector<Picture> pictures;  // one a candidate, in order of their seeds, or best first once they are ranked
    std::vector<CodeGrid> grids;    // their codes
    std::vector<uint64_t> seeds;    // their seeds
    std::vector<double> scores;     // their marks, if they are ranked (tasks/ranking.h)
    Wish wish;                      // what they can be ranked by
    bool cancelled = false;         // by Progress; pictures are then empty
    std::string prompt;             // what the model was given, for a person to read
    GenerateStatistics statistics;
    double picture_seconds = 0;  // spent in the VQGAN
};

// A picture as the model sees it, and its codes as part of a document: the shorter side to the VQGAN's resolution,
// centre crop; Lumina-mGPT: the nearest of its sizes.
Picture frame_of(const Model& model, const Picture& picture);
Part picture_part_of(const Model& model, const Picture& frame);

// The fields of a task that makes another picture of this one, in its size.
Fields fields_for(const Model& model, const Picture& picture);

// Any task whose template ends with a new picture. The fields must hold what the template names, but for the size of
// the new picture: square at the VQGAN's resolution, unless fields.rows and cols say otherwise (Lumina-mGPT only).
// Error if the family does not know the task, the model lacks a part, a setting is out of range, or it does not fit the
// context.
Drawing make_picture(const Model& model, Task task, Fields fields, const Settings& settings,
                     const Progress& progress = {});

// What a person wants to see drawn: words, and at most one of a map, objects in their places, and a sign.
struct DrawRequest {
    std::string text;                         // may be empty beside a map, and must be beside a sign
    std::optional<Picture> map;               // where things are ...
    std::string kind;                         // ... and what the map is: one of kinds_of_maps()
    std::vector<PlacedObject> objects;        // boxes in pixels of the new picture
    std::string sign;                         // a word that stands in the picture
    std::optional<std::pair<int, int>> size;  // width and height (Lumina-mGPT)
    std::vector<Document> retrieved;          // to help with it

    std::string caption() const;  // what the picture should be described as
};
// make_picture for a request. Error also if it asks for nothing, or for too much at once, or if a box is empty or
// outside.
Drawing draw(const Model& model, const DrawRequest& request, const Settings& settings, const Progress& progress = {});
Drawing draw(const Model& model, const std::string& text, const Settings& settings, const Progress& progress = {});

Drawing edit(const Model& model, const Picture& picture, const std::string& instruction, const Settings& settings,
             const Progress& progress = {}, const std::vector<Document>& retrieved = {});

std::pair<int, int> parse_size(const std::string& text);  // "768x512": width, height; Error on anything else

// A map of the picture that the model itself estimates: "depth", "normals" or "pose" (Lumina-mGPT).
Drawing estimate(const Model& model, const Picture& picture, const std::string& kind, const Settings& settings,
                 const Progress& progress = {});

// The main stream's prompt and those of its guidance, a line each, for a person to read.
std::string readable_prompts(const Model& model, const Prompt& prompt, const Guidance& guidance,
                             const Settings& settings);
// `given` with what the model's file says of the task where nothing was given (TaskDefaults of runtime/config.h).
Settings settled(const Model& model, Task task, Settings given);
Guidance guidance_for(const Template& row, const Settings& settings);

// Best of n: how many pictures are drawn for the one that is kept, as candidates of `settings` from here on. 1, and
// nothing is chosen, unless best_of says more and the wish can be read back from a picture. Error if a setting is out
// of range.
int take_tries(const Model& model, Settings& settings, const Wish& wish);
// Which of them is kept: the one from which the model itself reads back best what was wished; the first of equals.
size_t best_of(const Model& model, const std::vector<CodeGrid>& grids, const Wish& wish, const Settings& settings);
// Puts codes into a drawing that has its wish, and the seeds that they were drawn with: of several tries those of the
// best.
void keep_grids(const Model& model, Drawing& drawing, std::vector<CodeGrid> grids, int tries, const Settings& settings);

// A line that belongs in front of any drawing of this model; "" if there is none.
std::string remark_on_drawing(const Model& model);

// All candidates on one sheet, about as wide as high.
Picture candidate_sheet(const Drawing& drawing);

}  // namespace leon
