// Twenty optimiser steps of both tiny checkpoints beside transformers' and torch's AdamW: training/peers/loss_curve.py
// made the losses in vectors/gradients/*/loss_curve.json.
#include "training/network.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "training/adamw.h"
#include "training/source_gradients.h"
#include "training/tests/grad_harness.h"

#include "tests/testing.h"

using namespace leon;
namespace fs = std::filesystem;

namespace {

// Measured: 4e-6, as far as torch's own float32 is from its float64; and 0.064.
constexpr double FLOAT32_ERROR = 1.6e-5, BF16_ERROR = 0.2;

// The script's tokens of a step, as documents side by side.
PackedBatch batch_of(int step, int documents, int length, int vocab) {
    PackedBatch batch;
    for (int d = 0; d < documents; d++) {
        const auto token = [&](int i) { return (7 * step + 31 * d + (d + 2) * i * i + 5 * i) % vocab; };
        for (int i = 0; i + 1 < length; i++) {
            batch.tokens.push_back(token(i));
            batch.position.push_back(i);
            batch.targets.push_back(token(i + 1));
            batch.weights.push_back(1);
        }
        batch.starts.push_back(batch.rows());
    }
    return batch;
}

std::vector<double> losses_of(const Plan& plan, const nlohmann::json& rule, const Kernels& kernels,
                              const GradKernels& grads, size_t steps) {
    const TransformerConfig& config = plan.config.transformer;
    const ParameterLayout layout(config);
    ParameterVector values(layout, kernels), gradients(layout, kernels), m(layout, kernels), v(layout, kernels);
    load(values, plan);
    const int documents = rule.at("documents"), length = rule.at("length");
    Network network(config, kernels, grads, documents * length);
    AdamWStep update = {.learning_rate = rule.at("learning_rate"),
                        .beta_1 = rule.at("beta_1"),
                        .beta_2 = rule.at("beta_2"),
                        .epsilon = rule.at("epsilon"),
                        .weight_decay = rule.at("weight_decay"),
                        .gradient_scale = 1,
                        .step = 0};
    std::vector<double> losses;
    for (size_t step = 0; step < steps; step++) {
        const PackedBatch batch = batch_of(static_cast<int>(step), documents, length, config.vocab);
        clear(grads, gradients.tensor());
        const CrossEntropy mean = {.scale = 1.0f / static_cast<float>(batch.rows())};
        const std::span<const float> rows = network.add_gradients(values.weights(), gradients.weights(), batch, mean);
        losses.push_back(std::accumulate(rows.begin(), rows.end(), 0.0) / batch.rows());
        update.step++;
        adamw(grads, values, gradients, m, v, update);
    }
    return losses;
}

}  // namespace

TEST_CASE("loss curve: twenty steps of AdamW are those of the reference implementation") {
    int curves = 0;
    for (const auto& entry : fs::directory_iterator("training/tests/vectors/gradients")) {
        std::ifstream file(entry.path() / "loss_curve.json");
        if (!file) continue;
        CAPTURE(entry.path().string());
        const auto rule = nlohmann::json::parse(file);
        const auto want = rule.at("losses").get<std::vector<double>>();
        CHECK(want.size() == 20);
        const Plan plan = plan_conversion(entry.path().string(), {.dtype = "f32"});
        std::vector<GradTable> tables = {{&reference_kernels(), &reference_grad_kernels()}};
        for (const GradTable& t : grad_tables()) tables.push_back(t);
        for (const GradTable& table : tables) {
            CAPTURE(table.grads->name);
            // The emulated GPU takes a second for a step; what it adds up from step to step shows in eight.
            const bool emulated = std::string_view(table.grads->name).starts_with("cuda-emulated");
            const size_t steps = emulated ? 8 : want.size();
            const std::vector<double> got = losses_of(plan, rule, *table.kernels, *table.grads, steps);
            const bool is_float32 = !table.is_bf16();
            for (size_t i = 0; i < steps; i++) {
                CAPTURE(i);
                CHECK(std::fabs(got[i] - want[i]) <= (is_float32 ? FLOAT32_ERROR : BF16_ERROR));
            }
        }
        curves++;
    }
    CHECK(curves == 2);
}
