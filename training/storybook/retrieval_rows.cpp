// Rows with two retrieved documents in front, and the memory bank of rare things; see rows.h and things.h.
#include <algorithm>

#include "kernels/check.h"
#include "training/storybook/rare_bank.h"
#include "training/storybook/row_makers.h"

namespace leon {
namespace {

constexpr double WITH_COMPANION = .4;  // scenes of a thing that show an ordinary object beside it
constexpr double WIDEST = 1.3;         // width over height from which a novel thing is made lower, so that it fits

RowDocument document_of(Scene scene) {
    RowDocument document;
    document.text = scene.caption;
    document.picture = picture_of(scene);
    document.scene = std::move(scene);
    return document;
}

void put_query(Row& row, Scene scene) {
    row.scene = std::move(scene);
    row.text["text"] = row.scene.caption;
    row.pictures["new picture"] = picture_of(row.scene);
}

// The thing, alone or beside an ordinary object, somewhere but in the places that were used; notes the place as used.
Scene scene_with(Stage& stage, const ObjectKind& thing, std::vector<Place>& used) {
    for (;;) {
        const Place place = stage.any_place();
        if (!can_stand(thing, place) || std::find(used.begin(), used.end(), place) != used.end()) continue;
        std::vector<ObjectKind> kinds{in_place(thing, place)};
        if (stage.chance(WITH_COMPANION)) kinds.push_back(*stage.random().choice(kinds_for(place)));
        if (kinds.size() > 1 && kinds[0].name == kinds[1].name) continue;
        std::optional<Scene> scene = stage.with(place, kinds);
        if (!scene) continue;
        used.push_back(place);
        return stage.to_continue(*scene);
    }
}

ObjectKind novel_thing(Stage& stage) {
    PythonRandom& random = stage.random();
    ObjectKind thing;
    thing.name = invented_name(random);
    thing.emoji = draw_novel_emoji(stage.world(), random);
    thing.zone = stage.chance(.85) ? Zone::Ground : Zone::Sky;
    const Sprite& sprite = stage.world().sprite(thing.emoji);
    const double width = static_cast<double>(sprite.width) / sprite.height;
    thing.relative_height = random.uniform(.7, 1.1) / std::max(1.0, width / WIDEST);
    return thing;
}

void shuffle(Stage& stage, std::vector<RowDocument>& documents) {
    for (size_t i = documents.size(); i > 1; i--)
        std::swap(documents[i - 1], documents[stage.random().below(static_cast<uint32_t>(i))]);
}

// Two documents that teach the name, and a picture of the thing.
void make_novel_picture(Stage& stage, Row& row) {
    const ObjectKind thing = novel_thing(stage);
    std::vector<Place> used;
    row.object = thing.name;
    row.scene = scene_with(stage, thing, used);
    row.pictures["picture"] = picture_of(row.scene);
    for (int i = 0; i < 2; i++) row.retrieved.push_back(document_of(scene_with(stage, thing, used)));
}

// Training only: what the query shares with a document is made of the document's codes, so that copying can be learnt;
// of the first document that it fits to.
void copy_from_documents(Stage& stage, Row& row) {
    if (stage.evaluates()) return;
    for (const RowDocument& document : row.retrieved)
        for (const SceneObject& object : document.scene.objects) {
            if (!row.object.empty() && object.kind.name != row.object) continue;
            if (std::optional<Scene> scene = with_codes_of(stage.world(), row.scene, object)) {
                put_query(row, std::move(*scene));
                return;
            }
        }
}

}  // namespace

// Neighbours as a search over captions would find them: each shares an object with the query, or else the place.
void make_retrieve(Stage& stage, Row& row) {
    put_query(row, stage.to_draw(stage.next()));
    PythonRandom& random = stage.random();
    while (row.retrieved.size() < 2) {
        const Place place = row.scene.background.place;
        std::optional<Scene> scene;
        if (stage.chance(.7)) {
            const ObjectKind kind = random.choice(row.scene.objects).kind;
            const Place other = stage.any_place();
            const auto allowed = kinds_for(other);
            if (std::none_of(allowed.begin(), allowed.end(), [&](const auto* k) { return k->name == kind.name; }))
                continue;
            std::vector<ObjectKind> kinds{kind};
            if (const ObjectKind& more = *random.choice(allowed);
                more.name != kind.name && stage.chance(WITH_COMPANION))
                kinds.push_back(more);
            scene = stage.with(other, kinds);
        } else {
            const std::vector<ObjectKind> kinds{*random.choice(kinds_for(place))};
            scene = stage.with(place, kinds);
        }
        // The answer itself is no neighbour.
        if (scene && scene->caption != row.scene.caption)
            row.retrieved.push_back(document_of(stage.to_continue(*scene)));
    }
    copy_from_documents(stage, row);
}

// Mostly the documents show what is asked for. Else only one of them does, beside a thing of another name; or neither.
void make_retrieve_novel(Stage& stage, Row& row) {
    const ObjectKind thing = novel_thing(stage);
    ObjectKind other = novel_thing(stage);
    while (other.name == thing.name || other.emoji == thing.emoji) other = novel_thing(stage);
    const double what = stage.random().random();
    std::vector<Place> used;
    if (what < .85) {
        row.object = thing.name;
        put_query(row, stage.to_draw(scene_with(stage, thing, used)));
        row.retrieved.push_back(document_of(scene_with(stage, thing, used)));
        if (what < .5)
            row.retrieved.push_back(document_of(scene_with(stage, thing, used)));
        else if (what < .75)
            row.retrieved.push_back(document_of(scene_with(stage, other, used)));
    } else {
        put_query(row, stage.to_draw(stage.next()));
        for (const ObjectKind& shown : {thing, other})
            row.retrieved.push_back(document_of(scene_with(stage, shown, used)));
    }
    shuffle(stage, row.retrieved);
    copy_from_documents(stage, row);
}

void make_retrieve_rare(Stage& stage, Row& row) {
    const size_t which = row.seed % RARE_KINDS;
    const ObjectKind& thing = rare_kinds()[which];
    std::vector<Place> used;
    row.object = thing.name;
    put_query(row, stage.to_draw(scene_with(stage, thing, used)));
    for (int i = 0; row.retrieved.size() < 2; i++) {
        CHECK(i < rare_documents(static_cast<int>(which)));
        RowDocument document = rare_document(stage.world(), static_cast<int>(which), i);
        if (document.scene.background.place != used.front()) row.retrieved.push_back(std::move(document));
    }
    shuffle(stage, row.retrieved);
}

void make_describe_novel(Stage& stage, Row& row) {
    make_novel_picture(stage, row);
    row.text["answer"] = row.scene.caption;
}

void make_ask_novel(Stage& stage, Row& row) {
    make_novel_picture(stage, row);
    // Whatever is asked, the thing's name is in it.
    PythonRandom& random = stage.random();
    do {
        const auto kind = static_cast<QuestionKind>(random.below(QUESTION_KINDS));
        row.question = draw_question(row.scene, kind, draw_answer_kind(kind, random), random);
    } while (!row.question || (row.question->text + row.question->answer).find(row.object) == std::string::npos);
    row.text = {{"question", row.question->text}, {"answer", row.question->answer}};
}

// By turns, so that the documents of a thing do not begin in the same place as those of the next.
static std::vector<Place> rare_places(int thing) {
    CHECK(thing >= 0 && thing < RARE_KINDS);
    std::vector<Place> places;
    for (int i = 0; i < PLACE_COUNT; i++)
        if (const auto place = static_cast<Place>((thing + 3 * i) % PLACE_COUNT);
            can_stand(rare_kinds()[static_cast<size_t>(thing)], place))
            places.push_back(place);
    return places;
}

int rare_documents(int thing) {
    return static_cast<int>(rare_places(thing).size());
}

RowDocument rare_document(const World& world, int thing, int number) {
    CHECK(number >= 0 && number < rare_documents(thing));
    const ObjectKind& kind = rare_kinds()[static_cast<size_t>(thing)];
    const Place place = rare_places(thing)[static_cast<size_t>(number)];
    Stage stage(world, static_cast<uint64_t>(thing), 0x7a7e + static_cast<uint64_t>(number));
    for (;;) {
        std::vector<ObjectKind> kinds{in_place(kind, place)};
        if (number % 2 == 1) kinds.push_back(*stage.random().choice(kinds_for(place)));
        if (std::optional<Scene> scene = stage.with(place, kinds)) return document_of(std::move(*scene));
    }
}

std::vector<RowDocument> rare_bank(const World& world) {
    std::vector<RowDocument> bank;
    for (int thing = 0; thing < RARE_KINDS; thing++)
        for (int i = 0; i < rare_documents(thing); i++) bank.push_back(rare_document(world, thing, i));
    return bank;
}

}  // namespace leon
