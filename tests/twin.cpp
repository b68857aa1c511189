// See twin.h: the converter's way backwards. Each tensor of a file is rows of a tensor of leon's, or a part of each
// row, rearranged. How ranks divide them is Megatron's scheme, written down a second time here.
#include "tests/twin.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "kernels/cpu/threads.h"
#include "runtime/files.h"
#include "runtime/format.h"
#include "runtime/weights_file.h"
#include "tests/made_zip.h"
#include "tests/twin_files.h"
#include "weights_converter/name_maps.h"
#include "weights_converter/plan.h"
#include "weights_converter/random_model.h"

namespace leon {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr int64_t PART_ELEMENTS = int64_t{1} << 18, PARTS_AT_ONCE = 32;

// A tensor of a file.
struct TwinTensor {
    std::string name;
    DType dtype;
    std::vector<int64_t> shape;
    size_t spec;  // of the random model
    Treatment treatment;
    int64_t first_row = 0, first_column = 0;  // where this rank's part begins
    bool sparse = false;                      // only some of its rows are there

    int64_t rows() const { return shape.size() < 2 ? 1 : shape[0]; }
    int64_t width() const {
        int64_t n = 1;
        for (size_t i = shape.size() < 2 ? 0 : 1; i < shape.size(); i++) n *= shape[i];
        return n;
    }
    uint64_t row_bytes() const { return static_cast<uint64_t>(width()) * size_of(dtype); }
    uint64_t bytes() const { return static_cast<uint64_t>(rows()) * row_bytes(); }
};

bool is_one_of(const std::string& name, std::initializer_list<const char*> ends) {
    return std::any_of(ends.begin(), ends.end(), [&](const char* end) { return name.ends_with(end); });
}

class Twin {
public:
    Twin(std::string folder, const ModelConfig& config, const TwinOptions& options)
        : folder_(std::move(folder)), config_(config), o_(options), random_(with_decoder(config), options.seed) {}

    void write() {
        if (o_.files == TwinFiles::Meta) {
            write_meta();
        } else {
            write_huggingface();
        }
    }

private:
    const std::string folder_;
    const ModelConfig& config_;
    const TwinOptions& o_;
    const RandomTensors random_;

    // Hugging Face's files without a decoder have the convolution in front of it all the same.
    static ModelConfig with_decoder(ModelConfig config) {
        config.vqgan.decoder = config.has_vqgan;
        return config;
    }

    bool adjacent_pairs() const { return o_.files == TwinFiles::Meta || o_.files == TwinFiles::HuggingFaceA; }
    std::string path(const std::string& file) const { return (fs::path(folder_) / file).string(); }
    void write_json(const std::string& file, const ordered_json& object) const {
        const std::string text = object.dump(2) + "\n";
        write_file(path(file), text.data(), text.size());
    }

    // --- which tensors there are ---

    // The tensors of leon's whose names begin with `prefix`, under a map's names, whole.
    std::vector<TwinTensor> listed(const NameMap& map, const std::string& prefix) const {
        std::vector<TwinTensor> list;
        for (size_t i = 0; i < random_.specs().size(); i++) {
            const TensorSpec& spec = random_.specs()[i];
            if (!spec.name.starts_with(prefix)) continue;
            if (!config_.vqgan.decoder && spec.name.starts_with("vqgan.decoder.")) continue;
            std::string star;
            const auto rule = std::find_if(map.rules.begin(), map.rules.end(),
                                           [&](const NameRule& r) { return match(r.target, spec.name, star); });
            CHECK(rule != map.rules.end());
            const bool transformer = spec.name.starts_with("transformer.");
            TwinTensor t{substitute(rule->source, star), transformer ? DType::BF16 : DType::F32, spec.shape, i,
                         rule->treatment};
            if (t.treatment == Treatment::ChannelsLast && t.shape.size() == 4)
                t.shape = {t.shape[0], t.shape[3], t.shape[1], t.shape[2]};
            if (t.treatment == Treatment::HeadNorm && o_.files == TwinFiles::HuggingFaceA) t.shape = {t.shape[1]};
            if (t.treatment == Treatment::HeadNorm && o_.files == TwinFiles::HuggingFaceB) t.shape[0] = o_.ranks;
            t.sparse = transformer && spec.precision == Precision::Matrix && o_.every > 1;
            list.push_back(std::move(t));
        }
        return list;
    }

