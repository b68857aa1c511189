// Maps of scenes, exact where a scene knows more than its pixels: kinds and depth. Edges and scribbles are those of
// `leon map` with its defaults (tasks/maps.h), since these are what people will bring.
#pragma once

#include <optional>
#include <string_view>

#include "tokenizer/legend.h"
#include "training/storybook/scene.h"

namespace leon {

enum class LayoutKind { Edges, Segmentation, Depth, Scribble };
constexpr int LAYOUT_KINDS = 4;
const char* name_of(LayoutKind kind);  // "edges": as words_of_map() (tokenizer/templates.h) knows it

// The label of every pixel in storybook_legend(): the object on top, else the place. With `only`, of that object alone:
// all others have the place's label. Every object must be a kind of the legend (a bug otherwise).
LabelMap label_map(const Scene& scene, std::optional<std::string_view> only = {});

// Grey, the nearer the lighter, as MiDaS draws it. The ground rises evenly from FARTHEST_GROUND in the first row below
// the horizon to 255 in the last; an object stands upright at the depth of its foot; things in the sky are SKY_THINGS
// everywhere, and what is behind all is 0: the sky, while a wall is as far as the ground's edge at its foot.
constexpr int FARTHEST_GROUND = 64, SKY_THINGS = 40;
Picture depth_map(const Scene& scene);

Picture layout_of(const Scene& scene, LayoutKind kind);

}  // namespace leon
