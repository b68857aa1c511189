// The model between two models.
#include <filesystem>
#include <string>
#include <vector>

#include "tasks/workbench.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_model.h"
#include "weights_converter/average.h"
#include "weights_converter/convert.h"

#include "tests/testing.h"

using namespace leon;

TEST_CASE("average: of nothing and of all of the other model, its own bytes; halfway, halfway") {
    const TinyModel tiny(Layout::CM3Leon);
    const TemporaryFolder folder;
    const std::string a = tiny.path(), b = folder / "b.leon", c = folder / "c.leon";
    write_random_model(b, tiny->config(), DType::F32, 8, tiny->file().tokenizer_json());
    average(a, b, 1, c);
    CHECK(read_text(c) == read_text(b));
    average(b, a, 0, c);
    CHECK(read_text(c) == read_text(b));
    average(a, b, 0.25, c);
    const Model of_b(b, cpu_kernels()), of_c(c, cpu_kernels());
    const Tensor x = tiny->weights().layers[1].q, y = of_b.weights().layers[1].q, z = of_c.weights().layers[1].q;
    for (int64_t i = 0; i < x.elements(); i++)
        REQUIRE(z.f32()[i] == doctest::Approx(0.75 * x.f32()[i] + 0.25 * y.f32()[i]));
    convert(a, folder / "a16.leon", {.dtype = "bf16"}, nullptr);
    average(folder / "a16.leon", folder / "a16.leon", 0.3, c);
    CHECK(read_text(c) == read_text(folder / "a16.leon"));
}

TEST_CASE("average: models that are not of one shape, or are narrow, are refused, and nothing is written") {
    const TinyModel tiny(Layout::CM3Leon);
    const TemporaryFolder folder;
    ModelConfig config = tiny->config();
    config.transformer.ffn_dim += 32;
    write_random_model(folder / "wider.leon", config, DType::F32, 7, tiny->file().tokenizer_json());
    config = tiny->config();
    config.transformer.layers++;
    write_random_model(folder / "deeper.leon", config, DType::F32, 7, tiny->file().tokenizer_json());
    convert(tiny.path(), folder / "narrow.leon", {.dtype = "int8"}, nullptr);
    const auto error = [&](const std::string& a, const std::string& b) {
        const std::string said = error_of([&] { average(a, b, 0.5, folder / "c.leon"); });
        CHECK(!std::filesystem::exists(folder / "c.leon"));
        return said;
    };
    CHECK(contains(error(tiny.path(), folder / "wider.leon"), "not the same"));
    CHECK(contains(error(tiny.path(), folder / "deeper.leon"), "number of tensors"));
    CHECK(contains(error(folder / "narrow.leon", folder / "narrow.leon"), "averaged"));
}
