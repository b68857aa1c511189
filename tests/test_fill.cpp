// Where holes lie: boxes, masks and margins in the model's frame; and what is outside them, which stays bit for bit.
#include <algorithm>
#include <string>
#include <vector>

#include "tasks/fill.h"

#include "tests/testing.h"

using namespace leon;

namespace {

// The bounds of the hidden cells of a square; -1 if they are no rectangle.
CellBox bounds(const std::vector<uint8_t>& hidden, int side) {
    CellBox box{side, side, 0, 0};
    int count = 0;
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            if (!hidden[y * side + x]) continue;
            count++;
            box = {std::min(box.x0, x), std::min(box.y0, y), std::max(box.x1, x + 1), std::max(box.y1, y + 1)};
        }
    if (count != box.width() * box.height()) return {-1, -1, -1, -1};
    return box;
}

bool same(const CellBox& a, const CellBox& b) {
    return a.x0 == b.x0 && a.y0 == b.y0 && a.x1 == b.x1 && a.y1 == b.y1;
}

Settings at_most(int tokens) {
    Settings settings;
    settings.max_tokens = tokens;
    return settings;
}

Picture noise(int width, int height, uint32_t seed) {
    Picture picture(width, height);
    for (uint8_t& value : picture.rgb) value = static_cast<uint8_t>((seed = seed * 1664525 + 1013904223) >> 24);
    return picture;
}

}  // namespace

TEST_CASE("fill: a box covers every patch it touches, in the model's frame") {
    const auto cells = [](int width, int height, PixelBox box) {
        return bounds(place_hole(Picture(width, height), box, 128, 8).hidden, 16);
    };
    CHECK(same(cells(128, 128, {0, 0, 128, 128}), {0, 0, 16, 16}));
    CHECK(same(cells(128, 128, {8, 16, 24, 32}), {1, 2, 3, 4}));
    CHECK(same(cells(128, 128, {7, 16, 25, 33}), {0, 2, 4, 5}));
    CHECK(same(cells(256, 256, {16, 0, 32, 16}), {1, 0, 2, 1}));
    CHECK(same(cells(256, 128, {64, 0, 80, 16}), {0, 0, 2, 2}));  // 64 columns are cropped on the left
    CHECK(same(cells(256, 128, {0, 0, 80, 16}), {0, 0, 2, 2}));   // a box that begins outside the frame is cut to it
    CHECK_THROWS_AS(cells(256, 128, {0, 0, 64, 128}), Error);     // wholly cropped away
    CHECK_THROWS_AS(cells(128, 128, {5, 5, 5, 9}), Error);
    CHECK_THROWS_AS(cells(128, 128, {9, 5, 5, 9}), Error);
    CHECK_THROWS_AS(cells(128, 128, {-1, 0, 9, 9}), Error);
    CHECK_THROWS_AS(cells(128, 128, {0, 0, 129, 9}), Error);
    CHECK_THROWS_AS(parse_box("1,2,3"), Error);
    CHECK_THROWS_AS(parse_box("1,2,3,4,5"), Error);
    CHECK_THROWS_AS(parse_box("a,b,c,d"), Error);
    CHECK(parse_box("1,2,30,40").y1 == 40);
}

TEST_CASE("fill: a mask hides what a box of the same pixels hides") {
    for (const PixelBox box : {PixelBox{60, 40, 76, 56}, PixelBox{59, 40, 77, 57}, PixelBox{100, 60, 101, 61}}) {
        for (const auto& size : {std::pair{128, 128}, std::pair{256, 192}, std::pair{150, 200}}) {
            const Picture picture = noise(size.first, size.second, 7);
            Picture mask(size.first, size.second);
            for (int y = box.y0; y < box.y1; y++)
                for (int x = box.x0; x < box.x1; x++) std::fill_n(mask.at(x, y), 3, uint8_t{255});
            const HoleInFrame by_box = place_hole(picture, box, 128, 8), by_mask = place_mask(picture, mask, 128, 8);
            CHECK(by_box.hidden == by_mask.hidden);
            CHECK(by_box.frame.rgb == by_mask.frame.rgb);
        }
    }
    const Picture picture = noise(64, 64, 1);
    CHECK_THROWS_AS(place_mask(picture, Picture(64, 64, 127), 128, 8), Error);  // nothing is white
    CHECK_THROWS_AS(place_mask(picture, Picture(64, 32, 255), 128, 8), Error);  // another size
    // Two spots: no rectangle, and only their cells.
    Picture spots(128, 128);
    std::fill_n(spots.at(3, 3), 3, uint8_t{255});
    std::fill_n(spots.at(120, 90), 3, uint8_t{200});
    const HoleInFrame hole = place_mask(noise(128, 128, 2), spots, 128, 8);
    CHECK(std::count(hole.hidden.begin(), hole.hidden.end(), 1) == 2);
    CHECK(hole.hidden[0] == 1);
    CHECK(hole.hidden[11 * 16 + 15] == 1);
}

