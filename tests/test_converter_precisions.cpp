// weights_converter: what int4, fp8 and mixed files hold, what the runtime demands of a file's types, and files of one
// precision made from another.
#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/config.h"
#include "runtime/schema.h"
#include "runtime/weights.h"
#include "runtime/weights_file.h"
#include "tasks/model.h"
#include "tasks/workbench.h"
#include "tests/converted.h"
#include "tests/cuda_on_cpu/emulated_kernels.h"
#include "tests/temporary_folder.h"
#include "weights_converter/convert.h"
#include "weights_converter/inspect.h"

#include "tests/testing.h"

namespace leon {
namespace {

TEST_CASE("converter: fp8 keeps a sixteenth of every value, int4 half a step of its group; others stay int8") {
    const Converted exact(MODELS + "cm3leon_bf16", {.dtype = "f32"}), fp8(MODELS + "cm3leon_bf16", {.dtype = "fp8"}),
        int4(MODELS + "cm3leon_bf16", {.dtype = "int4"});
    int eight_bits = 0, four_bits = 0;
    for (const TensorSpec& spec : tensors_of(exact.config)) {
        CAPTURE(spec.name);
        const std::vector<float> values = exact.values(spec.name);
        if (spec.precision == Precision::Exact) {
            CHECK(fp8.values(spec.name) == values);
            CHECK(int4.values(spec.name) == values);
            continue;
        }
        const int64_t rows = spec.shape[0], cols = spec.shape[1];
        REQUIRE(fp8.dtype(spec.name) == "F8_E4M3");
        const std::string bytes = fp8.bytes_of(spec.name);
        const std::vector<float> scales = fp8.values(spec.name + SCALES_SUFFIX);
        bool near = true;
        for (int64_t i = 0; i < rows * cols; i++) {
            const float value = values[static_cast<size_t>(i)], scale = scales[static_cast<size_t>(i / cols)];
            const float got = e4m3_to_float(static_cast<uint8_t>(bytes[static_cast<size_t>(i)])) * scale;
            near &= std::fabs(got - value) <= std::max(std::fabs(value) / 15.9f, scale * 0x1p-10f);
        }
        CHECK(near);

        if (cols % GROUP != 0 || !spec.name.starts_with("transformer.layers.")) {
            eight_bits++;
            CHECK(int4.dtype(spec.name) == "I8");
            continue;
        }
        four_bits++;
        REQUIRE(int4.dtype(spec.name) == "U8");
        const std::string pairs = int4.bytes_of(spec.name), groups = int4.bytes_of(spec.name + GROUPS_SUFFIX);
        const std::vector<float> row_scales = int4.values(spec.name + SCALES_SUFFIX);
        const auto* data = reinterpret_cast<const uint8_t*>(pairs.data());
        const auto* factors = reinterpret_cast<const uint8_t*>(groups.data());
        double error = 0, error_of_largest = 0;
        for (int64_t first = 0; first < rows * cols; first += GROUP) {
            float largest = 0;
            for (int64_t i = first; i < first + GROUP; i++)
                largest = std::max(largest, std::fabs(values[static_cast<size_t>(i)]));
            for (int64_t i = first; i < first + GROUP; i++) {
                const float value = values[static_cast<size_t>(i)];
                const float got = i4_element(data, factors, i) * row_scales[static_cast<size_t>(i / cols)];
                const float plain = std::round(value / (largest / 7)) * (largest / 7);
                error += (got - value) * (got - value), error_of_largest += (plain - value) * (plain - value);
            }
        }
        CHECK(error > 0);
        CHECK(error < 0.85 * error_of_largest);  // what the search is for
    }
    CHECK(eight_bits >= 2);
    CHECK(four_bits >= 6);
}

TEST_CASE("converter: a mixed file holds what rounding costs most one step wider, and the rest as before") {
    struct {
        const char *mixed, *narrow, *wide;
    } const cases[] = {{"int8-mixed", "int8", "bf16"}, {"int4-mixed", "int4", "int8"}};
    for (const auto& c : cases) {
        CAPTURE(std::string(c.mixed));
        const Converted model(MODELS + "cm3leon_bf16", {.dtype = c.mixed}),
            narrow_model(MODELS + "cm3leon_bf16", {.dtype = c.narrow}),
            wide_model(MODELS + "cm3leon_bf16", {.dtype = c.wide});
        REQUIRE(model.config.transformer.layers == 2);
        for (const TensorSpec& spec : tensors_of(model.config)) {
            CAPTURE(spec.name);
            const std::string& name = spec.name;
            const bool is_wider = name == "transformer.embedding" || name == "transformer.output" ||
                                  name.ends_with(".down") || name == "transformer.layers.1.up" ||
                                  name == "transformer.layers.1.gate";
            const Converted& like = is_wider ? wide_model : narrow_model;
            CHECK(model.dtype(name) == like.dtype(name));
            CHECK((model.bytes_of(name) == like.bytes_of(name)));
            for (const char* beside : {SCALES_SUFFIX, GROUPS_SUFFIX}) {
                REQUIRE((model.file->file().find(name + beside) != nullptr) ==
                        (like.file->file().find(name + beside) != nullptr));
                if (like.file->file().find(name + beside))
                    CHECK((model.bytes_of(name + beside) == like.bytes_of(name + beside)));
            }
        }
        CHECK(model.bytes().size() > narrow_model.bytes().size());
        CHECK(model.bytes().size() < wide_model.bytes().size());

        // Layers of two types are one network on every backend.
        const std::vector<int32_t> tokens = {5, 6, 7, 8, 9, 10, 11, 5, 6, 7, 8, 9};
        const auto logits_on = [&](const Kernels& kernels) {
            return logits(Model(model.file->path(), kernels), tokens, "tokens");
        };
        const std::vector<float> want = logits_on(reference_kernels());
        for (const Kernels* kernels : {&cpu_kernels(), &emulated_cuda_kernels()}) {
            const std::vector<float> got = logits_on(*kernels);
            REQUIRE(got.size() == want.size());
            float most = 0;
            for (size_t i = 0; i < got.size(); i++) most = std::max(most, std::fabs(got[i] - want[i]));
            CHECK(most < 1e-3f);
        }
    }
    CHECK(contains(error_of([] { Converted(MODELS + "cm3leon_a", {.dtype = "bf16-mixed"}); }), "int4-mixed"));
}

TEST_CASE("converter: inspect says in what types a part is") {
    const auto types_of_layers = [](const char* dtype) {
        const Converted model(MODELS + "cm3leon_bf16", {.dtype = dtype});
        const std::string text = inspect(*model.file, Detail::Summary), part = "\ntransformer layers";
        const size_t begin = text.find(part) + 1;
        const std::string line = text.substr(begin, text.find('\n', begin) - begin);
        return line.substr(line.rfind("  ") + 2);
    };
    CHECK(types_of_layers("bf16") == "bf16");
    CHECK(types_of_layers("int8") == "int8");
    CHECK(types_of_layers("fp8") == "fp8");
    CHECK(types_of_layers("int4") == "int4");
    CHECK(types_of_layers("int8-mixed") == "bf16, int8");
    CHECK(types_of_layers("int4-mixed") == "int4, int8");
}

TEST_CASE("weights: matrices that are multiplied in one operation must have one type") {
    const Converted model(MODELS + "cm3leon_bf16");
    TemporaryFolder folder;
    for (const char* odd : {"transformer.layers.1.k", "transformer.layers.0.v", "transformer.layers.1.down"}) {
        const std::string path = folder / "mixed.leon";
        WeightsWriter writer(path, print_config(model.config), "");
        const std::vector<TensorSpec> specs = tensors_of(model.config);
        const auto type_of = [&](const TensorSpec& spec) {
            return spec.precision == Precision::Exact ? DType::F32 : spec.name == odd ? DType::F16 : DType::BF16;
        };
        for (const TensorSpec& spec : specs) writer.declare(spec.name, type_of(spec), spec.shape);
        writer.begin();
        for (const TensorSpec& spec : specs)
            writer.write(spec.name, std::vector<uint8_t>(static_cast<size_t>(spec.elements()) * 4).data());
        writer.commit();
        const WeightsFile file(path);
        const auto bind = [&] { bind_weights(file, model.config.transformer, reference_kernels()); };
        if (std::string(odd).ends_with("down"))
            bind();  // multiplied alone
        else
            CHECK(contains(error_of(bind), "'" + std::string(odd) + "' is F16, but 'transformer.layers."));
    }
}

TEST_CASE("converter: a leon file goes into another precision as its checkpoint does") {
    for (const char* name : {"chameleon_mha", "cm3leon_a", "vqgan_f16"}) {
        const Converted stored(MODELS + name);
        for (const char* dtype : {"", "f32", "bf16", "f16", "int8", "fp8", "int4"}) {
            CAPTURE(dtype);
            const Converted direct(MODELS + name, {.dtype = dtype}), again(stored.file->path(), {.dtype = dtype});
            CHECK((direct.bytes() == again.bytes()));
        }
    }
    const Converted narrow(MODELS + "cm3leon_a", {.dtype = "int8"});
    CHECK(contains(error_of([&] { Converted(narrow.file->path(), {.dtype = "bf16"}); }), "narrow already"));
}

TEST_CASE("converter: a model has as many parameters in every precision, says inspect") {
    const auto parameters = [](const char* dtype) {
        const Converted model(MODELS + "cm3leon_bf16", {.dtype = dtype});
        const std::string text = inspect(*model.file, Detail::Summary);
        std::istringstream line(text.substr(text.find("\nall ") + 5));
        std::string tensors, count;
        line >> tensors >> count;
        return count;
    };
    REQUIRE(!parameters("bf16").empty());
    for (const char* dtype : {"f32", "int8", "fp8", "int4", "int8-mixed", "int4-mixed"})
        CHECK(parameters(dtype) == parameters("bf16"));
}

}  // namespace
}  // namespace leon
