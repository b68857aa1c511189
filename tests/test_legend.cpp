// Legends and segmentation maps: the table's distances, labels to colours and back through blur and noise, specks,
// regions, masks, and legends that are none.
#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "runtime/strict_json.h"
#include "tokenizer/legend.h"

#include "tests/temporary_folder.h"
#include "tests/testing.h"

namespace leon {
namespace {

using Colour = std::array<uint8_t, 3>;

// Björn Ottosson's Oklab: L, a, b. As in tests/vectors/legend/make_legend.py.
std::array<double, 3> oklab(const Colour& colour) {
    double linear[3];
    for (int c = 0; c < 3; c++) {
        const double v = colour[c] / 255.0;
        linear[c] = v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
    }
    const double to_cone[3][3] = {{0.4122214708, 0.5363325363, 0.0514459929},
                                  {0.2119034982, 0.6806995451, 0.1073969566},
                                  {0.0883024619, 0.2817188376, 0.6299787005}};
    const double to_lab[3][3] = {{0.2104542553, 0.7936177850, -0.0040720468},
                                 {1.9779984951, -2.4285922050, 0.4505937099},
                                 {0.0259040371, 0.7827717662, -0.8086757660}};
    std::array<double, 3> cone{}, lab{};
    for (int i = 0; i < 3; i++) {
        for (int c = 0; c < 3; c++) cone[i] += to_cone[i][c] * linear[c];
        cone[i] = std::cbrt(cone[i]);
    }
    for (int i = 0; i < 3; i++)
        for (int c = 0; c < 3; c++) lab[i] += to_lab[i][c] * cone[c];
    return lab;
}

template <class T>
double distance(const std::array<T, 3>& a, const std::array<T, 3>& b) {
    double sum = 0;
    for (int c = 0; c < 3; c++) sum += (double(a[c]) - b[c]) * (double(a[c]) - b[c]);
    return std::sqrt(sum);
}

// A scene as Storybook has them: a place above another colour's ground, discs, and a body on two legs 2 pixels wide.
LabelMap scene(int size, uint32_t seed, int places = 8, int kinds = 87) {
    std::mt19937 random(seed);
    const auto below = [&](int n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); };
    LabelMap map{size, size, std::vector<int32_t>(static_cast<size_t>(size) * size, below(places))};
    const auto paint = [&](int x, int y, int label) {
        if (x >= 0 && y >= 0 && x < size && y < size) map.labels[static_cast<size_t>(y) * size + x] = label;
    };
    for (int disc = 0; disc < 2; disc++) {
        const int label = places + below(kinds - places), r = size / 16 + below(size / 8);
        const int cx = r + below(size - 2 * r), cy = r + below(size - 2 * r);
        for (int y = -r; y <= r; y++)
            for (int x = -r; x <= r; x++)
                if (x * x + y * y <= r * r) paint(cx + x, cy + y, label);
    }
    const int label = places + below(kinds - places), x0 = below(size / 2), y0 = below(size / 2), w = size / 4;
    for (int y = 0; y < w; y++)
        for (int x = 0; x < w; x++)
            if (y < w / 2 || x % (w - 2) < 2) paint(x0 + x, y0 + y, label);
    return map;
}

// What a decoder does to a map, exaggerated: a blur over 3x3 (1 2 1) and noise of normal distribution.
Picture softened(const Picture& picture, double noise, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<double> error(0, noise);
    Picture soft(picture.width, picture.height);
    const int weights[3] = {1, 2, 1};
    for (int y = 0; y < picture.height; y++)
        for (int x = 0; x < picture.width; x++)
            for (int c = 0; c < 3; c++) {
                double sum = 0;
                for (int dy = -1; dy <= 1; dy++)
                    for (int dx = -1; dx <= 1; dx++)
                        sum += weights[dy + 1] * weights[dx + 1] / 16.0 *
                               picture.at(std::clamp(x + dx, 0, picture.width - 1),
                                          std::clamp(y + dy, 0, picture.height - 1))[c];
                soft.at(x, y)[c] = static_cast<uint8_t>(std::lround(std::clamp(sum + error(random), 0.0, 255.0)));
            }
    return soft;
}

double share_right(const LabelMap& got, const LabelMap& want) {
    REQUIRE(got.labels.size() == want.labels.size());
    size_t right = 0;
    for (size_t i = 0; i < got.labels.size(); i++) right += got.labels[i] == want.labels[i];
    return static_cast<double>(right) / static_cast<double>(got.labels.size());
}

Legend small_legend() {
    return parse_legend(R"({"name": "small", "kinds": [
        {"name": "ground", "of": "place", "colour": [0, 0, 100]},
        {"name": "dog", "of": "object", "colour": [255, 0, 0]},
        {"name": "between", "of": "object", "colour": [128, 0, 50]}]})",
                        "small.json");
}

}  // namespace

