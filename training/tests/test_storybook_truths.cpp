// What is said of scenes: facts, questions, words on signs, invented names. Each is held to a second, plainer reading.
#include <algorithm>
#include <map>
#include <set>

#include "training/storybook/facts.h"
#include "training/storybook/questions.h"
#include "training/storybook/signs.h"
#include "training/storybook/things.h"
#include "training/tests/storybook_world.h"

#include "tests/testing.h"

using namespace leon;

namespace {

std::vector<Scene> scenes(uint64_t first, uint64_t count) {
    std::vector<Scene> all;
    for (uint64_t seed = first; seed < first + count; seed++) all.push_back(scene(world(), seed));
    return all;
}

SceneObject thing(const std::string& name, Zone zone, int x0, int y0, int x1, int y1) {
    SceneObject object;
    object.kind = {name, name, zone, 1};
    object.cx = (x0 + x1) / 2;
    object.by = y1;
    object.height = y1 - y0;
    object.box = {x0, y0, x1, y1};
    return object;
}

Scene made_scene(Place place, std::vector<SceneObject> objects) {
    Scene made;
    made.background.place = place;
    made.objects = std::move(objects);
    std::vector<std::string> names;
    for (const SceneObject& object : from_left_to_right(made.objects)) names.push_back(object.kind.name);
    made.caption = caption_of(names, place);
    return made;
}

// A house on the left and far away, a dog on the right and near, a bee over the dog.
Scene example() {
    return made_scene(Place::Meadow,
                      {thing("bee", Zone::Sky, 82, 10, 104, 36), thing("house", Zone::Ground, 4, 30, 60, 90),
                       thing("dog", Zone::Ground, 84, 80, 120, 118)});
}

std::vector<std::string> texts(const Scene& scene, QuestionKind kind) {
    std::vector<std::string> all;
    const std::vector<std::string> absent{"cat"};
    for (const Question& q : questions_of(scene, kind, absent)) all.push_back(q.text + " " + q.answer);
    return all;
}

// Three by three means, `times` over, and grey noise of +-`noise`.
Picture worn(Picture picture, int times, int noise, PythonRandom& random) {
    for (int i = 0; i < times; i++) {
        const Picture from = picture;
        for (int y = 1; y + 1 < picture.height; y++)
            for (int x = 1; x + 1 < picture.width; x++)
                for (int c = 0; c < 3; c++) {
                    int sum = 0;
                    for (int d = 0; d < 9; d++) sum += from.at(x + d % 3 - 1, y + d / 3 - 1)[c];
                    picture.at(x, y)[c] = static_cast<uint8_t>(sum / 9);
                }
    }
    for (uint8_t& value : picture.rgb)
        value = static_cast<uint8_t>(std::clamp(value + random.randint(-noise, noise), 0, 255));
    return picture;
}

}  // namespace

TEST_CASE("facts: a long caption says what can be seen, and nothing else") {
    CHECK(
        long_caption(example()) ==
        "There are three things on a green meadow. A large house is on the left, far away, to the left of a bee. A "
        "small bee is on the right, in the sky, to the right of a house, to the left of a dog. A medium dog is on the "
        "right, near, to the right of a bee.");
    CHECK(long_caption(made_scene(Place::Snow, {thing("palm tree", Zone::Ground, 50, 50, 80, 110)})) ==
          "There is one thing in the snow. A large palm tree is in the middle, near.");
}

TEST_CASE("facts: captions are read back into the facts that they were made of") {
    for (const Scene& s : scenes(500, 80)) {
        const Statements read = facts_of(long_caption(s));
        CHECK(read.unreadable == 0);
        CHECK(read.facts == facts_of(s));
        for (const Fact& fact : read.facts) CHECK(is_true(fact, s));
    }
}

