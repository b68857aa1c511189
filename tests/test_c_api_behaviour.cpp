// How include/leon.h behaves: C's own view of it, errors and cancelling as values, callbacks, threads.
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tasks/answers.h"
#include "tasks/pictures.h"
#include "tests/temporary_folder.h"
#include "tokenizer/unicode.h"

#include "tests/c_api.h"

using namespace leon;

extern "C" {
size_t c_header_size_of_options(void);
size_t c_header_size_of_request(void);
size_t c_header_offset_of_on_text(void);
int c_header_describes(const char* model_path, const leon_picture* picture, char* text, size_t bytes);
}

TEST_CASE("C API: strict C sees the header as C++ does, and describes a picture") {
    CHECK(c_header_size_of_options() == sizeof(leon_options));
    CHECK(c_header_size_of_request() == sizeof(leon_request));
    CHECK(c_header_offset_of_on_text() == offsetof(leon_options, on_text));
    char text[128];
    const leon_picture picture = view(car());
    REQUIRE(c_header_describes(BOX, &picture, text, sizeof text) == LEON_OK);
    CHECK(std::string(text) == describe(box().beside, car(), {}).text);
    CHECK(c_header_describes("no such.leon", &picture, text, sizeof text) == LEON_BAD);
    CHECK(std::string(leon_version()) == LEON_VERSION);
}

TEST_CASE("C API: a model opens, says what it is, and closes") {
    CHECK(leon_model_name(box().in_c.get()) == box().beside.config().name);
    CHECK(leon_picture_side(box().in_c.get()) == box().beside.config().vqgan.resolution);
    leon_model* model = reinterpret_cast<leon_model*>(1);
    leon_error error;
    CHECK(leon_open("no such.leon", nullptr, &model, &error) == LEON_BAD);
    CHECK(model == nullptr);
    CHECK(mentions(error.message, "no such.leon"));
    CHECK(leon_open(BOX, "abacus", &model, &error) == LEON_BAD);
    CHECK(mentions(error.message, "abacus"));
    CHECK(leon_open("docs/pictures/car.png", nullptr, &model, &error) == LEON_BAD);
    CHECK(leon_open(BOX, "abacus", &model, nullptr) == LEON_BAD);
    CHECK(leon_open(nullptr, nullptr, &model, &error) == LEON_BAD);
    CHECK(leon_open(BOX, nullptr, nullptr, &error) == LEON_BAD);
    CHECK(leon_open(BOX, nullptr, &model, nullptr) == LEON_OK);
    leon_close(model);
}

TEST_CASE("C API: a file without the part that a task needs is an error, whatever the task") {
    const TemporaryFolder folder;
    const leon_picture picture = view(car());
    for (const bool has_transformer : {true, false}) {
        CAPTURE(has_transformer);
        ModelConfig config = tiny().beside.config();
        config.has_transformer = has_transformer;
        config.has_vqgan = !has_transformer;
        const std::string path = folder / "part.leon";
        write_random_model(path, config, DType::F32, 7,
                           has_transformer ? read_text("tests/vectors/models/cm3leon_a/tokenizer.json") : "");
        const OpenModel model = opened(path);
        CHECK(leon_picture_side(model.get()) == 0);
        for (const std::string task :
             {"draw", "edit", "fill", "segment", "describe", "describe-long", "ask", "fill-text", "write"}) {
            CAPTURE(task);
            if (has_transformer && task == "fill-text") continue;  // needs no pictures
            leon_request request = {};
            request.task = task.c_str();
            if (task != "draw" && task != "fill-text") request.picture = &picture;
            if (!task.starts_with("describe")) request.text = "a ___ car";
            if (task == "fill") request.box = "10,10,90,90";
            leon_result* result;
            leon_error error;
            CHECK(leon_run(model.get(), &request, nullptr, &result, &error) == LEON_BAD);
            CHECK(mentions(error.message, "part.leon"));
        }
    }
}

