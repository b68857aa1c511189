// Rows: words and truth agree with the pictures, training and evaluation stay apart, and every row is a document.
#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>

#include "tasks/maps.h"
#include "tests/temporary_folder.h"
#include "training/example.h"
#include "training/storybook/phrasing.h"
#include "training/storybook/rows.h"
#include "training/storybook/things.h"
#include "training/tests/storybook_world.h"

#include "tests/testing.h"

using namespace leon;

namespace {

std::vector<RowKind> all_kinds() {
    std::vector<RowKind> kinds;
    for (int kind = 0; kind < ROW_KINDS; kind++) kinds.push_back(static_cast<RowKind>(kind));
    return kinds;
}

bool same(const RowPicture& a, const RowPicture& b) {
    return a.picture.rgb == b.picture.rgb && a.matters == b.matters && a.hidden == b.hidden;
}

bool same(const Scene& a, const Scene& b) {
    return a.objects == b.objects && a.picture.rgb == b.picture.rgb && a.ids == b.ids && a.caption == b.caption;
}

// Codes that say which pixels they stand for: a sum of each cell.
CodeGrid sums(const Picture& picture) {
    CodeGrid grid{CELLS, CELLS, std::vector<int32_t>(CELLS * CELLS)};
    for (int y = 0; y < SCENE_SIZE; y++)
        for (int x = 0; x < SCENE_SIZE; x++)
            grid.codes[static_cast<size_t>(y / CELL * CELLS + x / CELL)] += picture.at(x, y)[1];
    for (int32_t& code : grid.codes) code %= 1024;
    return grid;
}

const SceneObject& object_of(const Scene& scene, const std::string& name) {
    const auto found = std::find_if(scene.objects.begin(), scene.objects.end(),
                                    [&](const SceneObject& object) { return object.kind.name == name; });
    REQUIRE(found != scene.objects.end());
    return *found;
}

// Everything that a row says, in one text.
std::string all_text(const Row& row) {
    std::string text;
    for (const auto& [name, value] : row.text) text += value + "\n";
    for (const RowDocument& document : row.retrieved) text += document.text + "\n";
    for (const std::string& filling : row.fillings) text += filling + "\n";
    return text;
}

}  // namespace

TEST_CASE("rows: a row is a pure function of its kind and seed") {
    const World other;
    for (RowKind kind : all_kinds())
        for (uint64_t number : {3, 20}) {
            const Row a = evaluation_row(kind, number), b = make_row(other, kind, number);
            CAPTURE(kind_facts(kind).name);
            CHECK(a.text == b.text);
            CHECK(a.fillings == b.fillings);
            REQUIRE(a.pictures.size() == b.pictures.size());
            for (const auto& [name, picture] : a.pictures) CHECK(same(picture, b.picture(name)));
            REQUIRE(a.retrieved.size() == b.retrieved.size());
            for (size_t i = 0; i < a.retrieved.size(); i++) {
                CHECK(a.retrieved[i].text == b.retrieved[i].text);
                CHECK(same(a.retrieved[i].picture, b.retrieved[i].picture));
            }
            const Row next = evaluation_row(kind, number + 1);
            CHECK(a.pictures.begin()->second.picture.rgb != next.pictures.begin()->second.picture.rgb);
        }
}

TEST_CASE("rows: their kinds have names, tasks and shares") {
    double shares = 0;
    std::set<std::string> names;
    for (RowKind kind : all_kinds()) {
        const RowKindFacts& facts = kind_facts(kind);
        CHECK(facts.kind == kind);
        CHECK(find_row_kind(facts.name) == kind);
        CHECK((facts.share > 0) == (kind != RowKind::RetrieveRare));
        shares += facts.share;
        names.insert(facts.name);
    }
    CHECK(shares == doctest::Approx(1));
    CHECK(names.size() == ROW_KINDS);
    CHECK(row_kind_names().size() == ROW_KINDS);
    CHECK(!find_row_kind("dance"));
    CHECK_THROWS_WITH_AS(training_row(RowKind::RetrieveRare, 5),
                         "retrieve-rare: rare things are for evaluation only; leave these rows out of training", Error);
}