TEST_CASE("facts: thresholds lie where the header says") {
    const auto of_height = [](int height) { return size_of(thing("x", Zone::Ground, 0, 100 - height, 9, 100)); };
    CHECK(of_height(31) == Size::Small);
    CHECK(of_height(32) == Size::Medium);
    CHECK(of_height(43) == Size::Medium);
    CHECK(of_height(44) == Size::Large);
    const auto at_middle = [](int x) { return side_of(thing("x", Zone::Ground, x - 5, 50, x + 5, 90)); };
    CHECK(at_middle(42) == Side::Left);
    CHECK(at_middle(43) == Side::Middle);
    CHECK(at_middle(85) == Side::Middle);
    CHECK(at_middle(86) == Side::Right);
    CHECK(depth_of(thing("x", Zone::Ground, 0, 50, 9, 99)) == Depth::FarAway);
    CHECK(depth_of(thing("x", Zone::Water, 0, 50, 9, 100)) == Depth::Near);
    CHECK(depth_of(thing("x", Zone::Sky, 0, 50, 9, 100)) == Depth::InTheSky);
}

TEST_CASE("facts: what is wrong or cannot be read counts against a text") {
    const Scene s = example();
    const auto score = [&](const std::string& text) { return score_facts(text, s); };
    const int expected = static_cast<int>(facts_of(s).size());
    FactScore got =
        score("There are two things in a desert. A small house is on the right, near, to the right of a dog.");
    CHECK(got.stated == 6);
    CHECK(got.right == 0);
    CHECK(got.expected == expected);
    got =
        score("There are three things on a green meadow. A large cat is on the left, far away, to the left of a bee.");
    CHECK(got.stated == 6);
    CHECK(got.right == 2);  // of a cat nothing is true
    CHECK(got.found == 2);
    got = score(
        "A large house is on the left, on the left, to the left of a dog");  // said twice; not a neighbour, but so
    CHECK(got.stated == 3);
    CHECK(got.right == 3);
    CHECK(got.found == 2);
    for (const char* text : {"house", "There are many houses.", "A green house is on the left.", "the house is large",
                             "There are three things", "A large is near", "A large house", "is"}) {
        CAPTURE(text);
        got = score(text);
        CHECK(got.stated > 0);
        CHECK(got.right == 0);
    }
    got = score("A large house is on the left, quite red, to the left of houses.");
    CHECK(got.stated == 4);
    CHECK(got.right == 2);
    CHECK(score("").stated == 0);
    CHECK(score("").expected == expected);
}

TEST_CASE("questions: every kind, of a scene made by hand") {
    using Texts = std::vector<std::string>;
    const Scene s = example();
    CHECK(texts(s, QuestionKind::What) == Texts{"What is in the picture? a house, a bee and a dog"});
    CHECK(texts(s, QuestionKind::Where) == Texts{"Where is it? on a green meadow"});
    CHECK(texts(s, QuestionKind::Side) ==
          Texts{"Where is the house? on the left", "Where is the bee? on the right", "Where is the dog? on the right"});
    CHECK(texts(s, QuestionKind::HowMany) == Texts{"How many things are there? three"});
    CHECK(texts(s, QuestionKind::IsThere) ==
          Texts{"Is there a house? yes", "Is there a bee? yes", "Is there a dog? yes", "Is there a cat? no"});
    CHECK(texts(s, QuestionKind::Colour) == Texts{"What colour is the ground? green", "What colour is the sky? blue"});
    // The middles of bee and dog are 9 pixels apart: 93 and 102. Two are to the right of the house.
    CHECK(texts(s, QuestionKind::Left) ==
          Texts{"What is to the left of the house? nothing", "What is to the left of the bee? a house",
                "Is the house to the left of the bee? yes", "Is the house to the left of the dog? yes",
                "Is the bee to the left of the house? no", "Is the bee to the left of the dog? yes",
                "Is the dog to the left of the house? no", "Is the dog to the left of the bee? no",
                "What is on the left? a house"});
    CHECK(texts(s, QuestionKind::Right).back() == "What is on the right? a dog");
    CHECK(texts(s, QuestionKind::Above) ==
          Texts{"What is above the house? nothing", "What is above the bee? nothing", "What is above the dog? a bee",
                "Is the house above the bee? no", "Is the house above the dog? no", "Is the bee above the house? no",
                "Is the bee above the dog? yes", "Is the dog above the house? no", "Is the dog above the bee? no"});
    CHECK(texts(made_scene(Place::Room, {s.objects[1]}), QuestionKind::Colour) ==
          Texts{"What colour is the floor? brown"});
    CHECK(texts(made_scene(Place::Room, {s.objects[1]}), QuestionKind::Left).empty());
}