TEST_CASE("C API: null models and results are nothing, rather than the end") {
    leon_close(nullptr);
    leon_free_result(nullptr);
    leon_cancel(nullptr);
    leon_default_options(nullptr);
    CHECK(std::string(leon_model_name(nullptr)).empty());
    CHECK(leon_picture_side(nullptr) == 0);
    CHECK(leon_result_count(nullptr) == 0);
    CHECK(leon_result_text(nullptr, 0) == nullptr);
    CHECK(leon_result_picture(nullptr, 0, nullptr) == 0);
    CHECK(std::isnan(leon_result_score(nullptr, 0)));
    CHECK(leon_result_seed(nullptr, 0) == 0);
    leon_result* result = nullptr;
    leon_request request = {};
    request.task = "draw";
    request.text = CAPTION;
    leon_error error;
    CHECK(leon_run(nullptr, &request, nullptr, &result, &error) == LEON_BAD);
    CHECK(leon_run(box().in_c.get(), nullptr, nullptr, &result, &error) == LEON_BAD);
    CHECK(leon_run(box().in_c.get(), &request, nullptr, nullptr, &error) == LEON_BAD);
    CHECK(mentions(error.message, "null"));
    CHECK(leon_run(box().in_c.get(), nullptr, nullptr, &result, nullptr) == LEON_BAD);
    CHECK(leon_set_threads(-1, &error) == LEON_BAD);
    CHECK(leon_set_threads(0, nullptr) == LEON_OK);
}

TEST_CASE("C API: bad requests are one line that names what is wrong") {
    leon_request request = {};
    CHECK(mentions(refused(box(), request), "there is no task ''"));
    request.task = "fly\nhigh \xC3";
    const std::string message = refused(box(), request);
    CHECK(mentions(message, "fly high"));
    CHECK(!find_invalid_utf8(message));
    const std::string long_name =
        std::string(509 - std::strlen("task: there is no task '"), 'a') + "\xE2\x82\xAC\xE2\x82\xAC";
    request.task = long_name.c_str();
    CHECK(!find_invalid_utf8(refused(box(), request)));
    CHECK(refused(box(), request).ends_with('a'));

    for (const char* task : {"edit", "fill", "segment", "describe", "describe-long", "ask"}) {
        request = {};
        request.task = task;
        request.text = std::string(task).starts_with("describe") ? nullptr : "Where?";
        CHECK(mentions(refused(box(), request), "picture: is missing"));
    }
    const leon_picture picture = view(car());
    request = {};
    request.task = "describe";
    request.picture = &picture;
    request.text = "a car";
    CHECK(mentions(refused(box(), request), "text: is nothing that 'describe' reads"));
    request.task = "ask";
    request.mask = &picture;
    CHECK(mentions(refused(box(), request), "mask: is nothing that 'ask' reads"));
    request = {};
    request.task = "draw";
    CHECK(mentions(refused(box(), request), "nothing to draw"));
    request.text = "\xFF";
    CHECK(mentions(refused(box(), request), "UTF-8"));
    request.text = CAPTION;
    request.objects = "dog";
    CHECK(mentions(refused(box(), request), "'dog'"));
    request.objects = nullptr;

    for (leon_picture bad :
         {leon_picture{0, 0, nullptr}, leon_picture{8, 8, nullptr}, leon_picture{-1, 8, car().rgb.data()},
          leon_picture{INT32_MAX, INT32_MAX, car().rgb.data()}}) {
        leon_request with_picture = {};
        with_picture.task = "describe";
        with_picture.picture = &bad;
        CHECK(mentions(refused(box(), with_picture), "picture: is empty or too large"));
    }
    request.picture = nullptr;
    const auto with = [&](auto change) {
        leon_options options = defaults();
        change(options);
        return refused(box(), request, options);
    };
    CHECK(mentions(with([](auto& o) { o.size--; }), "leon_default_options"));
    CHECK(mentions(with([](auto& o) { o = {}; }), "leon_default_options"));
    CHECK(mentions(with([](auto& o) { o.candidates = 0; }), "--candidates"));
    CHECK(mentions(with([](auto& o) { o.candidates = 65; }), "--candidates"));
    CHECK(mentions(with([](auto& o) { o.temperature = -1; }), "temperature"));
    CHECK(mentions(with([](auto& o) { o.top_p = INFINITY; }), "top-p"));
    CHECK(mentions(with([](auto& o) { o.max_tokens = 0; }), "--max-tokens"));
}

