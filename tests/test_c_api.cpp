// What include/leon.h makes, against the tasks below it: the same bytes, from the model in the box and from a tiny one.
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tasks/answers.h"
#include "tasks/fill.h"
#include "tasks/ranking.h"
#include "tasks/retrieval.h"
#include "tasks/segment.h"
#include "tasks/upscale.h"
#include "tasks/writing.h"
#include "tests/temporary_folder.h"

#include "tests/c_api.h"

using namespace leon;

TEST_CASE("C API: draw gives the bytes of leon::draw, candidate by candidate, and tells how it goes") {
    struct Heard {
        std::vector<int> done = std::vector<int>(2);
        int calls = 0;
        bool is_right = true;
    } heard;
    leon_options options = defaults();
    options.seed = 7;
    options.candidates = 2;
    options.user = &heard;
    options.on_picture = [](void* user, int32_t candidate, int32_t done, int32_t total, const leon_picture* preview) {
        Heard& h = *static_cast<Heard*>(user);
        const int side = tiny().beside.grid();
        h.calls++;
        h.is_right = h.is_right && total == side * side && done == ++h.done.at(static_cast<size_t>(candidate)) &&
                     preview->width == 2 * side && preview->height == 2 * side;
        return 0;
    };
    leon_request request = {};
    request.task = "draw";
    request.text = CAPTION;
    const Made made = run(tiny(), request, options);
    const Drawing expected = draw(tiny().beside, CAPTION, seeded(7, 2));
    REQUIRE(leon_result_count(made.get()) == 2);
    for (int i = 0; i < 2; i++) {
        CHECK(is(made.get(), i, expected.pictures[static_cast<size_t>(i)]));
        CHECK(leon_result_seed(made.get(), i) == 7u + static_cast<unsigned>(i));
        CHECK(std::isnan(leon_result_score(made.get(), i)));
        CHECK(heard.done[static_cast<size_t>(i)] == tiny().beside.grid() * tiny().beside.grid());
    }
    CHECK(heard.is_right);
    for (int outside : {-1, 2, INT32_MAX, INT32_MIN}) {
        leon_picture untouched = {1, 2, nullptr};
        CHECK(leon_result_picture(made.get(), outside, &untouched) == 0);
        CHECK(untouched.height == 2);
        CHECK(leon_result_text(made.get(), outside) == nullptr);
        CHECK(std::isnan(leon_result_score(made.get(), outside)));
        CHECK(leon_result_seed(made.get(), outside) == 0);
    }
    CHECK(leon_result_picture(made.get(), 0, nullptr) == 1);
}

TEST_CASE("C API: settings arrive") {
    leon_options options = defaults();
    leon_request request = {};
    request.task = "draw";
    request.text = CAPTION;
    Settings settings = seeded(3);
    options.seed = 3;
    settings.guidance = options.guidance = 1;
    settings.temperature = options.temperature = 0.5f;
    settings.top_p = options.top_p = 0.7f;
    settings.top_k = options.top_k = 30;
    CHECK(is(run(tiny(), request, options).get(), 0, draw(tiny().beside, CAPTION, settings).pictures[0]));
    options.strategy = "cdk";
    settings.strategy = Strategy::Contrastive;
    settings.contrast_k = options.contrast_k = 3;
    settings.contrast_alpha = options.alpha = 0.2f;
    settings.student_temperature = options.student_temperature = 0.9f;
    CHECK(is(run(tiny(), request, options).get(), 0, draw(tiny().beside, CAPTION, settings).pictures[0]));
    options.strategy = "dice";
    CHECK(mentions(refused(tiny(), request, options), "dice"));
}