    // In the order in which Hugging Face's classes name their parts, which decides where a shard ends.
    static void order_like_modules(std::vector<TwinTensor>& list, const std::vector<TensorSpec>& specs) {
        static const char* const PARTS[] = {
            ".q",           ".k",    ".v",  ".o",    ".q_norm.weight",  ".q_norm.bias", ".k_norm.weight",
            ".k_norm.bias", ".gate", ".up", ".down", ".attention_norm", ".ffn_norm"};
        const auto place = [&](const TwinTensor& t) {
            const std::string& name = specs[t.spec].name;
            std::string star;
            if (!match("transformer.layers.*", name, star)) {
                const int behind = name == "transformer.output" ? 3 : name.starts_with("vqgan.") ? 2 : 1;
                return std::tuple(name == "transformer.embedding" ? 0 : behind, 0, ptrdiff_t{0});
            }
            const auto part =
                std::find_if(std::begin(PARTS), std::end(PARTS), [&](const char* end) { return star.ends_with(end); });
            return std::tuple(0, 1 + std::stoi(star), part - std::begin(PARTS));
        };
        std::stable_sort(list.begin(), list.end(),
                         [&](const TwinTensor& a, const TwinTensor& b) { return place(a) < place(b); });
    }

    void cut_to_rank(TwinTensor& t, int rank) const {
        const std::string& name = random_.specs()[t.spec].name;
        if (t.treatment == Treatment::HeadNorm) {
            t.first_row = rank * (t.shape[0] / o_.ranks);
            t.shape = {t.shape[1]};
        } else if (is_one_of(name, {".embedding", ".o", ".down"})) {
            t.shape[1] /= o_.ranks;
            t.first_column = rank * t.shape[1];
        } else if (t.shape.size() == 2) {
            t.shape[0] /= o_.ranks;
            t.first_row = rank * t.shape[0];
        }
    }

    // --- values ---

    // Row `row` of a file's tensor; false if it is a hole.
    bool fill_row(const TwinTensor& t, int64_t row, std::vector<float>& scratch, float* out) const {
        const std::vector<int64_t>& shape = random_.specs()[t.spec].shape;
        const int64_t head_dim = config_.transformer.head_dim, width = t.width();
        switch (t.treatment) {
            case Treatment::RotaryRows:
                if (adjacent_pairs()) {
                    const int64_t head = row / head_dim, place = row % head_dim;
                    row = head * head_dim + place / 2 + place % 2 * (head_dim / 2);
                }
                [[fallthrough]];
            case Treatment::Copy: {
                row += t.first_row;
                if (t.sparse && row % o_.every != 0) return false;
                const int64_t whole = shape.size() < 2 ? width : shape[1];
                random_.fill(t.spec, row * whole + t.first_column, width, out);
                return true;
            }
            case Treatment::HeadNorm: {
                const int64_t sharing = shape[0] / o_.ranks, vectors = t.shape.size() == 1 ? 1 : t.shape[0];
                const int64_t head = t.first_row + row * (shape[0] / (vectors == 1 ? shape[0] : vectors));
                scratch.resize(static_cast<size_t>(head_dim));
                random_.fill(t.spec, head / sharing * sharing * head_dim, head_dim, scratch.data());
                for (int64_t j = 0; j < head_dim; j++)
                    out[adjacent_pairs() ? adjacent_channel(j, head_dim) : j] = scratch[static_cast<size_t>(j)];
                return true;
            }
            case Treatment::ChannelsLast: {
                scratch.resize(static_cast<size_t>(width));
                random_.fill(t.spec, row * width, width, scratch.data());
                const int64_t in = shape.size() == 4 ? shape[3] : width, area = width / in;
                for (int64_t pixel = 0; pixel < area; pixel++)
                    for (int64_t channel = 0; channel < in; channel++)
                        out[channel * area + pixel] = scratch[static_cast<size_t>(pixel * in + channel)];
                return true;
            }
            case Treatment::InputPart:
                break;
        }
        check_failed(__FILE__, __LINE__, "a treatment of transformers and VQGANs");
    }