TEST_CASE("C API: an upscaler that cannot be had is said before the picture is lost") {
    leon_request request = {};
    request.task = "draw";
    request.text = CAPTION;
    leon_options options = defaults();
    options.user = nullptr;
    options.on_picture = [](void*, int32_t, int32_t, int32_t, const leon_picture*) { return 1; };
    for (int factor : {0, 5, -1}) {
        options.upscale = factor;
        CHECK(mentions(refused(box(), request, options), "choose 2, 3 or 4"));
    }
    options.upscale = 2;
    options.upscaler = BOX;
    CHECK(mentions(refused(box(), request, options), "no upscaler"));
    options.upscale = 1;
    options.scorer = "no such clip";
    CHECK(mentions(refused(box(), request, options), "no such clip"));
}

TEST_CASE("C API: a callback cancels, and the model runs again") {
    struct Heard {
        int calls = 0;
    } heard;
    leon_options options = defaults();
    options.best_of = 1;
    options.user = &heard;
    options.on_picture = [](void* user, int32_t, int32_t done, int32_t, const leon_picture*) {
        static_cast<Heard*>(user)->calls++;
        return int{done == 5};
    };
    options.on_text = [](void* user, const char*, size_t) { return ++static_cast<Heard*>(user)->calls; };
    leon_request request = {};
    request.task = "draw";
    request.text = CAPTION;
    leon_result* result = nullptr;
    leon_error error;
    std::memset(&error, 'x', sizeof error);
    CHECK(leon_run(box().in_c.get(), &request, &options, &result, &error) == LEON_CANCELLED);
    CHECK(result == nullptr);
    CHECK(error.message[0] == 0);
    CHECK(heard.calls == 5);

    const leon_picture picture = view(car());
    for (const char* task : {"describe", "describe-long", "ask", "fill-text", "edit", "segment", "fill"}) {
        CAPTURE(task);
        request = {};
        request.task = task;
        request.picture = &picture;
        if (task == std::string("ask") || task == std::string("edit")) request.text = "Where is it?";
        if (task == std::string("fill-text")) request.text = "a ___ car";
        if (task == std::string("fill")) request.box = "10,10,60,60";
        CHECK(leon_run(box().in_c.get(), &request, &options, &result, &error) == LEON_CANCELLED);
    }
    request = {};
    request.task = "write";
    request.text = CAPTION;
    CHECK(leon_run(box().in_c.get(), &request, &options, &result, &error) == LEON_CANCELLED);

    request.task = "describe";
    request.text = nullptr;
    request.picture = &picture;
    CHECK(std::string(leon_result_text(run(box(), request, defaults()).get(), 0)) ==
          describe(box().beside, car(), {}).text);
}

TEST_CASE("C API: what a callback may call, and what it may not") {
    const TemporaryFolder folder;
    struct Heard {
        std::string path;
        std::vector<leon_status> status;
        std::string message;
    } heard{folder / "preview.png", {}, {}};
    leon_options options = defaults();
    options.user = &heard;
    options.on_picture = [](void* user, int32_t, int32_t, int32_t, const leon_picture* preview) {
        Heard& h = *static_cast<Heard*>(user);
        leon_error error;
        h.status.push_back(leon_save_picture(h.path.c_str(), preview, &error));
        leon_request request = {};
        request.task = "draw";
        request.text = CAPTION;
        leon_result* result;
        leon_model* model;
        h.status.push_back(leon_run(box().in_c.get(), &request, nullptr, &result, &error));
        h.message = error.message;
        h.status.push_back(leon_open(BOX, nullptr, &model, &error));
        h.status.push_back(leon_set_threads(1, &error));
        leon_cancel(box().in_c.get());
        return 0;
    };
    leon_request request = {};
    request.task = "draw";
    request.text = CAPTION;
    leon_result* result;
    CHECK(leon_run(box().in_c.get(), &request, &options, &result, nullptr) == LEON_CANCELLED);
    CHECK(heard.status == std::vector<leon_status>{LEON_OK, LEON_BAD, LEON_BAD, LEON_BAD});
    CHECK(mentions(heard.message, "callback"));
    CHECK(load_picture(heard.path).width == 2 * box().beside.grid());
}

