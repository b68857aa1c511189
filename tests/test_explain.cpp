// What `leon inspect` says of others' checkpoints. The strongest claim is the command that it prints: each is carried
// out here.
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/converted.h"
#include "tests/shrunk_vqgan.h"
#include "tests/twin.h"
#include "weights_converter/inspect.h"
#include "weights_converter/random_model.h"

#include "tests/testing.h"

namespace leon {
namespace {

namespace fs = std::filesystem;

std::string explained(const std::string& path) {
    return inspect_any(path, Detail::Summary);
}

// The line behind a label; "" if there is none.
std::string labelled(const std::string& text, const std::string& label) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with(label))
            return line.substr(line.find_first_not_of(' ', std::min<size_t>(label.size(), 12)));
    return "";
}

// Does what a printed command says, but for where its output goes; words are divided as a shell does.
Converted carried_out(const std::string& command) {
    std::vector<std::string> words(1);
    bool quoted = false;
    for (const char c : command) {
        if (c == '\'') {
            quoted = !quoted;
        } else if (c == ' ' && !quoted) {
            words.emplace_back();
        } else {
            words.back() += c;
        }
    }
    REQUIRE(words.size() >= 5);
    REQUIRE(words[0] == "leon");
    REQUIRE(words[1] == "convert");
    ConvertOptions options;
    for (size_t i = 3; i + 1 < words.size(); i += 2) {
        if (words[i] == "--vqgan") options.vqgan = words[i + 1];
        if (words[i] == "--layout") options.layout = words[i + 1];
    }
    REQUIRE(words[words.size() - 2] == "-o");
    CHECK(words.back().ends_with(".leon"));
    return Converted(words[2], options);
}

TEST_CASE("explain: every checkpoint is told apart, and the command that is printed converts it") {
    const struct {
        const char *path, *what, *layout;
        Layout converted;
    } cases[] = {
        {"chameleon_mha", "Chameleon family in Hugging Face's layout", "layout C: qk-norm [2, 16]", Layout::Chameleon},
        {"chameleon_gqa_swin/model-00002-of-00003.safetensors", "Chameleon family", "layout C: qk-norm [8, 8]",
         Layout::Chameleon},
        {"meta_mha", "Chameleon family in Meta's layout", "consolidated.pth, whole", Layout::Chameleon},
        {"meta_mha/consolidated.pth", "Chameleon family in Meta's layout", "the whole transformer", Layout::Chameleon},
        {"cm3leon_bf16", "CM3Leon family in Hugging Face's layout", "tied output", Layout::CM3Leon},
    };
    for (const auto& c : cases) {
        const std::string text = explained(MODELS + c.path);
        CAPTURE(text);
        CHECK(contains(labelled(text, "what"), c.what));
        CHECK(contains(text, c.layout));
        CHECK(labelled(text, "missing") == "");
        const Converted model = carried_out(labelled(text, "convert with"));
        CHECK(model.config.has_transformer);
        CHECK(model.config.layout == c.converted);
    }
    const std::string vqgan = explained(MODELS + "meta_mha/tokenizer/vqgan.ckpt");
    CAPTURE(vqgan);
    CHECK(contains(labelled(vqgan, "what"), "a VQGAN"));
    CHECK(carried_out(labelled(vqgan, "convert with")).config.vqgan.decoder);
    CHECK(carried_out(labelled(explained(MODELS + "vqgan_f16"), "convert with")).config.vqgan.encoder);
    const std::string upscaler = explained("tests/vectors/upscaler/rrdb_x2.pth");
    CHECK(carried_out(labelled(upscaler, "convert with")).config.has_upscaler);
}

TEST_CASE("explain: layouts A and B, which have no VQGAN, take Meta's if it is near, and B is Lumina-mGPT's") {
    const std::string a = explained(MODELS + "chameleon_mha_qknorm_a"),
                      b = explained(MODELS + "chameleon_mha_qknorm_b");
    CHECK(contains(a, "layout A: qk-norm [16]"));
    CHECK(contains(b, "layout B: qk-norm [1, 16]"));
    CHECK(contains(labelled(a, "draws"), "no: Chameleon's weights were released without"));
    CHECK(labelled(b, "draws") == "");
    CHECK(contains(labelled(b, "convert with"), "--vqgan TOKENIZER --layout lumina"));
    CHECK(contains(b, "TOKENIZER is tokenizer/ of Meta's release"));
    const TemporaryFolder near;
    fs::copy(MODELS + "meta_mha/tokenizer", near / "tokenizer");
    fs::create_directories(near / "it's here");
    fs::copy(MODELS + "chameleon_mha_qknorm_b", near / "it's here/lumina");
    fs::create_directories(near / "plain");
    fs::copy(MODELS + "chameleon_mha_qknorm_b", near / "plain/lumina");
    CHECK(contains(labelled(explained(near / "it's here/lumina"), "convert with"), "it'\\''s here/lumina'"));
    const Converted lumina = carried_out(labelled(explained(near / "plain/lumina"), "convert with"));
    CHECK(lumina.config.layout == Layout::Lumina);
    CHECK(lumina.config.vqgan.decoder);
    CHECK(!lumina.file->tokenizer_json().empty());
}

