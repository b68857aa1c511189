// Weight files and configurations: what is written reads back, what is damaged is refused with one line that names the
// file, and nothing in between.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/config.h"
#include "runtime/schema.h"
#include "runtime/weights_file.h"
#include "tests/temporary_folder.h"

#include "tests/testing.h"

namespace leon {
namespace {

std::string load_error(const std::string& path) {
    return error_of([&] { SafetensorsFile file(path); });
}

ModelConfig small_model() {
    ModelConfig config;
    config.name = "small";
    config.layout = Layout::Chameleon;
    config.has_transformer = config.has_vqgan = true;
    TransformerConfig& t = config.transformer;
    t.qk_norm = true;
    t.layers = 2;
    t.dim = 12;
    t.heads = 4;
    t.kv_heads = 2;
    t.head_dim = 6;
    t.ffn_dim = 20;
    t.vocab = 50;
    t.context = 16;
    t.norm_eps = t.qk_norm_eps = 1e-5f;
    t.rope_theta = 10000;
    VqganConfig& v = config.vqgan;
    v.channels = 32;
    v.multipliers = {1, 2};
    v.res_blocks = v.z_channels = 1;
    v.code_dim = 3;
    v.codes = 7;
    v.resolution = 32;
    v.encoder = v.decoder = true;
    return config;
}

ModelConfig chameleon(int layers, int dim, int heads, int kv_heads, int ffn_dim) {
    ModelConfig config = small_model();
    config.transformer = {.qk_norm = true,
                          .layers = layers,
                          .dim = dim,
                          .heads = heads,
                          .kv_heads = kv_heads,
                          .head_dim = 128,
                          .ffn_dim = ffn_dim,
                          .vocab = 65536,
                          .context = 4096,
                          .norm_eps = 1e-5f,
                          .qk_norm_eps = 1e-5f,
                          .rope_theta = 10000,
                          .segments = {}};
    config.vqgan = {.channels = 128,
                    .multipliers = {1, 1, 2, 2, 4},
                    .res_blocks = 2,
                    .z_channels = 256,
                    .code_dim = 256,
                    .codes = 8192,
                    .resolution = 512,
                    .encoder = true,
                    .decoder = true};
    return config;
}

TEST_CASE("safetensors: every damaged file is refused in one line that names it") {
    int damaged = 0;
    for (const auto& entry : std::filesystem::directory_iterator("tests/vectors/hostile")) {
        const std::string path = entry.path().string(), name = entry.path().filename().string();
        if (entry.path().extension() != ".safetensors") continue;
        const std::string error = load_error(path);
        CAPTURE(name);
        CAPTURE(error);
        CHECK((error == "") == (name == "valid.safetensors"));
        if (name == "valid.safetensors") continue;
        damaged++;
        CHECK(contains(error, name));
        CHECK(!contains(error, "\n"));
        CHECK(error.size() < 400);
    }
    CHECK(damaged >= 20);
}

TEST_CASE("safetensors: no prefix of a file loads, and no changed header byte does harm") {
    TemporaryFolder folder;
    const std::string whole = read_text("tests/vectors/hostile/valid.safetensors"), path = folder / "a.safetensors";
    for (size_t length = 0; length < whole.size(); length++) {
        write_text(path, whole.substr(0, length));
        CHECK(load_error(path) != "");
    }
    const SafetensorsFile valid("tests/vectors/hostile/valid.safetensors");
    for (size_t at = 0; at < valid.data_offset(); at++)
        for (char value : std::string("\0\"[{}09-\xff", 9)) {
            std::string changed = whole;
            changed[at] = value;
            write_text(path, changed);
            const std::string error = load_error(path);
            if (error != "") CHECK(contains(error, path));
        }
}

TEST_CASE("safetensors: the grammar is enforced where the library's tests have no file for it") {
    TemporaryFolder folder;
    const std::string path = folder / "a.safetensors", four(4, '\0');
    auto error = [&](const std::string& header, const std::string& data) {
        write_text(path, safetensors(header, data));
        return load_error(path);
    };
    const std::string a = R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
    CHECK(error("{" + a + "}", four) == "");
    CHECK(error("{" + a + "}   ", four) == "");
    CHECK(error("{}", "") == "");
    CHECK(error(R"({"__metadata__":{"x":"y"},)" + a + "}", four) == "");
    CHECK(contains(error("{" + a + "} x", four), "JSON"));
    CHECK(contains(error("[" + a + "]", four), "array"));
    CHECK(contains(error("3", ""), "number"));
    CHECK(contains(error("{" + a + "}", four + "x"), "1 bytes after"));
    CHECK(contains(error("{" + a + "," + a + "}", four), "duplicate tensor 'a'"));
    CHECK(contains(error(R"({"__metadata__":{"x":1},)" + a + "}", four), "number"));
    CHECK(contains(error(R"({"__metadata__":{"x":"1","x":"2"},)" + a + "}", four), "duplicate key 'x'"));
    CHECK(contains(error(R"({"__metadata__":{},"__metadata__":{}})", ""), "duplicate"));
    CHECK(
        contains(error(R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", four), "duplicate"));
    CHECK(contains(error(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", four), "unknown key 'x'"));
    CHECK(contains(error(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}})", four), "two data_offsets"));
    CHECK(contains(error(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", four), "two data_offsets"));
    CHECK(contains(error(R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", four), "number"));
    CHECK(contains(error(R"({"a":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}})", four), "array"));
    CHECK(contains(error(R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", four), "array"));
    CHECK(contains(error(R"({"a":[]})", ""), "array"));
    CHECK(contains(error(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", four + four), "gap"));
    CHECK(contains(error(R"({"a":{"dtype":"F32","shape":[0,9],"data_offsets":[0,0]},"b":{"dtype":"F32","shape":[1],)"
                         R"("data_offsets":[1,5]}})",
                         four + "x"),
                   "gap"));
}

TEST_CASE("weights file: what is written reads back in place, aligned, with padding only where it is needed") {
    TemporaryFolder folder;
    const std::string path = folder / "model.leon";
    const std::string config = print_config(small_model()), tokenizer = "{\"text\": \"\\u00e9 \xc3\xa9 \\\"\\n\"}";
    const std::vector<float> a = {1, 2, 3}, c = {-1, 0.5f};
    const std::vector<uint16_t> b(32, 0x3f80);
    {
        WeightsWriter writer(path, config, tokenizer);
        writer.declare("a", DType::F32, {3});
        writer.declare("b.weight", DType::BF16, {4, 8});
        writer.declare("c", DType::F32, {1, 2});
        writer.begin();
        writer.write("a", a.data());
        writer.write_part(b.data(), 10);  // in pieces
        writer.write_part(b.data(), 54);
        CHECK(!std::filesystem::exists(path));  // nothing under the target's name before commit()
        writer.write("c", c.data());
        writer.commit();
    }
    const WeightsFile file(path);
    CHECK(file.config_json() == config);
    CHECK(file.tokenizer_json() == tokenizer);
    CHECK(file.file().data_offset() % 4096 == 0);
    for (const auto& [name, tensor] : file.file().tensors())
        if (name != "leon.padding.0") CHECK(tensor.offset % 64 == 0);
    CHECK(file.file().tensors().size() == 4);  // 12 bytes of a, 52 of padding, 64 of b, 8 of c
    CHECK(file.file().find("leon.padding.0")->bytes == 52);
    CHECK(std::memcmp(file.vector("a", {3}).data, a.data(), 12) == 0);
    CHECK(std::memcmp(file.matrix("b.weight", {4, 8}).data, b.data(), 64) == 0);
    CHECK(file.matrix("b.weight", {4, 8}).dtype == DType::BF16);
    CHECK(file.matrix("c", {1, 2}).f32()[1] == 0.5f);

    CHECK(file.has("c"));
    CHECK(!file.has("b"));
    CHECK(file.has_prefix("b."));
    CHECK(!file.has_prefix("bb"));
    CHECK(contains(error_of([&] { file.vector("b.weight", {4, 8}); }), "'b.weight' is BF16 [4, 8]"));
    CHECK(contains(error_of([&] { file.matrix("b.weight", {8, 4}); }), "expects F32, BF16, F16, I8 or F8_E4M3 [8, 4]"));
    CHECK(contains(error_of([&] { file.matrix("b.weight", {4, 8, 1}); }), "[4, 8, 1]"));
    CHECK(contains(error_of([&] { file.matrix("nothing", {1}); }), "'nothing' is missing"));
}

TEST_CASE("weights file: an i8 matrix has two dimensions and its scales beside it") {
    TemporaryFolder folder;
    const std::string path = folder / "model.leon";
    struct Declared {
        const char* name;
        DType dtype;
        std::vector<int64_t> shape;
    };
    const auto write = [&](const std::vector<Declared>& tensors) {
        WeightsWriter writer(path, "{}", "");
        for (const Declared& d : tensors) writer.declare(d.name, d.dtype, d.shape);
        writer.begin();
        const std::vector<uint8_t> bytes(1024, 1);
        for (const Declared& d : tensors) writer.write(d.name, bytes.data());
        writer.commit();
    };
    write({{"w", DType::I8, {4, 8}}, {"w.scale", DType::F32, {4}}});
    {
        const WeightsFile file(path);
        const Tensor w = file.matrix("w", {4, 8});
        CHECK(w.dtype == DType::I8);
        CHECK(w.scale == file.vector("w.scale", {4}).f32());
        CHECK(contains(error_of([&] { file.vector("w", {4, 8}); }), "expects F32 [4, 8]"));
    }
    write({{"w", DType::I8, {4, 8}}});
    CHECK(contains(error_of([&] { WeightsFile(path).matrix("w", {4, 8}); }), "'w.scale' is missing"));
    write({{"w", DType::I8, {4, 8}}, {"w.scale", DType::F32, {8}}});
    CHECK(contains(error_of([&] { WeightsFile(path).matrix("w", {4, 8}); }), "'w.scale' is F32 [8]"));
    write({{"w", DType::I8, {4, 8}}, {"w.scale", DType::BF16, {4}}});
    CHECK(contains(error_of([&] { WeightsFile(path).matrix("w", {4, 8}); }), "'w.scale' is BF16 [4]"));
    write({{"w", DType::U8, {4, 32}}, {"w.groups", DType::U8, {4, 2}}, {"w.scale", DType::F32, {4}}});
    {
        const WeightsFile file(path);
        const Tensor w = file.matrix("w", {4, 64});
        CHECK(w.dtype == DType::I4);
        CHECK(w.scale == file.vector("w.scale", {4}).f32());
        CHECK(w.groups == file.file().data(*file.file().find("w.groups")));
        CHECK(contains(error_of([&] { file.matrix("w", {4, 32}); }), "'w' is U8 [4, 32], but"));
        CHECK(contains(error_of([&] { file.matrix("w", {4, 33}); }), "not whole groups of 32"));
    }
    write({{"w", DType::U8, {4, 32}}, {"w.scale", DType::F32, {4}}});
    CHECK(contains(error_of([&] { WeightsFile(path).matrix("w", {4, 64}); }), "'w.groups' is missing"));
    write({{"w", DType::U8, {4, 32}}, {"w.groups", DType::U8, {4, 4}}, {"w.scale", DType::F32, {4}}});
    CHECK(contains(error_of([&] { WeightsFile(path).matrix("w", {4, 64}); }), "'w.groups' is U8 [4, 4]"));
    write({{"w", DType::I8, {4, 1, 1, 8}}, {"w.scale", DType::F32, {4}}});
    CHECK(contains(error_of([&] {
                       WeightsFile(path).matrix("w", {4, 1, 1, 8});
                   }),
                   "expects F32, BF16 or F16 [4, 1, 1, 8]"));
}

TEST_CASE("weights file: an interrupted writer leaves the old file and no other") {
    TemporaryFolder folder;
    write_text(folder / "model.leon", "old");
    {
        WeightsWriter writer(folder / "model.leon", "{}", "");
        writer.declare("a", DType::F32, {1});
        writer.begin();
    }
    CHECK(read_text(folder / "model.leon") == "old");
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

// Where the file system knows files without names; elsewhere only what can be caught cleans up.
TEST_CASE("files: a process that is killed while it writes leaves the old file and no other") {
    const TemporaryFolder folder;
    const int probe = open(folder.path().c_str(), O_TMPFILE | O_WRONLY, 0600);
    if (probe < 0) return;
    close(probe);
    write_text(folder / "old", "before");
    for (const char* name : {"old", "new"}) {
        const pid_t child = fork();
        if (child == 0) {
            AtomicFile file(folder / name);
            file.write("half of it");
            raise(SIGKILL);
        }
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        CHECK(WIFSIGNALED(status));
    }
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
    CHECK(read_text(folder / "old") == "before");
    AtomicFile again(folder / "new");
    again.write("all of it");
    CHECK(!std::filesystem::exists(folder / "new"));
    again.commit();
    CHECK(read_text(folder / "new") == "all of it");
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 2);
}

TEST_CASE("weights file: other files and versions are refused") {
    TemporaryFolder folder;
    const std::string path = folder / "a.leon", data(64, '\0');
    auto error = [&](std::string metadata, const std::string& tensors, size_t bytes, size_t start) {
        std::string header = "{\"__metadata__\":{" + metadata + "}" + tensors + "}";
        header.resize(start - 8, ' ');
        write_text(path, safetensors(header, std::string(bytes, '\0')));
        return error_of([&] { WeightsFile file(path); });
    };
    const std::string good = R"("format":"leon","leon.version":"1","leon.config":"{}")";
    const std::string tensor = R"(,"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
    const std::string second = R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]})";
    CHECK(error(good, tensor, 8, 4096) == "");
    CHECK(contains(error(good, tensor, 8, 4032), "page boundary"));
    CHECK(contains(error(good, tensor + second, 16, 4096), "'b' does not start at a multiple of 64"));
    CHECK(contains(error(R"("format":"pt")", tensor, 8, 4096), "leon convert"));
    CHECK(contains(error("", tensor, 8, 4096), "leon convert"));
    CHECK(contains(error(R"("format":"leon","leon.version":"2","leon.config":"{}")", tensor, 8, 4096), "version '2'"));
    CHECK(contains(error(R"("format":"leon","leon.config":"{}")", tensor, 8, 4096), "version"));
    CHECK(contains(error(R"("format":"leon","leon.version":"1")", tensor, 8, 4096), "leon.config"));
    CHECK(contains(error(good + R"(,"leon.other":"")", tensor, 8, 4096), "'leon.other'"));
    CHECK(contains(error_of([&] { WeightsFile file("tests/vectors/hostile/valid.safetensors"); }), "leon convert"));
}

TEST_CASE("config: printing and parsing are inverse for every combination of facts") {
    for (Norm norm : {Norm::RMS, Norm::LayerNorm})
        for (NormPlacement placement : {NormPlacement::Before, NormPlacement::After})
            for (Positions positions : {Positions::Rotary, Positions::Learned})
                for (FeedForward feed_forward : {FeedForward::SwiGLU, FeedForward::ReLU})
                    for (int bits = 0; bits < 16; bits++) {
                        ModelConfig c = small_model();
                        c.layout = bits & 1 ? Layout::CM3Leon : Layout::Chameleon;
                        c.has_vqgan = bits & 2;
                        c.vqgan.encoder = bits & 1;
                        c.vqgan.decoder = !c.vqgan.encoder;
                        c.transformer.norm = norm;
                        c.transformer.norm_placement = placement;
                        c.transformer.positions = positions;
                        c.transformer.feed_forward = feed_forward;
                        c.transformer.qk_norm = bits & 4;
                        c.transformer.tied_output = bits & 8;
                        c.transformer.position_offset = 2;
                        const bool rotary = positions == Positions::Rotary;
                        if (rotary && bits & 1)
                            c.transformer.segments = {.begin = 1, .first_code = 2, .codes = 3, .cells = 4};
                        const ModelConfig back = parse_config(print_config(c), "test");
                        CHECK(print_config(back) == print_config(c));
                        const TransformerConfig& t = back.transformer;
                        CHECK(t.norm == norm);
                        CHECK(t.norm_placement == placement);
                        CHECK(t.positions == positions);
                        CHECK(t.feed_forward == feed_forward);
                        CHECK(t.qk_norm == c.transformer.qk_norm);
                        CHECK(t.tied_output == c.transformer.tied_output);
                        CHECK(t.segments == c.transformer.segments);
                        CHECK(t.norm_eps == 1e-5f);
                        CHECK(t.rope_theta == (positions == Positions::Rotary ? 10000.0f : 0.0f));
                        CHECK(t.position_offset == (positions == Positions::Learned ? 2 : 0));
                        CHECK(back.has_vqgan == c.has_vqgan);
                        if (c.has_vqgan) CHECK(back.vqgan.multipliers == c.vqgan.multipliers);
                    }
    CHECK(contains(print_config(small_model()), "1e-05"));
}

TEST_CASE("config: defaults of tasks come back as they were, and nothing else is taken") {
    ModelConfig c = small_model();
    CHECK(!contains(print_config(c), "defaults"));
    c.defaults["edit"] = {1.0f, 1.5f, {}, {}};
    c.defaults["draw"] = {{}, {}, {}, 8};
    c.defaults["segment"] = {{}, {}, 0.5f, {}};
    const ModelConfig back = parse_config(print_config(c), "test");
    CHECK(back.defaults == c.defaults);
    CHECK(print_config(back) == print_config(c));
    auto error = [&](const char* values) {
        nlohmann::json json = nlohmann::json::parse(print_config(small_model()));
        json["defaults"] = nlohmann::json::parse(values);
        return error_of([&] { parse_config(json.dump(), "model.leon"); });
    };
    CHECK(error(R"({"edit": {}})") == "");
    for (const char* values :
         {"1", R"({"edit": 1})", R"({"edit": {"top_p": 1}})", R"({"edit": {"guidance": 101}})",
          R"({"edit": {"temperature": -1}})", R"({"edit": {"guidance": "1"}})", R"({"draw": {"best_of": 0}})",
          R"({"draw": {"best_of": 65}})", R"({"draw": {"best_of": 1.5}})"})
        CHECK(contains(error(values), "model.leon"));
}

TEST_CASE("config: every key is needed, none may be added, every type is checked") {
    const nlohmann::json good = nlohmann::json::parse(print_config(small_model()));
    auto error = [](const nlohmann::json& json) { return error_of([&] { parse_config(json.dump(), "model.leon"); }); };
    REQUIRE(error(good) == "");
    for (const char* part : {"/transformer", "/vqgan", ""}) {
        const nlohmann::json::json_pointer at(part);
        for (const auto& entry : good[at].items()) {
            const std::string& key = entry.key();
            const nlohmann::json& value = entry.value();
            if (key == "transformer" || key == "vqgan") continue;
            CAPTURE(key);
            nlohmann::json changed = good;
            changed[at].erase(key);
            CHECK(contains(error(changed), key));
            CHECK(contains(error(changed), "model.leon"));
            changed = good;
            changed[at][key] = value.is_string() ? nlohmann::json(1) : nlohmann::json("x");
            CHECK(contains(error(changed), key));
            changed = good;
            changed[at][key] = nullptr;
            CHECK(contains(error(changed), key));
            if (!value.is_number()) continue;
            for (const nlohmann::json& number :
                 {nlohmann::json(-1), nlohmann::json(1e300), nlohmann::json(UINT64_MAX)}) {
                changed[at][key] = number;
                CHECK(contains(error(changed), key));
            }
        }
        nlohmann::json changed = good;
        changed[at]["extra"] = 1;
        CHECK(contains(error(changed), "'extra'"));
    }
    CHECK(contains(error({{"name", "x"}, {"layout", "chameleon"}}), "neither"));
    CHECK(contains(error_of([] { parse_config("{\"name\":\"a\",\"name\":\"b\"}", "f"); }), "duplicate"));
    CHECK(contains(error_of([] { parse_config(std::string(100000, '['), "f"); }), "deep"));
    CHECK(error_of([] { parse_config("[]", "f"); }) != "");
    CHECK(error_of([] { parse_config("", "f"); }) != "");
}

TEST_CASE("config: sizes must fit together") {
    auto error = [](const std::function<void(ModelConfig&)>& change) {
        ModelConfig config = small_model();
        change(config);
        return error_of([&] { parse_config(print_config(config), "f"); });
    };
    CHECK(contains(error([](ModelConfig& c) { c.transformer.kv_heads = 3; }), "kv_heads"));
    CHECK(contains(error([](ModelConfig& c) { c.transformer.head_dim = 5; }), "even"));
    CHECK(contains(error([](ModelConfig& c) { c.transformer.head_dim = 1 << 19; }), "2^20"));
    CHECK(contains(error([](ModelConfig& c) { c.vqgan.channels = 48; }), "multiple of 32"));
    CHECK(contains(error([](ModelConfig& c) { c.vqgan.resolution = 33; }), "resolution"));
    CHECK(contains(error([](ModelConfig& c) { c.vqgan.encoder = c.vqgan.decoder = false; }), "encoder"));
    CHECK(contains(error([](ModelConfig& c) { c.vqgan.multipliers.assign(9, 1); }), "multipliers"));
    CHECK(contains(error([](ModelConfig& c) { c.vqgan.in_channels = 4; }), "in_channels"));
}

TEST_CASE("schema: published parameter counts, unique names, no overflow at the limits") {
    auto count = [](const ModelConfig& config, const std::string& prefix) {
        int64_t n = 0;
        for (const TensorSpec& spec : tensors_of(config))
            if (spec.name.compare(0, prefix.size(), prefix) == 0) n += spec.elements();
        return n;
    };
    ModelConfig chameleon_7b = chameleon(32, 4096, 32, 32, 11008), chameleon_30b = chameleon(48, 8192, 64, 8, 22016);
    CHECK(count(chameleon_7b, "vqgan.encoder.") == 27194880);
    CHECK(count(chameleon_7b, "vqgan.decoder.") == 39294851);
    CHECK(count(chameleon_7b, "vqgan.") == 68718467);
    chameleon_7b.transformer.qk_norm = chameleon_30b.transformer.qk_norm = false;
    CHECK(count(chameleon_7b, "transformer.") == 7013142528);
    CHECK(count(chameleon_30b, "transformer.") == 34293424128);

    std::set<std::string> names;
    for (const TensorSpec& spec : tensors_of(chameleon_30b)) CHECK(names.insert(spec.name).second);

    ModelConfig largest = small_model();
    largest.transformer = {.layers = 1,
                           .dim = 1 << 20,
                           .heads = 4096,
                           .kv_heads = 4096,
                           .head_dim = 256,
                           .ffn_dim = 1 << 22,
                           .vocab = 1 << 22,
                           .context = 1 << 24,
                           .norm_eps = 1e-5f,
                           .rope_theta = 1,
                           .segments = {}};
    largest.vqgan.channels = 1 << 14;
    largest.vqgan.multipliers.assign(8, 64);
    largest.vqgan.resolution = 128;
    CHECK(error_of([&] { parse_config(print_config(largest), "f"); }) == "");
    for (const TensorSpec& spec : tensors_of(largest)) CHECK(spec.elements() <= int64_t{9} << 40);
}

}  // namespace
}  // namespace leon
