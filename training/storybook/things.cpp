// See things.h.
#include "training/storybook/things.h"

#include <algorithm>
#include <string_view>

namespace leon {
namespace {

// Chosen to look like nothing else in the world, and unlike one another.
const std::vector<ObjectKind>& rare_table() {
    using enum Zone;
    static const std::vector<ObjectKind> table = {
        {"blicket", "teapot", Ground, 0.65},
        {"dax", "crab", Ground, 0.60},
        {"wug", "octopus", Ground, 0.75},
        {"toma", "violin", Ground, 0.85},
        {"fep", "umbrella", Ground, 0.90},
        {"zav", "hamburger", Ground, 0.60},
        {"gorp", "birthday cake", Ground, 0.70},
        {"modi", "watermelon", Ground, 0.60},
        {"pilk", "flamingo", Ground, 1.00},
        {"tulver", "hedgehog", Ground, 0.60},
        {"koba", "T-Rex", Ground, 1.20},
        {"nonk", "snail", Ground, 0.60},
        {"sarn", "kangaroo", Ground, 1.00},
        {"vink", "drum", Ground, 0.65},
        {"yabble", "robot", Ground, 0.85},
        {"hux", "locomotive", Ground, 1.05},
        {"mip", "jack-o-lantern", Ground, 0.70},
        {"dofa", "teddy bear", Ground, 0.75},
        {"lorp", "fire extinguisher", Ground, 0.80},
        {"jandle", "cheese wedge", Ground, 0.60},
        {"thrim", "banana", Ground, 0.60},
        {"snerf", "parrot", Sky, 0.90},
        {"gub", "kite", Sky, 1.00},
        {"wexel", "parachute", Sky, 1.00},
    };
    return table;
}

// Headings of emoji-test.txt whose emoji are things that can stand somewhere. An empty subgroup: the whole group.
struct Heading {
    std::string_view group, subgroup;
};
constexpr Heading NOVEL[] = {
    {"Animals & Nature", ""},
    {"Food & Drink", ""},
    {"Travel & Places", "transport-ground"},
    {"Travel & Places", "transport-water"},
    {"Travel & Places", "transport-air"},
    {"Activities", "sport"},
    {"Activities", "game"},
    {"Objects", "clothing"},
    {"Objects", "musical-instrument"},
    {"Objects", "household"},
    {"Objects", "tool"},
};

constexpr std::string_view ONSETS[] = {"b",  "d",  "f",  "g",  "h",  "j",  "k",  "l",  "m",  "n",  "p",  "r",
                                       "s",  "t",  "v",  "w",  "z",  "bl", "br", "dr", "fl", "gl", "kl", "kr",
                                       "pl", "pr", "sk", "sl", "sn", "sp", "st", "th", "tr", "tw", "zw"};
constexpr std::string_view VOWELS[] = {"a", "e", "i", "o", "u", "oo", "ee"};
constexpr std::string_view CODAS[] = {"b", "d", "g", "k",  "l",  "m",  "n",  "p",  "r",
                                      "t", "x", "z", "ck", "lt", "mp", "nk", "rn", "sh"};
constexpr std::string_view SECONDS[] = {"a", "o", "i", "er", "et", "el", "in", "ock", "um", "ix"};
constexpr size_t LONGEST_NAME = 8;

bool is_taken(const std::string& name) {
    for (const ObjectKind& kind : rare_table())
        if (kind.name == name) return true;
    for (const ObjectKind& kind : object_kinds())
        if (kind.name.find(name) != kind.name.npos) return true;
    for (int place = 0; place < PLACE_COUNT; place++)
        if (std::string_view(place_phrase(static_cast<Place>(place))).find(name) != std::string_view::npos) return true;
    return false;
}

}  // namespace

std::span<const ObjectKind> rare_kinds() {
    return rare_table();
}

bool is_novel(const ListedEmoji& emoji) {
    const auto is_it = [&](const ObjectKind& kind) { return kind.emoji == emoji.name; };
    const auto holds_it = [&](const Heading& heading) {
        return emoji.group == heading.group && (heading.subgroup.empty() || emoji.subgroup == heading.subgroup);
    };
    return std::any_of(std::begin(NOVEL), std::end(NOVEL), holds_it) &&
           std::none_of(object_kinds().begin(), object_kinds().end(), is_it) &&
           std::none_of(rare_table().begin(), rare_table().end(), is_it);
}

const std::string& draw_novel_emoji(const World& world, PythonRandom& random) {
    for (;;)  // a third of all is
        if (const ListedEmoji& emoji = random.choice(world.drawable()); is_novel(emoji)) return emoji.name;
}

std::string invented_name(PythonRandom& random) {
    for (;;) {
        std::string name;
        name += random.choice(ONSETS);
        name += random.choice(VOWELS);
        name += random.choice(CODAS);
        if (random.random() < .5) name += random.choice(SECONDS);
        if (name.size() <= LONGEST_NAME && !is_taken(name)) return name;
    }
}

ObjectKind in_place(ObjectKind kind, Place place) {
    if (place == Place::Sea && kind.zone == Zone::Ground) kind.zone = Zone::Water;
    if (place != Place::Sea && kind.zone == Zone::Water) kind.zone = Zone::Ground;
    return kind;
}

bool can_stand(const ObjectKind& kind, Place place) {
    return has_zone(place, in_place(kind, place).zone);
}

}  // namespace leon