TEST_CASE("C API: every other task that makes pictures gives what the task itself does") {
    const leon_picture picture = view(car());
    const Settings settings = seeded(2);
    leon_options options = defaults();
    options.seed = 2;

    leon_request request = {};
    request.task = "draw";
    request.sign = "OPEN";
    DrawRequest wanted;
    wanted.sign = "OPEN";
    CHECK(is(run(tiny(), request, options).get(), 0, draw(tiny().beside, wanted, settings).pictures[0]));

    request = {};
    request.task = "draw";
    request.text = "a dog in the snow";
    request.objects = "dog@1,4,12,20;cat@16,4,32,12";
    wanted = {};
    wanted.text = request.text;
    wanted.objects = {parse_object("dog@1,4,12,20"), parse_object("cat@16,4,32,12")};
    CHECK(is(run(tiny(), request, options).get(), 0, draw(tiny().beside, wanted, settings).pictures[0]));

    request = {};
    request.task = "draw";
    request.picture = &picture;
    request.kind = "edges";
    wanted = {};
    wanted.map = car();
    wanted.kind = "edges";
    CHECK(is(run(tiny(), request, options).get(), 0, draw(tiny().beside, wanted, settings).pictures[0]));

    request = {};
    request.task = "edit";
    request.picture = &picture;
    request.text = "add a tree";
    CHECK(is(run(tiny(), request, options).get(), 0, edit(tiny().beside, car(), "add a tree", settings).pictures[0]));

    request = {};
    request.task = "segment";
    request.picture = &picture;
    CHECK(is(run(tiny(), request, options).get(), 0,
             segment(tiny().beside, car(), "", storybook_legend(), settings).drawing.pictures[0]));
}

TEST_CASE("C API: Lumina-mGPT's sizes and maps, with previews of their shape") {
    leon_options options = defaults();
    leon_picture shape = {0, 0, nullptr};
    options.user = &shape;
    options.on_picture = [](void* user, int32_t, int32_t, int32_t, const leon_picture* preview) {
        *static_cast<leon_picture*>(user) = *preview;
        return 0;
    };
    leon_request request = {};
    request.task = "draw";
    request.text = "a dog";
    request.size = "48x32";
    DrawRequest wanted;
    wanted.text = "a dog";
    wanted.size = {48, 32};
    CHECK(is(run(lumina(), request, options).get(), 0, draw(lumina().beside, wanted, seeded(0)).pictures[0]));
    CHECK(shape.width == 2 * 6);
    CHECK(shape.height == 2 * 4);
    request.size = "48";
    CHECK(mentions(refused(lumina(), request), "'48' is no size"));
    request.size = "48x32";
    CHECK(mentions(refused(tiny(), request), "squares"));

    const leon_picture picture = view(car());
    request = {};
    request.task = "estimate";
    request.picture = &picture;
    request.kind = "depth";
    CHECK(
        is(run(lumina(), request, options).get(), 0, estimate(lumina().beside, car(), "depth", seeded(0)).pictures[0]));
    CHECK(shape.width * 4 == leon_picture_side(lumina().in_c.get()));
    CHECK(refused(tiny(), request) != "");
    options.rank = 1;
    CHECK(mentions(refused(lumina(), request, options), "--rank"));
}

TEST_CASE("C API: fill by a box, a mask and margins") {
    const leon_picture picture = view(car());
    leon_options options = defaults();
    options.seed = 4;
    leon_request request = {};
    request.task = "fill";
    request.picture = &picture;
    request.text = "a red car";
    request.box = "40,30,90,80";
    const Picture expected = fill(tiny().beside, car(), {40, 30, 90, 80}, "a red car", seeded(4)).pictures[0];
    CHECK(is(run(tiny(), request, options).get(), 0, expected));
    options.unclosed = 1;
    Settings unclosed = seeded(4);
    unclosed.unclosed = true;
    CHECK(is(run(tiny(), request, options).get(), 0,
             fill(tiny().beside, car(), {40, 30, 90, 80}, "a red car", unclosed).pictures[0]));
    options.unclosed = 0;

    Picture mask(car().width, car().height);
    for (int y = 30; y < 80; y++) std::fill_n(mask.at(40, y), 50 * 3, uint8_t{255});
    const leon_picture mask_view = view(mask);
    request.box = "";
    request.mask = &mask_view;
    struct Heard {
        int last = 0, total = 0;
        bool has_preview = false;
    } heard;
    options.user = &heard;
    options.on_picture = [](void* user, int32_t, int32_t done, int32_t total, const leon_picture* preview) {
        Heard& h = *static_cast<Heard*>(user);
        h = {done, total, h.has_preview || preview->width != 0 || preview->height != 0};
        return 0;
    };
    CHECK(is(run(tiny(), request, options).get(), 0, expected));
    CHECK(heard.last == heard.total);
    CHECK(heard.total < tiny().beside.grid() * tiny().beside.grid());
    CHECK(!heard.has_preview);
    options.on_picture = nullptr;

    request.box = "40,30,90,80";
    CHECK(mentions(refused(tiny(), request), "exactly one"));
    request.mask = nullptr;
    request.grow = "8,8,8,8";
    CHECK(mentions(refused(tiny(), request), "exactly one"));
    request.box = nullptr;
    const int patch = tiny().beside.config().vqgan.patch();
    const HoleInFrame hole = place_margins(car(), {8, 8, 8, 8}, tiny().beside.grid() * patch, patch);
    CHECK(is(run(tiny(), request, options).get(), 0, fill(tiny().beside, hole, "a red car", seeded(4)).pictures[0]));
    request.grow = nullptr;
    CHECK(mentions(refused(tiny(), request), "exactly one"));
}