TEST_CASE("rows: each is a document of its template, and the query leaves open what the whole holds") {
    for (RowKind kind : all_kinds())
        for (uint64_t number = 40; number < 48; number++) {
            const Row row = evaluation_row(kind, number);
            CAPTURE(kind_facts(kind).name);
            CHECK(row.evaluates());
            const Template& words = template_of(Layout::CM3Leon, row.task);
            const Fields fields = fields_of(row, sums);
            const Prompt asked = query_of(row, Layout::CM3Leon, fields);
            const Prompt complete = whole_of(row, Layout::CM3Leon, fields);
            CHECK(complete.next == Prompt::Next::Nothing);
            CHECK(holes_of(complete.document).empty());
            CHECK(asked.retrieved.size() == row.retrieved.size());
            CHECK(asked.retrieved == complete.retrieved);
            if (asked.next == Prompt::Next::Picture) {
                CHECK(asked.rows == CELLS);
                Document continued = asked.document;
                continued.parts.push_back(picture_part(sums(row.picture("new picture").picture)));
                CHECK(continued == complete.document);
                continue;
            }
            REQUIRE(asked.next == Prompt::Next::Holes);
            const std::vector<Hole> holes = holes_of(asked.document);
            REQUIRE(!holes.empty());
            if (row.task == Task::FillPicture) {
                Document uncovered = asked.document;
                for (Part& part : uncovered.parts) part.hidden.clear();
                CHECK(uncovered == complete.document);
                continue;
            }
            std::vector<Filling> fillings;
            for (const std::string& filling : row.fillings) fillings.push_back({filling, {}});
            if (row.task != Task::FillTextOfPicture) fillings.push_back({row.answer() + words.answer_end, {}});
            REQUIRE(fillings.size() == holes.size());
            CHECK(filled(asked.document, fillings) == complete.document);
            if (row.task == Task::FillTextOfPicture) CHECK(plain_text(complete.document) == row.scene.caption);
        }
}

TEST_CASE("rows: each makes an example for training, with emphasis on what matters") {
    const std::string path = "tests/vectors/models/cm3leon_a/tokenizer.json";
    const Tokenizer tokenizer(read_text(path), path);
    const Vocabulary vocabulary = read_vocabulary(tokenizer);
    const DocumentWriter writer(Layout::CM3Leon, tokenizer, vocabulary);
    for (RowKind kind : all_kinds())
        for (uint64_t number = 60; number < 64; number++) {
            const Row row = evaluation_row(kind, number);
            CAPTURE(kind_facts(kind).name);
            const Fields fields = fields_of(row, [&](const Picture& picture) {
                CodeGrid grid = sums(picture);
                for (int32_t& code : grid.codes) code %= vocabulary.codes;
                return grid;
            });
            const Prompt asked = query_of(row, Layout::CM3Leon, fields);
            if (holes_of(asked.document).size() > vocabulary.sentinels.size()) continue;  // this tokenizer has six
            const bool fills = row.task == Task::FillPicture || row.task == Task::FillTextOfPicture;
            const std::vector<uint8_t> cells = object_cells(row.last_picture());
            REQUIRE(cells.size() == CELLS * CELLS);
            const Example example = example_of(writer, {.task = kind_facts(kind).name,
                                                        .source = "storybook " + std::to_string(row.seed),
                                                        .whole = whole_of(row, Layout::CM3Leon, fields),
                                                        .query = asked,
                                                        .object_cells = cells,
                                                        .holes = fills ? Holes::Made : Holes::Later});
            const auto count = [&](TokenKind of) { return std::count(example.kinds.begin(), example.kinds.end(), of); };
            if (asked.next == Prompt::Next::Picture) {
                CHECK(count(TokenKind::Object) == std::count(cells.begin(), cells.end(), 1));
                CHECK(count(TokenKind::Object) + count(TokenKind::Picture) == CELLS * CELLS);
                CHECK(count(TokenKind::Object) > 3);
            }
            CHECK((count(TokenKind::Answer) > 0) ==
                  (asked.next == Prompt::Next::Holes && row.task != Task::FillPicture));
            const auto pictures = static_cast<std::ptrdiff_t>(row.pictures.size() + row.retrieved.size());
            CHECK(count(TokenKind::Object) + count(TokenKind::Picture) + count(TokenKind::Context) ==
                  pictures * CELLS * CELLS);
        }
}

