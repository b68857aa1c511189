// What the tests of include/leon.h share: models opened through C and beside it, runs, and comparisons.
//
// Include this in place of tests/testing.h: after every header of leon.
#pragma once

#include <cmath>
#include <cstring>
#include <memory>
#include <string>

#include "include/leon.h"
#include "tasks/model.h"
#include "tasks/settings.h"
#include "tests/tiny_model.h"

#include "tests/testing.h"

namespace leon {

constexpr const char* BOX = "models/storybook.leon";
constexpr const char* CAPTION = "a car on a sandy beach";

struct Close {
    void operator()(leon_model* model) const { leon_close(model); }
    void operator()(leon_result* result) const { leon_free_result(result); }
};
using OpenModel = std::unique_ptr<leon_model, Close>;
using Made = std::unique_ptr<leon_result, Close>;

inline OpenModel opened(const std::string& path) {
    leon_model* model = nullptr;
    leon_error error;
    REQUIRE_MESSAGE(leon_open(path.c_str(), "cpu", &model, &error) == LEON_OK, error.message);
    return OpenModel(model);
}

// One file through C, and beside it in C++.
struct Both {
    OpenModel in_c;
    const Model& beside;
};
// The model in the box, and a random one of a few weights; each once for all cases.
inline const Both& box() {
    static const Model model(BOX, cpu_kernels());
    static const Both both{opened(BOX), model};
    return both;
}
inline const Both& tiny() {
    static const TinyModel model(Layout::CM3Leon);
    static const Both both{opened(model.path()), *model};
    return both;
}

inline const Both& lumina() {
    static const TinyModel model(Layout::Lumina, cpu_kernels(), 512);
    static const Both both{opened(model.path()), *model};
    return both;
}

inline leon_options defaults() {
    leon_options options;
    leon_default_options(&options);
    return options;
}

inline Settings seeded(uint64_t seed, int candidates = 1) {
    Settings settings;
    settings.seed = seed;
    settings.candidates = candidates;
    return settings;
}

inline Made run(const Both& both, const leon_request& request, const leon_options& options) {
    leon_result* result = nullptr;
    leon_error error;
    std::memset(&error, 'x', sizeof error);
    REQUIRE_MESSAGE(leon_run(both.in_c.get(), &request, &options, &result, &error) == LEON_OK, error.message);
    CHECK(error.message[0] == 0);
    return Made(result);
}

// The message of a run that must fail.
inline std::string refused(const Both& both, const leon_request& request, const leon_options& options = defaults()) {
    leon_result* result = reinterpret_cast<leon_result*>(1);
    leon_error error;
    CHECK(leon_run(both.in_c.get(), &request, &options, &result, &error) == LEON_BAD);
    CHECK(result == nullptr);
    return error.message;
}

inline bool mentions(const std::string& message, const std::string& what) {
    if (message.find(what) != std::string::npos) return true;
    MESSAGE("the message is: " << message);
    return false;
}

inline leon_picture view(const Picture& picture) {
    return {picture.width, picture.height, picture.rgb.data()};
}

inline bool is(const leon_result* result, int item, const Picture& expected) {
    leon_picture picture;
    return leon_result_picture(result, item, &picture) == 1 && leon_result_text(result, item) == nullptr &&
           picture.width == expected.width && picture.height == expected.height &&
           std::memcmp(picture.rgb, expected.rgb.data(), expected.rgb.size()) == 0;
}

inline const Picture& car() {
    static const Picture picture = load_picture("docs/pictures/car.png");
    return picture;
}

}  // namespace leon
