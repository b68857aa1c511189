// A scene from its seed: where the objects stand (Python's random numbers), how they are drawn, what the caption says.
#include "training/storybook/scene.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"
#include "training/storybook/painting.h"

namespace leon {
namespace {

constexpr int TRIES = 60;  // to place the objects of a scene

// An object's place before it is rounded to pixels.
struct Frame {
    double x0, y0, x1, y1;
    double area() const { return (x1 - x0) * (y1 - y0); }
};

Frame frame_of(const World& world, const SceneObject& object) {
    const Sprite& sprite = world.sprite(object.kind.emoji);
    const double width = static_cast<double>(sprite.width * object.height) / sprite.height;
    return {object.cx - width / 2, static_cast<double>(object.by - object.height), object.cx + width / 2,
            static_cast<double>(object.by)};
}

int round_half_even(double value) {
    return static_cast<int>(std::nearbyint(value));
}

// An elliptic shadow under the foot.
void draw_shadow(Picture& picture, const SceneObject& object, int x, int width) {
    constexpr float SIGMA = 1.5f;
    Mask mask(SCENE_SIZE, SCENE_SIZE);
    const double x0 = x + width * .08, x1 = x + width * .92;
    const double y0 = object.by - object.height * .07, y1 = object.by + object.height * .07;
    fill_ellipse(mask, x0, y0, x1, y1, 90);
    const int reach = blur_reach(SIGMA) + 1;  // the corners are cut to integers
    const auto inside = [](double value) { return static_cast<int>(std::clamp(value, 0.0, SCENE_SIZE * 1.0)); };
    const MaskBox box{inside(x0 - reach), inside(y0 - reach), inside(x1 + reach + 1), inside(y1 + reach + 1)};
    gaussian_blur(mask, box, SIGMA);
    for (int py = box.y0; py < box.y1; py++)
        for (int px = box.x0; px < box.x1; px++)
            for (int c = 0; c < 3; c++) {
                uint8_t& value = picture.at(px, py)[c];
                value = composite_255(value, 0, mask.row(py)[px]);
            }
}

}  // namespace

double overlap(const World& world, const SceneObject& a, const SceneObject& b) {
    const Frame f = frame_of(world, a), g = frame_of(world, b);
    const double width = std::min(f.x1, g.x1) - std::max(f.x0, g.x0);
    const double height = std::min(f.y1, g.y1) - std::max(f.y0, g.y0);
    return std::max(0.0, width) * std::max(0.0, height) / std::min(f.area(), g.area());
}

std::optional<SceneObject> try_to_place(const World& world, const Background& background, const ObjectKind& kind,
                                        std::span<const SceneObject> others, PythonRandom& random) {
    const int horizon = background.horizon;
    SceneObject object;
    object.kind = kind;
    if (kind.zone == Zone::Sky) {
        object.height = round_half_even(kind.relative_height * random.randint(30, 38));
        object.by = random.randint(object.height + 3, std::max(object.height + 4, horizon - 4));
    } else {
        object.by = random.randint(background.shore + 10, SCENE_SIZE - 5);
        const double depth = static_cast<double>(24 * (object.by - horizon)) / (SCENE_SIZE - horizon);
        object.height = round_half_even(kind.relative_height * (40 + depth));
    }
    object.height = std::min(object.height, object.by - 2);
    const Frame frame = frame_of(world, object);
    const Sprite& sprite = world.sprite(kind.emoji);
    const double width = static_cast<double>(sprite.width * object.height) / sprite.height;
    if (frame.y1 <= frame.y0 || width > SCENE_SIZE - 6) return {};
    const int half = static_cast<int>(width / 2);
    object.cx = random.randint(half + 2, SCENE_SIZE - half - 2);
    for (const SceneObject& other : others)
        if (overlap(world, object, other) > MAX_OVERLAP) return {};
    object.flip = random.random() < .5;
    return object;
}

void sort_for_drawing(std::vector<SceneObject>& objects) {
    std::stable_sort(objects.begin(), objects.end(), [](const SceneObject& a, const SceneObject& b) {
        const bool a_stands = a.kind.zone != Zone::Sky, b_stands = b.kind.zone != Zone::Sky;
        return a_stands != b_stands ? b_stands : a.by < b.by;
    });
}

std::vector<SceneObject> from_left_to_right(std::vector<SceneObject> objects) {
    std::stable_sort(objects.begin(), objects.end(), [](const auto& a, const auto& b) { return a.cx < b.cx; });
    return objects;
}

Composition compose(const World& world, const Picture& background, std::vector<SceneObject>& objects) {
    CHECK(background.width == SCENE_SIZE && background.height == SCENE_SIZE && objects.size() < 256);
    Composition out{background, std::vector<uint8_t>(static_cast<size_t>(SCENE_SIZE) * SCENE_SIZE)};
    for (size_t k = 0; k < objects.size(); k++) {
        SceneObject& object = objects[k];
        const Sprite& sprite = world.scaled(object.kind.emoji, object.height);
        const int left = left_of(object, sprite.width), top = object.by - object.height;
        if (object.kind.zone == Zone::Ground) draw_shadow(out.picture, object, left, sprite.width);

        std::array<int, 4> box = {SCENE_SIZE, SCENE_SIZE, 0, 0};
        for (int y = std::max(top, 0); y < std::min(top + sprite.height, SCENE_SIZE); y++)
            for (int x = std::max(left, 0); x < std::min(left + sprite.width, SCENE_SIZE); x++) {
                const int from_x = object.flip ? sprite.width - 1 - (x - left) : x - left;
                const uint8_t* from = sprite.rgba.data() + (static_cast<size_t>(y - top) * sprite.width + from_x) * 4;
                uint8_t* to = out.picture.at(x, y);
                for (int c = 0; c < 3; c++) to[c] = composite_255(to[c], from[c], from[3]);
                if (from[3] <= 127) continue;
                out.ids[static_cast<size_t>(y) * SCENE_SIZE + x] = static_cast<uint8_t>(k + 1);
                box = {std::min(box[0], x), std::min(box[1], y), std::max(box[2], x + 1), std::max(box[3], y + 1)};
            }
        object.box = box[0] < box[2] ? box : std::array<int, 4>{};
    }
    return out;
}

Scene scene(const World& world, uint64_t seed, const SceneOptions& options) {
    CHECK(options.max_objects >= 1 && options.max_objects <= 3);
    PythonRandom layout(seed);
    NumpyRandom paint(seed);
    Scene out;
    out.seed = seed;
    const Place place = options.place ? *options.place : static_cast<Place>(layout.below(PLACE_COUNT));
    out.background = background(place, paint);

    constexpr int COUNTS[] = {1, 2, 2, 3};
    const int choices = options.max_objects == 1 ? 1 : options.max_objects + 1;
    const size_t count = COUNTS[layout.below(choices)];
    for (int tries = 0; tries < TRIES && out.objects.size() < count; tries++) {
        Zone zone = place == Place::Sea ? Zone::Water : Zone::Ground;
        if (place != Place::Room && layout.random() < .3) zone = Zone::Sky;
        std::vector<const ObjectKind*> kinds;
        for (const ObjectKind& kind : object_kinds())
            if (kind.zone == zone) kinds.push_back(&kind);
        const ObjectKind& kind = *layout.choice(kinds);
        const auto is_same = [&](const SceneObject& other) { return other.kind.name == kind.name; };
        if (std::any_of(out.objects.begin(), out.objects.end(), is_same)) continue;
        if (kind.name == "sun" && place == Place::Night) continue;
        if (auto object = try_to_place(world, out.background, kind, out.objects, layout))
            out.objects.push_back(std::move(*object));
    }
    sort_for_drawing(out.objects);
    Composition composition = compose(world, out.background.picture, out.objects);
    out.picture = std::move(composition.picture);
    out.ids = std::move(composition.ids);
    std::vector<std::string> names;
    for (const SceneObject& object : from_left_to_right(out.objects)) names.push_back(object.kind.name);
    out.caption = caption_of(names, place);
    return out;
}

bool held_out(std::string_view first, std::string_view second, std::string_view place) {
    uint64_t hash = 0xcbf29ce484222325;
    const auto add = [&](std::string_view text) {
        for (char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    };
    add(first);
    add("|");
    add(second);
    add("|");
    add(place);
    return (hash >> 32) % 10 == 0;  // the lowest bit is the parity of the letters
}

bool held_out(std::span<const SceneObject> objects, Place place) {
    const auto named = from_left_to_right({objects.begin(), objects.end()});
    const auto name = [&](size_t i) { return i < named.size() ? std::string_view(named[i].kind.name) : ""; };
    return held_out(name(0), name(1), place_name(place));
}

Scene training_scene(const World& world, uint64_t n) {
    for (uint64_t seed = FIRST_TRAINING_SEED + 16 * n;; seed++) {
        Scene candidate = scene(world, seed);
        if (!held_out(candidate)) return candidate;
    }
}

}  // namespace leon
