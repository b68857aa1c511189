// Random models of published shapes, and the report of what a file holds.
#include <cmath>
#include <string>

#include "runtime/schema.h"
#include "runtime/transformer.h"
#include "tasks/model.h"
#include "tests/shrunk_vqgan.h"
#include "tests/temporary_folder.h"
#include "tokenizer/vqgan.h"
#include "weights_converter/inspect.h"
#include "weights_converter/random_model.h"

#include "tests/testing.h"

using namespace leon;

namespace {

double parameters(const ModelConfig& config) {
    double sum = 0;
    for (const TensorSpec& t : tensors_of(config)) sum += static_cast<double>(t.elements());
    return sum;
}

// A preset made small in every direction.
ModelConfig shrunk(const std::string& name) {
    ModelConfig c = preset(name, WithVqgan::Yes);
    TransformerConfig& t = c.transformer;
    t.layers = 3;
    t.dim = 64;
    t.heads = 4;
    t.kv_heads = name == "34b" ? 2 : 4;
    t.head_dim = 16;
    t.ffn_dim = 96;
    t.vocab = 300;
    t.context = 64;
    shrink(c.vqgan);
    return c;
}

}  // namespace

TEST_CASE("random models: the presets have the sizes that their papers give") {
    struct {
        const char* name;
        double millions, tolerance;
    } const published[] = {
        // 12 layers dim^2 + embedding + positions; the papers round to these names
        {"350m", 374, 1},
        {"760m", 787, 1},
        {"cm3leon-7b", 6730, 5},
        {"7b", 7013, 30},    // 32 layers of (4 * 4096^2 + 3 * 4096 * 11008) and two tables of 65,536
        {"34b", 34300, 200}  // 48 layers, grouped queries; the checkpoint calls itself 30b
    };
    for (const auto& p : published) {
        CAPTURE(p.name);
        const ModelConfig config = preset(p.name, WithVqgan::No);
        CHECK(std::fabs(parameters(config) / 1e6 - p.millions) <= p.tolerance);
        const ModelConfig read = parse_config(print_config(preset(p.name, WithVqgan::Yes)), p.name);
        CHECK(read.has_vqgan);
        CHECK(read.vqgan.patch() == 16);
    }
    CHECK(preset_names().size() == std::size(published));
    CHECK_THROWS_WITH_AS(preset("8b", WithVqgan::No),
                         "8b: there is no model shape of this name; known shapes: 350m, 760m, cm3leon-7b, 7b, 34b",
                         Error);
}

TEST_CASE("random models: every shape runs, and its numbers stay ordinary") {
    const TemporaryFolder folder;
    for (const std::string& name : preset_names()) {
        CAPTURE(name);
        const std::string path = folder / (name + ".leon");
        write_random_model(path, shrunk(name), DType::BF16, 5);
        const Model model(path, cpu_kernels());
        Transformer network(model.config().transformer, model.weights(), model.kernels(), 16, 1);
        KvCache cache(model.config().transformer, model.kernels(), 1, 64, 2, DType::F32);
        const int stream = cache.add_stream();
        Batch batch;
        for (int i = 0; i < 16; i++) batch.add(i * 7, stream, i, i == 15 ? WantLogits::Yes : WantLogits::No);
        const float* logits = network.forward(cache, batch);
        double squares = 0;
        for (int i = 0; i < 300; i++) squares += double(logits[i]) * logits[i] / 300;
        CHECK(squares > 1e-4);
        CHECK(squares < 1e4);
        const auto pixels =
            model.decoder().decode(model.encoder().encode(std::vector<float>(16 * 16 * 3, 0.5f), 16, 16), 8, 8);
        for (float p : pixels) CHECK(std::isfinite(p));
    }
}

TEST_CASE("random models: same seed same bytes, another seed other bytes") {
    const TemporaryFolder folder;
    write_random_model(folder / "a", shrunk("7b"), DType::BF16, 5);
    write_random_model(folder / "b", shrunk("7b"), DType::BF16, 5);
    write_random_model(folder / "c", shrunk("7b"), DType::BF16, 6);
    CHECK(read_text(folder / "a") == read_text(folder / "b"));
    CHECK(read_text(folder / "a") != read_text(folder / "c"));
}

TEST_CASE("inspect: parts add up to the file, every tensor has its line") {
    const TemporaryFolder folder;
    const ModelConfig config = shrunk("34b");
    write_random_model(folder / "m", config, DType::BF16, 1);
    const WeightsFile file(folder / "m");
    const std::string text = inspect(file, Detail::Tensors);
    CAPTURE(text);
    for (const TensorSpec& t : tensors_of(config)) CHECK(contains(text, "\n" + t.name + " "));
    CHECK(contains(text, "3 layers, dim 64, 4 heads of 16, 2 key-value heads, ffn 96, vocabulary 300"));
    CHECK(contains(text, "norm rms (eps 1e-05) after the branch, rotary positions"));
    CHECK(contains(text, "64 codes of 16, 2 x 2 pixels each; pictures of 16 x 16 are 64 tokens"));
    CHECK(contains(text, "tokenizer    none"));
    CHECK(!contains(text, "unknown to this leon"));
    CHECK(!contains(inspect(file, Detail::Summary), "layers.0.q "));
}