TEST_CASE("fill: margins hide the canvas around a picture, which keeps its pixels") {
    const Picture picture = noise(96, 96, 3);
    const HoleInFrame hole = place_margins(picture, {32, 32, 0, 0}, 128, 8);
    CHECK(hole.frame.width == 128);
    for (int y = 0; y < 16; y++)
        for (int x = 0; x < 16; x++) CHECK(hole.hidden[y * 16 + x] == (x < 4 || y < 4));
    for (int y = 0; y < 96; y++)
        for (int x = 0; x < 96; x++)
            CHECK(std::equal(picture.at(x, y), picture.at(x, y) + 3, hole.frame.at(x + 32, y + 32)));
    CHECK_THROWS_AS(place_margins(picture, {0, 0, 0, 0}, 128, 8), Error);
    CHECK_THROWS_AS(place_margins(picture, {-1, 0, 0, 0}, 128, 8), Error);
    CHECK_THROWS_AS(place_margins(picture, {60000, 60000, 0, 0}, 128, 8), Error);
    CHECK_THROWS_AS(place_margins(picture, {1000, 1000, 1000, 1000}, 128, 8), Error);  // less than a cell is left
    CHECK_THROWS_AS(parse_margins("1,2,3"), Error);
    CHECK(parse_margins("1,2,3,4").bottom == 4);
}

TEST_CASE("fill: pixels outside the mask's patches are bit-identical, and visible codes stay") {
    const Model model("models/storybook.leon", cpu_kernels());
    const Picture picture = load_picture("docs/pictures/car.png");
    Picture mask(picture.width, picture.height);
    for (int y = 0; y < mask.height; y++)  // a diagonal band: several holes of different lengths
        for (int x = 0; x < mask.width; x++)
            if (std::abs(x - y) < 14 && y > 40 && y < 110) std::fill_n(mask.at(x, y), 3, uint8_t{255});
    const HoleInFrame hole = place_mask(picture, mask, 128, 8);
    const int cells = static_cast<int>(std::count(hole.hidden.begin(), hole.hidden.end(), 1));
    Settings settings;
    settings.candidates = 2;
    const Drawing drawing = fill(model, hole, "a dog on a sandy beach", settings);
    CHECK(drawing.statistics.tokens == 2 * cells);
    const Part before = picture_part_of(model, hole.frame);
    for (size_t i = 0; i < 2; i++) {
        size_t pixels_changed = 0;
        for (size_t cell = 0; cell < hole.hidden.size(); cell++) {
            if (!hole.hidden[cell]) CHECK(drawing.grids[i].codes[cell] == before.picture.codes[cell]);
            for (int y = 0; y < 8; y++)
                for (int x = 0; x < 8; x++) {
                    const int px = static_cast<int>(cell) % 16 * 8 + x, py = static_cast<int>(cell) / 16 * 8 + y;
                    const bool equal =
                        std::equal(hole.frame.at(px, py), hole.frame.at(px, py) + 3, drawing.pictures[i].at(px, py));
                    if (!equal) pixels_changed++;
                    if (!hole.hidden[cell]) CHECK(equal);
                }
        }
        CHECK(pixels_changed > 0);
    }
    CHECK(drawing.grids[0].codes != drawing.grids[1].codes);
}

TEST_CASE("fill: a text with three holes has them closed in order") {
    const Model model("models/storybook.leon", cpu_kernels());
    const FilledTexts texts = fill_text(model, "a ___, a ___ and a ___ in a room", nullptr, at_most(12));
    REQUIRE(texts.candidates.size() == 1);
    const FilledText& text = texts.candidates[0];
    REQUIRE(text.words.size() == 3);
    CHECK(text.text == "a " + text.words[0] + ", a " + text.words[1] + " and a " + text.words[2] + " in a room");
    CHECK_THROWS_AS(fill_text(model, "no hole", nullptr, {}), Error);
    // A hole that is cut is closed all the same, and the next one is filled.
    const FilledTexts cut = fill_text(model, "a ___ and a ___", nullptr, at_most(1));
    CHECK(!cut.candidates[0].complete);
    CHECK(cut.candidates[0].words.size() == 2);
}