    void fill_rows(const TwinTensor& t, int64_t first, int64_t count, uint8_t* out) const {
        std::vector<float> values(static_cast<size_t>(t.width())), scratch;
        for (int64_t row = first; row < first + count; row++, out += t.row_bytes()) {
            if (!fill_row(t, row, scratch, values.data())) std::fill(values.begin(), values.end(), 0.0f);
            if (t.dtype == DType::F32) {
                std::memcpy(out, values.data(), t.row_bytes());
                continue;
            }
            for (size_t i = 0; i < values.size(); i++) {
                const uint16_t half = float_to_bf16(values[i]);
                std::memcpy(out + i * sizeof half, &half, sizeof half);
            }
        }
    }

    // A part's bytes and checksum, or how many bytes are a hole.
    using Write = std::function<void(const void* data, uint64_t bytes, uint32_t crc)>;
    using Skip = std::function<void(uint64_t bytes)>;

    void stream(const TwinTensor& t, const Write& write, const Skip& skip) const {
        if (t.sparse) return stream_sparse(t, write, skip);
        const int64_t part = std::clamp<int64_t>(PART_ELEMENTS / t.width(), 1, t.rows());
        std::vector<uint8_t> bytes(static_cast<size_t>(PARTS_AT_ONCE * part) * t.row_bytes());
        for (int64_t first = 0; first < t.rows(); first += PARTS_AT_ONCE * part) {
            const int64_t count = std::min(PARTS_AT_ONCE * part, t.rows() - first), parts = (count + part - 1) / part;
            std::vector<uint32_t> crcs(static_cast<size_t>(parts));
            const auto place = [&](int64_t i) { return bytes.data() + static_cast<size_t>(i * part) * t.row_bytes(); };
            const auto size = [&](int64_t i) {
                return static_cast<size_t>(std::min(part, count - i * part)) * t.row_bytes();
            };
            parallel(parts, [&](int64_t i, int) {
                fill_rows(t, first + i * part, std::min(part, count - i * part), place(i));
                crcs[static_cast<size_t>(i)] = crc32({place(i), size(i)});
            });
            for (int64_t i = 0; i < parts; i++) write(place(i), size(i), crcs[static_cast<size_t>(i)]);
        }
    }

    void stream_sparse(const TwinTensor& t, const Write& write, const Skip& skip) const {
        std::vector<float> values(static_cast<size_t>(t.width())), scratch;
        std::vector<uint8_t> bytes(t.row_bytes());
        uint64_t hole = 0;
        for (int64_t row = 0; row < t.rows(); row++) {
            if (!fill_row(t, row, scratch, values.data())) {
                hole += t.row_bytes();
                continue;
            }
            if (hole > 0) skip(hole);
            hole = 0;
            fill_rows(t, row, 1, bytes.data());
            write(bytes.data(), bytes.size(), crc32(bytes));
        }
        if (hole > 0) skip(hole);
    }

    // --- Meta's files ---

    void write_meta() const {
        const TransformerConfig& c = config_.transformer;
        for (int rank = 0; rank < o_.ranks; rank++) {
            std::vector<TwinTensor> list = listed(META_NAMES, "transformer.");
            for (TwinTensor& t : list) cut_to_rank(t, rank);
            write_torch(o_.ranks == 1 ? "consolidated.pth" : format("consolidated.%02d.pth", rank), list, "");
        }
        ordered_json model = {{"dim", c.dim},
                              {"n_layers", c.layers},
                              {"n_heads", c.heads},
                              {"vocab_size", c.vocab},
                              {"norm_eps", c.norm_eps},
                              {"rope_theta", c.rope_theta},
                              {"qk_normalization", true},
                              {"swin_norm", c.norm_placement == NormPlacement::After},
                              {"multiple_of", 256},
                              {"ffn_dim_multiplier", nullptr}};
        if (c.kv_heads != c.heads) model["n_kv_heads"] = c.kv_heads;
        write_json("params.json", {{"model", model}});
        write_json("consolidate_params.json", {{"src", "twin_noimggen"},
                                               {"tgt", "twin"},
                                               {"dtype", "bf16"},
                                               {"model_parallel_size", o_.ranks},
                                               {"on_gpu", true},
                                               {"tokenizer_path", nullptr}});
        if (!config_.has_vqgan && o_.tokenizer_json.empty()) return;
        fs::create_directories(path("tokenizer"));
        if (!o_.tokenizer_json.empty())
            write_file(path("tokenizer/text_tokenizer.json"), o_.tokenizer_json.data(), o_.tokenizer_json.size());
        if (!config_.has_vqgan) return;
        std::vector<TwinTensor> list = listed(VQGAN_NAMES, "vqgan.");
        for (TwinTensor& t : list) t.name = t.name.substr(std::string("model.vqmodel.").size());
        write_torch("tokenizer/vqgan.ckpt", list, "state_dict");
        const std::string yaml = "model:\n  params:\n    embed_dim: " + std::to_string(config_.vqgan.code_dim) +
                                 "\n    n_embed: " + std::to_string(config_.vqgan.codes) +
                                 "\n    ddconfig:\n      resolution: " + std::to_string(config_.vqgan.resolution) +
                                 "\n";
        write_file(path("tokenizer/vqgan.yaml"), yaml.data(), yaml.size());
    }