TEST_CASE("rows: training sees neither held-out compositions nor rare things; evaluation sees both") {
    int held_out_scenes = 0;
    for (RowKind kind : all_kinds()) {
        if (kind == RowKind::RetrieveRare) continue;
        for (uint64_t number = 0; number < 20; number++) {
            const Row row = training_row(kind, number);
            const std::string text = all_text(row);
            CAPTURE(text);
            for (const Scene* scene : scenes_of(row)) {
                CHECK(!held_out(*scene));
                for (const SceneObject& object : scene->objects)
                    for (const ObjectKind& rare : rare_kinds()) {
                        CHECK(object.kind.name != rare.name);
                        CHECK(object.kind.emoji != rare.emoji);
                    }
            }
            for (const ObjectKind& rare : rare_kinds()) CHECK(!has_word(text, rare.name));
            if (row.sign) CHECK(!held_out_word(row.sign->word));
            const Row evaluated = evaluation_row(kind, number);
            for (const Scene* scene : scenes_of(evaluated)) held_out_scenes += held_out(*scene);
        }
    }
    CHECK(held_out_scenes > 20);
    for (uint64_t number = 0; number < 40; number++)
        CHECK(held_out_word(evaluation_row(RowKind::Sign, number).sign->word));
}

// Whether `text` has the words of a caption in their order, articles aside, whatever stands between.
bool says(std::string text, const std::string& caption) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    std::istringstream words(caption);
    size_t at = 0;
    for (std::string word; words >> word;) {
        if (word == "a" || word == "an") continue;
        at = text.find(word, at);
        if (at == std::string::npos) return false;
        at += word.size();
    }
    return true;
}

TEST_CASE("rows: training asks for a third of its pictures in words that the world's captions do not have") {
    for (RowKind kind : {RowKind::Draw, RowKind::DrawObjects, RowKind::DrawFromSegmentation}) {
        int others = 0, colours = 0;
        for (uint64_t number = 0; number < 120; number++) {
            const Row row = training_row(kind, number), evaluated = evaluation_row(kind, number);
            const std::string text = row.text.at("text");
            CAPTURE(text);
            CHECK((text.empty() || says(text, row.scene.caption)));
            CHECK((evaluated.text.at("text").empty() || evaluated.text.at("text") == evaluated.scene.caption));
            others += !text.empty() && text != row.scene.caption;
            colours += has_word(text, "red") || has_word(text, "green") || has_word(text, "grey");
        }
        CHECK(others > 15);
        CHECK(others < 60);
        CHECK(colours >= 2);
    }
    const std::vector<SceneObject> none;
    PythonRandom random(1);
    CHECK(says(as_people_say("an owl in a room", none, random), "an owl in a room"));
    CHECK(!says("a red car in a room", "a cat in a room"));
}

TEST_CASE("rows: drawing and describing name what is in the picture, from left to right") {
    for (uint64_t number = 0; number < 60; number++) {
        const Row drawn = training_row(RowKind::Draw, number), told = training_row(RowKind::Describe, number);
        CHECK(told.answer() == told.scene.caption);
        CHECK(drawn.picture("new picture").picture.rgb == drawn.scene.picture.rgb);
        size_t at = 0;
        for (const SceneObject& object : from_left_to_right(drawn.scene.objects)) {
            const size_t found = drawn.scene.caption.find(article(object.kind.name), at);
            REQUIRE(found != std::string::npos);
            at = found + 1;
        }
        const FactScore score = score_facts(training_row(RowKind::DescribeLong, number).answer(),
                                            training_row(RowKind::DescribeLong, number).scene);
        CHECK(score.right == score.stated);
        CHECK(score.found == score.expected);
        CHECK(score.stated == score.expected);
    }
}

TEST_CASE("rows: questions are of every kind, and yes as frequent as no") {
    std::map<QuestionKind, int> kinds;
    int yes = 0, no = 0;
    for (uint64_t number = 0; number < 300; number++) {
        const Row row = training_row(RowKind::Ask, number);
        CHECK(row.text.at("question") == row.question->text);
        CHECK(row.answer() == row.question->answer);
        kinds[row.question->kind]++;
        yes += row.answer() == "yes";
        no += row.answer() == "no";
    }
    CHECK(kinds.size() == QUESTION_KINDS);
    CHECK(yes + no > 50);
    CHECK(std::abs(yes - no) < 30);
}

