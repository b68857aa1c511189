// Meta's own layout of Chameleon: one file a model-parallel rank, joined while it is read. The cases hold the weights
// of cases in Hugging Face's layout, so every tensor must come out the same, bit for bit.
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "tests/converted.h"
#include "tests/temporary_folder.h"
#include "weights_converter/meta_checkpoint.h"
#include "weights_converter/vqgan_file.h"

#include "tests/testing.h"

namespace leon {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string error_of_conversion(const std::string& source, const ConvertOptions& options = {}) {
    const TemporaryFolder folder;
    const std::string message = error_of([&] { convert(source, folder / "model.leon", options, nullptr); });
    if (message != "") CHECK(!fs::exists(folder / "model.leon"));
    return message;
}

// A copy of a case that a test may change. The folder of the tokenizer and the VQGAN is not in it.
struct Copy {
    TemporaryFolder folder;

    explicit Copy(const std::string& name) {
        for (const auto& entry : fs::directory_iterator(MODELS + name))
            if (entry.is_regular_file()) fs::copy_file(entry.path(), folder / entry.path().filename().string());
    }
    void change(const std::string& file, const std::function<void(json&)>& how) {
        json object = json::parse(read_text(folder / file));
        how(object);
        write_text(folder / file, object.dump());
    }
    std::string error() const { return error_of_conversion(folder.path()); }
};

TEST_CASE("Meta's layout: every tensor is that of Hugging Face's layout, whole, fused or in four parts") {
    const Converted mha(MODELS + "chameleon_mha"), gqa(MODELS + "chameleon_gqa_swin");
    check_same_tensors(Converted(MODELS + "meta_mha"), mha, "transformer.");
    check_same_tensors(Converted(MODELS + "meta_mha"), mha, "vqgan.encoder.");
    check_same_tensors(Converted(MODELS + "meta_fused"), mha, "transformer.");
    const Converted parts(MODELS + "meta_gqa_swin");
    check_same_tensors(parts, gqa, "transformer.");
    // The ranks' vectors differ, so that a wrong join would show.
    const std::vector<float> norm = parts.values("transformer.layers.1.k_norm.bias");
    CHECK(norm[0] != norm[8]);
}

TEST_CASE("Meta's layout: the configuration is what the files say together") {
    const Converted mha(MODELS + "chameleon_mha"), gqa(MODELS + "chameleon_gqa_swin");
    for (const auto& [meta, same] : {std::pair("meta_mha", &mha), std::pair("meta_gqa_swin", &gqa)}) {
        ModelConfig config = Converted(MODELS + meta).config, expected = same->config;
        expected.name = config.name;
        expected.has_vqgan = config.has_vqgan;
        expected.vqgan = config.vqgan;
        CHECK(print_config(config) == print_config(expected));
    }
    // The later file counts, null is absent, and 4096 is Chameleon's context.
    Copy copy("meta_mha");
    copy.change("params.json", [](json& p) {
        p["model"]["norm_eps"] = 1e-3;
        p["norm_eps"] = 1e-2;
        p["model"]["n_kv_heads"] = nullptr;
        p.erase("max_seq_len");
    });
    CHECK(Converted(copy.folder.path()).config.transformer.norm_eps == 1e-3f);
    CHECK(Converted(copy.folder.path()).config.transformer.context == 4096);
    copy.change("consolidate_params.json", [](json& p) { p["norm_eps"] = 1e-4; });
    CHECK(Converted(copy.folder.path()).config.transformer.norm_eps == 1e-4f);
    fs::remove(copy.folder / "consolidate_params.json");
    CHECK(Converted(copy.folder.path()).config.transformer.norm_eps == 1e-3f);
}

TEST_CASE("Meta's layout: tokenizer and VQGAN are found in it, beside it and above it, and said") {
    const Converted model(MODELS + "meta_mha");
    CHECK((model.file->tokenizer_json() == read_text(MODELS + "meta_mha/tokenizer/text_tokenizer.json")));
    CHECK(model.config.vqgan.encoder);
    CHECK(model.config.vqgan.decoder);
    CHECK(model.config.vqgan.resolution == 32);
    REQUIRE(model.notes.size() == 2);
    CHECK(contains(model.notes[1], "say --layout anole"));
    CHECK(contains(model.notes[0], "tokenizer/vqgan.ckpt"));

    TemporaryFolder release;  // as Meta's: models/7b and tokenizer
    fs::create_directories(release / "models");
    fs::copy(MODELS + "meta_mha/tokenizer", release / "tokenizer");
    fs::copy(MODELS + "meta_mha", release / "models/7b");
    const Converted above(release / "models/7b");
    CHECK(above.config.name == "7b");
    CHECK(above.config.has_vqgan);
    CHECK((above.file->tokenizer_json() == model.file->tokenizer_json()));
    REQUIRE(above.notes.size() == 3);
    CHECK(contains(above.notes[1], "tokenizer/text_tokenizer.json"));
    fs::rename(release / "tokenizer", release / "models/tokenizer");
    check_same_tensors(Converted(release / "models/7b"), model, "vqgan.");
    fs::remove_all(release / "models/tokenizer");
    const Converted alone(release / "models/7b");
    CHECK(!alone.config.has_vqgan);
    CHECK((alone.file->tokenizer_json() == ""));
}

TEST_CASE("Meta's layout: its VQGAN goes with any transformer, and alone") {
    const std::string tokenizer = MODELS + "meta_mha/tokenizer";
    const Converted model(MODELS + "meta_mha"), alone(tokenizer + "/vqgan.ckpt");
    check_same_tensors(alone, model, "vqgan.");
    CHECK(!alone.config.has_transformer);
    CHECK(alone.config.name == "vqgan");
    // Lumina-mGPT's folders have neither tokenizer nor VQGAN.
    const std::string lumina = MODELS + "chameleon_mha_qknorm_b";
    for (const std::string& vqgan : {tokenizer, tokenizer + "/vqgan.ckpt", MODELS + "meta_mha"}) {
        CAPTURE(vqgan);
        const Converted together(lumina, {.vqgan = vqgan, .layout = "lumina"});
        check_same_tensors(together, model, "vqgan.");
        check_same_tensors(together, model, "transformer.");
        CHECK(together.config.layout == Layout::Lumina);
        CHECK((together.file->tokenizer_json() == model.file->tokenizer_json()));
    }
    const Converted named(lumina, {.tokenizer = tokenizer});
    CHECK((named.file->tokenizer_json() == model.file->tokenizer_json()));
    CHECK(contains(error_of_conversion(lumina, {.tokenizer = MODELS + "meta_fused"}), "no tokenizer.json"));
    CHECK(contains(error_of_conversion(lumina, {.tokenizer = "none.json"}), "none.json"));
    CHECK(contains(error_of_conversion(lumina, {.vqgan = "none.ckpt"}), "none.ckpt"));
    CHECK(contains(error_of_conversion(lumina, {.vqgan = MODELS + "meta_fused"}), "no VQGAN"));
    CHECK(contains(error_of_conversion(tokenizer + "/vqgan.ckpt", {.vqgan = tokenizer}), "VQGAN itself"));
}

TEST_CASE("Meta's layout: the resolution of pictures is vqgan.yaml's, or Chameleon's") {
    const TemporaryFolder folder;
    const std::string file = folder / "vqgan.ckpt";
    fs::copy_file(MODELS + "meta_mha/tokenizer/vqgan.ckpt", file);
    CHECK(open_vqgan_file(file).sizes.resolution == 512);
    write_text(folder / "vqgan.yaml", "model:\n  params:\n    ddconfig:\n      resolution: 64\n");
    CHECK(open_vqgan_file(file).sizes.resolution == 64);
    write_text(folder / "vqgan.yaml", "resolution: many\n");
    CHECK(contains(error_of([&] { open_vqgan_file(file); }), "'resolution' is not a number"));
    write_text(folder / "vqgan.yaml", "resolution: 33\n");  // no multiple of what the network halves
    CHECK(contains(error_of_conversion(file), "resolution"));
    CHECK(contains(error_of([] { open_vqgan_file(MODELS + "meta_fused/consolidated.pth"); }), "no VQGAN"));
}

TEST_CASE("Meta's layout: what does not fit together is named") {
    CHECK(contains(error_of_conversion(MODELS + "meta_mha/consolidated.pth"), "takes the folder"));
    {
        Copy copy("meta_gqa_swin");
        fs::remove(copy.folder / "consolidated.02.pth");
        CHECK(contains(copy.error(), "holds 2 of the 4 files"));
        copy.change("consolidate_params.json", [](json& p) { p.erase("model_parallel_size"); });
        CHECK(contains(copy.error(), "is [432, 32], but the configuration implies [432, 64]"));
    }
    {
        Copy copy("meta_gqa_swin");
        fs::copy_file(MODELS + "meta_mha/consolidated.pth", copy.folder / "consolidated.03.pth",
                      fs::copy_options::overwrite_existing);
        CHECK(contains(copy.error(), "but the first rank's is"));
        CHECK(contains(copy.error(), "consolidated.03.pth"));
    }
    {
        Copy copy("meta_fused");
        copy.change("params.json", [](json& p) { p["model"]["n_kv_heads"] = 1; });
        CHECK(contains(copy.error(), "'layers.0.attention.wqkv.weight' is [96, 32], but 64 rows are expected"));
    }
    const struct {
        const char* key;
        json value;
        const char* says;
    } cases[] = {
        {"dim", nullptr, "lacks 'dim'"},
        {"dim", 33, "not a multiple of 'n_heads'"},
        {"n_heads", 0, "n_heads"},
        {"n_layers", 3, "'layers.2.attention_norm.weight' is missing"},
        {"n_layers", 1, "has no place"},
        {"vocab_size", 433, "'tok_embeddings.weight' is [432, 32], but the configuration implies [433, 32]"},
        {"norm_eps", "small", "'norm_eps' must be a number"},
        {"qk_normalization", false, "'qk_normalization' is 'false'"},
        {"swin_norm", 1, "'swin_norm' must be true or false"},
        {"n_kv_heads", -1, "'n_kv_heads' must be a whole number"},
    };
    for (const auto& c : cases) {
        Copy copy("meta_mha");
        copy.change("params.json", [&](json& p) { p["model"][c.key] = c.value; });
        CAPTURE(c.key);
        CAPTURE(copy.error());
        CHECK(contains(copy.error(), c.says));
    }
    Copy copy("meta_mha");
    copy.change("params.json", [](json& p) { p["model"] = 1; });
    CHECK(contains(copy.error(), "'model' must be an object"));
    fs::remove(copy.folder / "params.json");
    CHECK(contains(copy.error(), "params.json"));
}

}  // namespace
}  // namespace leon