TEST_CASE("C API: leon_cancel from another thread ends the run under way, and one that waits") {
    struct Heard {
        std::atomic<int> calls{0};
        std::atomic<bool> is_released{false};
    } heard;
    leon_options options = defaults();
    options.user = &heard;
    options.on_picture = [](void* user, int32_t, int32_t, int32_t, const leon_picture*) {
        Heard& h = *static_cast<Heard*>(user);
        if (++h.calls == 3) {
            h.calls.notify_all();
            h.is_released.wait(false);
        }
        return 0;
    };
    leon_request request = {};
    request.task = "draw";
    request.text = CAPTION;
    leon_status first = LEON_OK, second = LEON_OK;
    const auto start = [&](leon_status& status) {
        return std::thread([&] {
            leon_result* result = nullptr;
            status = leon_run(box().in_c.get(), &request, &options, &result, nullptr);
            leon_free_result(result);
        });
    };
    std::thread a = start(first);
    for (int calls; (calls = heard.calls) < 3;) heard.calls.wait(calls);
    std::atomic<bool> is_over{false};
    std::thread b([&] {
        start(second).join();
        is_over = true;
    });
    leon_cancel(box().in_c.get());
    heard.is_released = true;
    heard.is_released.notify_all();
    a.join();
    CHECK(first == LEON_CANCELLED);
    while (!is_over) {
        leon_cancel(box().in_c.get());
        std::this_thread::yield();
    }
    b.join();
    CHECK(second == LEON_CANCELLED);
}

TEST_CASE("C API: two threads at once get what each gets alone, on one model and on two") {
    const leon_picture picture = view(car());
    const OpenModel other = opened(BOX);
    leon_request drawing = {}, question = {};
    drawing.task = "draw";
    drawing.text = CAPTION;
    question.task = "ask";
    question.text = "Where is it?";
    question.picture = &picture;
    leon_options options = defaults();
    options.best_of = 1;
    Settings settings = seeded(0);
    settings.best_of = 1;
    const Picture expected = draw(box().beside, CAPTION, settings).pictures[0];
    for (leon_model* second : {box().in_c.get(), other.get()}) {
        leon_result *drawn = nullptr, *said = nullptr;
        std::thread a([&] { leon_run(box().in_c.get(), &drawing, &options, &drawn, nullptr); });
        std::thread b([&] { leon_run(second, &question, nullptr, &said, nullptr); });
        a.join();
        b.join();
        const Made drawn_owner(drawn), said_owner(said);
        CHECK(is(drawn, 0, expected));
        REQUIRE(leon_result_count(said) == 1);
        CHECK(std::string(leon_result_text(said, 0)) == "on a sandy beach");
    }
}

TEST_CASE("C API: picture files are read and written") {
    const TemporaryFolder folder;
    const std::string path = folder / "a.png";
    const leon_picture picture = view(car());
    leon_error error;
    REQUIRE(leon_save_picture(path.c_str(), &picture, &error) == LEON_OK);
    leon_result* result = nullptr;
    REQUIRE(leon_load_picture(path.c_str(), &result, &error) == LEON_OK);
    const Made made(result);
    CHECK(leon_result_count(result) == 1);
    CHECK(is(result, 0, car()));
    leon_result* none = reinterpret_cast<leon_result*>(1);
    CHECK(leon_load_picture((folder / "b.png").c_str(), &none, &error) == LEON_BAD);
    CHECK(none == nullptr);
    CHECK(mentions(error.message, "b.png"));
    CHECK(leon_load_picture(nullptr, &none, &error) == LEON_BAD);
    CHECK(leon_load_picture(path.c_str(), nullptr, &error) == LEON_BAD);
    CHECK(leon_save_picture((folder / "a.tiff").c_str(), &picture, &error) == LEON_BAD);
    CHECK(leon_save_picture((folder / "no/a.png").c_str(), &picture, &error) == LEON_BAD);
    CHECK(leon_save_picture(nullptr, &picture, &error) == LEON_BAD);
    CHECK(leon_save_picture(path.c_str(), nullptr, &error) == LEON_BAD);
    const leon_picture empty = {0, 0, nullptr};
    CHECK(leon_save_picture(path.c_str(), &empty, &error) == LEON_BAD);
    CHECK(is(result, 0, car()));
}