    // A dictionary of tensors, or a checkpoint of PyTorch Lightning with it inside, under `nest`.
    void write_torch(const std::string& file, const std::vector<TwinTensor>& list, const std::string& nest) const {
        const int64_t frequencies = config_.has_transformer ? config_.transformer.head_dim / 2 : 1;
        PickleText pickle;
        pickle.text += "}(";
        if (!nest.empty()) {
            pickle.string("pytorch-lightning_version");
            pickle.string("1.0.8");
            pickle.string(nest);
            pickle.text += "}(";
        }
        for (size_t i = 0; i < list.size(); i++) {
            pickle.string(list[i].name);
            pickle.tensor(list[i].dtype == DType::F32 ? "FloatStorage" : "BFloat16Storage", i, list[i].shape);
        }
        pickle.string(nest.empty() ? "rope.freqs" : "loss.discriminator.main.0.bias");
        pickle.tensor("FloatStorage", list.size(), {frequencies});
        pickle.text += nest.empty() ? "u." : "uu.";

        TorchArchive archive(path(file), fs::path(file).stem().string());
        archive.member("data.pkl", pickle.text);
        archive.member("byteorder", "little");
        for (size_t i = 0; i < list.size(); i++) {
            archive.begin("data/" + std::to_string(i));
            stream(
                list[i], [&](const void* data, uint64_t bytes, uint32_t crc) { archive.write(data, bytes, crc); },
                [&](uint64_t bytes) { archive.skip(bytes); });
            archive.end();
        }
        archive.begin("data/" + std::to_string(list.size()));
        archive.skip(static_cast<uint64_t>(frequencies) * sizeof(float));
        archive.end();
        archive.member("version", "3\n");
        archive.finish();
    }

    // --- Hugging Face's files ---

    void write_huggingface() const {
        std::vector<TwinTensor> all = listed(CHAMELEON_NAMES, "transformer.");
        if (config_.has_vqgan)
            for (TwinTensor& t : listed(VQGAN_NAMES, "vqgan.")) all.push_back(std::move(t));
        order_like_modules(all, random_.specs());
        std::vector<std::vector<TwinTensor>> shards(1);
        uint64_t bytes = 0, total = 0;
        for (TwinTensor& t : all) {
            if (bytes + t.bytes() > o_.shard_bytes && !shards.back().empty()) {
                shards.emplace_back();
                bytes = 0;
            }
            bytes += t.bytes();
            total += t.bytes();
            shards.back().push_back(std::move(t));
        }
        ordered_json index = {{"metadata", {{"total_size", total}}}, {"weight_map", ordered_json::object()}};
        for (size_t i = 0; i < shards.size(); i++) {
            const std::string file = shards.size() == 1
                                         ? "model.safetensors"
                                         : format("model-%05zu-of-%05zu.safetensors", i + 1, shards.size());
            for (const TwinTensor& t : shards[i]) index["weight_map"][t.name] = file;
            write_safetensors(file, std::move(shards[i]));
        }
        if (shards.size() > 1) write_json("model.safetensors.index.json", index);
        write_json("config.json", huggingface_config());
        if (!o_.tokenizer_json.empty())
            write_file(path("tokenizer.json"), o_.tokenizer_json.data(), o_.tokenizer_json.size());
    }