TEST_CASE("questions: positions that hang on a few pixels are not asked for") {
    const auto is_left = [](int a, int b) {
        return is_left_of(thing("a", Zone::Ground, a - 10, 50, a + 10, 90),
                          thing("b", Zone::Ground, b - 10, 50, b + 10, 90));
    };
    CHECK(is_left(40, 48) == true);
    CHECK(!is_left(40, 47));
    CHECK(!is_left(47, 40));
    CHECK(is_left(48, 40) == false);
    const auto is_over = [](int middle, int shared) {  // b: from row 60, columns 40 to 80
        return is_above(thing("a", Zone::Sky, 20, middle - 10, 40 + shared, middle + 10),
                        thing("b", Zone::Ground, 40, 60, 80, 100));
    };
    CHECK(is_over(52, 8) == true);
    CHECK(!is_over(53, 8));
    CHECK(!is_over(67, 8));
    CHECK(is_over(68, 8) == false);
    CHECK(!is_over(52, 7));
    CHECK(is_over(52, 0) == false);
}

TEST_CASE("questions: one answer each, and the answer is what the boxes say") {
    const std::vector<std::string> absent{"dog", "house", "bee"};
    std::map<QuestionKind, int> asked;
    for (const Scene& s : scenes(2000, 150)) {
        std::map<std::string, std::string> answers;
        const auto middle = [](const SceneObject& o) { return (o.box[0] + o.box[2]) / 2.; };
        for (int k = 0; k < QUESTION_KINDS; k++)
            for (const Question& q : questions_of(s, static_cast<QuestionKind>(k), absent)) {
                CHECK(static_cast<int>(q.kind) == k);
                asked[q.kind]++;
                if (q.kind == QuestionKind::IsThere && q.answer == "no" && answers.contains(q.text)) continue;
                CAPTURE(q.text);
                CHECK(answers.emplace(q.text, q.answer).second);
                // "What is to the left of the X?", read without the code above.
                for (const std::string side : {"left", "right"}) {
                    const std::string begin = "What is to the " + side + " of the ";
                    if (!q.text.starts_with(begin)) continue;
                    const std::string name = q.text.substr(begin.size(), q.text.size() - begin.size() - 1);
                    std::vector<std::string> there;
                    for (const SceneObject& a : s.objects)
                        for (const SceneObject& b : s.objects)
                            if (b.kind.name == name && a.kind.name != name &&
                                (side == "left") == (middle(a) < middle(b)))
                                there.push_back(article(a.kind.name));
                    CHECK(there.size() <= 1);
                    CHECK(q.answer == (there.empty() ? "nothing" : there[0]));
                }
            }
    }
    for (int k = 0; k < QUESTION_KINDS; k++) CHECK(asked[static_cast<QuestionKind>(k)] > 20);
}

