// A picture's segmentation: the map that the model draws, and what is in it.
#pragma once

#include <string>

#include "tasks/pictures.h"
#include "tokenizer/legend.h"

namespace leon {

struct Segmentation {
    Drawing drawing;                   // the map as it was drawn: pictures[0]
    LabelMap labels;                   // of its pixels
    std::vector<LabelRegion> regions;  // of every label that occurs
};

// All kinds, or with an `object` that one alone. One candidate, whatever the settings say. Error as in pictures.h.
Segmentation segment(const Model& model, const Picture& picture, const std::string& object, const Legend& legend,
                     const Settings& settings, const Progress& progress = {});

// FOLDER/map.png (clear colours), drawn.png (as it was drawn), mask-NAME.png of every region, and legend.json. Returns
// the path of the last.
std::string save_segmentation(const std::string& folder, const Segmentation& segmentation, const Legend& legend);

}  // namespace leon
