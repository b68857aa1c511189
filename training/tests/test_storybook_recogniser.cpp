// The recogniser against scenes whose truth is known: exact ones, soft and noisy ones, empty ones, with rare things;
// and its parts: backdrops, softness, explanations.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "kernels/cpu/threads.h"
#include "tasks/model.h"
#include "training/storybook/backdrop.h"
#include "training/storybook/coarse_search.h"
#include "training/storybook/explanation.h"
#include "training/storybook/recogniser.h"
#include "training/storybook/soft_sprites.h"
#include "training/tests/storybook_world.h"

#include "tests/testing.h"

namespace leon {
namespace {

const Recogniser& recogniser() {
    static const Recogniser one(world(), object_kinds());
    return one;
}

double iou(const std::array<int, 4>& a, const std::array<int, 4>& b) {
    const int width = std::min(a[2], b[2]) - std::max(a[0], b[0]), height = std::min(a[3], b[3]) - std::max(a[1], b[1]);
    if (width <= 0 || height <= 0) return 0;
    const auto area = [](const auto& box) { return (box[2] - box[0]) * (box[3] - box[1]); };
    return width * height / static_cast<double>(area(a) + area(b) - width * height);
}

struct Tally {
    int right = 0, missed = 0, invented = 0, places = 0, orders = 0, scenes = 0;
    double overlap = 0;
    double precision() const { return right / static_cast<double>(right + invented); }
    double recall() const { return right / static_cast<double>(right + missed); }
};

// Right is what has the right name and a box that overlaps by half.
void count(Tally& tally, const std::vector<SceneObject>& objects, Place place, const Recognition& seen) {
    std::vector<bool> is_used(seen.objects.size());
    for (const SceneObject& o : objects) {
        bool is_found = false;
        for (size_t i = 0; i < is_used.size() && !is_found; i++) {
            const Detection& d = seen.objects[i];
            if (is_used[i] || d.kind->name != o.kind.name || iou(d.box, o.box) < .5) continue;
            is_used[i] = is_found = true;
            tally.overlap += iou(d.box, o.box);
        }
        is_found ? tally.right++ : tally.missed++;
    }
    tally.invented += static_cast<int>(std::count(is_used.begin(), is_used.end(), false));
    tally.places += seen.place == place;
    const auto ordered = from_left_to_right(objects);
    tally.orders += std::equal(ordered.begin(), ordered.end(), seen.objects.begin(), seen.objects.end(),
                               [](const SceneObject& o, const Detection& d) { return o.kind.name == d.kind->name; });
    tally.scenes++;
}

Picture to_bytes(const std::vector<float>& values) {
    Picture picture(SCENE_SIZE, SCENE_SIZE);
    std::transform(values.begin(), values.end(), picture.rgb.begin(),
                   [](float v) { return static_cast<uint8_t>(std::clamp(v, 0.f, 255.f)); });
    return picture;
}

// Out of focus by a pixel and more, squares of 8 x 8 a little off in colour, noise on top.
Picture spoilt(const Picture& picture, uint64_t seed) {
    std::vector<float> values(picture.rgb.begin(), picture.rgb.end());
    soften(values, SCENE_SIZE, SCENE_SIZE, 3, 3);
    PythonRandom random(seed);
    std::vector<float> shifts(16 * 16 * 3);
    for (float& shift : shifts) shift = static_cast<float>(random.uniform(-8, 8));
    for (size_t i = 0; i < values.size(); i++) {
        const size_t x = i / 3 % SCENE_SIZE, y = i / 3 / SCENE_SIZE;
        values[i] += shifts[(y / 8 * 16 + x / 8) * 3 + i % 3] + static_cast<float>(random.uniform(-12, 12));
    }
    return to_bytes(values);
}

}  // namespace

TEST_CASE("recogniser: finds what is in a scene, where it is, and nothing else") {
    Tally tally;
    int flips = 0;
    for (uint64_t seed = 700; seed < 728; seed++) {
        const Scene s = scene(world(), seed);
        const Recognition seen = recogniser().recognise(s.picture);
        CAPTURE(s.caption);
        count(tally, s.objects, s.background.place, seen);
        for (const Detection& d : seen.objects) {
            CHECK((d.score >= .5 && d.score <= 1));
            std::vector<SceneObject> again = {{*d.kind, d.height, d.cx, d.by, d.flip, {}}};  // its pose is a pose
            compose(world(), s.background.picture, again);
            CHECK(again[0].box == d.box);
            for (const SceneObject& o : s.objects) {
                if (o.kind.name != d.kind->name) continue;
                CHECK(std::abs(o.by - d.by) <= 4);
                CHECK(std::abs(o.cx - d.cx) <= 4);
                flips += o.flip == d.flip;
            }
        }
    }
    CHECK(tally.precision() >= .99);
    CHECK(tally.recall() >= .99);
    CHECK(tally.places == tally.scenes);
    CHECK(tally.orders >= tally.scenes - 1);
    CHECK(tally.overlap / tally.right > .98);
    CHECK(flips > .9 * tally.right);
}

TEST_CASE("recogniser: finds it in soft and noisy pictures too") {
    Tally tally;
    for (uint64_t seed = 800; seed < 816; seed++) {
        const Scene s = scene(world(), seed);
        count(tally, s.objects, s.background.place, recogniser().recognise(spoilt(s.picture, seed)));
    }
    CHECK(tally.precision() >= .98);
    CHECK(tally.recall() >= .97);
    CHECK(tally.places == tally.scenes);
    CHECK(tally.overlap / tally.right > .95);
}

TEST_CASE("recogniser: sees nothing where there is nothing") {
    int invented = 0;
    for (int place = 0; place < PLACE_COUNT; place++)
        for (uint64_t seed = 0; seed < 2; seed++) {
            NumpyRandom random(seed);
            const Background b = background(static_cast<Place>(place), random);
            const Recognition exact = recogniser().recognise(b.picture);
            const Recognition soft = recogniser().recognise(spoilt(b.picture, seed));
            CHECK(exact.place == b.place);
            CHECK(soft.place == b.place);
            CHECK(exact.place_fit > .9);
            invented += static_cast<int>(exact.objects.size() + soft.objects.size());
        }
    CHECK(invented == 0);
    for (int grey : {0, 128, 255}) CHECK(recogniser().recognise(Picture(SCENE_SIZE, SCENE_SIZE, grey)).objects.empty());
    Picture noise(SCENE_SIZE, SCENE_SIZE);
    PythonRandom random(1);
    for (uint8_t& value : noise.rgb) value = static_cast<uint8_t>(random.below(256));
    const Recognition nonsense = recogniser().recognise(noise);
    CHECK(nonsense.objects.empty());
    CHECK(nonsense.place_fit < .3);
}

TEST_CASE("recogniser: rare things are found if they are in its list") {
    std::vector<ObjectKind> kinds(object_kinds().begin(), object_kinds().end());
    const std::vector<ObjectKind> rare = {{"blicket", "teapot", Zone::Ground, .7},
                                          {"dax", "violin", Zone::Ground, .8},
                                          {"wug", "octopus", Zone::Ground, .8},
                                          {"toma", "crown", Zone::Sky, .9}};
    kinds.insert(kinds.end(), rare.begin(), rare.end());
    const Recogniser with_rare(world(), kinds);
    CHECK(with_rare.kinds().size() == 59);
    Tally tally;
    int taken_for_others = 0;
    for (uint64_t seed = 0; seed < 8; seed++) {
        PythonRandom layout(seed);
        NumpyRandom paint(seed);
        const Background b = background(static_cast<Place>(seed % 7), paint);
        std::vector<SceneObject> objects;
        for (int tries = 0; tries < 60 && objects.size() < 2; tries++) {
            const ObjectKind& kind =
                objects.empty() ? rare[seed % rare.size()] : object_kinds()[(seed * 5 + tries) % 36];
            if (auto object = try_to_place(world(), b, kind, objects, layout)) objects.push_back(*object);
        }
        REQUIRE(objects.size() == 2);
        sort_for_drawing(objects);
        const Composition c = compose(world(), b.picture, objects);
        const Recognition seen = with_rare.recognise(c.picture);
        count(tally, objects, b.place, seen);
        for (const Detection& d : seen.objects)  // of its own list
            CHECK((d.kind >= with_rare.kinds().data() && d.kind < with_rare.kinds().data() + 59));
        taken_for_others += recogniser().recognise(c.picture).objects.size() > 1;
    }
    CHECK(tally.missed == 0);
    CHECK(tally.invented == 0);
    CHECK(taken_for_others <= 4);  // without them in the list, something else may look like one
}

TEST_CASE("recogniser: kinds of one emoji are refused, and threads do not matter") {
    const std::vector<ObjectKind> twice = {{"cow", "cow", Zone::Ground, 1}, {"blicket", "cow", Zone::Ground, 1}};
    CHECK(error_of([&] { Recogniser(world(), twice); }) ==
          "two kinds are drawn as 'cow'; give each an emoji of its own");
    const std::vector<ObjectKind> unknown = {{"blicket", "blicket", Zone::Ground, 1}};
    CHECK(contains(error_of([&] { Recogniser(world(), unknown); }), "has no fully-qualified emoji"));

    const Recogniser fresh(world(), object_kinds());
    std::vector<Recognition> results(4);
    parallel(4, [&](int64_t i, int) { results[i] = fresh.recognise(scene(world(), 900 + i).picture); });
    for (uint64_t i = 0; i < results.size(); i++) {
        const Recognition again = recogniser().recognise(scene(world(), 900 + i).picture);
        REQUIRE(again.objects.size() == results[i].objects.size());
        for (size_t k = 0; k < again.objects.size(); k++) {
            CHECK(again.objects[k].box == results[i].objects[k].box);
            CHECK(again.objects[k].score == results[i].objects[k].score);
            CHECK(again.objects[k].kind->name == results[i].objects[k].kind->name);
        }
    }
}

TEST_CASE("recogniser: the world's poses are among those it looks for") {
    for (uint64_t seed = 0; seed < 200; seed++)
        for (const SceneObject& o : scene(world(), seed).objects) {
            CAPTURE(o.kind.name);
            const Heights range = heights_of(o.kind);
            CHECK((o.height >= range.low && o.height <= range.high));
            const int width = world().scaled(o.kind.emoji, o.height).width;
            CHECK(is_allowed(o.kind.zone, width, o.height, o.cx - width / 2, o.by - o.height, SCENE_SIZE));
        }
    CHECK(!is_allowed(Zone::Ground, 40, 40, 10, 0, SCENE_SIZE));
    CHECK(!is_allowed(Zone::Sky, 40, 40, 10, 80, SCENE_SIZE));
    CHECK(!is_allowed(Zone::Sky, 40, 40, -11, 20, SCENE_SIZE));
    CHECK(is_allowed(Zone::Sky, 40, 40, -10, 20, SCENE_SIZE));
}

TEST_CASE("recogniser: backdrops have the place, the horizon and the colours") {
    for (uint64_t seed = 0; seed < 40; seed++) {
        const Scene s = scene(world(), seed);
        const Backdrop b = find_backdrop(s.picture);
        CAPTURE(s.caption);
        CHECK(b.place == s.background.place);
        CHECK(std::abs(b.horizon - s.background.horizon) <= 6);
        const Picture& truth = s.background.picture;
        double error = 0;
        for (size_t i = 0; i < b.rgb.size(); i++) error += std::abs(b.rgb[i] - truth.rgb[i]);
        CHECK(error / static_cast<double>(b.rgb.size()) < 12);  // clouds are none of it
    }
}

TEST_CASE("recogniser: softening keeps means, and what a sprite weighs") {
    std::vector<float> flat(7 * 5 * 3, 40.f);
    soften(flat, 7, 5, 3, 2);
    for (float value : flat) CHECK(value == doctest::Approx(40));
    std::vector<float> point(9 * 9);
    point[4 * 9 + 4] = 256;
    soften(point, 9, 9, 1, 1);
    CHECK(point[4 * 9 + 4] == 64);
    CHECK(point[4 * 9 + 5] == 32);
    CHECK(point[3 * 9 + 3] == 16);
    CHECK(std::accumulate(point.begin(), point.end(), 0.f) == 256);

    const SoftSprites soft(world(), object_kinds(), 64, 2);
    for (int kind : {0, 7, 40}) {
        const Sprite &sharp = world().scaled(object_kinds()[kind].emoji, 30), &blurred = soft.get(kind, 30);
        CHECK(blurred.width == sharp.width + 2 * SoftSprites::MARGIN);
        CHECK(&blurred == &soft.get(kind, 30));
        const auto weight = [](const Sprite& sprite) {
            double sum = 0;
            for (size_t i = 3; i < sprite.rgba.size(); i += 4) sum += sprite.rgba[i];
            return sum;
        };
        CHECK(weight(blurred) == doctest::Approx(weight(sharp)).epsilon(.01));
    }
    std::vector<float> ramp(4 * 2 * 2);
    std::iota(ramp.begin(), ramp.end(), 0.f);
    CHECK(halve(ramp, 4, 2, 2) == std::vector<float>{5, 6, 9, 10});
}

TEST_CASE("recogniser: claiming a sprite lowers the error by its gain, once") {
    const Scene s = scene(world(), 33);
    const SceneObject& o = s.objects.back();
    const Sprite& sprite = world().scaled(o.kind.emoji, o.height);
    const auto floats = [](const Picture& p) { return std::vector<float>(p.rgb.begin(), p.rgb.end()); };
    Explanation e(SCENE_SIZE, floats(s.picture), floats(s.background.picture));
    const auto sum = [&] { return std::accumulate(e.error.begin(), e.error.end(), 0.0); };
    Pose pose;
    pose.flip = o.flip;
    pose.height = o.height;
    pose.left = static_cast<int>(o.cx - sprite.width / 2.0);
    pose.top = o.by - o.height;
    const Gain gain = e.gain_of(sprite, pose);
    CHECK(gain.score() > .9);
    const double before = sum();
    e.claim(sprite, pose);
    CHECK(before - sum() == doctest::Approx(gain.lowered).epsilon(1e-4));
    CHECK(e.gain_of(sprite, pose).score() < .02);
    Pose elsewhere = pose;
    elsewhere.left += 40;
    CHECK(e.gain_of(sprite, elsewhere).lowered < 0);
    Pose outside = pose;
    outside.left = 500;
    CHECK(e.gain_of(sprite, outside).score() == 0);
}

// Too long for every day: training_tests -ns -tc="recogniser: measured*" -s. Seeds are of the evaluation's.
TEST_CASE("recogniser: measured on 500 scenes, exact, out of focus, and through the VQGAN of the model in the box" *
          doctest::skip()) {
    const Model model("models/storybook.leon", cpu_kernels());
    const auto through_vqgan = [&](const Picture& picture) {
        const auto codes = model.encoder().encode(to_floats(picture), SCENE_SIZE, SCENE_SIZE);
        return model.decoder().decode_u8(codes, model.grid(), model.grid());
    };
    Tally exact, soft, coded;
    for (uint64_t seed = 1000; seed < 1500; seed++) {
        const Scene s = scene(world(), seed);
        const auto tally = [&](Tally& to, const Picture& picture) {
            count(to, s.objects, s.background.place, recogniser().recognise(picture));
        };
        tally(exact, s.picture);
        tally(soft, spoilt(s.picture, seed));
        tally(coded, through_vqgan(s.picture));
    }
    for (const Tally* t : {&exact, &soft, &coded})
        std::printf("precision %.4f recall %.4f places %.4f names in order %.4f overlap %.3f\n", t->precision(),
                    t->recall(), t->places / 500.0, t->orders / 500.0, t->overlap / t->right);
    CHECK(std::min(exact.precision(), exact.recall()) > .99);
    CHECK(std::min(soft.precision(), soft.recall()) > .97);
    CHECK(std::min(coded.precision(), coded.recall()) > .95);
}

}  // namespace leon
