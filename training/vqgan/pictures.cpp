// Pictures by kind and seed; see pictures.h.
#include "training/vqgan/pictures.h"

#include <algorithm>

#include "training/storybook/layouts.h"
#include "training/storybook/signs.h"
#include "training/storybook/things.h"

namespace leon {

const char* name_of(PictureKind kind) {
    constexpr const char* NAMES[PICTURE_KINDS] = {"scene", "segmentation", "edges", "scribble",
                                                  "depth", "sign",         "novel"};
    return NAMES[static_cast<int>(kind)];
}

TrainingPicture training_picture(const World& world, PictureKind kind, uint64_t seed) {
    Stage stage(world, seed, 100 + static_cast<uint64_t>(kind));
    TrainingPicture result;
    auto show = [&](Picture picture, const std::vector<uint8_t>& ids) {
        result.picture = std::move(picture);
        result.matters.resize(ids.size());
        std::transform(ids.begin(), ids.end(), result.matters.begin(), [](uint8_t id) { return id != 0; });
    };
    switch (kind) {
        case PictureKind::Scene: {
            const Scene scene = stage.next();
            show(scene.picture, scene.ids);
            break;
        }
        case PictureKind::Segmentation: {
            const Scene scene = stage.next();
            std::optional<std::string_view> only;
            if (stage.chance(0.3)) only = stage.random().choice(scene.objects).kind.name;
            result.labels = label_map(scene, only);
            show(paint_map(*result.labels, storybook_legend()), scene.ids);
            break;
        }
        case PictureKind::Edges:
        case PictureKind::Scribble:
        case PictureKind::Depth: {
            const Scene scene = stage.next();
            const LayoutKind layout = kind == PictureKind::Edges      ? LayoutKind::Edges
                                      : kind == PictureKind::Scribble ? LayoutKind::Scribble
                                                                      : LayoutKind::Depth;
            show(layout_of(scene, layout), scene.ids);
            break;
        }
        case PictureKind::Sign: {
            const Background background = stage.background(stage.any_place());
            const SignPicture sign = draw_sign(background, draw_sign_words(stage));
            show(sign.picture, sign.board);
            break;
        }
        case PictureKind::Novel:
            for (;;) {
                const Place place = stage.any_place();
                std::vector<ObjectKind> kinds;
                for (int64_t i = stage.random().randint(1, 2); i > 0; i--) {
                    const std::string& emoji = draw_novel_emoji(world, stage.random());
                    kinds.push_back(in_place({emoji, emoji, Zone::Ground, stage.random().uniform(0.6, 1.2)}, place));
                }
                if (kinds.size() == 2 && kinds[0].emoji == kinds[1].emoji) continue;
                if (const std::optional<Scene> scene = stage.with(place, kinds)) {
                    show(scene->picture, scene->ids);
                    break;
                }
            }
            break;
    }
    return result;
}

}  // namespace leon