TEST_CASE("questions: those drawn are of the scene, and have an answer of the kind that was wanted") {
    PythonRandom random(5);
    std::map<std::pair<QuestionKind, AnswerKind>, int> drawn;
    for (const Scene& s : scenes(3000, 60))
        for (int k = 0; k < QUESTION_KINDS; k++)
            for (AnswerKind answer : {AnswerKind::Other, AnswerKind::Nothing, AnswerKind::Yes, AnswerKind::No}) {
                const auto kind = static_cast<QuestionKind>(k);
                const std::optional<Question> q = draw_question(s, kind, answer, random);
                if (!q) continue;
                drawn[{kind, answer}]++;
                CAPTURE(q->text);
                CHECK(kind_of(*q) == answer);
                if (kind != QuestionKind::IsThere) {
                    const std::vector<Question> all = questions_of(s, kind, {});
                    CHECK(std::find(all.begin(), all.end(), *q) != all.end());
                    continue;
                }
                const bool there = std::any_of(s.objects.begin(), s.objects.end(), [&](const SceneObject& o) {
                    return q->text == "Is there " + article(o.kind.name) + "?";
                });
                CHECK(there == (answer == AnswerKind::Yes));
            }
    for (QuestionKind kind : {QuestionKind::Left, QuestionKind::Right, QuestionKind::Above})
        for (AnswerKind answer : {AnswerKind::Other, AnswerKind::Nothing, AnswerKind::Yes, AnswerKind::No})
            CHECK(drawn[{kind, answer}] > 1);
    for (AnswerKind answer : {AnswerKind::Yes, AnswerKind::No}) CHECK(drawn[{QuestionKind::IsThere, answer}] == 60);

    std::map<std::pair<QuestionKind, AnswerKind>, int> wanted;
    for (int i = 0; i < 4000; i++)
        for (QuestionKind kind : {QuestionKind::IsThere, QuestionKind::Above, QuestionKind::Where})
            wanted[{kind, draw_answer_kind(kind, random)}]++;
    CHECK(wanted.size() == 7);
    CHECK(wanted[{QuestionKind::Where, AnswerKind::Other}] == 4000);
    CHECK(std::abs(wanted[{QuestionKind::IsThere, AnswerKind::Yes}] - 2000) < 160);
    CHECK(std::abs(wanted[{QuestionKind::Above, AnswerKind::Yes}] - 1000) < 140);
    CHECK(std::abs(wanted[{QuestionKind::Above, AnswerKind::No}] - 1000) < 140);
    CHECK(std::abs(wanted[{QuestionKind::Above, AnswerKind::Nothing}] - 500) < 100);
}

TEST_CASE("signs: words are read back, from true pictures always, from worn ones nearly") {
    Stage stage(world(), FIRST_TRAINING_SEED + 9, 1);
    PythonRandom random(1);
    std::map<SignFont, int> fonts;
    std::set<size_t> lengths;
    int right = 0, worn_right = 0, thin_right = 0, thin = 0;
    constexpr int SIGNS = 100;
    for (int i = 0; i < SIGNS; i++) {
        const Sign sign = draw_sign_words(stage);
        const SignPicture drawn = draw_sign(stage.background(stage.any_place()), sign);
        fonts[sign.font]++;
        lengths.insert(sign.word.size());
        const std::optional<SignReading> reading = read_sign(drawn.picture);
        right += reading && reading->sign.word == sign.word && reading->sign.x == sign.x && reading->sign.y == sign.y;
        const bool read = word_of(worn(drawn.picture, 2, 20, random)) == sign.word;
        (sign.font == SignFont::Thin5x7 ? thin_right : worn_right) += read;
        thin += sign.font == SignFont::Thin5x7;
        for (const auto& [corner, is_board] :
             {std::pair{0, false}, std::pair{(sign.y + 2) * SCENE_SIZE + sign.x + 2, true}})
            CHECK((drawn.board[static_cast<size_t>(corner)] != 0) == is_board);
    }
    CHECK(right == SIGNS);
    CHECK(worn_right >= (SIGNS - thin) * 99 / 100);
    CHECK(thin_right >= thin * 9 / 10);
    CHECK(fonts.size() == SIGN_FONTS);
    CHECK(lengths == std::set<size_t>{3, 4, 5, 6, 7, 8});
}

