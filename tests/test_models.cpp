// Checkpoints end to end: every case in tests/vectors/models is converted and its logits compared with the reference
// implementation's (transformers, float32), on every backend. LEON_CASES=FOLDER runs the same over another set of
// cases.
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/npy.h"
#include "tasks/model.h"
#include "tasks/workbench.h"
#include "tests/cuda_on_cpu/emulated_kernels.h"
#include "weights_converter/convert.h"

#include "tests/testing.h"

using namespace leon;
namespace fs = std::filesystem;

namespace {

constexpr float LOGIT_TOLERANCE =
    1e-4f;  // float32 against float32: 7x the largest float32-float64 difference of the set
// bf16 weights on the tensor cores, which take activations of 16 bits of mantissa: 1.4e-4 was measured.
constexpr float TENSOR_CORE_TOLERANCE = 4e-4f;

fs::path cases_folder() {
    const char* named = std::getenv("LEON_CASES");
    return named ? named : "tests/vectors/models";
}

struct Case {
    std::string name;
    fs::path folder;
    nlohmann::json facts;
    std::string path(const char* key) const { return (folder / facts.at(key).get<std::string>()).string(); }
};

// Cases of Hugging Face layouts with logits.
std::vector<Case> logit_cases() {
    std::vector<Case> cases;
    for (const auto& entry : fs::directory_iterator(cases_folder())) {
        std::ifstream file(entry.path() / "case.json");
        if (!file) continue;
        Case c{entry.path().filename(), entry.path(), nlohmann::json::parse(file)};
        if (c.facts.at("kind") == "logits" && c.facts.at("layout").get<std::string>().starts_with("hf"))
            cases.push_back(c);
    }
    return cases;
}

std::string converted(const Case& c, const std::string& dtype) {
    const fs::path target = fs::temp_directory_path() / ("leon_test_" + c.name + "_" + dtype + ".leon");
    ConvertOptions options;
    options.dtype = dtype;
    convert(c.path("model"), target.string(), options, {});
    return target.string();
}

std::vector<const Kernels*> backends() {
    std::vector<const Kernels*> all = {&reference_kernels()};
    for (const Kernels* variant : cpu_variants()) all.push_back(variant);
    for (const Kernels* gpu : gpus()) all.push_back(gpu);
    return all;
}

}  // namespace

TEST_CASE("models: logits of every converted checkpoint equal the reference implementation's") {
    int run = 0;
    for (const Case& c : logit_cases()) {
        CAPTURE(c.name);
        const auto tokens = load_npy(c.path("tokens")).ints("tokens");
        const auto want = load_npy(c.path("logits")).floats("logits");
        for (const char* dtype : {"f32", ""}) {
            const std::string file = converted(c, dtype);
            for (const Kernels* k : backends()) {
                CAPTURE(k->name);
                const Model model(file, *k);
                const auto got = logits(model, tokens, "tokens");
                REQUIRE(got.size() == want.size());
                float worst = 0;
                for (size_t i = 0; i < got.size(); i++) worst = std::max(worst, std::fabs(got[i] - want[i]));
                const bool is_cuda = std::string_view(k->name).starts_with("cuda");
                CHECK(worst <= (is_cuda ? TENSOR_CORE_TOLERANCE : LOGIT_TOLERANCE));
                run++;
            }
            fs::remove(file);
        }
    }
    CHECK(run >= 3 * 2 * 2);
}

TEST_CASE("models: bf16 weights stay within what bf16 may cost") {
    for (const Case& c : logit_cases()) {
        if (c.facts.value("stored_dtype", "") != "float32") continue;
        CAPTURE(c.name);
        const auto tokens = load_npy(c.path("tokens")).ints("tokens");
        const auto want = load_npy(c.path("logits")).floats("logits");
        const std::string file = converted(c, "bf16");
        const Model model(file, cpu_kernels());
        const auto got = logits(model, tokens, "tokens");
        double squares = 0;
        float worst = 0;
        for (size_t i = 0; i < got.size(); i++) {
            squares += std::pow(double(got[i]) - want[i], 2);
            worst = std::max(worst, std::fabs(got[i] - want[i]));
        }
        const auto& measured = c.facts.at("measured");  // of a run wholly in bf16; only the weights are bf16 here
        CHECK(std::sqrt(squares / double(got.size())) <= 2 * measured.at("bf16_vs_fp32_rms_diff").get<double>());
        CHECK(worst <= 3 * measured.at("bf16_vs_fp32_max_abs_diff").get<double>());
        CHECK(worst > LOGIT_TOLERANCE);  // they were rounded
        fs::remove(file);
    }
}

TEST_CASE("models: codes in a case's tokens are those of its picture") {
    int run = 0;
    for (const Case& c : logit_cases()) {
        if (!c.facts.contains("image_codes")) continue;
        CAPTURE(c.name);
        const auto want = load_npy(c.path("image_codes"));
        const std::string file = converted(c, "bf16");  // the encoder stays exact whatever the transformer's precision
        const Array pixels = load_npy(c.path("image"));
        Picture picture(static_cast<int>(pixels.shape.at(1)), static_cast<int>(pixels.shape.at(0)));
        picture.rgb = pixels.bytes;
        for (const Kernels* k : backends()) {
            const Model model(file, *k);
            const CodeGrid grid = encode_picture(model, picture, Fit::Raw);
            CHECK(grid.rows == want.shape[0]);
            CHECK(grid.codes == want.ints("codes"));
            CHECK_THROWS_AS(model.decoder(), Error);  // these checkpoints have none, and say so
            run++;
        }
        fs::remove(file);
    }
    CHECK(run > 0);
}
