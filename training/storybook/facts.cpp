// Facts of scenes, their words, and back; see facts.h.
#include "training/storybook/facts.h"

#include <algorithm>
#include <optional>

#include "kernels/check.h"

namespace leon {
namespace {

constexpr int MEDIUM_FROM = 32, LARGE_FROM = 44;  // pixels high: about a third and two thirds of the world's objects
constexpr int NEAR_FROM = 100;                    // row of the foot: the median

constexpr const char* SIZES[] = {"small", "medium", "large"};
constexpr const char* SIDES[] = {"on the left", "in the middle", "on the right"};
constexpr const char* DEPTHS[] = {"near", "far away", "in the sky"};
constexpr const char* NUMBERS[] = {"one", "two", "three"};

constexpr std::string_view THERE_IS = "There is ", THERE_ARE = "There are ";
constexpr std::string_view THING = " thing ", THINGS = " things ";
constexpr std::string_view IS = " is ";
constexpr std::string_view LEFT_OF = "to the left of ", RIGHT_OF = "to the right of ";

// What follows `prefix`; nothing if the text does not begin with it.
std::optional<std::string_view> behind(std::string_view text, std::string_view prefix) {
    if (!text.starts_with(prefix)) return std::nullopt;
    return text.substr(prefix.size());
}

std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
    std::vector<std::string_view> parts;
    for (;;) {
        const size_t at = text.find(separator);
        parts.push_back(text.substr(0, at));
        if (at == std::string_view::npos) return parts;
        text.remove_prefix(at + separator.size());
    }
}

// "a dog" -> "dog"
std::optional<std::string_view> without_article(std::string_view text) {
    for (std::string_view article : {"an ", "a ", "An ", "A "})
        if (const auto name = behind(text, article); name && !name->empty()) return name;
    return std::nullopt;
}

template <size_t N>
bool is_one_of(std::string_view text, const char* const (&words)[N]) {
    return std::find(std::begin(words), std::end(words), text) != std::end(words);
}

// "two things on a green meadow"
bool read_count(std::string_view text, std::string_view things, std::vector<Fact>& facts) {
    const size_t at = text.find(things);
    if (at == std::string_view::npos) return false;
    facts.push_back({FactKind::Count, "", std::string(text.substr(0, at))});
    facts.push_back({FactKind::Place, "", std::string(text.substr(at + things.size()))});
    return true;
}

// "on the left", "near", "to the left of a dog"
bool read_clause(std::string_view clause, const std::string& subject, std::vector<Fact>& facts) {
    if (is_one_of(clause, SIDES)) {
        facts.push_back({FactKind::Side, subject, std::string(clause)});
        return true;
    }
    if (is_one_of(clause, DEPTHS)) {
        facts.push_back({FactKind::Depth, subject, std::string(clause)});
        return true;
    }
    for (const auto& [words, kind] : {std::pair{LEFT_OF, FactKind::LeftOf}, std::pair{RIGHT_OF, FactKind::RightOf}}) {
        const auto other = behind(clause, words);
        if (!other) continue;
        const auto name = without_article(*other);
        if (name) facts.push_back({kind, subject, std::string(*name)});
        return name.has_value();
    }
    return false;
}

void read_sentence(std::string_view sentence, Statements& read) {
    for (const auto& [begin, things] : {std::pair{THERE_IS, THING}, std::pair{THERE_ARE, THINGS}})
        if (const auto rest = behind(sentence, begin)) {
            if (!read_count(*rest, things, read.facts)) read.unreadable++;
            return;
        }
    // "A large house is on the left, far away, to the left of a dog"
    const size_t at = sentence.find(IS);
    const auto sized = without_article(sentence.substr(0, at));
    std::optional<std::string> subject;
    for (const char* size : SIZES) {
        if (!sized || at == std::string_view::npos) break;
        const auto name = behind(*sized, std::string(size) + " ");
        if (!name) continue;
        subject = *name;
        read.facts.push_back({FactKind::Size, *subject, size});
    }
    if (!subject) {
        read.unreadable++;
        return;
    }
    for (std::string_view clause : split(sentence.substr(at + IS.size()), ", "))
        if (!read_clause(clause, *subject, read.facts)) read.unreadable++;
}

const SceneObject* find(const Scene& scene, std::string_view name) {
    for (const SceneObject& object : scene.objects)
        if (object.kind.name == name) return &object;
    return nullptr;
}

}  // namespace

Size size_of(const SceneObject& object) {
    const int height = object.box[3] - object.box[1];
    return height < MEDIUM_FROM ? Size::Small : height < LARGE_FROM ? Size::Medium : Size::Large;
}

Side side_of(const SceneObject& object) {
    const int middle_six = 3 * (object.box[0] + object.box[2]);  // six times the middle: thirds without fractions
    return middle_six < 2 * SCENE_SIZE ? Side::Left : middle_six < 4 * SCENE_SIZE ? Side::Middle : Side::Right;
}

