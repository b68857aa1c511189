// What training draws stands on the grid of the codes (training/storybook/staging.h); what it looks at, and all of
// evaluation, does not.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "tests/testing.h"
#include "training/storybook/rows.h"
#include "training/tests/storybook_world.h"

namespace leon {
namespace {

bool is_on_grid(const SceneObject& object) {
    const int width = world().scaled(object.kind.emoji, object.height).width;
    const int left = static_cast<int>(object.cx - width / 2.0);
    return left % CELL == 0 && object.by % CELL == 0 && object.height % CELL == 0 && !object.flip;
}
bool is_on_grid(const Scene& scene) {
    return std::all_of(scene.objects.begin(), scene.objects.end(), [](const auto& o) { return is_on_grid(o); });
}

int count_on_grid(RowKind kind, uint64_t first, int rows) {
    int count = 0;
    for (int i = 0; i < rows; i++) count += is_on_grid(make_row(world(), kind, first + static_cast<uint64_t>(i)).scene);
    return count;
}

}  // namespace

TEST_CASE("grid: a scene that is moved to it keeps its kinds, their order, its place and the rules of the world") {
    int moved = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        const Scene before = scene(world(), seed);
        const std::optional<Scene> after = on_grid(world(), before);
        if (!after) continue;
        moved++;
        CHECK(is_on_grid(*after));
        CHECK(after->caption == before.caption);
        CHECK(after->background.picture.rgb == before.background.picture.rgb);
        for (size_t i = 0; i < after->objects.size(); i++) {
            const SceneObject& object = after->objects[i];
            const int width = world().scaled(object.kind.emoji, object.height).width;
            const int left = static_cast<int>(object.cx - width / 2.0);
            CHECK((left >= 0 && left + width <= SCENE_SIZE));
            CHECK((object.by >= object.height && object.by <= SCENE_SIZE));
            if (object.kind.zone != Zone::Sky) CHECK(object.by > after->background.shore);
            for (size_t k = 0; k < i; k++) CHECK(overlap(world(), object, after->objects[k]) <= .12);
            const auto old = std::find_if(before.objects.begin(), before.objects.end(),
                                          [&](const SceneObject& o) { return o.kind == object.kind; });
            REQUIRE(old != before.objects.end());
            CHECK(std::abs(object.height - old->height) <= CELL);
        }
        // What stands on it stays where it is.
        const std::optional<Scene> again = on_grid(world(), *after);
        REQUIRE(again);
        CHECK(again->picture.rgb == after->picture.rgb);
    }
    CHECK(moved > 150);
}

TEST_CASE("grid: training draws on it, and half of the time goes on with what is on it; evaluation never does") {
    constexpr int ROWS = 40;
    for (RowKind kind : {RowKind::Draw, RowKind::DrawObjects, RowKind::DrawFromSegmentation, RowKind::RetrieveNovel}) {
        CAPTURE(kind_facts(kind).name);
        CHECK(count_on_grid(kind, FIRST_TRAINING_SEED, ROWS) >
              (kind == RowKind::RetrieveNovel ? ROWS / 3 : ROWS * 3 / 4));
        CHECK(count_on_grid(kind, 0, ROWS) < ROWS / 8);
    }
    for (RowKind kind : {RowKind::Edit, RowKind::FillBox, RowKind::FillSpan}) {
        CAPTURE(kind_facts(kind).name);
        const int count = count_on_grid(kind, FIRST_TRAINING_SEED, ROWS);
        CHECK(count > ROWS / 5);
        CHECK(count < ROWS * 4 / 5);
        CHECK(count_on_grid(kind, 0, ROWS) < ROWS / 8);
    }
    for (RowKind kind : {RowKind::Describe, RowKind::Ask, RowKind::SegmentAll, RowKind::FillText})
        CHECK(count_on_grid(kind, FIRST_TRAINING_SEED, ROWS) < ROWS / 8);
}

TEST_CASE("grid: the wanted layout is the world's, the drawn picture its nearest on the grid") {
    for (uint64_t number = 0; number < 30; number++) {
        const Row row = make_row(world(), RowKind::DrawObjects, FIRST_TRAINING_SEED + number);
        const std::vector<PlacedObject> placed = parse_objects(row.text.at("objects"));
        REQUIRE(placed.size() == row.scene.objects.size());
        for (const PlacedObject& box : placed) {
            const auto object = std::find_if(row.scene.objects.begin(), row.scene.objects.end(),
                                             [&](const SceneObject& o) { return o.kind.name == box.name; });
            REQUIRE(object != row.scene.objects.end());
            // The middle of the foot moves by half a cell, and more only at the edge of what it may stand on.
            CHECK(std::abs((box.x0 + box.x1) / 2 - (object->box[0] + object->box[2]) / 2) <= 2 * CELL);
            CHECK(std::abs(box.y1 - object->box[3]) <= 2 * CELL);
        }
    }
}

TEST_CASE(
    "grid: what an edit of training leaves alone keeps its codes, and evaluation's pictures are encoded as they are") {
    // Codes that differ from call to call, as those of unchanged cells may in a picture that has changed.
    for (uint64_t number = 0; number < 20; number++) {
        for (uint64_t seed : {number, FIRST_TRAINING_SEED + number}) {
            const Row row = make_row(world(), RowKind::Edit, seed);
            int call = 0;
            const Fields fields = fields_of(row, [&](const Picture&) {
                return CodeGrid{CELLS, CELLS, std::vector<int32_t>(CELLS * CELLS, ++call)};
            });
            const Picture &before = row.picture("picture").picture, &after = row.picture("new picture").picture;
            const std::vector<int32_t>&old = fields.pictures.at("picture").picture.codes,
                  &codes = fields.pictures.at("new picture").picture.codes;
            for (int cell = 0; cell < CELLS * CELLS; cell++) {
                bool same = true;
                for (int y = 0; y < CELL; y++)
                    for (int x = 0; x < CELL; x++) {
                        const int px = cell % CELLS * CELL + x, py = cell / CELLS * CELL + y;
                        same = same && std::equal(before.at(px, py), before.at(px, py) + 3, after.at(px, py));
                    }
                const bool keeps = codes[static_cast<size_t>(cell)] == old[static_cast<size_t>(cell)];
                CHECK(keeps == (same && !row.evaluates()));
            }
        }
    }
}

TEST_CASE("grid: in training the query shows a thing as a document does, whole cells away") {
    int copied = 0, rows = 0;
    for (uint64_t number = 0; number < 60; number++) {
        const Row row = make_row(world(), RowKind::RetrieveNovel, FIRST_TRAINING_SEED + number);
        if (row.object.empty()) continue;
        const auto find = [&](const Scene& scene) -> const SceneObject* {
            for (const SceneObject& object : scene.objects)
                if (object.kind.name == row.object) return &object;
            return nullptr;
        };
        const SceneObject* drawn = find(row.scene);
        REQUIRE(drawn);
        rows++;
        for (const RowDocument& document : row.retrieved)
            if (const SceneObject* shown = find(document.scene);
                shown && shown->height == drawn->height && shown->flip == drawn->flip &&
                (shown->cx - drawn->cx) % CELL == 0 && (shown->by - drawn->by) % CELL == 0) {
                copied++;
                break;
            }
    }
    CHECK(rows > 30);
    CHECK(copied > rows * 2 / 3);
}

}  // namespace leon
