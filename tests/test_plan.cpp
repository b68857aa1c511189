// `leon bench --plan`: the machines, the time of a launch, and plans of whole models.
#include <string>

#include "kernels/planning/planning.h"
#include "tasks/plan.h"
#include "weights_converter/random_model.h"

#include "tests/testing.h"

using namespace leon;

namespace {

Launch stream_of(double bytes) {
    Launch l;
    l.blocks = 10000;
    l.threads = 128;
    l.weight_bytes = l.load_bytes = bytes;
    return l;
}

ModelConfig small(const std::string& shape) {
    ModelConfig c = preset(shape, WithVqgan::Yes);
    c.transformer.layers = 2;
    c.vqgan.resolution = 64;
    return c;
}

}  // namespace

TEST_CASE("plan: machines are found by name and by architecture, and an unknown one is told") {
    CHECK(std::string(machine("h200").name) == "H200");
    CHECK(std::string(machine("sm_90").name) == "H100");
    CHECK(std::string(machine("sm_80").name) == "A100");
    CHECK(std::string(machine("sm_100").name) == "B200");
    CHECK_THROWS_WITH_AS(machine("h300"),
                         "--plan: there is no machine 'h300' to plan for; choose from a100, sm_80, 4090, sm_89, h100, "
                         "sm_90, h200, b200, sm_100",
                         Error);
    CHECK_THROWS_AS(machine(""), Error);
}

TEST_CASE("plan: a launch takes the longest of its streams, after what nothing hides") {
    const Machine& m = machine("h200");
    const LaunchTime read = time_of(stream_of(1e9), m);
    CHECK(read.bound == Bound::Memory);
    CHECK(read.seconds > 1e9 / m.memory_bandwidth / READABLE_SHARE);
    CHECK(read.seconds < 1e9 / m.memory_bandwidth / READABLE_SHARE + 3e-6);
    CHECK(time_of(stream_of(0), m).bound == Bound::Latency);

    Launch few = stream_of(1e9);  // too little under way to fill the memory's pipeline
    few.blocks = 10;
    few.in_flight_bytes = 4096;
    CHECK(time_of(few, m).seconds > 10 * read.seconds);

    Launch product = stream_of(1e6);
    product.unit = Unit::Half;
    product.flops = 1e13;
    CHECK(time_of(product, m).bound == Bound::Arithmetic);
    CHECK(time_of(product, m).seconds > 1e13 / m.half_peak);
    product.blocks = m.multiprocessors + 1;  // one multiprocessor works twice as long as the others
    CHECK(time_of(product, m).seconds > 1.9 * 1e13 / m.half_peak / TENSOR_SHARE);

    Launch early = stream_of(1e6);
    early.early = true;
    CHECK(time_of(early, m).seconds < time_of(stream_of(1e6), m).seconds);
}

TEST_CASE("plan: whole models, without a file and in little memory") {
    for (const char* shape : {"350m", "7b", "34b"}) {
        CAPTURE(shape);
        const ModelConfig config = small(shape);
        const PlanFigures bf16 = plan_figures("h200", config, DType::BF16),
                          i8 = plan_figures("h200", config, DType::I8);
        const double step = bf16.token_ms[0] * 1e-3;
        CHECK(step > bf16.weight_bytes / machine("h200").memory_bandwidth);
        CHECK(bf16.token_ms[1] >= bf16.token_ms[0]);
        CHECK(i8.token_ms[0] <= bf16.token_ms[0]);
        CHECK(i8.weight_bytes < 0.51 * bf16.weight_bytes);
        CHECK(bf16.share_of_read > 0);
        CHECK(bf16.share_of_read < 1);
        CHECK(bf16.picture_tokens == 1024);
        CHECK(bf16.picture_seconds > 0);
        CHECK(bf16.prefill_ms < 1024 * bf16.token_ms[0]);
        CHECK(bf16.decode_ms > 0);
        CHECK(bf16.encode_ms > 0);
        CHECK(plan_figures("a100", config, DType::BF16).token_ms[0] > bf16.token_ms[0]);
    }
}

TEST_CASE("plan: the report names every assumption and every kernel") {
    std::string report;
    PlanOptions options;
    options.machine = "sm_90";
    options.shapes = {"350m"};
    options.weights = {DType::BF16};
    options.say = [&](const std::string& line) { report += line + "\n"; };
    plan("", options);
    for (const char* part : {"plan for H100", "assumed", "source", "350m", "project_qkv", "attention", "conv2d"})
        CHECK_MESSAGE(contains(report, part), part);
}