Depth depth_of(const SceneObject& object) {
    if (object.kind.zone == Zone::Sky) return Depth::InTheSky;
    return object.box[3] >= NEAR_FROM ? Depth::Near : Depth::FarAway;
}

const char* words_of(Size size) {
    return SIZES[static_cast<size_t>(size)];
}

const char* words_of(Side side) {
    return SIDES[static_cast<size_t>(side)];
}

const char* words_of(Depth depth) {
    return DEPTHS[static_cast<size_t>(depth)];
}

const char* number_word(int count) {
    CHECK(count >= 1 && count <= 3);
    return NUMBERS[count - 1];
}

std::vector<Fact> facts_of(const Scene& scene) {
    const std::vector<SceneObject> objects = from_left_to_right(scene.objects);
    std::vector<Fact> facts{{FactKind::Count, "", number_word(static_cast<int>(objects.size()))},
                            {FactKind::Place, "", place_phrase(scene.background.place)}};
    for (size_t i = 0; i < objects.size(); i++) {
        const std::string& name = objects[i].kind.name;
        facts.push_back({FactKind::Size, name, words_of(size_of(objects[i]))});
        facts.push_back({FactKind::Side, name, words_of(side_of(objects[i]))});
        facts.push_back({FactKind::Depth, name, words_of(depth_of(objects[i]))});
        if (i > 0) facts.push_back({FactKind::RightOf, name, objects[i - 1].kind.name});
        if (i + 1 < objects.size()) facts.push_back({FactKind::LeftOf, name, objects[i + 1].kind.name});
    }
    return facts;
}

std::string long_caption(const Scene& scene) {
    std::string text;
    for (const Fact& fact : facts_of(scene)) {
        switch (fact.kind) {
            case FactKind::Count: {
                const bool one = scene.objects.size() == 1;
                text += std::string(one ? THERE_IS : THERE_ARE) + fact.value + std::string(one ? THING : THINGS);
                break;
            }
            case FactKind::Place:
                text += fact.value;
                break;
            case FactKind::Size:
                text += ". A " + fact.value + " " + fact.subject + std::string(IS);
                break;
            case FactKind::Side:
                text += fact.value;
                break;
            case FactKind::Depth:
                text += ", " + fact.value;
                break;
            case FactKind::LeftOf:
                text += ", " + std::string(LEFT_OF) + article(fact.value);
                break;
            case FactKind::RightOf:
                text += ", " + std::string(RIGHT_OF) + article(fact.value);
                break;
        }
    }
    return text + ".";
}

Statements facts_of(std::string_view text) {
    Statements read;
    while (!text.empty() && (text.back() == '.' || text.back() == ' ')) text.remove_suffix(1);
    if (text.empty()) return read;
    for (std::string_view sentence : split(text, ". ")) read_sentence(sentence, read);
    return read;
}

bool is_true(const Fact& fact, const Scene& scene) {
    if (fact.kind == FactKind::Count)
        return scene.objects.size() <= std::size(NUMBERS) && !scene.objects.empty() &&
               fact.value == number_word(static_cast<int>(scene.objects.size()));
    if (fact.kind == FactKind::Place) return fact.value == place_phrase(scene.background.place);
    const SceneObject* object = find(scene, fact.subject);
    if (!object) return false;
    switch (fact.kind) {
        case FactKind::Size:
            return fact.value == words_of(size_of(*object));
        case FactKind::Side:
            return fact.value == words_of(side_of(*object));
        case FactKind::Depth:
            return fact.value == words_of(depth_of(*object));
        default:
            break;
    }
    // Order is that of captions, so that it is total.
    const std::vector<SceneObject> ordered = from_left_to_right(scene.objects);
    const auto position = [&](std::string_view name) {
        return std::find_if(ordered.begin(), ordered.end(), [&](const SceneObject& o) { return o.kind.name == name; });
    };
    const auto subject = position(fact.subject), other = position(fact.value);
    if (other == ordered.end() || other == subject) return false;
    return fact.kind == FactKind::LeftOf ? subject < other : other < subject;
}

FactScore score_facts(std::string_view text, const Scene& scene) {
    const Statements read = facts_of(text);
    std::vector<Fact> stated;
    for (const Fact& fact : read.facts)
        if (std::find(stated.begin(), stated.end(), fact) == stated.end()) stated.push_back(fact);
    const std::vector<Fact> expected = facts_of(scene);
    FactScore score;
    score.stated = static_cast<int>(stated.size()) + read.unreadable;
    score.expected = static_cast<int>(expected.size());
    for (const Fact& fact : stated) score.right += is_true(fact, scene);
    for (const Fact& fact : expected) score.found += std::find(stated.begin(), stated.end(), fact) != stated.end();
    return score;
}

}  // namespace leon
