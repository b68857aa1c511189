// Whole checkpoints against another implementation: loss and every gradient of the cases in vectors/gradients, made
// with transformers' float64 autograd (see the README there), on every table. And the names that gradients are given.
#include "training/token_gradients.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "runtime/npy.h"
#include "training/tests/grad_harness.h"
#include "weights_converter/convert.h"

#include "tests/temporary_folder.h"

#include "tests/testing.h"

using namespace leon;
namespace fs = std::filesystem;

namespace {

const fs::path CASES = "training/tests/vectors/gradients";
constexpr double LOSS_ERROR = 1e-5, GRADIENT_ERROR = 2e-4;  // of the largest gradient of its tensor

struct Golden {
    fs::path folder;
    double loss;
    int targets;
    std::vector<int32_t> tokens, mask;
};
std::vector<Golden> golden_cases() {
    std::vector<Golden> all;
    for (const auto& entry : fs::directory_iterator(CASES)) {
        std::ifstream file(entry.path() / "case.json");
        if (!file) continue;
        const auto facts = nlohmann::json::parse(file);
        const auto ints = [&](const char* key) {
            const std::string path = (entry.path() / facts.at(key).get<std::string>()).string();
            return load_npy(path).ints(path);
        };
        all.push_back({entry.path(), facts.at("loss"), facts.at("targets"), ints("tokens"), ints("mask")});
    }
    return all;
}

std::vector<std::pair<const Kernels*, const GradKernels*>> float32_tables() {
    std::vector<std::pair<const Kernels*, const GradKernels*>> all = {
        {&reference_kernels(), &reference_grad_kernels()}};
    for (const GradTable& t : grad_tables())
        if (!t.is_bf16()) all.push_back({t.kernels, t.grads});
    return all;
}

std::vector<float> stored(const SafetensorsFile& file, const StoredTensor& tensor) {
    std::vector<float> values(tensor.bytes / sizeof(float));
    std::memcpy(values.data(), file.data(tensor), tensor.bytes);
    return values;
}

double largest(const std::vector<float>& values) {
    double most = 0;
    for (float value : values) most = std::max(most, std::fabs(static_cast<double>(value)));
    return most;
}

TokenGradients gradients_of(const std::string& model, const Golden& c, const Kernels& kernels,
                            const GradKernels& grads) {
    return token_gradients(model, c.tokens, c.mask, "tokens", "mask", kernels, grads);
}

}  // namespace

TEST_CASE("source gradients: loss and all gradients equal the reference implementation's") {
    const std::vector<Golden> cases = golden_cases();
    CHECK(cases.size() >= 2);
    const TemporaryFolder folder;
    for (const Golden& c : cases) {
        CAPTURE(c.folder.string());
        const SafetensorsFile want((c.folder / "grads.safetensors").string());
        convert(c.folder.string(), folder / "case.leon", {.dtype = "f32"}, {});
        for (const auto& tables : float32_tables())
            for (const std::string& model : {c.folder.string(), folder / "case.leon"}) {
                CAPTURE(tables.second->name);
                CAPTURE(model);
                const TokenGradients got = gradients_of(model, c, *tables.first, *tables.second);
                CHECK(std::fabs(got.loss - c.loss) <= LOSS_ERROR);
                CHECK(got.targets == c.targets);
                CHECK(got.gradients.size() == want.tensors().size());
                for (const SourceGradient& g : got.gradients) {
                    CAPTURE(g.name);
                    const StoredTensor* tensor = want.find(g.name);
                    REQUIRE(tensor);
                    CHECK(g.shape == tensor->shape);
                    const std::vector<float> expected = stored(want, *tensor);
                    REQUIRE(g.values.size() == expected.size());
                    double worst = 0;
                    for (size_t i = 0; i < expected.size(); i++)
                        worst = std::max(worst, std::fabs(static_cast<double>(g.values[i]) - expected[i]));
                    CHECK(worst <= GRADIENT_ERROR * largest(expected));
                }
            }
    }
}

