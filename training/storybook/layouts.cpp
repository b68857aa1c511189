// See layouts.h.
#include "training/storybook/layouts.h"

#include <algorithm>

#include "kernels/check.h"
#include "tasks/maps.h"

namespace leon {
namespace {

constexpr const char* LAYOUT_NAMES[LAYOUT_KINDS] = {"edges", "segmentation", "depth", "scribble"};

int32_t label_of(std::string_view name) {
    const std::optional<int> label = storybook_legend().find(name);
    CHECK(label.has_value());
    return *label;
}

}  // namespace

const char* name_of(LayoutKind kind) {
    return LAYOUT_NAMES[static_cast<size_t>(kind)];
}

LabelMap label_map(const Scene& scene, std::optional<std::string_view> only) {
    std::vector<int32_t> labels{label_of(place_name(scene.background.place))};  // of ids
    for (const SceneObject& object : scene.objects)
        labels.push_back(!only || object.kind.name == *only ? label_of(object.kind.name) : labels[0]);
    LabelMap map{SCENE_SIZE, SCENE_SIZE, {}};
    map.labels.reserve(scene.ids.size());
    for (uint8_t id : scene.ids) map.labels.push_back(labels.at(id));
    return map;
}

Picture depth_map(const Scene& scene) {
    const int horizon = scene.background.horizon;
    const auto depth_of_row = [&](int y) {
        const int rows = SCENE_SIZE - 1 - horizon, below = std::clamp(y - horizon, 0, rows);
        return static_cast<uint8_t>(FARTHEST_GROUND + (255 - FARTHEST_GROUND) * below / rows);
    };
    const uint8_t behind = scene.background.place == Place::Room ? uint8_t{FARTHEST_GROUND} : uint8_t{0};
    std::vector<uint8_t> depths{0};  // of ids; the first is not used
    for (const SceneObject& object : scene.objects)
        depths.push_back(object.kind.zone == Zone::Sky ? uint8_t{SKY_THINGS} : depth_of_row(object.by - 1));
    Picture map(SCENE_SIZE, SCENE_SIZE);
    for (int y = 0; y < SCENE_SIZE; y++) {
        const uint8_t background = y < horizon ? behind : depth_of_row(y);
        for (int x = 0; x < SCENE_SIZE; x++) {
            const uint8_t id = scene.ids[static_cast<size_t>(y) * SCENE_SIZE + static_cast<size_t>(x)];
            std::fill_n(map.at(x, y), 3, id ? depths.at(id) : background);
        }
    }
    return map;
}

Picture layout_of(const Scene& scene, LayoutKind kind) {
    switch (kind) {
        case LayoutKind::Edges:
            return edge_map(scene.picture, {});
        case LayoutKind::Segmentation:
            return paint_map(label_map(scene), storybook_legend());
        case LayoutKind::Depth:
            return depth_map(scene);
        case LayoutKind::Scribble:
            return scribble_map(scene.picture, {});
    }
    CHECK(!"a kind of layout");
}

}  // namespace leon
