// Random weights by hashing a counter: 7 billion values take about as long as writing them.
#include "weights_converter/random_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/weights_file.h"

namespace leon {
namespace {

constexpr int64_t FILLED_AT_ONCE = int64_t{1} << 20;

struct Preset {
    const char* name;
    Layout layout;
    int layers, dim, heads, kv_heads, ffn_dim;
    NormPlacement norm_placement;
};

constexpr Preset PRESETS[] = {
    {"350m", Layout::CM3Leon, 24, 1024, 16, 16, 4096, NormPlacement::Before},
    {"760m", Layout::CM3Leon, 24, 1536, 16, 16, 6144, NormPlacement::Before},
    {"cm3leon-7b", Layout::CM3Leon, 32, 4096, 32, 32, 16384, NormPlacement::Before},
    {"7b", Layout::Chameleon, 32, 4096, 32, 32, 11008, NormPlacement::Before},
    {"34b", Layout::Chameleon, 48, 8192, 64, 8, 22016, NormPlacement::After},
};

TransformerConfig transformer_of(const Preset& p) {
    const bool cm3leon = p.layout == Layout::CM3Leon;
    TransformerConfig c;
    c.norm = cm3leon ? Norm::LayerNorm : Norm::RMS;
    c.norm_placement = p.norm_placement;
    c.positions = cm3leon ? Positions::Learned : Positions::Rotary;
    c.feed_forward = cm3leon ? FeedForward::ReLU : FeedForward::SwiGLU;
    c.qk_norm = !cm3leon;
    c.tied_output = cm3leon;
    c.layers = p.layers;
    c.dim = p.dim;
    c.heads = p.heads;
    c.kv_heads = p.kv_heads;
    c.head_dim = p.dim / p.heads;
    c.ffn_dim = p.ffn_dim;
    c.vocab = cm3leon ? 66056 : 65536;
    c.context = 4096;
    c.norm_eps = 1e-5f;
    if (c.qk_norm) c.qk_norm_eps = 1e-5f;
    if (c.positions == Positions::Rotary) c.rope_theta = 10000;
    if (c.positions == Positions::Learned) c.position_offset = 2;
    return c;
}

VqganConfig shared_vqgan() {
    VqganConfig c;
    c.channels = 128;
    c.multipliers = {1, 1, 2, 2, 4};
    c.res_blocks = 2;
    c.z_channels = 256;
    c.code_dim = 256;
    c.codes = 8192;
    c.resolution = 512;
    c.encoder = c.decoder = true;
    return c;
}

// Steele, Lea and Flood's SplitMix64: 64 random bits from a counter.
uint64_t mixed(uint64_t counter) {
    uint64_t z = counter * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

bool ends_with(const std::string& text, const char* end) {
    return text.size() >= std::strlen(end) && text.compare(text.size() - std::strlen(end), std::string::npos, end) == 0;
}

// Uniform in [-limit, limit] around `centre`: norms scale by about one, biases are small, and a matrix keeps the
// variance of what it is multiplied with.
struct Distribution {
    float centre, limit;
};
Distribution distribution_of(const TensorSpec& tensor) {
    const bool vector = tensor.shape.size() == 1 || tensor.name.find("_norm.") != std::string::npos;
    if (ends_with(tensor.name, "bias")) return {0.0f, 0.1f};
    if (vector) return {1.0f, 0.1f};
    const int64_t fan_in = tensor.elements() / tensor.shape[0];
    return {0.0f, std::sqrt(3.0f / static_cast<float>(fan_in))};
}

}  // namespace

std::vector<std::string> preset_names() {
    std::vector<std::string> names;
    for (const Preset& p : PRESETS) names.push_back(p.name);
    return names;
}

ModelConfig preset(const std::string& name, WithVqgan vqgan) {
    std::string known;
    for (const Preset& p : PRESETS) {
        known += (known.empty() ? "" : ", ") + std::string(p.name);
        if (name != p.name) continue;
        ModelConfig config;
        config.name = "random-" + name;
        config.layout = p.layout;
        config.has_transformer = true;
        config.transformer = transformer_of(p);
        config.has_vqgan = vqgan == WithVqgan::Yes;
        if (config.has_vqgan) config.vqgan = shared_vqgan();
        return config;
    }
    throw Error("there is no model shape of this name", name, "known shapes: " + known);
}

RandomTensors::RandomTensors(const ModelConfig& config, uint64_t seed) : specs_(tensors_of(config)) {
    uint64_t base = mixed(seed);
    for (const TensorSpec& spec : specs_) {
        bases_.push_back(base);
        base += static_cast<uint64_t>(spec.elements());
    }
}

// Four elements from each 64 random bits.
void RandomTensors::fill(size_t tensor, int64_t first, int64_t count, float* out) const {
    const Distribution d = distribution_of(specs_[tensor]);
    const float step = d.limit / 32768.0f;
    for (int64_t i = first; i < first + count;) {
        uint64_t bits = mixed(bases_[tensor] + static_cast<uint64_t>(i) / 4) >> (16 * (i % 4));
        for (const int64_t end = std::min(i / 4 * 4 + 4, first + count); i < end; i++, bits >>= 16)
            *out++ = d.centre + step * (static_cast<float>(bits & 0xffff) - 32767.5f);
    }
}

void write_random_model(const std::string& path, const ModelConfig& config, DType matrices, uint64_t seed,
                        const std::string& tokenizer_json) {
    CHECK(matrices == DType::F32 || matrices == DType::BF16);
    const RandomTensors tensors(config, seed);
    auto dtype_of = [&](const TensorSpec& t) { return t.precision == Precision::Matrix ? matrices : DType::F32; };
    WeightsWriter writer(path, print_config(config), tokenizer_json);
    for (const TensorSpec& t : tensors.specs()) writer.declare(t.name, dtype_of(t), t.shape);
    writer.begin();

    std::vector<float> values(FILLED_AT_ONCE);
    std::vector<uint16_t> narrow(FILLED_AT_ONCE);
    for (size_t i = 0; i < tensors.specs().size(); i++) {
        const TensorSpec& t = tensors.specs()[i];
        for (int64_t first = 0; first < t.elements(); first += FILLED_AT_ONCE) {
            const int64_t count = std::min(FILLED_AT_ONCE, t.elements() - first);
            tensors.fill(i, first, count, values.data());
            if (dtype_of(t) == DType::BF16) {
                for (int64_t j = 0; j < count; j++)
                    narrow[static_cast<size_t>(j)] = float_to_bf16(values[static_cast<size_t>(j)]);
                writer.write_part(narrow.data(), static_cast<size_t>(count) * 2);
            } else {
                writer.write_part(values.data(), static_cast<size_t>(count) * 4);
            }
        }
    }
    writer.commit();
}

}  // namespace leon