    // The official library orders tensors by the size of their elements, then by name.
    void write_safetensors(const std::string& file, std::vector<TwinTensor> list) const {
        std::sort(list.begin(), list.end(), [](const TwinTensor& a, const TwinTensor& b) {
            return std::pair(b.dtype == DType::F32, a.name) < std::pair(a.dtype == DType::F32, b.name);
        });
        ordered_json header = {{"__metadata__", {{"format", "pt"}}}};
        uint64_t offset = 0;
        for (const TwinTensor& t : list) {
            header[t.name] = {
                {"dtype", name_of(t.dtype)}, {"shape", t.shape}, {"data_offsets", {offset, offset + t.bytes()}}};
            offset += t.bytes();
        }
        std::string text = header.dump();
        text.append((8 - text.size() % 8) % 8, ' ');
        LargeFile out(path(file));
        out.write(little_endian(text.size(), 8) + text);
        for (const TwinTensor& t : list)
            stream(
                t, [&](const void* data, uint64_t bytes, uint32_t) { out.write(data, bytes); },
                [&](uint64_t bytes) { out.skip(bytes); });
        out.finish();
    }

    ordered_json huggingface_config() const {
        const TransformerConfig& c = config_.transformer;
        const VqganConfig& v = config_.vqgan;
        ordered_json config = {{"architectures", {"ChameleonForConditionalGeneration"}},
                               {"attention_bias", false},
                               {"bos_token_id", 1},
                               {"eos_token_id", 2},
                               {"hidden_act", "silu"},
                               {"hidden_size", c.dim},
                               {"intermediate_size", c.ffn_dim},
                               {"max_position_embeddings", c.context},
                               {"mlp_bias", false},
                               {"model_parallel_size", o_.ranks},
                               {"model_type", "chameleon"},
                               {"num_attention_heads", c.heads},
                               {"num_hidden_layers", c.layers},
                               {"num_key_value_heads", c.kv_heads},
                               {"rms_norm_eps", c.norm_eps},
                               {"rope_scaling", nullptr},
                               {"rope_theta", c.rope_theta},
                               {"swin_norm", c.norm_placement == NormPlacement::After},
                               {"tie_word_embeddings", false},
                               {"torch_dtype", "bfloat16"},
                               {"vocab_size", c.vocab},
                               {"vq_config", nullptr},
                               {"vocabulary_map", ordered_json::object()}};
        if (o_.files == TwinFiles::HuggingFaceA) config["qk_layernorm"] = true;
        if (config_.has_vqgan)
            config["vq_config"] = {{"base_channels", v.channels},    {"channel_multiplier", v.multipliers},
                                   {"num_res_blocks", v.res_blocks}, {"latent_channels", v.z_channels},
                                   {"embed_dim", v.code_dim},        {"num_embeddings", v.codes},
                                   {"resolution", v.resolution},     {"in_channels", v.in_channels}};
        ordered_json& words = config["vocabulary_map"];
        constexpr int FIRST_CODE = 4, END_OF_IMAGE = 8196, FIRST_SENTINEL = 8198, FIRST_RESERVED = 8710;
        for (int id = FIRST_CODE; id < std::min(END_OF_IMAGE, c.vocab); id++) {
            std::string letters = std::to_string(id - FIRST_CODE);
            for (char& digit : letters) digit = static_cast<char>(digit - '0' + 'A');
            words["IMGIMG" + letters + "Z"] = id;
        }
        for (int id = FIRST_SENTINEL; id < std::min(FIRST_RESERVED, c.vocab); id++)
            words[format("<sentinel:%d>", id - FIRST_SENTINEL)] = id;
        return config;
    }
};

}  // namespace

void write_twin(const std::string& folder, const ModelConfig& config, const TwinOptions& options) {
    CHECK(options.ranks >= 1 && options.every >= 1);
    CHECK(options.ranks == 1 || options.files != TwinFiles::HuggingFaceA);
    Twin(folder, config, options).write();
}

}  // namespace leon
