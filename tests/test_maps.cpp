// Control maps: edges against OpenCV's Canny pixel for pixel, and what a scribble promises.
#include <algorithm>
#include <fstream>
#include <map>
#include <random>

#include "tasks/maps.h"

#include "tests/testing.h"

namespace leon {
namespace {

const std::string VECTORS = "tests/vectors/maps/";

// Of one byte a pixel. The map must be black and white.
uint64_t fnv1a(const Picture& map) {
    uint64_t value = 0xcbf29ce484222325;
    bool black_and_white = true;
    for (size_t i = 0; i < map.rgb.size(); i += 3) {
        black_and_white &= map.rgb[i] == 0 || map.rgb[i] == 255;
        black_and_white &= map.rgb[i] == map.rgb[i + 1] && map.rgb[i] == map.rgb[i + 2];
        value = (value ^ map.rgb[i]) * 0x100000001b3;
    }
    REQUIRE(black_and_white);
    return value;
}

bool is_white(const Picture& map, int x, int y) {
    return map.at(x, y)[0] == 255;
}

int64_t white_pixels(const Picture& map) {
    return std::count(map.rgb.begin(), map.rgb.end(), 255) / 3;
}

Picture disc(int size, int radius, uint8_t colour = 220) {
    Picture picture(size, size, 40);
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++)
            if ((x - size / 2) * (x - size / 2) + (y - size / 2) * (y - size / 2) <= radius * radius)
                std::fill_n(picture.at(x, y), 3, colour);
    return picture;
}

}  // namespace

TEST_CASE("maps: edges are those of cv2.Canny, pixel for pixel") {
    std::ifstream file(VECTORS + "edges.txt");
    std::string name, gradient, hash;
    EdgeRule rule;
    std::map<std::string, Picture> pictures;
    int cases = 0, same = 0;
    for (; file >> name >> gradient >> rule.low >> rule.high >> hash; cases++) {
        if (!pictures.contains(name)) pictures[name] = load_picture(VECTORS + name + ".png");
        rule.gradient = gradient == "grey" ? GradientOf::Grey : GradientOf::Strongest;
        const bool equal = fnv1a(edge_map(pictures[name], rule)) == std::stoull(hash, nullptr, 16);
        if (!equal) MESSAGE(name << " " << gradient << " " << rule.low << " " << rule.high << " differs");
        same += equal;
    }
    CHECK(cases == 80);
    CHECK(same == cases);
}

TEST_CASE("maps: a scribble is a closed thick line around a shape, and detail and faint grain leave none") {
    for (int size : {128, 200, 384}) {
        CAPTURE(size);
        const Picture map = scribble_map(disc(size, size / 4, 110), {});
        fnv1a(map);  // black and white
        const double s = size / 128.0, outline = 2 * 3.14159 * size / 4;
        const double width = static_cast<double>(white_pixels(map)) / outline;
        CHECK(width > 1.5 * s);
        CHECK(width < 2 * s + 2.5);
        CHECK(!is_white(map, size / 2, size / 2));
        CHECK(!is_white(map, 2, 2));
        // Every ray from the centre crosses the line.
        for (int ray = 0; ray < 4; ray++) {
            bool crossed = false;
            for (int d = 0; d < size / 2; d++) {
                const int dx = ray == 0 ? d : ray == 1 ? -d : 0, dy = ray == 2 ? d : ray == 3 ? -d : 0;
                crossed |= is_white(map, size / 2 + dx, size / 2 + dy);
            }
            CHECK(crossed);
        }
    }
    Picture grain(130, 140);
    std::mt19937 random(3);
    for (uint8_t& sample : grain.rgb) sample = static_cast<uint8_t>(110 + random() % 30);
    CHECK(white_pixels(scribble_map(grain, {})) == 0);
    const EdgeRule sensitive{10, 20};
    Picture dot(128, 128, 40);
    std::fill_n(dot.at(0, 64), 3, uint8_t{220});  // half an outline, shorter than 12 pixels
    CHECK(white_pixels(edge_map(dot, sensitive)) > 0);
    CHECK(white_pixels(scribble_map(dot, sensitive)) == 0);
    CHECK(white_pixels(scribble_map(disc(128, 2), sensitive)) > 0);
    CHECK(white_pixels(scribble_map(Picture(1, 1, 9), {})) == 0);
    CHECK(white_pixels(scribble_map(Picture(3, 200, 9), {})) == 0);
}

TEST_CASE("maps: what cannot be computed is refused, each with a way out") {
    CHECK(parse_map_kind("edges") == MapKind::Edges);
    CHECK(parse_map_kind("scribble") == MapKind::Scribble);
    for (const char* kind : {"depth", "pose", "hed", "normals", "lines"}) {
        const std::string message = error_of([&] { parse_map_kind(kind); });
        CHECK(message.starts_with("--kind " + std::string(kind) + ": "));
        CHECK(contains(message, "leon draw --layout"));
    }
    CHECK(contains(error_of([] { parse_map_kind("segmentation"); }), "leon segment"));
    CHECK(contains(error_of([] { parse_map_kind("Edges"); }), "edges and scribble"));
    const EdgeRule coloured{100, 200, GradientOf::Strongest};
    CHECK(contains(error_of([&] { scribble_map(Picture(4, 4), coloured); }), "--gradient"));
    for (const EdgeRule& rule : {EdgeRule{-1, 5}, EdgeRule{9, 8}, EdgeRule{0, 2041}}) {
        CHECK(contains(error_of([&] { edge_map(Picture(4, 4), rule); }), "0 to 2040"));
        CHECK(contains(error_of([&] { scribble_map(Picture(4, 4), rule); }), "0 to 2040"));
    }
}

}  // namespace leon