TEST_CASE("explain: a decoder among Hugging Face's tensors is Anole's") {
    const TemporaryFolder folder;
    ModelConfig config = preset("7b", WithVqgan::Yes);
    config.transformer.layers = 1;
    config.transformer.dim = 64;
    config.transformer.heads = config.transformer.kv_heads = 4;
    config.transformer.head_dim = 16;
    config.transformer.ffn_dim = 96;
    config.transformer.vocab = 300;
    shrink(config.vqgan);
    write_twin(folder.path(), config, {});
    const std::string text = explained(folder.path());
    CAPTURE(text);
    CHECK(labelled(text, "draws") == "");
    CHECK(carried_out(labelled(text, "convert with")).config.layout == Layout::Anole);
}

TEST_CASE("explain: a rank of Meta's says which of how many it is, and which are missing") {
    CHECK(labelled(explained(MODELS + "meta_gqa_swin/consolidated.02.pth"), "this file").starts_with("rank 2 of 4"));
    const TemporaryFolder folder;
    for (const char* name : {"consolidated.01.pth", "consolidated.03.pth", "consolidate_params.json"})
        fs::copy_file(MODELS + "meta_gqa_swin/" + name, folder / name);
    for (const std::string& path : {folder.path(), folder / "consolidated.03.pth"}) {
        const std::string text = explained(path);
        CAPTURE(text);
        CHECK(contains(text, "4 model-parallel ranks"));
        CHECK(labelled(text, "missing") == "consolidated.00.pth, consolidated.02.pth, params.json");
        CHECK(contains(labelled(text, "convert with"), "once all files are there"));
    }
    fs::rename(folder / "consolidated.03.pth", folder / "renamed.pth");
    CHECK(labelled(explained(folder / "renamed.pth"), "this file").starts_with("one of 4"));
}

TEST_CASE("explain: a folder of shards says which are missing, and one that does not fit says why") {
    const TemporaryFolder folder;
    for (const auto& entry : fs::directory_iterator(MODELS + "chameleon_gqa_swin"))
        fs::copy_file(entry.path(), folder / entry.path().filename().string());
    const std::string shard = folder / "model-00001-of-00003.safetensors";
    CHECK(labelled(explained(shard), "this file") == "shard 1 of 3");
    CHECK(labelled(explained(folder / "config.json"), "this file") == "describes a checkpoint");
    fs::remove(folder / "model-00003-of-00003.safetensors");
    CHECK(labelled(explained(shard), "missing") == "'model-00003-of-00003.safetensors'");
    fs::remove(folder / "config.json");
    CHECK(contains(labelled(explained(folder.path()), "missing"), "config.json"));
    fs::remove(folder / "model.safetensors.index.json");
    CHECK(contains(labelled(explained(shard), "missing"), "model.safetensors.index.json"));
    CHECK(contains(labelled(explained(folder.path()), "what"), "2 of a checkpoint's files"));
    CHECK(labelled(explained(folder.path()), "missing") == "config.json, model.safetensors.index.json");

    const TemporaryFolder other;
    fs::copy(MODELS + "chameleon_mha", other / "model");
    write_text(other / "model/config.json", "{\"model_type\": \"chameleon\"}");
    CHECK(contains(labelled(explained(other / "model"), "problem"), "config.json: lacks"));
    CHECK(contains(error_of([&] { explained(other.path()); }), "holds nothing of a checkpoint"));
}

TEST_CASE("explain: tokenizers, and Meta's folder of what its models share") {
    const std::string text = explained(MODELS + "meta_mha/tokenizer/text_tokenizer.json");
    CHECK(labelled(text, "what") == "a tokenizer: 'BPE', 432 tokens, 21 merges");
    CHECK(labelled(text, "pictures") == "128 picture codes, sizes as Lumina-mGPT writes them, turns");
    CHECK(contains(explained(MODELS + "meta_mha/tokenizer"), "Meta's tokenizer folder"));
    const TemporaryFolder release;  // as Meta's
    fs::create_directories(release / "models");
    fs::copy(MODELS + "meta_mha/tokenizer", release / "tokenizer");
    fs::copy(MODELS + "meta_fused", release / "models/7b");
    CHECK(labelled(explained(release.path()), "beside it") == "leon inspect " + (release / "models/7b"));
    const TemporaryFolder folder;
    write_text(folder / "a.json", " {\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}}");
    CHECK(contains(explained(folder / "a.json"), "no picture codes"));
    write_text(folder / "b.json", "{\"model\": {\"vocab\": {\"IMGIMGAZ\": 0, \"<s>\": 1}}}");
    CHECK(contains(explained(folder / "b.json"), "missing      </s>"));
    write_text(folder / "c.json", "{\"model\": 1}");
    CHECK(contains(error_of([&] { explained(folder / "c.json"); }), "neither a tokenizer nor a description"));
    write_text(folder / "d.json", "{\"model\": ");
    CHECK(contains(error_of([&] { explained(folder / "d.json"); }), "d.json"));
}

}  // namespace
}  // namespace leon