TEST_CASE("rows: what matters is where the objects are, as shares of cells") {
    const Row row = evaluation_row(RowKind::Draw, 12);
    const std::vector<float> emphasis = emphasis_of(row.picture("new picture"));
    REQUIRE(emphasis.size() == CELLS * CELLS);
    double pixels = 0;
    for (int cell = 0; cell < CELLS * CELLS; cell++) {
        int inside = 0;
        for (int i = 0; i < CELL * CELL; i++)
            inside += row.scene.ids[static_cast<size_t>((cell / CELLS * CELL + i / CELL) * SCENE_SIZE +
                                                        cell % CELLS * CELL + i % CELL)] != 0;
        CHECK(emphasis[static_cast<size_t>(cell)] == doctest::Approx(inside / 64.));
        pixels += inside;
    }
    CHECK(pixels > 200);
    CHECK(emphasis_of({Picture(SCENE_SIZE, SCENE_SIZE), {}, {}}) == std::vector<float>(CELLS * CELLS));
}

TEST_CASE("rows: an edit changes what its instruction says and nothing else") {
    std::set<EditKind> seen;
    for (uint64_t number = 0; number < 150; number++) {
        const Row row = number % 2 ? training_row(RowKind::Edit, number) : evaluation_row(RowKind::Edit, number);
        const Edit& edit = *row.edit;
        const Scene &before = edit.before, &after = edit.after;
        CAPTURE(before.caption);
        CAPTURE(edit.instruction);
        CAPTURE(after.caption);
        seen.insert(edit.kind);
        CHECK(row.picture("picture").picture.rgb == before.picture.rgb);
        CHECK(row.picture("new picture").picture.rgb == after.picture.rgb);
        CHECK(same(row.scene, after));
        CHECK(row.text.at("instruction") == edit.instruction);

        for (size_t i = 0; i < after.objects.size(); i++)
            for (size_t j = 0; j < i; j++) CHECK(overlap(world(), after.objects[i], after.objects[j]) <= .12);
        std::set<std::string> expected = names_of(before);
        if (edit.kind == EditKind::ChangePlace) {
            CHECK(before.background.place != after.background.place);
            CHECK(edit.instruction.ends_with(place_phrase(after.background.place)));
            CHECK(before.objects == after.objects);
            CHECK(before.ids == after.ids);
            for (const SceneObject& object : after.objects) CHECK(has_zone(after.background.place, object.kind.zone));
            continue;
        }
        CHECK(before.background.picture.rgb == after.background.picture.rgb);
        CHECK(has_word(edit.instruction, edit.object));
        if (edit.kind == EditKind::Remove || edit.kind == EditKind::Replace) REQUIRE(expected.erase(edit.object) == 1);
        if (edit.kind == EditKind::Add) REQUIRE(expected.insert(edit.object).second);
        if (edit.kind == EditKind::Replace) {
            REQUIRE(expected.insert(edit.replacement).second);
            CHECK(edit.instruction.ends_with(article(edit.replacement)));
        }
        CHECK(names_of(after) == expected);
        const std::string now = edit.kind == EditKind::Replace ? edit.replacement : edit.object;
        const bool puts = edit.kind == EditKind::Add && contains(edit.instruction, " the ");
        CHECK(edit.side.has_value() == (edit.kind == EditKind::Move || puts));
        if (edit.side) CHECK(side_of(object_of(after, now)) == *edit.side);
        if (edit.kind == EditKind::Move) CHECK(side_of(object_of(before, now)) != *edit.side);

        // Beyond the changed object, before and after, with the reach of its shadow, no pixel differs.
        std::vector<const SceneObject*> changed;
        if (edit.kind != EditKind::Add) changed.push_back(&object_of(before, edit.object));
        if (edit.kind != EditKind::Remove) changed.push_back(&object_of(after, now));
        const auto is_near = [&](int x, int y) {
            return std::any_of(changed.begin(), changed.end(), [&](const SceneObject* object) {
                const int reach = object->height * 7 / 100 + 8;
                return x >= object->box[0] - 8 && x < object->box[2] + 8 && y >= object->by - object->height - 1 &&
                       y < object->by + reach;
            });
        };
        int differ = 0, astray = 0, unmarked = 0;
        for (int y = 0; y < SCENE_SIZE; y++)
            for (int x = 0; x < SCENE_SIZE; x++) {
                if (std::equal(before.picture.at(x, y), before.picture.at(x, y) + 3, after.picture.at(x, y))) continue;
                differ++;
                astray += !is_near(x, y);
                unmarked += !row.picture("new picture").matters[static_cast<size_t>(y * SCENE_SIZE + x)];
            }
        CHECK(differ > 50);
        CHECK(astray == 0);
        CHECK(unmarked == 0);
    }
    CHECK(seen.size() == EDIT_KINDS);
}