// One change to the checkpoint, another to the model: where the converter permutes rows and shares vectors, the
// gradient of the checkpoint's own numbers must say what the loss does when they move.
TEST_CASE("source gradients: permuted and shared tensors get the gradients of what the checkpoint holds") {
    const std::string folder = "tests/vectors/models/chameleon_mha_qknorm_a";  // adjacent pairs, one norm for all heads
    Golden c;
    for (int t = 0; t < 9; t++) {
        c.tokens.push_back(t * 3 + 4);
        c.mask.push_back(t > 0);
    }
    const TokenGradients base = gradients_of(folder, c, reference_kernels(), reference_grad_kernels());
    const TemporaryFolder copies;
    fs::copy(folder, copies / "moved", fs::copy_options::recursive);
    fs::permissions(copies / "moved/model.safetensors", fs::perms::owner_write, fs::perm_options::add);
    int tried = 0;
    for (const SourceGradient& g : base.gradients) {
        if (!contains(g.name, "layers.0") || g.shape.size() > 2) continue;
        if (g.values.size() > 16 && !contains(g.name, "q_") && !contains(g.name, "k_")) continue;
        CAPTURE(g.name);
        // Along the gradient, as far as moves the loss by a hundredth.
        const double most = largest(g.values);
        REQUIRE(most > 0);
        double slope = 0;
        std::vector<float> direction;
        for (float value : g.values) {
            direction.push_back(static_cast<float>(value / most));
            slope += value * direction.back();
        }
        const auto at = [&](float step) {
            const SafetensorsFile original(folder + "/model.safetensors");
            std::vector<uint8_t> bytes = read_file(folder + "/model.safetensors");
            const StoredTensor& tensor = *original.find(g.name);
            REQUIRE(tensor.dtype == "F32");
            for (size_t i = 0; i < direction.size(); i++) {
                float value;
                std::memcpy(&value, &bytes[tensor.offset + i * 4], 4);
                value += step * direction[i];
                std::memcpy(&bytes[tensor.offset + i * 4], &value, 4);
            }
            write_file(copies / "moved/model.safetensors", bytes.data(), bytes.size());
            return gradients_of(copies / "moved", c, reference_kernels(), reference_grad_kernels()).loss;
        };
        const float step = static_cast<float>(0.01 / slope);
        const double measured = (at(step) - at(-step)) / (2 * step);
        CHECK(measured == doctest::Approx(slope).epsilon(0.01));
        tried++;
    }
    CHECK(tried >= 6);
}

TEST_CASE("source gradients: what cannot be is refused in words") {
    const Golden c = golden_cases().at(0);
    const auto refused = [&](const Golden& changed) {
        return error_of(
            [&] { gradients_of(c.folder.string(), changed, reference_kernels(), reference_grad_kernels()); });
    };
    Golden changed = c;
    changed.mask[0] = 1;
    CHECK(refused(changed).find("mask: asks for the first token") == 0);
    changed = c;
    changed.mask.pop_back();
    CHECK(refused(changed).find("mask: has") == 0);
    changed = c;
    changed.mask.assign(changed.mask.size(), 0);
    CHECK(refused(changed).find("mask: names no target") == 0);
    changed = c;
    changed.mask[1] = 2;
    CHECK(refused(changed).find("mask: 2 is neither") == 0);
    changed = c;
    changed.tokens[3] = 100000;
    CHECK(refused(changed).find("tokens: token 100000") == 0);
    changed.tokens.clear();
    CHECK(refused(changed).find("tokens: holds no token") == 0);
    for (const Golden& learned : golden_cases()) {
        if (!contains(learned.folder.string(), "cm3leon")) continue;
        changed.tokens.assign(33, 1);
        CHECK(error_of([&] {
                  gradients_of(learned.folder.string(), changed, reference_kernels(), reference_grad_kernels());
              }).find("tokens: 33 tokens are more than the context of 32") == 0);
    }
    CHECK(error_of([&] { gradients_of("nowhere", c, reference_kernels(), reference_grad_kernels()); }) != "");
}
