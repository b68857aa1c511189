// The tables of the world: 55 kinds of objects and 8 places, as in the reference generator, in its order.
#include "training/storybook/scene.h"

#include <algorithm>

namespace leon {
namespace {

const std::vector<ObjectKind>& kinds() {
    using enum Zone;
    static const std::vector<ObjectKind> table = {
        {"house", "house", Ground, 1.30},
        {"castle", "castle", Ground, 1.40},
        {"tent", "tent", Ground, 0.95},
        {"oak", "deciduous tree", Ground, 1.30},
        {"pine", "evergreen tree", Ground, 1.25},
        {"palm tree", "palm tree", Ground, 1.30},
        {"cactus", "cactus", Ground, 0.95},
        {"sunflower", "sunflower", Ground, 0.75},
        {"tulip", "tulip", Ground, 0.60},
        {"mushroom", "mushroom", Ground, 0.55},
        {"tractor", "tractor", Ground, 1.00},
        {"car", "automobile", Ground, 0.85},
        {"bus", "bus", Ground, 1.00},
        {"bicycle", "bicycle", Ground, 0.80},
        {"elephant", "elephant", Ground, 1.20},
        {"giraffe", "giraffe", Ground, 1.35},
        {"camel", "camel", Ground, 1.05},
        {"horse", "horse", Ground, 1.05},
        {"cow", "cow", Ground, 0.95},
        {"dog", "dog", Ground, 0.70},
        {"cat", "cat", Ground, 0.65},
        {"rabbit", "rabbit", Ground, 0.60},
        {"sheep", "ewe", Ground, 0.75},
        {"pig", "pig", Ground, 0.75},
        {"rooster", "rooster", Ground, 0.60},
        {"turtle", "turtle", Ground, 0.50},
        {"penguin", "penguin", Ground, 0.65},
        {"deer", "deer", Ground, 0.95},
        {"snowman", "snowman without snow", Ground, 0.85},
        {"campfire", "fire", Ground, 0.65},
        {"ball", "soccer ball", Ground, 0.45},
        {"apple", "red apple", Ground, 0.45},
        {"pineapple", "pineapple", Ground, 0.60},
        {"guitar", "guitar", Ground, 0.70},
        {"chair", "chair", Ground, 0.70},
        {"gift", "wrapped gift", Ground, 0.55},
        {"airplane", "airplane", Sky, 1.00},
        {"eagle", "eagle", Sky, 0.90},
        {"butterfly", "butterfly", Sky, 0.80},
        {"balloon", "balloon", Sky, 0.90},
        {"helicopter", "helicopter", Sky, 1.00},
        {"rocket", "rocket", Sky, 1.00},
        {"ufo", "flying saucer", Sky, 1.00},
        {"sun", "sun", Sky, 1.00},
        {"moon", "full moon", Sky, 0.90},
        {"rainbow", "rainbow", Sky, 1.10},
        {"bee", "honeybee", Sky, 0.80},
        {"owl", "owl", Sky, 0.90},
        {"sailboat", "sailboat", Water, 1.20},
        {"ship", "ship", Water, 1.20},
        {"dolphin", "dolphin", Water, 1.00},
        {"whale", "whale", Water, 1.20},
        {"shark", "shark", Water, 1.10},
        {"swan", "swan", Water, 0.80},
        {"fish", "tropical fish", Water, 0.70},
    };
    return table;
}

struct PlaceWords {
    const char *name, *phrase;
};
constexpr PlaceWords PLACES[PLACE_COUNT] = {
    {"meadow", "on a green meadow"},    {"beach", "on a sandy beach"}, {"sea", "on the open sea"},
    {"night", "on a field at night"},   {"desert", "in a desert"},     {"snow", "in the snow"},
    {"sunset", "in a field at sunset"}, {"room", "in a room"},
};

}  // namespace

std::span<const ObjectKind> object_kinds() {
    return kinds();
}

const ObjectKind* find_object(std::string_view name) {
    const auto found =
        std::find_if(kinds().begin(), kinds().end(), [&](const auto& kind) { return kind.name == name; });
    return found == kinds().end() ? nullptr : &*found;
}

const char* place_name(Place place) {
    return PLACES[static_cast<int>(place)].name;
}

const char* place_phrase(Place place) {
    return PLACES[static_cast<int>(place)].phrase;
}

std::optional<Place> find_place(std::string_view name) {
    for (int i = 0; i < PLACE_COUNT; i++)
        if (PLACES[i].name == name) return static_cast<Place>(i);
    return {};
}

bool has_zone(Place place, Zone zone) {
    switch (zone) {
        case Zone::Ground:
            return place != Place::Sea;
        case Zone::Sky:
            return place != Place::Room;
        case Zone::Water:
            return place == Place::Sea;
    }
    return false;
}

std::string article(std::string_view name) {
    const bool vowel = !name.empty() && std::string_view("aeio").find(name[0]) != std::string_view::npos;
    return (vowel ? "an " : "a ") + std::string(name);
}

std::string caption_of(std::span<const std::string> names, Place place) {
    std::string caption;
    for (size_t i = 0; i < names.size(); i++) {
        if (i > 0) caption += i + 1 == names.size() ? " and " : ", ";
        caption += article(names[i]);
    }
    return caption + " " + place_phrase(place);
}

}  // namespace leon