TEST_CASE("rows: layouts are those of leon map, and exact where the scene knows more") {
    for (RowKind kind :
         {RowKind::DrawFromEdges, RowKind::DrawFromScribble, RowKind::DrawFromSegmentation, RowKind::DrawFromDepth}) {
        int without_caption = 0;
        for (uint64_t number = 0; number < 30; number++) {
            const Row row = evaluation_row(kind, number);  // training draws on the grid
            const Picture& map = row.picture("map").picture;
            CHECK(row.picture("new picture").picture.rgb == row.scene.picture.rgb);
            CHECK(row.text.at("kind") == words_of_map(name_of(*row.layout)));
            CHECK(std::string(kind_facts(kind).name) == std::string("draw-from-") + name_of(*row.layout));
            without_caption += row.text.at("text").empty();
            if (!row.text.at("text").empty()) CHECK(row.text.at("text") == row.scene.caption);
            if (kind == RowKind::DrawFromEdges) CHECK(map.rgb == edge_map(row.scene.picture, {}).rgb);
            if (kind == RowKind::DrawFromScribble) CHECK(map.rgb == scribble_map(row.scene.picture, {}).rgb);
            if (kind == RowKind::DrawFromSegmentation)
                CHECK(exact_map(map, storybook_legend(), "map").labels == label_map(row.scene).labels);
        }
        CHECK(without_caption > 0);
        CHECK(without_caption < 15);
    }
}

TEST_CASE("rows: depth rises towards the viewer, and objects stand at the depth of their feet") {
    for (uint64_t number = 0; number < 40; number++) {
        const Row row = evaluation_row(RowKind::DrawFromDepth, number);
        const Scene& scene = row.scene;
        const Picture& map = row.picture("map").picture;
        std::array<int, SCENE_SIZE> ground;  // of rows, where a background pixel shows
        ground.fill(-1);
        for (int y = 0; y < SCENE_SIZE; y++)
            for (int x = 0; x < SCENE_SIZE; x++)
                if (!scene.ids[static_cast<size_t>(y * SCENE_SIZE + x)])
                    ground[static_cast<size_t>(y)] = map.at(x, y)[0];
        const int behind = scene.background.place == Place::Room ? FARTHEST_GROUND : 0;
        CHECK(ground[0] == behind);
        CHECK(ground[static_cast<size_t>(scene.background.horizon) - 1] == behind);
        CHECK(ground[static_cast<size_t>(scene.background.horizon)] == FARTHEST_GROUND);
        CHECK(ground[SCENE_SIZE - 1] == 255);
        for (size_t y = static_cast<size_t>(scene.background.horizon) + 1; y < SCENE_SIZE; y++)
            CHECK(ground[y] > ground[y - 1]);
        for (size_t i = 0; i < scene.ids.size(); i++) {
            if (!scene.ids[i]) continue;
            const SceneObject& object = scene.objects[scene.ids[i] - 1u];
            const int expected =
                object.kind.zone == Zone::Sky ? SKY_THINGS : ground[static_cast<size_t>(object.by) - 1];
            if (map.rgb[3 * i] != expected) FAIL_CHECK(object.kind.name << ": " << int{map.rgb[3 * i]} << " at " << i);
        }
    }
}

