// Every question that a scene answers; see questions.h.
#include "training/storybook/questions.h"

#include <algorithm>
#include <functional>

#include "kernels/check.h"
#include "training/storybook/facts.h"

namespace leon {
namespace {

constexpr const char* QUESTION_NAMES[QUESTION_KINDS] = {"what", "where", "side",  "how many", "is there",
                                                        "left", "right", "above", "colour"};
constexpr const char *NOTHING = "nothing", *YES = "yes", *NO = "no";

// What a place is painted in. Walls have colours by chance, and nobody asks for them.
struct PlaceColours {
    Place place;
    const char *ground, *ground_colour, *sky_colour;
};
constexpr PlaceColours PLACE_COLOURS[PLACE_COUNT] = {
    {Place::Meadow, "ground", "green", "blue"},   {Place::Beach, "ground", "yellow", "blue"},
    {Place::Sea, "water", "blue", "light blue"},  {Place::Night, "ground", "dark green", "dark blue"},
    {Place::Desert, "ground", "orange", "blue"},  {Place::Snow, "ground", "white", "grey"},
    {Place::Sunset, "ground", "brown", "orange"}, {Place::Room, "floor", "brown", nullptr},
};

// A question and which of its kind's wordings it has.
struct Worded {
    int wording;
    Question question;
};

class Questions {
public:
    Questions(const Scene& scene, QuestionKind kind) : scene_(scene), kind_(kind) {
        for (const SceneObject& object : from_left_to_right(scene.objects)) objects_.push_back(object);
    }

    std::vector<Worded> all(std::span<const std::string> absent) {
        switch (kind_) {
            case QuestionKind::What:
                ask("What is in the picture?", list());
                break;
            case QuestionKind::Where:
                ask("Where is it?", place_phrase(scene_.background.place));
                break;
            case QuestionKind::Side:
                for (const SceneObject& object : objects_)
                    ask("Where is the " + object.kind.name + "?", words_of(side_of(object)));
                break;
            case QuestionKind::HowMany:
                ask("How many things are there?", number_word(static_cast<int>(objects_.size())));
                break;
            case QuestionKind::IsThere:
                for (const SceneObject& object : objects_) ask("Is there " + article(object.kind.name) + "?", YES);
                for (const std::string& name : absent) ask("Is there " + article(name) + "?", NO);
                break;
            case QuestionKind::Left:
                relation("to the left of", is_left_of);
                outermost("What is on the left?", is_left_of);
                break;
            case QuestionKind::Right: {
                const auto is_right_of = [](const SceneObject& a, const SceneObject& b) { return is_left_of(b, a); };
                relation("to the right of", is_right_of);
                outermost("What is on the right?", is_right_of);
                break;
            }
            case QuestionKind::Above:
                relation("above", is_above);
                break;
            case QuestionKind::Colour:
                colours();
                break;
        }
        return std::move(questions_);
    }

private:
    using Relation = std::function<std::optional<bool>(const SceneObject& a, const SceneObject& b)>;

    void ask(const std::string& text, const std::string& answer) {
        questions_.push_back({wording_, {kind_, text, answer}});
    }

    // "a dog and a house": the caption without its place.
    std::string list() const {
        const std::string place = std::string(" ") + place_phrase(scene_.background.place);
        CHECK(scene_.caption.ends_with(place));
        return scene_.caption.substr(0, scene_.caption.size() - place.size());
    }

    // "What is <words> the dog?" where one object is and all others clearly are not; "Is the bee <words> the dog?".
    void relation(const std::string& words, const Relation& holds) {
        for (const SceneObject& b : objects_) {
            const SceneObject* only = nullptr;
            bool clear = true;
            for (const SceneObject& a : objects_) {
                if (&a == &b) continue;
                const std::optional<bool> answer = holds(a, b);
                if (!answer || (*answer && only)) clear = false;
                if (answer && *answer) only = &a;
            }
            if (clear && objects_.size() > 1)
                ask("What is " + words + " the " + b.kind.name + "?", only ? article(only->kind.name) : NOTHING);
        }
        wording_++;
        for (const SceneObject& a : objects_)
            for (const SceneObject& b : objects_)
                if (const std::optional<bool> answer = holds(a, b); &a != &b && answer)
                    ask("Is the " + a.kind.name + " " + words + " the " + b.kind.name + "?", *answer ? YES : NO);
        wording_++;
    }

