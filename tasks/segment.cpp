// See segment.h.
#include "tasks/segment.h"

#include "tasks/page.h"

namespace leon {
namespace {

// Names are data of a legend, maybe of a file: only letters, digits and dashes go into the name of a mask.
std::string file_name(const LabelRegion& region, const Legend& legend) {
    std::string name = "mask-";
    for (char c : legend.kinds[region.label].name) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        name += plain ? c : '-';
    }
    return name + ".png";
}

}  // namespace

Segmentation segment(const Model& model, const Picture& picture, const std::string& object, const Legend& legend,
                     const Settings& settings, const Progress& progress) {
    Fields fields = fields_for(model, picture);
    fields.text["object"] = object;
    Settings one = settings;
    one.candidates = 1;
    Segmentation result;
    const Task task = object.empty() ? Task::SegmentAll : Task::SegmentObject;
    result.drawing = make_picture(model, task, std::move(fields), one, progress);
    if (result.drawing.cancelled) return result;
    result.labels = classify_map(result.drawing.pictures[0], legend);
    result.regions = regions_of(result.labels);
    return result;
}

std::string save_segmentation(const std::string& folder, const Segmentation& segmentation, const Legend& legend) {
    make_folder(folder);
    std::vector<std::string> masks;
    for (const LabelRegion& region : segmentation.regions) {
        masks.push_back(file_name(region, legend));
        save_picture(folder + "/" + masks.back(), mask_of(segmentation.labels, region.label));
    }
    save_picture(folder + "/drawn.png", segmentation.drawing.pictures.at(0));
    save_picture(folder + "/map.png", paint_map(segmentation.labels, legend));
    std::string path = folder + "/legend.json";
    write_text(path, legend_json(segmentation.regions, legend, masks));
    return path;
}

}  // namespace leon