TEST_CASE("signs: letters lie on the grid of codes, and each looks the same wherever it stands") {
    Stage stage(world(), 5, 1);
    const Background meadow = stage.background(Place::Meadow), night = stage.background(Place::Night);
    for (SignFont font : {SignFont::Bold8x8, SignFont::Block3x5, SignFont::Thin5x7}) {
        const SignPicture a = draw_sign(meadow, {"QUA", font, 16, 32}), b = draw_sign(night, {"XYZQ", font, 24, 48});
        std::set<std::vector<uint8_t>> letters;
        const auto letter = [&](const SignPicture& sign, int x0, int y0) {
            std::vector<uint8_t> pixels;
            for (int y = 0; y < letter_height(font); y++)
                pixels.insert(pixels.end(), sign.picture.at(x0, y0 + y),
                              sign.picture.at(x0, y0 + y) + 3 * LETTER_WIDTH);
            letters.insert(pixels);
            return pixels;
        };
        CHECK(letter(a, 16, 32) == letter(b, 24 + 3 * LETTER_WIDTH, 48));
        for (int i = 0; i < 3; i++) {
            letter(a, 16 + i * LETTER_WIDTH, 32);
            letter(b, 24 + i * LETTER_WIDTH, 48);
        }
        CHECK(letters.size() == 6);
    }
}

TEST_CASE("signs: no scene reads as a word") {
    int words = 0;
    for (const Scene& s : scenes(7110, 50)) words += !word_of(s.picture).empty();
    CHECK(words == 0);
    CHECK(word_of(Picture(40, 30, 200)).empty());
    CHECK(word_of(Picture(3, 3)).empty());
}

TEST_CASE("signs: evaluation and training have words of their own") {
    std::set<std::string> training, evaluation;
    Stage trains(world(), FIRST_TRAINING_SEED, 3), evaluates(world(), 0, 3);
    for (int i = 0; i < 400; i++) {
        training.insert(draw_sign_words(trains).word);
        evaluation.insert(draw_sign_words(evaluates).word);
    }
    for (const std::string& word : evaluation) CHECK(!training.contains(word));
    CHECK(evaluation.size() > 200);
    CHECK(training.size() > 250);
}

TEST_CASE("things: novel ones are neither the world's nor rare, and their names are nobody else's") {
    std::set<std::string> novel;
    for (const ListedEmoji& emoji : world().drawable())
        if (is_novel(emoji)) novel.insert(emoji.name);
    CHECK(novel.size() >= 300);
    CHECK(novel.size() <= 500);
    for (const ObjectKind& kind : object_kinds()) CHECK(!novel.contains(kind.emoji));
    std::set<std::string> rare;
    REQUIRE(rare_kinds().size() == RARE_KINDS);
    for (const ObjectKind& kind : rare_kinds()) {
        CHECK(!novel.contains(kind.emoji));
        CHECK(world().sprite(kind.emoji).height > 40);
        CHECK(!find_object(kind.name));
        rare.insert(kind.name);
    }
    CHECK(rare.size() == RARE_KINDS);
    for (const std::string& emoji : novel) CHECK(world().sprite(emoji).height > 20);

    PythonRandom random(3);
    std::set<std::string> names;
    for (int i = 0; i < 2000; i++) {
        const std::string name = invented_name(random);
        CHECK(name.size() >= 3);
        CHECK(name.size() <= 8);
        CHECK(!rare.contains(name));
        CHECK(!find_object(name));
        names.insert(name);
    }
    CHECK(names.size() > 1500);
}

TEST_CASE("staging: things of the ground swim at sea") {
    const ObjectKind teapot = rare_kinds()[0];
    CHECK(in_place(teapot, Place::Sea).zone == Zone::Water);
    CHECK(in_place(in_place(teapot, Place::Sea), Place::Snow).zone == Zone::Ground);
    CHECK(can_stand(teapot, Place::Sea));
    CHECK(!can_stand(rare_kinds()[RARE_KINDS - 1], Place::Room));
    CHECK(kinds_for(Place::Night).size() + 1 == kinds_for(Place::Meadow).size());
}