TEST_CASE("rows: boxes stand around their objects' pixels") {
    for (uint64_t number = 0; number < 60; number++) {
        const Row row = evaluation_row(RowKind::DrawObjects, number);
        const std::vector<PlacedObject> placed = parse_objects(row.text.at("objects"));
        REQUIRE(placed.size() == row.scene.objects.size());
        for (const PlacedObject& box : placed) {
            const SceneObject& object = object_of(row.scene, box.name);
            const auto id = static_cast<uint8_t>(&object - row.scene.objects.data() + 1);
            int inside = 0, outside = 0;
            for (int y = 0; y < SCENE_SIZE; y++)
                for (int x = 0; x < SCENE_SIZE; x++)
                    if (row.scene.ids[static_cast<size_t>(y * SCENE_SIZE + x)] == id)
                        (x >= box.x0 && x < box.x1 && y >= box.y0 && y < box.y1 ? inside : outside)++;
            CHECK(outside == 0);
            CHECK(inside > (box.x1 - box.x0) * (box.y1 - box.y0) / 8);
        }
    }
}

TEST_CASE("rows: segmentation maps have the legend's colours, of all objects or of one") {
    for (uint64_t number = 0; number < 40; number++) {
        const Row all = training_row(RowKind::SegmentAll, number), one = training_row(RowKind::SegmentObject, number);
        const Legend& legend = storybook_legend();
        const LabelMap map = exact_map(all.picture("new picture").picture, legend, "map");
        CHECK(map.labels == all.labels->labels);
        CHECK(all.picture("picture").picture.rgb == all.scene.picture.rgb);
        for (size_t i = 0; i < map.labels.size(); i++) {
            const uint8_t id = all.scene.ids[i];
            const std::string expected =
                id ? all.scene.objects[id - 1u].kind.name : place_name(all.scene.background.place);
            if (legend.kinds[static_cast<size_t>(map.labels[i])].name != expected) FAIL_CHECK(expected << " at " << i);
        }
        const std::vector<LabelRegion> regions =
            regions_of(exact_map(one.picture("new picture").picture, legend, "map"));
        REQUIRE(regions.size() == 2);
        CHECK(legend.kinds[static_cast<size_t>(regions[0].label)].name == place_name(one.scene.background.place));
        CHECK(legend.kinds[static_cast<size_t>(regions[1].label)].name == one.object);
        CHECK(one.text.at("object") == one.object);
        object_of(one.scene, one.object);
    }
}

TEST_CASE("rows: holes are boxes of cells, stretches in reading order, or words") {
    size_t most_fillings = 0;
    for (uint64_t number = 0; number < 60; number++) {
        const Row box = training_row(RowKind::FillBox, number), span = training_row(RowKind::FillSpan, number);
        for (const Row* row : {&box, &span}) {
            CHECK(row->picture("picture").picture.rgb == row->scene.picture.rgb);
            CHECK(row->picture("picture").hidden.size() == CELLS * CELLS);
            CHECK(row->text.at("text") == row->scene.caption);
        }
        const std::vector<uint8_t>& hidden = box.picture("picture").hidden;
        CellBox bounds{CELLS, CELLS, 0, 0};
        int cells = 0;
        for (int i = 0; i < CELLS * CELLS; i++)
            if (hidden[static_cast<size_t>(i)]) {
                cells++;
                bounds = {std::min(bounds.x0, i % CELLS), std::min(bounds.y0, i / CELLS),
                          std::max(bounds.x1, i % CELLS + 1), std::max(bounds.y1, i / CELLS + 1)};
            }
        CHECK(cells == bounds.width() * bounds.height());
        CHECK(bounds.width() >= 3);
        CHECK(bounds.height() >= 3);
        CHECK(cells <= 144);
        const std::vector<uint8_t>& stretch = span.picture("picture").hidden;
        const auto first = std::find(stretch.begin(), stretch.end(), 1);
        CHECK(std::is_sorted(first, stretch.end(), std::greater<>()));
        CHECK(std::count(stretch.begin(), stretch.end(), 1) >= CELLS);

        const Row words = training_row(RowKind::FillText, number);
        most_fillings = std::max(most_fillings, words.fillings.size());
        CHECK(!words.fillings.empty());
        const std::string& text = words.text.at("text with holes");
        size_t holes = 0;
        for (size_t at = text.find("___"); at != text.npos; at = text.find("___", at + 3)) holes++;
        CHECK(holes == words.fillings.size());
    }
    CHECK(most_fillings >= 3);
}
