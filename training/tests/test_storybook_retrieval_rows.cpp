// Rows with documents in front: neighbours, things under invented names, rare things.
#include <algorithm>
#include <map>
#include <set>

#include "training/storybook/rare_bank.h"
#include "training/storybook/rows.h"
#include "training/storybook/things.h"
#include "training/tests/storybook_world.h"

#include "tests/testing.h"

using namespace leon;

TEST_CASE("rows: retrieved neighbours share an object or the place, and are not the answer") {
    for (uint64_t number = 0; number < 40; number++) {
        const Row row = training_row(RowKind::Retrieve, number);
        REQUIRE(row.retrieved.size() == 2);
        for (const RowDocument& document : row.retrieved) {
            CHECK(document.text == document.scene.caption);
            CHECK(document.picture.picture.rgb == document.scene.picture.rgb);
            CHECK(document.text != row.scene.caption);
            bool shares = document.scene.background.place == row.scene.background.place;
            for (const std::string& name : names_of(document.scene)) shares |= names_of(row.scene).contains(name);
            CHECK(shares);
        }
    }
}

TEST_CASE("rows: a novel name means one thing within a row, and the documents show it") {
    std::set<std::string> names;
    int none = 0, one = 0, both = 0;
    std::set<std::string> novel;
    for (const ListedEmoji& emoji : world().drawable())
        if (is_novel(emoji)) novel.insert(emoji.name);
    for (RowKind kind : {RowKind::RetrieveNovel, RowKind::DescribeNovel, RowKind::AskNovel})
        for (uint64_t number = 0; number < 60; number++) {
            const Row row = training_row(kind, number);
            CAPTURE(row.scene.caption);
            std::map<std::string, std::string> emoji_of;
            for (const Scene* scene : scenes_of(row))
                for (const SceneObject& object : scene->objects) {
                    if (find_object(object.kind.name)) continue;
                    CHECK(novel.contains(object.kind.emoji));
                    const auto [at, is_new] = emoji_of.try_emplace(object.kind.name, object.kind.emoji);
                    CHECK(at->second == object.kind.emoji);
                }
            const auto shows = [&](const RowDocument& document) {
                return names_of(document.scene).contains(row.object);
            };
            const auto helpful = std::count_if(row.retrieved.begin(), row.retrieved.end(), shows);
            if (row.object.empty()) {
                CHECK(kind == RowKind::RetrieveNovel);
                for (const std::string& name : names_of(row.scene)) CHECK(find_object(name));
                none++;
                continue;
            }
            CHECK(names_of(row.scene).contains(row.object));
            CHECK(helpful >= 1);
            (helpful == 1 ? one : both)++;
            for (const RowDocument& document : row.retrieved)
                CHECK(document.scene.background.place != row.scene.background.place);
            names.insert(row.object);
            if (kind == RowKind::DescribeNovel) CHECK(row.answer() == row.scene.caption);
            if (kind == RowKind::AskNovel) CHECK(has_word(row.question->text + row.question->answer, row.object));
        }
    CHECK(none > 2);
    CHECK(one > 10);
    CHECK(both > 100);
    CHECK(names.size() > 120);
}

TEST_CASE("rows: rare things come with documents that show them elsewhere") {
    const std::vector<RowDocument> bank = rare_bank(world());
    size_t next = 0;
    for (int thing = 0; thing < RARE_KINDS; thing++) {
        std::set<Place> places;
        CHECK(rare_documents(thing) >= PLACE_COUNT - 1);  // a room has no sky
        for (int i = 0; i < rare_documents(thing); i++) {
            REQUIRE(next < bank.size());
            const RowDocument& document = bank[next++];
            CHECK(names_of(document.scene).contains(rare_kinds()[static_cast<size_t>(thing)].name));
            CHECK(document.text == document.scene.caption);
            places.insert(document.scene.background.place);
        }
        CHECK(static_cast<int>(places.size()) == rare_documents(thing));
    }
    CHECK(next == bank.size());
    std::set<std::string> things;
    for (uint64_t number = 0; number < 2 * RARE_KINDS; number++) {
        const Row row = evaluation_row(RowKind::RetrieveRare, number);
        CHECK(has_word(row.text.at("text"), row.object));
        things.insert(row.object);
        REQUIRE(row.retrieved.size() == 2);
        CHECK(row.retrieved[0].text != row.retrieved[1].text);
        for (const RowDocument& document : row.retrieved) {
            CHECK(names_of(document.scene).contains(row.object));
            CHECK(document.scene.background.place != row.scene.background.place);
            const auto in_bank = [&](const RowDocument& other) {
                return other.picture.picture.rgb == document.picture.picture.rgb;
            };
            CHECK(std::any_of(bank.begin(), bank.end(), in_bank));
        }
    }
    CHECK(things.size() == RARE_KINDS);
}