    // The one that is on that side of all others.
    void outermost(const std::string& text, const Relation& holds) {
        for (const SceneObject& a : objects_) {
            const bool is = std::all_of(objects_.begin(), objects_.end(),
                                        [&](const SceneObject& b) { return &a == &b || holds(a, b).value_or(false); });
            if (is && objects_.size() > 1) ask(text, article(a.kind.name));
        }
    }

    void colours() {
        for (const PlaceColours& row : PLACE_COLOURS) {
            if (row.place != scene_.background.place) continue;
            ask(std::string("What colour is the ") + row.ground + "?", row.ground_colour);
            wording_++;
            if (row.sky_colour) ask("What colour is the sky?", row.sky_colour);
        }
    }

    const Scene& scene_;
    const QuestionKind kind_;
    std::vector<SceneObject> objects_;  // from left to right
    std::vector<Worded> questions_;
    int wording_ = 0;
};

}  // namespace

const char* name_of(QuestionKind kind) {
    return QUESTION_NAMES[static_cast<size_t>(kind)];
}

std::vector<Question> questions_of(const Scene& scene, QuestionKind kind, std::span<const std::string> absent) {
    std::vector<Question> questions;
    for (Worded& worded : Questions(scene, kind).all(absent)) questions.push_back(std::move(worded.question));
    return questions;
}

AnswerKind kind_of(const Question& question) {
    if (question.answer == NOTHING) return AnswerKind::Nothing;
    return question.answer == YES ? AnswerKind::Yes : question.answer == NO ? AnswerKind::No : AnswerKind::Other;
}

AnswerKind draw_answer_kind(QuestionKind kind, PythonRandom& random) {
    const bool relates = kind == QuestionKind::Left || kind == QuestionKind::Right || kind == QuestionKind::Above;
    if (!relates && kind != QuestionKind::IsThere) return AnswerKind::Other;
    const uint32_t eighth = random.below(8);
    if (!relates) return eighth < 4 ? AnswerKind::Yes : AnswerKind::No;
    constexpr AnswerKind OF_EIGHTHS[] = {AnswerKind::Other, AnswerKind::Other, AnswerKind::Other, AnswerKind::Nothing,
                                         AnswerKind::Yes,   AnswerKind::Yes,   AnswerKind::No,    AnswerKind::No};
    return OF_EIGHTHS[eighth];
}

std::optional<Question> draw_question(const Scene& scene, QuestionKind kind, AnswerKind answer, PythonRandom& random) {
    std::vector<std::string> absent;
    while (kind == QuestionKind::IsThere && absent.empty()) {
        const std::string& name = random.choice(object_kinds()).name;
        const bool there = std::any_of(scene.objects.begin(), scene.objects.end(),
                                       [&](const SceneObject& object) { return object.kind.name == name; });
        if (!there) absent.push_back(name);
    }
    std::vector<Worded> questions = Questions(scene, kind).all(absent);
    std::erase_if(questions, [&](const Worded& q) { return kind_of(q.question) != answer; });
    if (questions.empty()) return std::nullopt;
    std::vector<int> wordings;
    for (const Worded& q : questions)
        if (wordings.empty() || wordings.back() != q.wording) wordings.push_back(q.wording);
    const int wording = random.choice(wordings);
    std::erase_if(questions, [&](const Worded& q) { return q.wording != wording; });
    return random.choice(questions).question;
}

std::optional<bool> is_left_of(const SceneObject& a, const SceneObject& b) {
    const int twice = (b.box[0] + b.box[2]) - (a.box[0] + a.box[2]);  // of the distance between the middles
    if (std::abs(twice) < 2 * QUESTION_MARGIN) return std::nullopt;
    return twice > 0;
}

std::optional<bool> is_above(const SceneObject& a, const SceneObject& b) {
    const int twice = 2 * b.box[1] - (a.box[1] + a.box[3]);  // how far a's middle is above b's top
    const int shared = std::min(a.box[2], b.box[2]) - std::max(a.box[0], b.box[0]);
    if (shared <= 0 || twice <= -2 * QUESTION_MARGIN) return false;
    if (shared < QUESTION_MARGIN || twice < 2 * QUESTION_MARGIN) return std::nullopt;
    return true;
}

}  // namespace leon