TEST_CASE("C API: tasks that make texts give them with their scores, piece by piece") {
    const leon_picture picture = view(car());
    leon_options options = defaults();
    options.candidates = 2;
    options.temperature = 1.2f;
    std::string heard;
    options.user = &heard;
    options.on_text = [](void* user, const char* piece, size_t bytes) {
        static_cast<std::string*>(user)->append(piece, bytes);
        return 0;
    };
    Settings settings = seeded(0, 2);
    settings.temperature = 1.2f;
    leon_request request = {};
    request.picture = &picture;
    const std::pair<const char*, Task> tasks[] = {
        {"describe", Task::Describe}, {"describe-long", Task::DescribeLong}, {"ask", Task::Ask}};
    for (const auto& each : tasks) {
        const Task task = each.second;
        request.task = each.first;
        CAPTURE(request.task);
        request.text = task == Task::Ask ? "Where is it?" : nullptr;
        heard.clear();
        const Made made = run(box(), request, options);
        const auto expected = answers(box().beside, car(), task, "Where is it?", settings);
        REQUIRE(leon_result_count(made.get()) == 2);
        for (int i = 0; i < 2; i++) {
            const Answer& answer = expected[static_cast<size_t>(i)];
            CHECK(leon_result_text(made.get(), i) == answer.text);
            CHECK(leon_result_score(made.get(), i) == answer.log_probability);
            CHECK(leon_result_seed(made.get(), i) == answer.seed);
            CHECK(leon_result_picture(made.get(), i, nullptr) == 0);
            if (answer.seed == 0) CHECK(contains(heard, answer.text));
        }
    }
    request.task = "fill-text";
    request.text = "a ___ on a ___ beach";
    const Made made = run(box(), request, options);
    const FilledTexts expected = fill_text(box().beside, request.text, &car(), settings);
    REQUIRE(leon_result_count(made.get()) == 2);
    for (int i = 0; i < 2; i++)
        CHECK(leon_result_text(made.get(), i) == expected.candidates[static_cast<size_t>(i)].text);
}

TEST_CASE("C API: write goes on with text and pictures in order") {
    leon_options options = defaults();
    options.seed = 5;
    options.max_tokens = 300;
    leon_request request = {};
    request.task = "write";
    request.text = CAPTION;
    const Made made = run(box(), request, options);
    WritingLimits limits;
    limits.max_tokens = 300;
    const Written expected = write_on(box().beside, {{CAPTION, {}}}, limits, seeded(5));
    REQUIRE(!expected.contents.empty());
    REQUIRE(leon_result_count(made.get()) == static_cast<int>(expected.contents.size()));
    for (int i = 0; i < leon_result_count(made.get()); i++) {
        const Content& content = expected.contents[static_cast<size_t>(i)];
        if (content.is_picture())
            CHECK(is(made.get(), i, content.picture));
        else
            CHECK(leon_result_text(made.get(), i) == content.text);
    }
}

