// The storybook world against its reference generator (vectors/scene), and its rules as properties.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <numbers>
#include <set>
#include <sstream>

#include "kernels/cpu/threads.h"
#include "training/storybook/painting.h"
#include "training/storybook/scene.h"
#include "training/tests/storybook_world.h"

#include "tests/temporary_folder.h"
#include "tests/testing.h"

namespace leon {
namespace {

std::vector<std::string> lines_of(const std::string& name) {
    std::ifstream file("training/tests/vectors/scene/" + name);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
}

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream in(text);
    for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
    return parts;
}

std::string checksum(std::span<const uint8_t> bytes) {
    uint64_t hash = 0xcbf29ce484222325;
    for (uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3;
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
    return text;
}

// A scene as a line of scenes.txt.
std::string line_of(const Scene& s, const std::string& asked_place) {
    std::ostringstream out;
    out << s.seed << ' ' << asked_place << ' ' << place_name(s.background.place) << ' ' << s.background.horizon << ' '
        << checksum(s.ids) << ' ' << checksum(s.background.picture.rgb) << ' ' << checksum(s.picture.rgb) << ';'
        << s.caption;
    for (const SceneObject& o : s.objects) {
        out << ';' << o.kind.name << '|' << o.height << ' ' << o.cx << ' ' << o.by << ' ' << o.flip;
        for (int edge : o.box) out << ' ' << edge;
    }
    return out.str();
}

struct Extent {
    int x0, y0, x1, y1;
    bool operator==(const Extent&) const = default;
};
Extent extent_of(const Mask& mask) {
    Extent e{mask.width, mask.height, 0, 0};
    for (int y = 0; y < mask.height; y++)
        for (int x = 0; x < mask.width; x++)
            if (mask.row(y)[x])
                e = {std::min(e.x0, x), std::min(e.y0, y), std::max(e.x1, x + 1), std::max(e.y1, y + 1)};
    return e;
}

}  // namespace

TEST_CASE("scene: random numbers are Python's and numpy's") {
    const auto lines = lines_of("random.txt");
    REQUIRE(lines.size() == 11);
    for (const std::string& line : lines) {
        std::istringstream in(line);
        uint64_t seed;
        in >> seed;
        CAPTURE(seed);
        std::vector<double> want((std::istream_iterator<double>(in)), {});
        PythonRandom python(seed);
        std::vector<double> got;
        got.push_back(python.random());
        got.push_back(python.randint(3, 90));
        got.push_back(python.below(36));
        got.push_back(python.uniform(1, 2.5));
        got.push_back(python.randint(-5, 5));
        for (int i = 0; i < 700; i++) python.random();  // past the end of the first 624 words
        got.push_back(python.random());
        NumpyRandom numpy(seed);
        got.push_back(numpy.random());
        got.push_back(numpy.integers(14, 114));
        got.push_back(numpy.uniform(.47, .58));
        for (const auto& [low, high] : {std::pair(4, 9), {-10, 11}, {6, 7}, {0, 128}})
            got.push_back(numpy.integers(low, high));
        double sum = 0;  // of ranges that make Lemire's method draw again
        for (int i = 0; i < 1000; i++) sum += numpy.integers(0, 2'000'000'011);
        got.push_back(sum);
        got.push_back(numpy.random());
        CHECK(got == want);
    }
}

TEST_CASE("scene: random numbers stay in their ranges and reach the ends") {
    PythonRandom python(5);
    NumpyRandom numpy(5);
    std::set<int> a, b;
    for (int i = 0; i < 400; i++) {
        a.insert(python.randint(-3, 4));
        b.insert(numpy.integers(-3, 5));
        const double u = python.uniform(2, 3), v = numpy.uniform(2, 3);
        CHECK((u >= 2 && u < 3 && v >= 2 && v < 3));
    }
    const std::set<int> all = {-3, -2, -1, 0, 1, 2, 3, 4};
    CHECK(a == all);
    CHECK(b == all);
    CHECK(python.randint(7, 7) == 7);
    CHECK(python.below(1) == 0);
}

TEST_CASE("scene: sprites are Pillow's") {
    const auto lines = lines_of("sprites.txt");
    REQUIRE(lines.size() == 55 + 15 + 6);
    for (const std::string& line : lines) {
        const auto parts = split(line, '|');
        CAPTURE(line);
        int height;
        std::istringstream(parts[1]) >> height;
        const Sprite& sprite = height ? world().scaled(parts[0], height) : world().sprite(parts[0]);
        std::ostringstream got;
        got << height << ' ' << sprite.width << ' ' << sprite.height << ' ' << checksum(sprite.rgba);
        CHECK(got.str() == parts[1]);
        CHECK(sprite.emoji == parts[0]);
    }
    CHECK(&world().sprite("ewe") == &world().sprite("ewe"));
    CHECK(&world().scaled("ewe", 30) == &world().scaled("ewe", 30));
}

TEST_CASE("scene: emoji that can be drawn are listed, the others refused") {
    const std::vector<ListedEmoji> drawable = world().drawable();
    std::set<std::string> set;
    for (const ListedEmoji& emoji : drawable) set.insert(emoji.name);
    CHECK(drawable.size() > 1000);
    CHECK(set.size() == drawable.size());
    for (const ListedEmoji& emoji : drawable)
        if (emoji.name == "crab") CHECK((emoji.group == "Food & Drink" && emoji.subgroup == "food-marine"));
    for (const ObjectKind& kind : object_kinds()) CHECK(set.contains(kind.emoji));
    CHECK(set.contains("red heart"));  // with a variation selector
    for (size_t i = 0; i < drawable.size(); i += 97) CHECK(world().sprite(drawable[i].name).width > 0);
    CHECK(!set.contains("flag: France"));
    CHECK(contains(error_of([] { world().sprite("flag: France"); }), "is a sequence"));
    CHECK(error_of([] { world().sprite("blicket"); }) ==
          "/usr/share/unicode/emoji/emoji-test.txt: has no fully-qualified emoji called 'blicket'; names are those of "
          "that list, such as 'deciduous tree'");
}

TEST_CASE("scene: files that are missing or others are named") {
    const std::string font = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf";
    const std::string list = "/usr/share/unicode/emoji/emoji-test.txt";
    TemporaryFolder folder;
    const auto opening = [](const std::string& a, const std::string& b) { return error_of([&] { World(a, b); }); };
    CHECK(opening(font, list) == "");
    CHECK(opening("/none.ttf", list) ==
          "/none.ttf: is not there: the font of the storybook's objects; apt-get install fonts-noto-color-emoji");
    CHECK(opening(font, "/none.txt") ==
          "/none.txt: is not there: the list of emoji and their names; apt-get install unicode-data");
    CHECK(contains(opening(list, list), "is not a font"));
    const std::string text = (std::filesystem::path(folder.path()) / "list.txt").string();
    std::ofstream(text) << "# only a comment\n1F333 ; fully-qualified # x\n ; fully-qualified # x E1 y\n";
    CHECK(contains(opening(font, text), "lists no fully-qualified emoji"));
}

TEST_CASE("scene: seeds give the scenes of the reference generator") {
    const auto lines = lines_of("scenes.txt");
    REQUIRE(lines.size() == 68);
    for (const std::string& line : lines) {
        std::istringstream in(line);
        uint64_t seed;
        std::string place;
        in >> seed >> place;
        SceneOptions options;
        options.place = find_place(place);
        CHECK(line_of(scene(world(), seed, options), place) == line);
    }
}

TEST_CASE("scene: the rules of the world hold") {
    std::set<std::string> seen;
    std::set<Place> places;
    for (uint64_t seed = 2'000; seed < 2'500; seed++) {
        const Scene s = scene(world(), seed);
        CAPTURE(seed);
        CAPTURE(s.caption);
        const Place place = s.background.place;
        places.insert(place);
        REQUIRE((s.objects.size() >= 1 && s.objects.size() <= 3));
        CHECK((s.background.horizon >= 60 && s.background.horizon <= 74));
        CHECK(s.background.shore == s.background.horizon + (place == Place::Beach ? 16 : 0));

        std::set<std::string> names;
        std::vector<std::string> ordered;
        for (const SceneObject& o : s.objects) {
            names.insert(o.kind.name);
            seen.insert(o.kind.name);
            CHECK(*find_object(o.kind.name) == o.kind);
            CHECK(has_zone(place, o.kind.zone));
            CHECK(!(o.kind.name == "sun" && place == Place::Night));
            const Sprite& sprite = world().scaled(o.kind.emoji, o.height);
            CHECK(o.by - o.height >= 2);
            CHECK(o.by <= SCENE_SIZE - 5);
            if (o.kind.zone != Zone::Sky) CHECK(o.by >= s.background.shore + 10);
            const int left = static_cast<int>(o.cx - sprite.width / 2.0);
            CHECK((left >= 0 && left + sprite.width <= SCENE_SIZE));
            CHECK((o.box[0] >= left && o.box[1] >= o.by - o.height && o.box[2] <= left + sprite.width &&
                   o.box[3] <= o.by));
            CHECK((o.box[0] < o.box[2] && o.box[1] < o.box[3]));
            for (const SceneObject& other : s.objects)
                if (&other != &o) CHECK(overlap(world(), o, other) <= .12);
        }
        CHECK(names.size() == s.objects.size());
        for (size_t k = 1; k < s.objects.size(); k++) {
            const SceneObject &far = s.objects[k - 1], &near = s.objects[k];
            const bool far_flies = far.kind.zone == Zone::Sky, near_flies = near.kind.zone == Zone::Sky;
            CHECK((far_flies == near_flies ? far.by <= near.by : far_flies));
        }
        for (const SceneObject& o : from_left_to_right(s.objects)) ordered.push_back(o.kind.name);
        CHECK(s.caption == caption_of(ordered, place));

        // The mask is inside the boxes, the last object wholly visible, and the picture is the background elsewhere.
        std::vector<Extent> extents(s.objects.size(), {SCENE_SIZE, SCENE_SIZE, 0, 0});
        int changed_outside = 0;
        for (int y = 0; y < SCENE_SIZE; y++)
            for (int x = 0; x < SCENE_SIZE; x++) {
                if (const int k = s.ids[static_cast<size_t>(y) * SCENE_SIZE + x]) {
                    REQUIRE(k <= static_cast<int>(s.objects.size()));
                    Extent& e = extents[k - 1];
                    e = {std::min(e.x0, x), std::min(e.y0, y), std::max(e.x1, x + 1), std::max(e.y1, y + 1)};
                }
                const bool near = std::any_of(s.objects.begin(), s.objects.end(), [&](const SceneObject& o) {
                    return x >= o.box[0] - 8 && x < o.box[2] + 8 && y >= o.box[1] - 8 && y < o.by + 15;
                });
                if (!near)
                    changed_outside +=
                        !std::equal(s.picture.at(x, y), s.picture.at(x, y) + 3, s.background.picture.at(x, y));
            }
        CHECK(changed_outside == 0);
        for (size_t k = 0; k < s.objects.size(); k++) {
            const auto& box = s.objects[k].box;
            const Extent whole{box[0], box[1], box[2], box[3]}, &e = extents[k];
            CHECK((e.x0 >= whole.x0 && e.y0 >= whole.y0 && e.x1 <= whole.x1 && e.y1 <= whole.y1));
            if (k + 1 == s.objects.size()) CHECK(e == whole);
        }
    }
    CHECK(places.size() == PLACE_COUNT);
    CHECK(seen.size() == object_kinds().size());
}

TEST_CASE("scene: options, and scenes do not depend on threads") {
    SceneOptions one;
    one.max_objects = 1;
    SceneOptions two;
    two.max_objects = 2;
    std::vector<Scene> serial, parallel_scenes(24);
    for (uint64_t seed = 0; seed < 24; seed++) {
        CHECK(scene(world(), seed, one).objects.size() == 1);
        CHECK(scene(world(), seed, two).objects.size() <= 2);
        serial.push_back(scene(world(), seed));
    }
    const World fresh;  // nothing cached
    parallel(24, [&](int64_t seed, int) { parallel_scenes[seed] = scene(fresh, static_cast<uint64_t>(seed)); });
    for (size_t i = 0; i < serial.size(); i++) {
        CHECK(serial[i].picture.rgb == parallel_scenes[i].picture.rgb);
        CHECK(serial[i].objects == parallel_scenes[i].objects);
    }
}

TEST_CASE("scene: composing cuts what leaves the frame and keeps what is apart") {
    NumpyRandom random(3);
    const Background meadow = background(Place::Meadow, random);
    SceneObject cow{*find_object("cow"), 40, 30, 100, false, {}};
    SceneObject bee{*find_object("bee"), 30, 100, 50, false, {}};
    std::vector<SceneObject> both = {bee, cow}, only = {cow};
    const Composition two = compose(world(), meadow.picture, both), first = compose(world(), meadow.picture, only);
    CHECK(both[1] == only[0]);
    for (int y = 0; y < SCENE_SIZE; y++) {
        const auto row = [&](const Composition& c) { return c.picture.at(0, y); };
        CHECK(std::equal(row(two), row(two) + 70 * 3, row(first)));  // the bee is to the right of it
    }

    SceneObject mirrored = cow;
    mirrored.flip = true;
    std::vector<SceneObject> flipped = {mirrored};
    const Composition turned = compose(world(), meadow.picture, flipped);
    const int width = world().scaled("cow", 40).width, left = static_cast<int>(30 - width / 2.0);
    int differing = 0;
    for (int y = 60; y < 100; y++)
        for (int x = 0; x < width; x++)
            differing += first.ids[y * SCENE_SIZE + left + x] != turned.ids[y * SCENE_SIZE + left + width - 1 - x];
    CHECK(differing == 0);
    CHECK(first.ids != turned.ids);

    for (const auto& [cx, by] : {std::pair(0, 90), {127, 90}, {60, 8}, {60, 140}}) {
        SceneObject at_edge = cow;
        at_edge.cx = cx;
        at_edge.by = by;
        std::vector<SceneObject> cut = {at_edge};
        const Composition c = compose(world(), meadow.picture, cut);
        const auto& box = cut[0].box;
        CHECK((box[0] >= 0 && box[1] >= 0 && box[2] <= SCENE_SIZE && box[3] <= SCENE_SIZE && box[0] < box[2]));
        CHECK(std::count(c.ids.begin(), c.ids.end(), 1) > 50);
    }
    SceneObject gone = cow;
    gone.cx = 400;
    std::vector<SceneObject> outside = {gone};
    CHECK(compose(world(), meadow.picture, outside).picture.rgb == meadow.picture.rgb);
    CHECK(outside[0].box == std::array<int, 4>{});
    std::vector<SceneObject> none;
    CHECK(compose(world(), meadow.picture, none).picture.rgb == meadow.picture.rgb);
}

TEST_CASE("scene: captions") {
    const std::string names[] = {"oak", "ufo", "eagle"};
    CHECK(caption_of(std::span(names, 1), Place::Snow) == "an oak in the snow");
    CHECK(caption_of(std::span(names, 2), Place::Sea) == "an oak and a ufo on the open sea");
    CHECK(caption_of(names, Place::Room) == "an oak, a ufo and an eagle in a room");
    CHECK(article("igloo") == "an igloo");
    for (int i = 0; i < PLACE_COUNT; i++) CHECK(find_place(place_name(static_cast<Place>(i))) == static_cast<Place>(i));
    CHECK(!find_place("moon"));
    CHECK(!find_object("blicket"));
}

TEST_CASE("scene: a tenth of all compositions is held out, and training never sees it") {
    // Computed elsewhere.
    CHECK(held_out("house", "mushroom", "sunset"));
    CHECK(!held_out("mushroom", "house", "sunset"));
    CHECK(held_out("house", "", "sunset"));
    CHECK(!held_out("oak", "cow", "meadow"));
    int held = 0, all = 0;
    for (const ObjectKind& first : object_kinds())
        for (const ObjectKind& second : object_kinds())
            for (int place = 0; place < PLACE_COUNT; place++, all++)
                held += held_out(first.name, second.name, place_name(static_cast<Place>(place)));
    CHECK(std::abs(held / static_cast<double>(all) - .1) < .01);
    for (int place = 0; place < PLACE_COUNT; place++) {  // every place has some, with one object and with two
        const std::string name = place_name(static_cast<Place>(place));
        const auto kinds = object_kinds();
        CHECK(std::any_of(kinds.begin(), kinds.end(), [&](const auto& k) { return held_out(k.name, "", name); }));
        CHECK(std::any_of(kinds.begin(), kinds.end(), [&](const auto& k) { return held_out(k.name, "cow", name); }));
    }

    std::set<uint64_t> seeds;
    for (uint64_t n = 0; n < 120; n++) {
        const Scene s = training_scene(world(), n);
        CHECK(s.seed >= FIRST_TRAINING_SEED + 16 * n);
        CHECK(!held_out(s));
        for (uint64_t seed = FIRST_TRAINING_SEED + 16 * n; seed < s.seed; seed++) CHECK(held_out(scene(world(), seed)));
        seeds.insert(s.seed);
    }
    CHECK(seeds.size() == 120);
    CHECK(*seeds.rbegin() > FIRST_TRAINING_SEED + 16 * 119 - 1);
    // Of three objects, the two leftmost count.
    std::vector<SceneObject> three = {{*find_object("bee"), 30, 100, 50, false, {}},
                                      {*find_object("cow"), 40, 60, 100, false, {}},
                                      {*find_object("oak"), 40, 20, 100, false, {}}};
    for (int place = 0; place < PLACE_COUNT; place++)
        CHECK(held_out(three, static_cast<Place>(place)) ==
              held_out("oak", "cow", place_name(static_cast<Place>(place))));
}

TEST_CASE("scene: ellipses fill their frame and nothing else") {
    for (int width = 1; width <= 24; width++)
        for (int height : {1, 2, 5, 8, 13}) {
            CAPTURE(width);
            CAPTURE(height);
            Mask mask(40, 30);
            fill_ellipse(mask, 7, 9, 7 + width - 1 + .7, 9 + height - 1 + .2, 200);
            CHECK(extent_of(mask) == Extent{7, 9, 7 + width, 9 + height});
            for (int y = 0; y < height; y++) {
                int runs = 0;
                for (int x = 0; x < width; x++) {
                    const uint8_t value = mask.row(9 + y)[7 + x];
                    CHECK(value == mask.row(9 + height - 1 - y)[7 + x]);
                    CHECK(value == mask.row(9 + y)[7 + width - 1 - x]);
                    runs += value && (x == 0 || !mask.row(9 + y)[7 + x - 1]);
                }
                CHECK(runs == 1);
            }
            // Near the area of the true ellipse.
            const double area = std::numbers::pi / 4 * width * height;
            const auto filled = std::count(mask.values.begin(), mask.values.end(), 200);
            CHECK(std::abs(static_cast<double>(filled) - area) <= .75 * (width + height));
        }
    Mask mask(8, 8);
    fill_ellipse(mask, 5, 5, 4, 9, 1);  // no corner order: nothing
    CHECK(extent_of(mask) == Extent{8, 8, 0, 0});
    fill_ellipse(mask, -100, -100, 100, 100, 1);
    CHECK(std::count(mask.values.begin(), mask.values.end(), 1) == 64);
}

TEST_CASE("scene: blur is a Gaussian, and a part is blurred as the whole") {
    for (float sigma : {.8f, 1.5f, 1.6f, 3.2f}) {
        CAPTURE(sigma);
        const int reach = blur_reach(sigma);
        // The derivative of a blurred step is the filter itself: its variance is the Gaussian's.
        Mask step(48, 3);
        for (int y = 0; y < 3; y++) std::fill(step.row(y) + 24, step.row(y) + 48, 255);
        gaussian_blur(step, {0, 0, 48, 3}, sigma);
        double variance = 0, sum = 0;
        for (int x = 1; x < 48; x++) {
            const int rise = step.row(1)[x] - step.row(1)[x - 1];
            CHECK((rise == 0 || std::abs(x - 24) <= reach));
            sum += rise;
            variance += rise * (x - 24) * (x - 24) / 255.0;
        }
        CHECK(sum == 255);
        CHECK(variance == doctest::Approx(sigma * sigma).epsilon(.03));

        Mask whole(64, 48), part(64, 48);
        for (Mask* mask : {&whole, &part}) fill_ellipse(*mask, 30, 2, 50, 12, 90);
        gaussian_blur(whole, {0, 0, 64, 48}, sigma);
        gaussian_blur(part, {30 - reach, 0, std::min(64, 51 + reach), 13 + reach}, sigma);
        CHECK(whole.values == part.values);
    }
    Mask flat(9, 7);
    std::fill(flat.values.begin(), flat.values.end(), 77);
    gaussian_blur(flat, {0, 0, 9, 7}, 2.f);  // the edge is repeated
    CHECK(std::count(flat.values.begin(), flat.values.end(), 77) == 63);
}

TEST_CASE("scene: products and compositions of bytes are rounded") {
    for (int a = 0; a < 256; a++)
        for (int b = 0; b < 256; b++) {
            REQUIRE(multiply_255(a, b) == std::lround(a * b / 255.0));
            const int alpha = (a * 7 + b * 3) % 256;
            REQUIRE(composite_255(a, b, alpha) == std::lround((b * alpha + a * (255 - alpha)) / 255.0));
        }
}

TEST_CASE("scene: resized noise keeps constants and ends") {
    const std::vector<float> flat(11 * 11, .25f);
    for (float value : resize_floats(flat, 11, 11, 128, 57)) REQUIRE(value == doctest::Approx(.25));
    std::vector<float> ramp(5 * 5);
    for (int y = 0; y < 5; y++)
        for (int x = 0; x < 5; x++) ramp[y * 5 + x] = static_cast<float>(x);
    const auto wide = resize_floats(ramp, 5, 5, 128, 9);
    for (int x = 40; x < 88; x++)  // a straight line stays one, away from the edges
        CHECK(wide[4 * 128 + x] == doctest::Approx((x + .5) * 5 / 128 - .5).epsilon(1e-5));
}

}  // namespace leon
