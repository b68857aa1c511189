// The converter against real checkpoints of every layout, against itself (layouts of the same weights agree, the same
// folder gives the same bytes), and against checkpoints that it must refuse.
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "runtime/config.h"
#include "runtime/schema.h"
#include "runtime/weights_file.h"
#include "tests/converted.h"
#include "tests/temporary_folder.h"
#include "weights_converter/checkpoint.h"
#include "weights_converter/convert.h"

#include "tests/testing.h"

namespace leon {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::vector<float> source_values(const Checkpoint& checkpoint, const std::string& name) {
    const SourceTensor& tensor = checkpoint.tensors().at(name);
    std::vector<float> out(static_cast<size_t>(tensor.rows() * tensor.row_elements()));
    checkpoint.read_rows(tensor, 0, tensor.rows(), out.data());
    return out;
}

// A copy of a case whose configuration and tensors a test may change before converting it.
struct Changed {
    TemporaryFolder folder;
    json config;
    std::map<std::string, MadeTensor> tensors;

    explicit Changed(const std::string& source) {
        config = json::parse(read_text(MODELS + source + "/config.json"));
        for (const auto& entry : fs::directory_iterator(MODELS + source)) {
            if (entry.path().extension() != ".safetensors") continue;
            const SafetensorsFile file(entry.path().string());
            for (const auto& [name, stored] : file.tensors())
                tensors[name] = {stored.dtype, stored.shape,
                                 std::string(reinterpret_cast<const char*>(file.data(stored)), stored.bytes)};
        }
    }
    std::string write() {
        write_text(folder / "config.json", config.dump());
        write_text(folder / "model.safetensors", safetensors(tensors));
        return folder.path();
    }
    std::string error() {
        const std::string source = write(), target = folder / "model.leon";
        fs::remove(target);
        const std::string message = error_of([&] { convert(source, target, {}, nullptr); });
        if (message != "") CHECK(!fs::exists(target));
        return message;
    }
};

TEST_CASE("converter: every case holds exactly the tensors of its configuration, in order") {
    for (const char* name :
         {"chameleon_mha", "chameleon_mha_qknorm_a", "chameleon_mha_qknorm_b", "chameleon_gqa_swin",
          "chameleon_gqa_swin_qknorm_b", "chameleon_bf16", "cm3leon_a", "cm3leon_bf16", "vqgan_f16"}) {
        CAPTURE(name);
        const Converted model(MODELS + name);
        size_t end = model.file->file().data_offset(), found = 0;
        for (const TensorSpec& spec : tensors_of(model.config)) {
            CAPTURE(spec.name);
            const StoredTensor* stored = model.file->file().find(spec.name);
            REQUIRE(stored != nullptr);
            CHECK(stored->shape == spec.shape);
            CHECK(stored->offset == (end + 63) / 64 * 64);
            if (spec.precision == Precision::Exact) CHECK(stored->dtype == "F32");
            end = stored->offset + stored->bytes;
            found++;
        }
        size_t padding = 0;
        for (const auto& [tensor, stored] : model.file->file().tensors())
            padding += tensor.rfind("leon.padding.", 0) == 0;
        CHECK(model.file->file().tensors().size() == found + padding);
        const std::string tokenizer = MODELS + name + "/tokenizer.json";
        CHECK(model.file->tokenizer_json() == (fs::exists(tokenizer) ? read_text(tokenizer) : ""));
        CHECK(model.config.name == name);
    }
}

TEST_CASE("converter: the configuration says what the checkpoint's does") {
    const ModelConfig swin = Converted(MODELS + "chameleon_gqa_swin").config;
    CHECK(swin.layout == Layout::Chameleon);
    CHECK(swin.transformer.norm_placement == NormPlacement::After);
    CHECK(swin.transformer.kv_heads == 4);
    CHECK(swin.transformer.head_dim == 8);
    CHECK(swin.transformer.ffn_dim == 176);
    CHECK(swin.transformer.rope_theta == 10000.0f);
    CHECK(swin.vqgan.encoder);
    CHECK(!swin.vqgan.decoder);
    const ModelConfig opt = Converted(MODELS + "cm3leon_a").config;
    CHECK(opt.layout == Layout::CM3Leon);
    CHECK(opt.transformer.norm == Norm::LayerNorm);
    CHECK(opt.transformer.positions == Positions::Learned);
    CHECK(opt.transformer.position_offset == 2);
    CHECK(opt.transformer.feed_forward == FeedForward::ReLU);
    CHECK(opt.transformer.tied_output);
    CHECK(!opt.transformer.qk_norm);
    const ModelConfig vqgan = Converted(MODELS + "vqgan_f16").config;
    CHECK(!vqgan.has_transformer);
    CHECK(vqgan.vqgan.multipliers == std::vector<int>{2, 1, 1, 1, 1});
    CHECK(vqgan.vqgan.patch() == 16);
    CHECK(vqgan.vqgan.decoder);
}

TEST_CASE("converter: qk-norm layouts A, B and C of the same weights give the same tensors") {
    const Converted mha(MODELS + "chameleon_mha"), gqa(MODELS + "chameleon_gqa_swin");
    check_same_tensors(Converted(MODELS + "chameleon_mha_qknorm_a"), mha, "transformer.");
    check_same_tensors(Converted(MODELS + "chameleon_mha_qknorm_b"), mha, "transformer.");
    check_same_tensors(Converted(MODELS + "chameleon_gqa_swin_qknorm_b"), gqa, "transformer.");
    // The rows of different shards differ, so that a wrong expansion would show.
    const std::vector<float> norm = gqa.values("transformer.layers.0.q_norm.weight");
    CHECK(norm[0] == norm[8]);
    CHECK(norm[0] != norm[16]);
}

TEST_CASE("converter: convolutions are stored channels last, everything else as it was") {
    const Converted model(MODELS + "vqgan_f16");
    const auto checkpoint = open_huggingface(MODELS + "vqgan_f16");
    for (const TensorSpec& spec : tensors_of(model.config)) {
        const std::string name =
            spec.name == "vqgan.codebook" ? "quantize.embedding.weight" : spec.name.substr(std::strlen("vqgan."));
        CAPTURE(name);
        const std::vector<float> got = model.values(spec.name), want = source_values(*checkpoint, name);
        const auto& s = spec.shape;
        bool same = got.size() == want.size();
        if (s.size() != 4) {
            same = same && got == want;
        } else {
            for (int64_t o = 0; o < s[0]; o++)
                for (int64_t y = 0; y < s[1]; y++)
                    for (int64_t x = 0; x < s[2]; x++)
                        for (int64_t i = 0; i < s[3]; i++)
                            same = same && got[((o * s[1] + y) * s[2] + x) * s[3] + i] ==
                                               want[((o * s[3] + i) * s[1] + y) * s[2] + x];
        }
        CHECK(same);
    }
}

TEST_CASE("converter: the dtype is a choice for matrices only, widening is exact, and nothing is rounded twice") {
    const Converted stored(MODELS + "chameleon_bf16"), wide(MODELS + "chameleon_bf16", {.dtype = "f32"});
    const Converted f32(MODELS + "cm3leon_a"), narrow(MODELS + "cm3leon_a", {.dtype = "bf16"});
    const Converted picture(MODELS + "vqgan_f16", {.dtype = "bf16"});
    for (const TensorSpec& spec : tensors_of(stored.config)) {
        CAPTURE(spec.name);
        const bool matrix = spec.precision == Precision::Matrix;
        CHECK(stored.dtype(spec.name) == (matrix ? "BF16" : "F32"));
        CHECK(wide.dtype(spec.name) == "F32");
        CHECK(wide.values(spec.name) == stored.values(spec.name));
    }
    for (const TensorSpec& spec : tensors_of(f32.config)) {
        CHECK(f32.dtype(spec.name) == "F32");
        CHECK(narrow.dtype(spec.name) == "BF16");
        const std::vector<float> exact = f32.values(spec.name), rounded = narrow.values(spec.name);
        int wrong = 0;
        for (size_t i = 0; i < exact.size(); i++)  // 8 significant bits: at most half a unit in the last place
            wrong += !(std::fabs(exact[i] - rounded[i]) <= std::fabs(exact[i]) / 256);
        CHECK(wrong == 0);
        CHECK(exact != rounded);
    }
    CHECK(picture.dtype("vqgan.decoder.conv_in.weight") == "BF16");
    CHECK(picture.dtype("vqgan.post_quant_conv.weight") == "BF16");
    for (const char* name : {"vqgan.decoder.conv_in.bias", "vqgan.decoder.norm_out.weight",
                             "vqgan.encoder.conv_in.weight", "vqgan.quant_conv.weight", "vqgan.codebook"})
        CHECK(picture.dtype(name) == "F32");
    CHECK(contains(error_of([] { Converted(MODELS + "cm3leon_a", {.dtype = "int7"}); }), "int7"));

    // Values that are bf16 already survive f32 -> bf16 bit for bit.
    Changed again("chameleon_bf16");
    for (auto& [name, tensor] : again.tensors) {
        if (tensor.dtype != "BF16") continue;
        std::string widened;
        for (size_t i = 0; i < tensor.bytes.size(); i += 2) widened += std::string(2, '\0') + tensor.bytes.substr(i, 2);
        tensor = {"F32", tensor.shape, widened};
    }
    check_same_tensors(Converted(again.write(), {.dtype = "bf16"}), stored, "transformer.");
}

TEST_CASE("converter: f16 stays f16, and widens exactly") {
    const std::pair<uint16_t, float> known[] = {{0x0000, 0.0f},
                                                {0x3c00, 1.0f},
                                                {0xc000, -2.0f},
                                                {0x7bff, 65504.0f},
                                                {0x0001, 0x1p-24f},
                                                {0x8001, -0x1p-24f},
                                                {0x03ff, 1023 * 0x1p-24f},
                                                {0x0400, 0x1p-14f},
                                                {0x3555, 0.333251953125f},
                                                {0x7c00, INFINITY},
                                                {0xfc00, -INFINITY}};
    for (const auto& [half, value] : known) CHECK(f16_to_float(half) == value);
    CHECK(std::signbit(f16_to_float(0x8000)));
    CHECK(std::isnan(f16_to_float(0x7e00)));

    Changed model("cm3leon_a");
    MadeTensor& tensor = model.tensors["model.decoder.layers.0.fc1.weight"];
    tensor.dtype = "F16";
    tensor.bytes.clear();
    for (int i = 0; i < 192 * 48; i++) tensor.bytes += std::string("\x55\x35", 2);
    const Converted converted(model.write());
    CHECK(converted.dtype("transformer.layers.0.up") == "F16");
    CHECK(converted.bytes_of("transformer.layers.0.up") == tensor.bytes);
    CHECK(Converted(model.folder.path(), {.dtype = "f32"}).values("transformer.layers.0.up") ==
          std::vector<float>(192 * 48, 0.333251953125f));
}

TEST_CASE("converter: int8 keeps every value to half a step of its row's scale") {
    const Converted exact(MODELS + "chameleon_gqa_swin", {.dtype = "f32"}),
        narrow(MODELS + "chameleon_gqa_swin", {.dtype = "int8"});
    int matrices = 0;
    for (const TensorSpec& spec : tensors_of(exact.config)) {
        CAPTURE(spec.name);
        const std::vector<float> values = exact.values(spec.name);
        if (spec.precision == Precision::Exact) {
            CHECK(narrow.values(spec.name) == values);
            continue;
        }
        REQUIRE(narrow.dtype(spec.name) == "I8");
        matrices++;
        const std::string bytes = narrow.bytes_of(spec.name);
        const std::vector<float> scales = narrow.values(spec.name + SCALES_SUFFIX);
        const int64_t cols = spec.shape[1];
        REQUIRE(static_cast<int64_t>(scales.size()) == spec.shape[0]);
        for (int64_t row = 0; row < spec.shape[0]; row++) {
            const float scale = scales[static_cast<size_t>(row)];
            int largest = 0;
            bool near = true;  // but for values that were clipped
            for (int64_t i = row * cols; i < (row + 1) * cols; i++) {
                const int level = static_cast<int8_t>(bytes[static_cast<size_t>(i)]);
                const float value = values[static_cast<size_t>(i)];
                largest = std::max(largest, std::abs(level));
                near &= std::fabs(level * scale - value) <= 0.5001f * scale ||
                        (std::abs(level) == 127 && std::fabs(value) <= 127 * scale / 0.7f);
            }
            CHECK(near);
            CHECK(largest == 127);
        }
    }
    CHECK(matrices == 16);

    Changed model("cm3leon_a");
    std::string& weights = model.tensors["model.decoder.layers.0.fc1.weight"].bytes;
    for (int i = 0; i < 48 * 4; i++) weights[static_cast<size_t>(i)] = 0;  // a row of zeros
    const Converted zeros(model.write(), {.dtype = "int8"});
    CHECK(zeros.values("transformer.layers.0.up.scale")[0] == 0);
    CHECK(zeros.bytes_of("transformer.layers.0.up").substr(0, 48) == std::string(48, '\0'));
    weights.replace(48 * 4, 4, std::string("\0\0\xc0\x7f", 4));  // NaN
    CHECK(contains(error_of([&] { Converted(model.write(), {.dtype = "int8"}); }),
                   "fc1.weight' holds values that are not"));
}

TEST_CASE("converter: the same folder gives the same bytes, and progress runs from nothing to all") {
    for (const char* name : {"chameleon_gqa_swin", "vqgan_f16"})
        CHECK(Converted(MODELS + name).bytes() == Converted(MODELS + name).bytes());
    TemporaryFolder folder;
    size_t last = 0, all = 0;
    convert(MODELS + "vqgan_f16", folder / "a.leon", {}, [&](size_t done, size_t total) {
        CHECK(done > last);
        CHECK(done <= total);
        last = done;
        all = total;
    });
    CHECK(last == all);
    CHECK(all > 1000000);
}

TEST_CASE("converter: names may lack the leading 'model.'") {
    for (const char* name : {"chameleon_mha", "cm3leon_a"}) {
        Changed model(name);
        std::map<std::string, MadeTensor> short_names;
        for (const auto& [tensor, value] : model.tensors)
            short_names[tensor.rfind("model.", 0) == 0 ? tensor.substr(6) : tensor] = value;
        model.tensors = short_names;
        const Converted converted(model.write(), {.name = name}), original(MODELS + name);
        CHECK(converted.config.has_vqgan == original.config.has_vqgan);
        for (const auto& [tensor, stored] : original.file->file().tensors())
            CHECK(converted.values(tensor) == original.values(tensor));
    }
}

TEST_CASE("converter: a VQGAN of another folder takes the place of the checkpoint's own") {
    const Converted together(MODELS + "chameleon_mha", {.vqgan = MODELS + "vqgan_f16"});
    const Converted text(MODELS + "cm3leon_a", {.vqgan = MODELS + "vqgan_f16"});
    const Converted alone(MODELS + "vqgan_f16");
    check_same_tensors(alone, together, "vqgan.");
    check_same_tensors(alone, text, "vqgan.");
    CHECK(together.config.vqgan.codes == 256);
    CHECK(together.config.layout == Layout::Chameleon);
    CHECK(text.config.layout == Layout::CM3Leon);
    CHECK(contains(error_of([] { Converted(MODELS + "cm3leon_a", {.vqgan = MODELS + "cm3leon_a"}); }), "no VQGAN"));
    CHECK(error_of([] { Converted(MODELS + "vqgan_f16", {.vqgan = MODELS + "vqgan_f16"}); }) != "");
}

TEST_CASE("converter: absent vq_config keys have the published defaults, so wrong sizes show as wrong shapes") {
    Changed model("chameleon_mha");
    model.config["vq_config"] = {{"model_type", "chameleon_vqgan"}};
    CHECK(contains(model.error(), "implies [128, 3, 3, 3]"));
    model.config["vq_config"] = nullptr;
    CHECK(contains(model.error(), "implies [128, 3, 3, 3]"));
}

TEST_CASE("converter: a tied output may be stored, if it is the embedding") {
    Changed model("cm3leon_a");
    model.tensors["lm_head.weight"] = model.tensors["model.decoder.embed_tokens.weight"];
    CHECK(model.error() == "");
    model.tensors["lm_head.weight"].bytes[100] ^= 1;
    CHECK(contains(model.error(), "'lm_head.weight' differs"));
}

TEST_CASE("converter: missing, unknown and misshapen tensors are named") {
    for (const char* name : {"chameleon_mha", "cm3leon_a", "vqgan_f16"}) {
        const Changed original(name);
        for (const auto& entry : original.tensors) {
            const std::string& tensor = entry.first;
            const MadeTensor& value = entry.second;
            if (!contains(tensor, "layers.1") && !contains(tensor, "mid.attn")) continue;
            CAPTURE(tensor);
            Changed model(name);
            model.tensors.erase(tensor);
            CHECK(contains(model.error(), "'" + tensor + "' is missing"));
            model.tensors[tensor] = value;
            model.tensors[tensor].shape.push_back(1);
            CHECK(contains(model.error(), "'" + tensor + "' is ["));
            model.tensors[tensor] = {"I64", {1}, std::string(8, '\0')};
            CHECK(contains(model.error(), "'" + tensor + "'"));
        }
    }
    const MadeTensor four = {"F32", {1}, std::string(4, '\0')};
    auto error_with = [&](const char* source, const std::string& extra) {
        Changed model(source);
        model.tensors[extra] = four;
        return model.error();
    };
    for (const char* extra : {"model.decoder.layers.0.self_attn.q_proj.bias", "model.decoder.final_layer_norm.weight",
                              "model.decoder.layers.0.fc1.bias", "model.decoder.project_in.weight"})
        CHECK(contains(error_with("cm3leon_a", extra), std::string("'") + extra + "' has no place"));
    CHECK(contains(error_with("chameleon_mha", "model.layers.0.mlp.up_proj.bias"), "has no place"));
    CHECK(contains(error_with("chameleon_mha", "model.layers.2.mlp.up_proj.weight"), "has no place"));
    CHECK(contains(error_with("chameleon_mha", "model.vqmodel.decoder.conv_in.bias"), "is missing"));
    CHECK(contains(error_with("chameleon_mha", "model.vqmodel.loss.x"), "has no place"));
    CHECK(error_with("chameleon_mha", "model.layers.0.self_attn.rotary_emb.inv_freq") == "");
    Changed empty("cm3leon_a");
    empty.tensors["model.decoder.layers.0.fc1.weight"] = {"F32", {0, 48}, ""};
    CHECK(contains(empty.error(), "'model.decoder.layers.0.fc1.weight' is empty"));
    Changed i64("cm3leon_a");
    i64.tensors["model.decoder.layers.0.fc1.weight"] = {"I64", {192, 48}, std::string(192 * 48 * 8, '\0')};
    CHECK(contains(i64.error(), "'model.decoder.layers.0.fc1.weight' has dtype I64"));
}

TEST_CASE("converter: settings that leon does not implement are errors that name the key") {
    struct Case {
        const char* source;
        const char* key;
        json value;
    };
    const Case cases[] = {
        {"chameleon_mha", "swin_norm", "yes"},
        {"chameleon_mha", "tie_word_embeddings", true},
        {"chameleon_mha", "rope_scaling", {{"type", "linear"}, {"factor", 2.0}}},
        {"chameleon_mha", "rope_parameters", {{"rope_theta", 10000.0}, {"rope_type", "yarn"}}},
        {"chameleon_mha", "rope_parameters", {{"rope_theta", 10000.0}, {"rope_type", "default"}, {"factor", 2.0}}},
        {"chameleon_mha", "rope_parameters", nullptr},
        {"chameleon_mha", "rope_theta", 20000.0},
        {"chameleon_mha", "hidden_act", "gelu"},
        {"chameleon_mha", "attention_bias", true},
        {"chameleon_mha", "mlp_bias", true},
        {"chameleon_mha", "head_dim", 32},
        {"chameleon_mha", "hidden_size", 33},
        {"chameleon_mha", "num_attention_heads", 0},
        {"chameleon_mha", "num_hidden_layers", -2},
        {"chameleon_mha", "num_hidden_layers", 100000},
        {"chameleon_mha", "num_hidden_layers", 2.5},
        {"chameleon_mha", "vocab_size", "432"},
        {"chameleon_mha", "rms_norm_eps", 0},
        {"chameleon_mha", "qk_layernorm", true},
        {"chameleon_mha", "vq_config", 3},
        {"chameleon_mha", "model_type", "llama"},
        {"chameleon_mha", "leon_layout", "other"},
        {"vqgan_f16", "attn_resolutions", {16}},
        {"vqgan_f16", "double_latent", true},
        {"vqgan_f16", "attn_type", "none"},
        {"vqgan_f16", "channel_multiplier", "1"},
        {"cm3leon_a", "do_layer_norm_before", false},
        {"cm3leon_a", "word_embed_proj_dim", 24},
        {"cm3leon_a", "enable_bias", true},
        {"cm3leon_a", "layer_norm_elementwise_affine", true},
        {"cm3leon_a", "activation_function", "gelu"},
        {"cm3leon_a", "tie_word_embeddings", false},
        {"cm3leon_a", "_remove_final_layer_norm", true},
    };
    const std::map<std::string, std::string> leon_names = {
        {"num_hidden_layers", "layers"}, {"rms_norm_eps", "norm_eps"}, {"rope_parameters", "rope_"}};
    for (const Case& c : cases) {
        Changed model(c.source);
        model.config[c.key] = c.value;
        const std::string error = model.error();
        CAPTURE(c.key);
        CAPTURE(error);
        auto other = leon_names.find(c.key);
        CHECK((contains(error, c.key) || (other != leon_names.end() && contains(error, other->second))));
    }
    // The vocabulary's size disagrees with the tensors: the tensor is named.
    Changed model("chameleon_mha");
    model.config["vocab_size"] = 433;
    CHECK(contains(model.error(), "'model.embed_tokens.weight' is [432, 32], but the configuration implies [433, 32]"));
    for (const char* key : {"swin_norm", "hidden_size", "num_key_value_heads", "model_parallel_size", "rms_norm_eps"}) {
        Changed lacking("chameleon_mha");
        lacking.config.erase(key);
        CHECK(contains(lacking.error(), key));
    }
    Changed swapped("chameleon_gqa_swin_qknorm_b");
    swapped.config["model_parallel_size"] = 2;
    CHECK(contains(swapped.error(), "q_norm"));
}

TEST_CASE("converter: the layout of documents can be set by the checkpoint") {
    Changed model("chameleon_mha");
    model.config["leon_layout"] = "cm3leon";
    CHECK(Converted(model.write()).config.layout == Layout::CM3Leon);
}

TEST_CASE("converter: an index may only name complete files of its own folder") {
    TemporaryFolder folder;
    const std::string source = folder / "model", index = source + "/model.safetensors.index.json";
    fs::copy(MODELS + "chameleon_gqa_swin", source);
    const json good = json::parse(read_text(index));
    auto error = [&](const json& changed) {
        write_text(index, changed.dump());
        return error_of([&] { convert(source, folder / "out.leon", {}, nullptr); });
    };
    CHECK(error(good) == "");
    const json::json_pointer norm("/weight_map/model.norm.weight");
    for (const char* file : {"../../etc/passwd", "/etc/passwd", "..", "", "sub/model.safetensors", "..\\x"}) {
        json changed = good;
        changed[norm] = file;
        CHECK(contains(error(changed), "not in this folder"));
    }
    json changed = good;
    changed[norm] = 3;
    CHECK(contains(error(changed), "not a string"));
    changed[norm] = "model-00001-of-00003.safetensors";
    CHECK(contains(error(changed), "the index promises"));
    changed[norm] = "absent.safetensors";
    CHECK(contains(error(changed), "absent.safetensors"));
    changed = good;
    changed["weight_map"].erase("model.norm.weight");
    CHECK(contains(error(changed), "'model.norm.weight' is not in the index"));
    CHECK(contains(error(json::array()), "weight_map"));
    CHECK(contains(error({{"weight_map", json::object()}}), "weight_map"));
    fs::remove(index);
    CHECK(contains(error_of([&] { convert(source, folder / "out.leon", {}, nullptr); }), "holds neither"));
}

TEST_CASE("converter: folders that are none, or hold something else, are refused") {
    TemporaryFolder folder;
    auto error = [&] { return error_of([&] { convert(folder.path(), folder / "out.leon", {}, nullptr); }); };
    CHECK(contains(error(), "config.json"));
    for (const char* text : {"", "[]", "{", "{\"model_type\":3}", "{\"a\":1,\"a\":2}"}) {
        write_text(folder / "config.json", text);
        CHECK(contains(error(), "config.json"));
    }
    CHECK(contains(error_of([&] { convert(folder / "nothing", folder / "out.leon", {}, nullptr); }), "not a folder"));
    Changed model("chameleon_mha");
    write_text(model.folder / "tokenizer.json", "{\"model\": \xff}");
    CHECK(contains(model.error(), "tokenizer.json"));
}

}  // namespace
}  // namespace leon