TEST_CASE("C API: the best of several pictures is one picture") {
    leon_options options = defaults();
    options.best_of = 3;
    leon_request request = {};
    request.task = "draw";
    request.text = CAPTION;
    Settings settings = seeded(0);
    settings.best_of = 3;
    const Drawing expected = draw(tiny().beside, CAPTION, settings);
    const Made made = run(tiny(), request, options);
    CHECK(leon_result_count(made.get()) == 1);
    CHECK(is(made.get(), 0, expected.pictures[0]));
    CHECK(leon_result_seed(made.get(), 0) == expected.seeds[0]);
    options.best_of = 65;
    CHECK(mentions(refused(tiny(), request, options), "--best-of"));
}

TEST_CASE("C API: candidates are ranked and enlarged") {
    leon_options options = defaults();
    options.seed = 1;
    options.candidates = 2;
    options.upscale = 2;
    leon_request request = {};
    request.task = "draw";
    request.text = CAPTION;
    const Drawing drawn = draw(tiny().beside, CAPTION, seeded(1, 2));
    const std::shared_ptr<const Embedder> native = open_embedder("native", tiny().beside);
    const auto upscaler = open_upscaler("", 2, cpu_kernels());
    for (const bool by_embedder : {false, true}) {
        options.rank = !by_embedder;
        options.scorer = by_embedder ? "native" : nullptr;
        Drawing expected = drawn;
        rank(expected, by_embedder ? embedder_scorer(native) : model_scorer(tiny().beside, {}));
        const Made made = run(tiny(), request, options);
        for (int i = 0; i < 2; i++) {
            CHECK(leon_result_score(made.get(), i) == expected.scores[static_cast<size_t>(i)]);
            CHECK(leon_result_seed(made.get(), i) == expected.seeds[static_cast<size_t>(i)]);
            CHECK(is(made.get(), i, upscaler->upscale(expected.pictures[static_cast<size_t>(i)])));
        }
    }
}

TEST_CASE("C API: documents of a memory bank help") {
    const TemporaryFolder folder;
    std::filesystem::create_directory(folder / "in");
    for (const char* name : {"car", "sailboat", "desert"}) {
        std::filesystem::copy_file(std::string("docs/pictures/") + name + ".png", folder / "in/" + name + ".png");
        write_text(folder / "in/" + name + ".txt", std::string("a picture of a ") + name);
    }
    const std::string path = folder / "bank";
    const auto embedder = open_embedder("native", tiny().beside);
    build_bank(folder / "in", path, *embedder, tiny().beside);

    leon_options options = defaults();
    options.bank = path.c_str();
    options.documents = 1;
    leon_request request = {};
    request.task = "draw";
    request.text = CAPTION;
    DrawRequest wanted;
    wanted.text = CAPTION;
    const Bank bank(path);
    wanted.retrieved = retrieve_for(tiny().beside, bank, *embedder, CAPTION, nullptr, 1).documents;
    REQUIRE(wanted.retrieved.size() == 1);
    const Picture helped = draw(tiny().beside, wanted, seeded(0)).pictures[0];
    CHECK(helped.rgb != draw(tiny().beside, CAPTION, seeded(0)).pictures[0].rgb);
    CHECK(is(run(tiny(), request, options).get(), 0, helped));
    options.keep_documents = 1;
    Settings keeps = seeded(0);
    keeps.unconditional_keeps = UnconditionalKeeps::Retrieved;
    CHECK(is(run(tiny(), request, options).get(), 0, draw(tiny().beside, wanted, keeps).pictures[0]));

    const leon_picture picture = view(car());
    const std::string question = "Where is it?";
    leon_request asked = {};
    asked.task = "ask";
    asked.text = question.c_str();
    asked.picture = &picture;
    const std::vector<Document> help = retrieve_for(tiny().beside, bank, *embedder, question, &car(), 1).documents;
    const auto expected = answers(tiny().beside, car(), Task::Ask, question, keeps, {}, help);
    const Made made = run(tiny(), asked, options);
    CHECK(leon_result_text(made.get(), 0) == expected.front().text);
    CHECK(leon_result_score(made.get(), 0) == expected.front().log_probability);
    options.embedder = "no such clip";
    CHECK(mentions(refused(tiny(), request, options), "no such clip"));
    options.embedder = nullptr;
    options.documents = 3;
    CHECK(mentions(refused(tiny(), request, options), "--documents"));
    options.bank = BOX;
    CHECK(mentions(refused(tiny(), request, options), BOX));
}