TEST_CASE("legend: Storybook's colours are well separated, and places are darker than objects") {
    const Legend& legend = storybook_legend();
    size_t count[3] = {};
    double darkest_object = 1, lightest_place = 0, closest = 1, closest_stored = 1000;
    std::set<std::string> names;
    for (size_t i = 0; i < legend.kinds.size(); i++) {
        const LegendKind& kind = legend.kinds[i];
        count[static_cast<int>(kind.of)]++;
        names.insert(kind.name);
        const auto lab = oklab(kind.colour);
        if (kind.of == KindOf::Place)
            lightest_place = std::max(lightest_place, lab[0]);
        else
            darkest_object = std::min(darkest_object, lab[0]);
        for (size_t j = 0; j < i; j++) {
            closest = std::min(closest, distance(lab, oklab(legend.kinds[j].colour)));
            closest_stored = std::min(closest_stored, distance(kind.colour, legend.kinds[j].colour));
        }
    }
    CHECK(count[static_cast<int>(KindOf::Place)] == 8);
    CHECK(count[static_cast<int>(KindOf::Object)] == 55);
    CHECK(count[static_cast<int>(KindOf::Spare)] == 24);
    CHECK(names.size() == legend.kinds.size());
    CHECK(lightest_place <= 0.42);
    CHECK(darkest_object >= 0.52);
    CHECK(closest >= 0.0895);       // of Oklab's 1 between black and white
    CHECK(closest_stored >= 42.4);  // of sRGB's 442
    CHECK(legend.find("dog").has_value());
    CHECK(legend.kinds[static_cast<size_t>(*legend.find("palm tree"))].name == "palm tree");
    CHECK(!legend.find("unicorn"));
}

TEST_CASE("legend: labels painted, blurred and made noisy come back") {
    const Legend& legend = storybook_legend();
    double worst = 1, worst_noisy = 1;
    for (uint32_t seed = 0; seed < 12; seed++) {
        const LabelMap map = scene(seed % 2 ? 128 : 97, seed);
        const Picture painted = paint_map(map, legend);
        CHECK(exact_map(painted, legend, "x.png").labels == map.labels);
        worst = std::min(worst, share_right(classify_map(softened(painted, 4, seed), legend), map));
        worst_noisy = std::min(worst_noisy, share_right(classify_map(softened(painted, 12, seed), legend), map));
    }
    CAPTURE(worst);
    CAPTURE(worst_noisy);
    CHECK(worst >= 0.99);
    CHECK(worst_noisy >= 0.99);
}

TEST_CASE("legend: a blend along an edge is no kind of its own, thin parts stay, specks go") {
    const Legend legend = small_legend();
    const int ground = *legend.find("ground"), dog = *legend.find("dog"), between = *legend.find("between");
    // Ground, two columns of exactly the third kind's colour, dog; below, the dog's tail one pixel high.
    LabelMap map{24, 20, std::vector<int32_t>(24 * 20, ground)};
    for (int y = 0; y < 20; y++)
        for (int x = 12; x < 24; x++) map.labels[y * 24 + x] = y < 12 ? (x < 14 ? between : dog) : ground;
    for (int x = 2; x < 24; x++) map.labels[8 * 24 + x] = dog;
    const LabelMap got = classify_map(paint_map(map, legend), legend, 0);
    CHECK(std::count(got.labels.begin(), got.labels.end(), between) == 0);
    for (int x = 2; x < 24; x++) CHECK(got.at(x, 8) == dog);
    for (int x = 0; x < 11; x++) CHECK(got.at(x, 3) == ground);
    for (int x = 15; x < 24; x++) CHECK(got.at(x, 3) == dog);

    LabelMap specks{40, 40, std::vector<int32_t>(1600, ground)};
    for (int y = 10; y < 13; y++)
        for (int x = 10; x < 13; x++) specks.labels[y * 40 + x] = dog;
    for (int y = 20; y < 24; y++)
        for (int x = 20; x < 24; x++) specks.labels[y * 40 + x] = dog;
    const Picture painted = paint_map(specks, legend);
    CHECK(classify_map(painted, legend, 0).labels == specks.labels);
    CHECK(classify_map(painted, legend, 9).labels == specks.labels);
    const LabelMap cleaned = classify_map(painted, legend, 10);
    CHECK(cleaned.at(11, 11) == ground);
    CHECK(cleaned.at(21, 21) == dog);
    // Nothing is larger than a speck: all stay.
    CHECK(classify_map(painted, legend, 1601).labels == specks.labels);
}

TEST_CASE("legend: pictures of one pixel, one line, and nothing but noise have labels") {
    const Legend legend = small_legend();
    Picture one(1, 1, 0);
    CHECK(classify_map(one, legend).labels == std::vector<int32_t>{*legend.find("ground")});
    Picture noise(31, 7);
    std::mt19937 random(1);
    for (uint8_t& sample : noise.rgb) sample = static_cast<uint8_t>(random() >> 24);
    const LabelMap map = classify_map(noise, legend);
    REQUIRE(map.labels.size() == 31 * 7);
    for (int32_t label : map.labels) CHECK((label >= 0 && label < 3));
    const std::string message = error_of([&] { exact_map(noise, legend, "noise.png"); });
    CHECK(message.starts_with("noise.png: pixel (0, 0) has the colour "));
}

