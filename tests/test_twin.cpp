// Twins of published checkpoints: what is measured with them holds for the originals only if they are laid out alike,
// and if every layout's converts to the same model.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/converted.h"
#include "tests/shrunk_vqgan.h"
#include "tests/twin.h"
#include "tests/twin_files.h"
#include "weights_converter/random_model.h"
#include "weights_converter/zip_archive.h"

#include "tests/testing.h"

namespace leon {
namespace {

namespace fs = std::filesystem;

ModelConfig shrunk(const std::string& name) {
    ModelConfig c = preset(name, WithVqgan::Yes);
    TransformerConfig& t = c.transformer;
    t.layers = 2;
    t.dim = 64;
    t.heads = 8;
    t.kv_heads = name == "34b" ? 4 : 8;
    t.head_dim = 8;
    t.ffn_dim = 96;
    t.vocab = 320;
    shrink(c.vqgan);
    return c;
}

// A twin in a folder of its own, and what it becomes.
struct TwinFolder {
    TemporaryFolder folder;
    TwinFolder(const ModelConfig& config, const TwinOptions& options) { write_twin(folder.path(), config, options); }
    Converted converted() const { return Converted(folder.path(), {.name = "twin"}); }
};

std::vector<uint8_t> bytes_of(const std::string& text) {
    return {text.begin(), text.end()};
}

// Twins keep all of the transformer in bf16; a random model's vectors are f32.
void round_to_bf16(std::string& floats) {
    for (size_t i = 0; i < floats.size(); i += sizeof(float)) {
        float value;
        std::memcpy(&value, &floats[i], sizeof value);
        value = bf16_to_float(float_to_bf16(value));
        std::memcpy(&floats[i], &value, sizeof value);
    }
}

TEST_CASE("twins: in Hugging Face's layout, one is the random model of the same seed, bit for bit") {
    for (const char* shape : {"7b", "34b"}) {
        CAPTURE(shape);
        ModelConfig config = shrunk(shape);
        config.name = "twin";
        const TemporaryFolder expected;
        write_random_model(expected / "narrow.leon", config, DType::BF16, 3, "{}");
        const TwinFolder twin(config, {.ranks = config.transformer.kv_heads, .seed = 3, .tokenizer_json = "{}"});
        CHECK(fs::exists(twin.folder / "model.safetensors"));
        const Converted narrow(twin.folder.path(), {.dtype = "bf16", .name = "twin"});
        // With as many ranks as key-value heads, only q's vectors are shared.
        const WeightsFile random(expected / "narrow.leon");
        int compared = 0;
        for (const auto& entry : random.file().tensors()) {
            const StoredTensor& stored = entry.second;
            const StoredTensor* other = narrow.file->file().find(stored.name);
            CAPTURE(stored.name);
            REQUIRE(other != nullptr);
            REQUIRE(other->bytes == stored.bytes);
            if (contains(stored.name, "q_norm") && std::string(shape) == "34b") continue;
            std::string expected(reinterpret_cast<const char*>(random.file().data(stored)), stored.bytes);
            if (stored.name.starts_with("transformer.") && stored.dtype == "F32") round_to_bf16(expected);
            CHECK((narrow.bytes_of(stored.name) == expected));
            compared++;
        }
        CHECK(compared > 60);
    }
}

TEST_CASE("twins: every layout holds the same model") {
    const ModelConfig mha = shrunk("7b"), gqa = shrunk("34b");
    const Converted meta = TwinFolder(mha, {.files = TwinFiles::Meta}).converted();
    for (const TwinFiles files : {TwinFiles::HuggingFaceA, TwinFiles::HuggingFaceB, TwinFiles::HuggingFaceC})
        CHECK((TwinFolder(mha, {.files = files}).converted().bytes() == meta.bytes()));
    const Converted ranks = TwinFolder(gqa, {.files = TwinFiles::Meta, .ranks = 4}).converted();
    for (const TwinFiles files : {TwinFiles::HuggingFaceB, TwinFiles::HuggingFaceC})
        CHECK((TwinFolder(gqa, {.files = files, .ranks = 4}).converted().bytes() == ranks.bytes()));
    const std::vector<float> norm = ranks.values("transformer.layers.1.q_norm.weight");
    CHECK(norm[0] == norm[8]);
    CHECK(norm[0] != norm[16]);
}

TEST_CASE("twins: without a decoder, the file of Hugging Face's has what its class has") {
    ModelConfig config = shrunk("7b");
    config.vqgan.decoder = false;
    const TwinFolder encoder(config, {}), both(shrunk("7b"), {});
    const SafetensorsFile file(encoder.folder / "model.safetensors");
    CHECK(file.find("model.vqmodel.post_quant_conv.weight") != nullptr);
    for (const auto& tensor : file.tensors()) CHECK(!contains(tensor.first, "decoder"));
    const Converted model = encoder.converted();
    CHECK(!model.config.vqgan.decoder);
    check_same_tensors(model, both.converted(), "vqgan.");
}

TEST_CASE("twins: Lumina-mGPT's context holds its largest pictures, whatever its configuration copied") {
    ModelConfig config = shrunk("7b");
    const TwinFolder twin(config, {.files = TwinFiles::HuggingFaceB});
    const Converted chameleon(twin.folder.path()), lumina(twin.folder.path(), {.layout = "lumina"});
    CHECK(chameleon.config.transformer.context == 4096);
    CHECK(lumina.config.transformer.context == 12800);
    CHECK(contains(lumina.notes.at(0), "12800"));
    CHECK(Converted(chameleon.file->path(), {.layout = "lumina"}).config.transformer.context == 12800);
    config.transformer.context = 8192;  // said by whoever trained it
    const TwinFolder said(config, {.files = TwinFiles::HuggingFaceB});
    CHECK(Converted(said.folder.path(), {.layout = "lumina"}).config.transformer.context == 8192);
}

TEST_CASE("twins: rows that are left out are holes, the others and the checksums are right") {
    const ModelConfig config = shrunk("34b");
    const TwinFolder whole(config, {.files = TwinFiles::Meta, .ranks = 2});
    const TwinFolder sparse(config, {.files = TwinFiles::Meta, .ranks = 2, .every = 5});
    const Converted all = whole.converted(), some = sparse.converted();
    for (const char* name : {"transformer.embedding", "transformer.layers.1.k", "transformer.layers.0.down"}) {
        CAPTURE(name);
        const std::vector<float> a = all.values(name), b = some.values(name);
        const size_t width = a.size() / static_cast<size_t>(all.file->file().find(name)->shape[0]);
        for (size_t i = 0; i < a.size(); i++) REQUIRE(b[i] == (i / width % 5 == 0 ? a[i] : 0));
    }
    check_same_tensors(all, some, "vqgan.");
    for (const TwinFolder* twin : {&whole, &sparse})
        for (const char* file : {"consolidated.00.pth", "consolidated.01.pth", "tokenizer/vqgan.ckpt"}) {
            const MappedFile mapped(twin->folder / file);
            const ZipArchive archive(mapped);
            CHECK(archive.members().size() > 20);
            for (const ZipMember& member : archive.members()) {
                CAPTURE(member.name);
                CHECK(crc32(member.bytes) == member.crc);
                CHECK((member.bytes.data() - mapped.bytes().data()) % 64 == 0);
            }
        }
}

TEST_CASE("twins: shards end where the next tensor would not fit, and are named by the index") {
    const ModelConfig config = shrunk("7b");
    const TwinFolder one(config, {}), many(config, {.shard_bytes = 200'000});
    const nlohmann::json index = nlohmann::json::parse(read_text(many.folder / "model.safetensors.index.json"));
    CHECK(index["weight_map"]["model.embed_tokens.weight"] ==
          index["weight_map"]["model.layers.0.self_attn.q_proj.weight"]);
    size_t total = 0, shards = 0;
    for (const auto& entry : fs::directory_iterator(many.folder.path())) {
        if (entry.path().extension() != ".safetensors") continue;
        shards++;
        const SafetensorsFile shard(entry.path().string());
        for (const auto& tensor : shard.tensors()) total += tensor.second.bytes;
        CHECK(shard.bytes() - shard.data_offset() <= 200'000);
    }
    CHECK(shards > 5);
    CHECK(index["metadata"]["total_size"] == total);
    CHECK((one.converted().bytes() == many.converted().bytes()));
}

TEST_CASE("twins: checksums of what stands one behind the other") {
    const std::string a = "some bytes", b = "and more of them", zeros(1000, '\0');
    const auto crc = [](const std::string& text) { return crc32(bytes_of(text)); };
    CHECK(crc_of_joined(crc(a), crc(b), b.size()) == crc(a + b));
    CHECK(crc_of_joined(crc(a), crc(""), 0) == crc(a));
    CHECK(crc_of_joined(0, crc(b), b.size()) == crc(b));
    for (const size_t n : {0, 1, 2, 3, 255, 1000}) CHECK(crc_of_zeros(n) == crc(zeros.substr(0, n)));
    // 5 GB, as two halves and as thousands of parts
    CHECK(crc_of_joined(crc_of_zeros(2'500'000'000), crc_of_zeros(2'500'000'000), 2'500'000'000) ==
          crc_of_zeros(5'000'000'000));
}

}  // namespace
}  // namespace leon
