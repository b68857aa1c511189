// The list of tensors for a configuration; see schema.h.
#include "runtime/schema.h"

namespace leon {
namespace {

constexpr Precision MATRIX = Precision::Matrix, EXACT = Precision::Exact;
using Specs = std::vector<TensorSpec>;

void add_transformer(Specs& specs, const TransformerConfig& c) {
    const int64_t dim = c.dim, ffn_dim = c.ffn_dim, vocab = c.vocab;
    const int64_t heads = c.heads, kv_heads = c.kv_heads, head_dim = c.head_dim;
    auto add = [&](const std::string& name, std::vector<int64_t> shape, Precision precision, bool sensitive = false) {
        specs.push_back({"transformer." + name, std::move(shape), precision, sensitive});
    };
    auto add_norm = [&](const std::string& name, NormPlacement placement) {
        if (c.norm == Norm::RMS && c.norm_placement == placement) add(name, {dim}, EXACT);
    };

    add("embedding", {vocab, dim}, MATRIX, true);
    if (c.positions == Positions::Learned) add("positions", {c.context + c.position_offset, dim}, MATRIX);
    if (c.segments) add("places", {places_of(c.segments), dim}, MATRIX);
    for (int i = 0; i < c.layers; i++) {
        const std::string layer = "layers." + std::to_string(i) + ".";
        const bool is_late = i >= c.layers / 2;
        add_norm(layer + "attention_norm", NormPlacement::Before);
        add(layer + "q", {heads * head_dim, dim}, MATRIX);
        add(layer + "k", {kv_heads * head_dim, dim}, MATRIX);
        add(layer + "v", {kv_heads * head_dim, dim}, MATRIX);
        if (c.qk_norm) {
            add(layer + "q_norm.weight", {heads, head_dim}, EXACT);
            add(layer + "q_norm.bias", {heads, head_dim}, EXACT);
            add(layer + "k_norm.weight", {kv_heads, head_dim}, EXACT);
            add(layer + "k_norm.bias", {kv_heads, head_dim}, EXACT);
        }
        add(layer + "o", {dim, heads * head_dim}, MATRIX);
        add_norm(layer + "attention_norm", NormPlacement::After);
        add_norm(layer + "ffn_norm", NormPlacement::Before);
        if (c.feed_forward == FeedForward::SwiGLU) add(layer + "gate", {ffn_dim, dim}, MATRIX, is_late);
        add(layer + "up", {ffn_dim, dim}, MATRIX, is_late);
        add(layer + "down", {dim, ffn_dim}, MATRIX, true);
        add_norm(layer + "ffn_norm", NormPlacement::After);
    }
    if (c.norm == Norm::RMS) add("norm", {dim}, EXACT);
    if (!c.tied_output) add("output", {vocab, dim}, MATRIX, true);
}

// Appends the parts of which encoder and decoder are built. `precision` is that of the convolution weights.
struct PictureParts {
    Specs& specs;
    Precision precision;