TEST_CASE("legend: regions, masks and their report") {
    const Legend legend = small_legend();
    LabelMap map{5, 4, std::vector<int32_t>(20, 0)};
    for (int i : {6, 7, 12}) map.labels[static_cast<size_t>(i)] = 1;  // (1,1) (2,1) (2,2)
    const auto regions = regions_of(map);
    REQUIRE(regions.size() == 2);
    CHECK(regions[0].label == 0);
    CHECK(regions[0].pixels == 17);
    const LabelRegion dog = regions[1];
    CHECK(dog.label == 1);
    CHECK(dog.pixels == 3);
    CHECK(dog.x0 == 1);
    CHECK(dog.y0 == 1);
    CHECK(dog.x1 == 3);
    CHECK(dog.y1 == 3);
    const Picture mask = mask_of(map, 1);
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 5; x++)
            for (int c = 0; c < 3; c++) CHECK(mask.at(x, y)[c] == (map.at(x, y) == 1 ? 255 : 0));

    const auto report = parse_json(legend_json(regions, legend, {"a.png", "b\xff\".png"}), "report");
    REQUIRE(report.size() == 2);
    CHECK(report[1]["name"] == "dog");
    CHECK(report[1]["of"] == "object");
    CHECK(report[1]["colour"] == nlohmann::json({255, 0, 0}));
    CHECK(report[1]["pixels"] == 3);
    CHECK(report[1]["box"] == nlohmann::json({1, 1, 3, 3}));
    CHECK(report[0]["mask"] == "a.png");
    CHECK(!parse_json(legend_json(regions, legend, {}), "report")[0].contains("mask"));
}

TEST_CASE("legend: files are read back as written, and others are refused in one line") {
    const TemporaryFolder folder;
    write_text(folder / "legend.json", legend_text(storybook_legend()));
    const Legend read = load_legend(folder / "legend.json");
    REQUIRE(read.kinds.size() == storybook_legend().kinds.size());
    CHECK(read.name == "storybook");
    for (size_t i = 0; i < read.kinds.size(); i++) {
        CHECK(read.kinds[i].name == storybook_legend().kinds[i].name);
        CHECK(read.kinds[i].of == storybook_legend().kinds[i].of);
        CHECK(read.kinds[i].colour == storybook_legend().kinds[i].colour);
    }

    const std::string dog = R"({"name": "dog", "of": "object", "colour": [1, 2, 3]})";
    const auto refusal = [](const std::string& kinds) {
        const std::string message = error_of([&] { parse_legend("{\"name\": \"x\", \"kinds\": " + kinds + "}", "l"); });
        CHECK(message.starts_with("l: "));
        CHECK(message.find('\n') == std::string::npos);
        return message;
    };
    const std::vector<std::pair<std::string, std::string>> faults{
        {"[]", "1 to 1024 kinds"},
        {"{}", "1 to 1024 kinds"},
        {"[3]", "JSON objects"},
        {"[" + dog + "," + dog + "]", "twice"},
        {"[" + dog + R"(, {"name": "cat", "of": "object", "colour": [1, 2, 3]}])", "another kind"},
        {R"([{"name": "dog", "of": "beast", "colour": [1, 2, 3]}])", "\"place\", \"object\" or \"spare\""},
        {R"([{"name": "dog", "of": "object", "colour": [1, 2, 256]}])", "0 to 255"},
        {R"([{"name": "dog", "of": "object", "colour": [1, 2, -1]}])", "0 to 255"},
        {R"([{"name": "dog", "of": "object", "colour": [1, 2, 3.0]}])", "0 to 255"},
        {R"([{"name": "dog", "of": "object", "colour": [1, 2]}])", "0 to 255"},
        {R"([{"name": "", "of": "object", "colour": [1, 2, 3]}])", "1 to 256 bytes"},
        {R"([{"name": 1, "of": "object", "colour": [1, 2, 3]}])", "must be a text"},
        {R"([{"name": "dog", "of": "object"}])", "\"colour\" is missing"},
        {R"([{"name": "dog", "of": "object", "colour": [1, 2, 3], "size": 1}])", "\"size\""}};
    for (const auto& fault : faults) {
        CAPTURE(fault.first);
        CHECK(contains(refusal(fault.first), fault.second));
    }
    CHECK(contains(error_of([] { parse_legend("[]", "l"); }), "JSON objects"));
    CHECK(contains(error_of([] { parse_legend("{", "l"); }), "not valid JSON"));
    CHECK(contains(error_of([&] { load_legend(folder / "none.json"); }), "none.json"));
}

}  // namespace leon
