// See phrasing.h.
#include "training/storybook/phrasing.h"

#include <cctype>
#include <iterator>
#include <string_view>

namespace leon {
namespace {

// Colours of things that have one, as their sprites show them.
constexpr struct {
    std::string_view name, colour;
} COLOURS[] = {
    {"car", "red"},      {"castle", "grey"},      {"oak", "green"},     {"pine", "green"},   {"palm tree", "green"},
    {"cactus", "green"}, {"sunflower", "yellow"}, {"tulip", "pink"},    {"mushroom", "red"}, {"elephant", "grey"},
    {"camel", "brown"},  {"horse", "brown"},      {"cat", "yellow"},    {"sheep", "white"},  {"pig", "pink"},
    {"turtle", "green"}, {"deer", "brown"},       {"snowman", "white"}, {"apple", "red"},    {"balloon", "red"},
    {"sun", "yellow"},   {"moon", "yellow"},      {"bee", "yellow"},    {"owl", "brown"},    {"dolphin", "blue"},
    {"whale", "blue"},   {"shark", "grey"},       {"swan", "white"},    {"ball", "white"},   {"house", "white"},
};
constexpr std::string_view OF_ANYTHING[] = {"small", "little", "big",       "large",  "old",   "new",
                                            "nice",  "pretty", "beautiful", "lovely", "happy", "single"};
constexpr std::string_view BEFORE[] = {"a picture of ", "a photo of ", "an image of ",
                                       "a drawing of ", "draw ",       "there is "};

std::string_view word_for(std::string_view name, PythonRandom& random) {
    for (const auto& row : COLOURS)
        if (row.name == name && random.random() < .6) return row.colour;
    return OF_ANYTHING[random.below(std::size(OF_ANYTHING))];
}

}  // namespace

std::string as_people_say(std::string caption, std::span<const SceneObject> objects, PythonRandom& random) {
    for (const SceneObject& object : objects) {
        const std::string said = article(object.kind.name);
        const size_t at = caption.find(said);
        if (at == std::string::npos || random.random() < .3) continue;
        caption.replace(at, said.size(),
                        article(std::string(word_for(object.kind.name, random)) + " " + object.kind.name));
    }
    if (random.random() < .15) caption = std::string(BEFORE[random.below(std::size(BEFORE))]) + caption;
    if (random.random() < .15) {
        caption[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(caption[0])));
        caption += ".";
    }
    return caption;
}

}  // namespace leon