    void norm(const std::string& name, int64_t channels) {
        specs.push_back({name + ".weight", {channels}, EXACT});
        specs.push_back({name + ".bias", {channels}, EXACT});
    }
    void conv(const std::string& name, int64_t in, int64_t out, int64_t side) {
        specs.push_back({name + ".weight", {out, side, side, in}, precision});
        specs.push_back({name + ".bias", {out}, EXACT});
    }
    void res_block(const std::string& name, int64_t in, int64_t out) {
        norm(name + ".norm1", in);
        conv(name + ".conv1", in, out, 3);
        norm(name + ".norm2", out);
        conv(name + ".conv2", out, out, 3);
        if (in != out) conv(name + ".nin_shortcut", in, out, 1);
    }
    void middle(const std::string& name, int64_t channels) {
        res_block(name + ".block_1", channels, channels);
        norm(name + ".attn_1.norm", channels);
        for (const char* part : {".attn_1.q", ".attn_1.k", ".attn_1.v", ".attn_1.proj_out"})
            conv(name + part, channels, channels, 1);
        res_block(name + ".block_2", channels, channels);
    }
};

void add_encoder(Specs& specs, const VqganConfig& c) {
    PictureParts parts{specs, EXACT};
    int64_t width = c.channels;
    parts.conv("vqgan.encoder.conv_in", c.in_channels, width, 3);
    for (int level = 0; level < c.levels(); level++) {
        const std::string name = "vqgan.encoder.down." + std::to_string(level);
        const int64_t out = static_cast<int64_t>(c.channels) * c.multipliers[level];
        for (int block = 0; block < c.res_blocks; block++) {
            parts.res_block(name + ".block." + std::to_string(block), width, out);
            width = out;
        }
        if (level + 1 < c.levels()) parts.conv(name + ".downsample.conv", width, width, 3);
    }
    parts.middle("vqgan.encoder.mid", width);
    parts.norm("vqgan.encoder.norm_out", width);
    parts.conv("vqgan.encoder.conv_out", width, c.z_channels, 3);
    parts.conv("vqgan.quant_conv", c.z_channels, c.code_dim, 1);
}

void add_decoder(Specs& specs, const VqganConfig& c) {
    PictureParts parts{specs, MATRIX};
    int64_t width = static_cast<int64_t>(c.channels) * c.multipliers.back();
    parts.conv("vqgan.post_quant_conv", c.code_dim, c.z_channels, 1);
    parts.conv("vqgan.decoder.conv_in", c.z_channels, width, 3);
    parts.middle("vqgan.decoder.mid", width);
    for (int level = c.levels() - 1; level >= 0; level--) {
        const std::string name = "vqgan.decoder.up." + std::to_string(level);
        const int64_t out = static_cast<int64_t>(c.channels) * c.multipliers[level];
        for (int block = 0; block <= c.res_blocks; block++) {  // one more than in the encoder
            parts.res_block(name + ".block." + std::to_string(block), width, out);
            width = out;
        }
        if (level > 0) parts.conv(name + ".upsample.conv", width, width, 3);
    }
    parts.norm("vqgan.decoder.norm_out", width);
    parts.conv("vqgan.decoder.conv_out", width, c.in_channels, 3);
}

// A convolution of a dense block reads all that stands side by side before it. There are no strided tensors, so its
// weight is cut by input: one convolution a part, and their sum is the whole.
void add_dense_block(PictureParts& parts, const UpscalerConfig& c, const std::string& name) {
    for (int i = 0; i < DENSE_CONVOLUTIONS; i++) {
        const std::string conv = name + ".conv" + std::to_string(i + 1);
        const int64_t out = i + 1 < DENSE_CONVOLUTIONS ? c.growth : c.channels;
        for (int part = 0; part <= i; part++)
            parts.specs.push_back(
                {conv + ".weight." + std::to_string(part), {out, 3, 3, c.part_channels(part)}, MATRIX});
        parts.specs.push_back({conv + ".bias", {out}, EXACT});
    }
}

void add_upscaler(Specs& specs, const UpscalerConfig& c) {
    PictureParts parts{specs, MATRIX};
    if (c.kind == UpscalerKind::Compact) {
        for (int i = 0; i <= c.blocks; i++) {
            const std::string name = "upscaler.body.";
            parts.conv(name + std::to_string(2 * i), i == 0 ? 3 : c.channels, c.channels, 3);
            specs.push_back({name + std::to_string(2 * i + 1) + ".weight", {c.channels}, EXACT});
        }
        parts.conv("upscaler.body." + std::to_string(2 * c.blocks + 2), c.channels, 3 * c.factor * c.factor, 3);
        return;
    }
    parts.conv("upscaler.conv_first", c.in_channels(), c.channels, 3);
    for (int block = 0; block < c.blocks; block++)
        for (int dense = 1; dense <= DENSE_BLOCKS; dense++)
            add_dense_block(parts, c, "upscaler.body." + std::to_string(block) + ".rdb" + std::to_string(dense));
    for (const char* name : {"conv_body", "conv_up1", "conv_up2", "conv_hr"})
        parts.conv(std::string("upscaler.") + name, c.channels, c.channels, 3);
    parts.conv("upscaler.conv_last", c.channels, 3, 3);
}

// LayerNorms and projections come as weight and bias.
void add_clip_layers(PictureParts& parts, const std::string& tower, const ClipTower& c) {
    const auto linear = [&](const std::string& name, int64_t out, int64_t in) {
        parts.specs.push_back({name + ".weight", {out, in}, MATRIX});
        parts.specs.push_back({name + ".bias", {out}, EXACT});
    };
    for (int i = 0; i < c.layers; i++) {
        const std::string layer = tower + "layers." + std::to_string(i) + ".";
        parts.norm(layer + "attention_norm", c.dim);
        for (const char* name : {"q", "k", "v", "o"}) linear(layer + name, c.dim, c.dim);
        parts.norm(layer + "ffn_norm", c.dim);
        linear(layer + "up", c.ffn_dim, c.dim);
        linear(layer + "down", c.dim, c.ffn_dim);
    }
    parts.norm(tower + "norm", c.dim);
}

void add_clip(Specs& specs, const ClipConfig& c) {
    PictureParts parts{specs, MATRIX};
    specs.push_back({"clip.text.embedding", {c.vocab, c.text.dim}, MATRIX});
    specs.push_back({"clip.text.positions", {c.context, c.text.dim}, MATRIX});
    add_clip_layers(parts, "clip.text.", c.text);
    specs.push_back({"clip.text.projection", {c.dim, c.text.dim}, MATRIX});

    specs.push_back({"clip.vision.patches", {c.vision.dim, c.patch, c.patch, 3}, MATRIX});
    specs.push_back({"clip.vision.class", {c.vision.dim}, EXACT});
    specs.push_back({"clip.vision.positions", {c.patches() + 1, c.vision.dim}, MATRIX});
    parts.norm("clip.vision.first_norm", c.vision.dim);
    add_clip_layers(parts, "clip.vision.", c.vision);
    specs.push_back({"clip.vision.projection", {c.dim, c.vision.dim}, MATRIX});
}

}  // namespace

int64_t TensorSpec::elements() const {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
}

std::vector<TensorSpec> tensors_of(const ModelConfig& config) {
    Specs specs;
    if (config.has_transformer) add_transformer(specs, config.transformer);
    if (config.has_vqgan) {
        if (config.vqgan.encoder) add_encoder(specs, config.vqgan);
        specs.push_back({"vqgan.codebook", {config.vqgan.codes, config.vqgan.code_dim}, EXACT});
        if (config.vqgan.decoder) add_decoder(specs, config.vqgan);
    }
    if (config.has_upscaler) add_upscaler(specs, config.upscaler);
    if (config.has_clip) add_clip(specs, config.clip);
    return specs;
}

DType stored_type(const TensorSpec& tensor, DType precision, bool mixed) {
    if (tensor.precision == Precision::Exact) return DType::F32;
    if (!has_row_scale(precision)) return precision;
    if (tensor.shape.size() != 2) return DType::BF16;
    if (mixed && tensor.sensitive) return precision == DType::I4 ? DType::I8 : DType::BF16;
    const bool has_groups = tensor.name.starts_with("transformer.layers.") && tensor.shape[1] % GROUP == 0;
    return precision == DType::I4 && !has_groups ? DType::I8 : precision;
}

}  // namespace leon
