// Parameters as one vector: where tensors lie, how they begin, and that files keep them.
#include "training/parameters.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "kernels/kernels.h"
#include "tests/kernel_harness.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_model.h"
#include "tests/tiny_transformer.h"
#include "training/same_cell_heads.h"
#include "weights_converter/random_model.h"

#include "tests/testing.h"

using namespace leon;

namespace {

const Parameter& named(const ParameterLayout& layout, const std::string& name) {
    const auto found = std::find_if(layout.parameters().begin(), layout.parameters().end(),
                                    [&](const Parameter& p) { return p.spec.name == name; });
    REQUIRE(found != layout.parameters().end());
    return *found;
}

std::vector<float> copy_of(std::span<const float> values) {
    return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("parameters: tensors lie side by side, aligned") {
    for (Family family : {Family::Chameleon, Family::ChameleonSwin, Family::CM3Leon, Family::TwoAxes}) {
        const TransformerConfig config = TinyTransformer(family, 61).config;
        const ParameterLayout layout(config);
        int64_t end = 0, count = 0;
        for (const Parameter& p : layout.parameters()) {
            CHECK(p.first % 16 == 0);
            CHECK(p.first >= end);
            CHECK(p.first < end + 16);
            end = p.first + p.size();
            count += p.size();
            CHECK(p.decays == (!contains(p.spec.name, "norm")));
        }
        CHECK(layout.floats() >= end);
        CHECK(layout.count() == count);

        ParameterVector vector(layout, reference_kernels());
        const TransformerWeights& w = vector.weights();
        CHECK(reinterpret_cast<uintptr_t>(w.embedding.data) % 64 == 0);
        CHECK(vector.of(named(layout, "transformer.layers.1.down")).data() == w.layers[1].down.f32());
        CHECK((w.output.data == w.embedding.data) == config.tied_output);
        CHECK(!w.layers[0].gate == (config.feed_forward == FeedForward::ReLU));
        CHECK(std::all_of(vector.floats().begin(), vector.floats().end(), [](float value) { return value == 0; }));
    }
}

TEST_CASE("parameters: values begin as a normal distribution cut at three deviations") {
    TransformerConfig config = TinyTransformer(Family::CM3Leon, 5003).config;
    const ParameterLayout layout(config);
    ParameterVector values(layout, cpu_kernels());
    initialise(values, cm3leon_initialisation(), 1);

    // Against the distribution itself, at every value: Kolmogorov and Smirnov's distance.
    std::vector<float> sorted = copy_of(values.of(named(layout, "transformer.embedding")));
    std::sort(sorted.begin(), sorted.end());
    CHECK(sorted.front() >= -3 * 0.006f);
    CHECK(sorted.back() <= 3 * 0.006f);
    const auto normal = [](double x) { return 0.5 * std::erfc(-x * std::sqrt(0.5)); };
    double distance = 0;
    for (size_t i = 0; i < sorted.size(); i++) {
        const double expected = (normal(sorted[i] / 0.006) - normal(-3)) / (normal(3) - normal(-3));
        distance = std::max(distance, std::fabs(expected - (i + 0.5) / static_cast<double>(sorted.size())));
    }
    CHECK(distance < 1.63 / std::sqrt(static_cast<double>(sorted.size())));  // of a hundred seeds, 99 stay below

    const std::span<const float> positions = values.of(named(layout, "transformer.positions"));
    const float furthest = *std::max_element(positions.begin(), positions.end());
    CHECK(furthest > 2 * 0.0002f);
    CHECK(furthest <= 3 * 0.0002f);
    for (const char* output : {"transformer.layers.0.o", "transformer.layers.1.down"}) {
        const std::span<const float> zeros = values.of(named(layout, output));
        CHECK(std::all_of(zeros.begin(), zeros.end(), [](float value) { return value == 0; }));
    }
}

TEST_CASE("parameters: a beginning depends on the seed alone") {
    const TransformerConfig config = TinyTransformer(Family::Chameleon).config;
    const ParameterLayout layout(config);
    ParameterVector a(layout, cpu_kernels()), b(layout, cpu_kernels()), other(layout, cpu_kernels());
    const Initialisation how = plain_initialisation(0.02f, config.layers);
    const int threads = cpu_threads();
    initialise(a, how, 7);
    set_cpu_threads(3);
    initialise(b, how, 7);
    set_cpu_threads(threads);
    initialise(other, how, 8);
    CHECK(copy_of(a.floats()) == copy_of(b.floats()));
    CHECK(copy_of(a.floats()) != copy_of(other.floats()));

    // No two tensors begin alike; gains are ones, biases zeros; outputs are smaller.
    const auto of = [&](const std::string& name) { return copy_of(a.of(named(layout, "transformer." + name))); };
    CHECK(of("layers.0.k") != of("layers.0.v"));
    CHECK(of("layers.0.k") != of("layers.1.k"));
    CHECK(of("layers.0.q_norm.weight") == std::vector<float>(32, 1));
    CHECK(of("layers.0.k_norm.bias") == std::vector<float>(16, 0));
    CHECK(of("layers.1.ffn_norm") == std::vector<float>(24, 1));
    const auto deviation = [&](const std::string& name) {
        double squares = 0;
        for (float value : of(name)) squares += static_cast<double>(value) * value;
        return std::sqrt(squares / static_cast<double>(of(name).size()));
    };
    CHECK(deviation("layers.0.up") == doctest::Approx(0.02).epsilon(0.1));
    CHECK(deviation("layers.0.down") == doctest::Approx(0.01).epsilon(0.1));  // 0.02 / sqrt(2 * 2)
}

TEST_CASE("parameters: a file and back") {
    const TinyModel model(Layout::CM3Leon, reference_kernels());
    const ModelConfig& config = model->config();
    const ParameterLayout layout(config.transformer);
    ParameterVector values(layout, reference_kernels());
    load(values, model->file());
    CHECK(std::memcmp(values.weights().layers[1].q.data, model->weights().layers[1].q.data,
                      values.weights().layers[1].q.bytes()) == 0);

    const TemporaryFolder folder;
    save_model(folder / "same.leon", config, values, DType::F32, model->file());
    CHECK(read_file(folder / "same.leon") == read_file(model.path()));

    // bf16 rounds the matrices and nothing else, and rounds no further when it is written again.
    save_model(folder / "half.leon", config, values, DType::BF16, model->file());
    const WeightsFile half(folder / "half.leon");
    CHECK(half.matrix("transformer.embedding", {config.transformer.vocab, config.transformer.dim}).dtype ==
          DType::BF16);
    CHECK(half.tokenizer_json() == model->file().tokenizer_json());
    ParameterVector rounded(layout, reference_kernels());
    load(rounded, half);
    for (const Parameter& p : layout.parameters())
        for (int64_t i = 0; i < p.size(); i++) {
            const float before = values.of(p)[i];
            REQUIRE(rounded.of(p)[i] == (p.decays ? bf16_to_float(float_to_bf16(before)) : before));
        }
    save_model(folder / "again.leon", config, rounded, DType::BF16, half);
    CHECK(read_file(folder / "again.leon") == read_file(folder / "half.leon"));

    // A file may be replaced by what was loaded from it.
    save_model(folder / "half.leon", config, rounded, DType::F32, half);
    CHECK_NOTHROW(Model(folder / "half.leon", reference_kernels()).weights());
}

TEST_CASE("parameters: files that do not fit are refused") {
    const TinyModel model(Layout::Chameleon, reference_kernels());
    const TemporaryFolder folder;
    TransformerConfig wider = model->config().transformer;
    wider.ffn_dim += 32;
    const ParameterLayout other(wider), own(model->config().transformer);
    ParameterVector values(other, reference_kernels());
    CHECK(contains(error_of([&] { load(values, model->file()); }), "another transformer"));

    ModelConfig pictures = model->config();
    pictures.has_transformer = false;
    write_random_model(folder / "pictures.leon", pictures, DType::F32, 1);
    const WeightsFile without(folder / "pictures.leon");
    ParameterVector fitting(own, reference_kernels());
    CHECK(contains(error_of([&] { load(fitting, without); }), "holds no transformer"));

    ModelConfig alone = model->config();
    alone.has_vqgan = false;
    write_random_model(folder / "alone.leon", alone, DType::F32, 1);
    const WeightsFile rest(folder / "alone.leon");
    const std::string path = folder / "out.leon";
    CHECK(contains(error_of([&] { save_model(path, model->config(), fitting, DType::F32, rest); }), "is missing"));
    ModelConfig larger = model->config();
    larger.vqgan.codes *= 2;
    CHECK(contains(error_of([&] { save_model(path, larger, fitting, DType::F32, model->file()); }), "and not ["));
    CHECK(error_of([&] { read_file(path); }) != "");  // nothing was left behind
}

TEST_CASE("parameters: what a file has in the same shape is taken over, the rest stays") {
    const TinyModel model(Layout::CM3Leon, reference_kernels());
    TransformerConfig config = model->config().transformer;
    const ParameterLayout old_layout(config);
    ParameterVector old_values(old_layout, reference_kernels());
    load(old_values, model->file());
    config.segments = {.begin = 3, .first_code = 4, .codes = 32, .cells = 20};
    config.ffn_dim += 8;
    const ParameterLayout layout(config);
    ParameterVector values(layout, reference_kernels());
    initialise(values, plain_initialisation(0.25f, config.layers), 2);
    const std::vector<float> before = values.download();
    const int taken = load_matching(values, model->file());
    int same = 0;
    for (const Parameter& p : layout.parameters()) {
        const bool is_new = p.spec.name.ends_with("places") || p.spec.name.ends_with("gate") ||
                            p.spec.name.ends_with("up") || p.spec.name.ends_with("down");
        CAPTURE(p.spec.name);
        if (is_new)
            CHECK(std::equal(values.of(p).begin(), values.of(p).end(), before.begin() + p.first));
        else
            CHECK(copy_of(values.of(p)) == copy_of(old_values.of(named(old_layout, p.spec.name))));
        same += !is_new;
    }
    CHECK(taken == same);
}

TEST_CASE("same-cell heads: most of a head's attention goes to the cell of an earlier picture whose code comes next") {
    TransformerConfig config = TinyTransformer(Family::TwoAxes).config;
    config.heads = config.kv_heads = 3;
    config.head_dim = 64;
    const ParameterLayout layout(config);
    ParameterVector values(layout, reference_kernels());
    initialise(values, plain_initialisation(0.02f, config.layers), 1);
    const std::vector<float> before = values.download();
    look_at_same_cells(values, std::vector<HeadNumber>{{1, 2}}, 5);
    const auto norms = [&](const char* name) {
        return values.of(named(layout, std::string("transformer.layers.1.") + name));
    };

    // Queries and keys as the norms make them of anything at all: a given picture behind 9 words, one that is drawn.
    constexpr int CELLS = 256, GIVEN = 9, DRAWN = 300, ROWS = DRAWN + CELLS;
    Memory memory(reference_kernels());
    Random random(7);
    std::vector<int32_t> position, segment;
    for (int r = 0; r < ROWS; r++) {
        position.push_back(r);
        segment.push_back(r < GIVEN ? r : r < DRAWN ? r - GIVEN : r - DRAWN);
    }
    std::vector<std::vector<float>> turned;
    for (const char* side : {"q_norm", "k_norm"}) {
        const Tensor x = memory.put(random_host(random, {ROWS, 3, 64}));
        Host weight(DType::F32, {3, 64}), bias(DType::F32, {3, 64});
        for (int i = 0; i < 3 * 64; i++) {
            weight.set(i, norms((std::string(side) + ".weight").c_str())[static_cast<size_t>(i)]);
            bias.set(i, norms((std::string(side) + ".bias").c_str())[static_cast<size_t>(i)]);
        }
        head_norm(reference_kernels(), x, memory.put(weight), memory.put(bias), 1e-5f);
        rope(reference_kernels(), x,
             {memory.put(int_host(position)), memory.put(int_host(segment)), config.rope_theta});
        turned.push_back(memory.get(x).floats());
    }
    double least = 1, sum = 0;
    for (int j = 1; j < CELLS; j++) {  // at code j - 1 of the drawn picture, whose next one is code j
        const int query = DRAWN + j;
        std::vector<double> scores;
        for (int key = 0; key <= query; key++) {
            double score = 0;
            for (int i = 0; i < 64; i++)
                score += turned[0][(query * 3 + 2) * 64 + i] * turned[1][(key * 3 + 2) * 64 + i];
            scores.push_back(std::exp(score / 8));
        }
        const double share = scores[GIVEN + j + 1] / std::accumulate(scores.begin(), scores.end(), 0.0);
        least = std::min(least, share);
        sum += share;
    }
    CHECK(sum / (CELLS - 1) > 0.75);
    CHECK(least > 0.2);

    // And nothing else has changed.
    const std::vector<float> after = values.download();
    for (const Parameter& p : layout.parameters()) {
        const bool is_changed = p.spec.name.starts_with("transformer.layers.1.") &&
                                (contains(p.spec.name, "k_norm") || contains(p.spec.name, "q_norm") ||
                                 p.spec.name.ends_with(".v") || p.spec.name.ends_with(".o"));
        CAPTURE(p.spec.name);
        CHECK(std::equal(after.begin() + p.first, after.begin() + p.first + p.size(), before.begin() + p.first) ==
              !is_changed);
    }
}
