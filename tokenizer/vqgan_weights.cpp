// Binding by name: the tensors of taming-transformers, in its order, as a walk over the levels.
#include "tokenizer/vqgan_weights.h"

namespace leon {
namespace {

class VqganBinder {
public:
    VqganBinder(const VqganConfig& config, const VqganTensors& tensors) : config_(config), tensors_(tensors) {}

    EncoderWeights encoder() const {
        const int last = config_.levels() - 1;
        EncoderWeights w;
        w.conv_in = conv("encoder.conv_in", config_.in_channels, config_.channels, 3);
        int64_t width = config_.channels;
        for (int level = 0; level <= last; level++) {
            const std::string name = "encoder.down." + std::to_string(level);
            w.levels.push_back(blocks(name, width, level, config_.res_blocks));
            width = width_of(level);
            if (level < last) w.levels.back().resample = conv(name + ".downsample.conv", width, width, 3);
        }
        w.mid = mid("encoder.mid", width);
        w.norm_out = norm("encoder.norm_out", width);
        w.conv_out = conv("encoder.conv_out", width, config_.z_channels, 3);
        w.quant_conv = conv("quant_conv", config_.z_channels, config_.code_dim, 1);
        return w;
    }

    DecoderWeights decoder() const {
        const int last = config_.levels() - 1;
        DecoderWeights w;
        int64_t width = width_of(last);
        w.post_quant_conv = conv("post_quant_conv", config_.code_dim, config_.z_channels, 1);
        w.conv_in = conv("decoder.conv_in", config_.z_channels, width, 3);
        w.mid = mid("decoder.mid", width);
        for (int level = last; level >= 0; level--) {
            const std::string name = "decoder.up." + std::to_string(level);
            w.levels.push_back(blocks(name, width, level, config_.res_blocks + 1));
            width = width_of(level);
            if (level > 0) w.levels.back().resample = conv(name + ".upsample.conv", width, width, 3);
        }
        w.norm_out = norm("decoder.norm_out", width);
        w.conv_out = conv("decoder.conv_out", width, config_.in_channels, 3);
        return w;
    }

    Tensor codebook() const { return tensors_.vector("codebook", {config_.codes, config_.code_dim}); }

private:
    int64_t width_of(int level) const {
        return int64_t{config_.channels} * config_.multipliers[static_cast<size_t>(level)];
    }
    ConvWeights conv(const std::string& name, int64_t in, int64_t out, int64_t kernel) const {
        return {tensors_.matrix(name + ".weight", {out, kernel, kernel, in}), tensors_.vector(name + ".bias", {out})};
    }
    NormWeights norm(const std::string& name, int64_t channels) const {
        return {tensors_.vector(name + ".weight", {channels}), tensors_.vector(name + ".bias", {channels})};
    }
    ResBlockWeights res_block(const std::string& name, int64_t in, int64_t out) const {
        ResBlockWeights w;
        w.norm1 = norm(name + ".norm1", in);
        w.conv1 = conv(name + ".conv1", in, out, 3);
        w.norm2 = norm(name + ".norm2", out);
        w.conv2 = conv(name + ".conv2", out, out, 3);
        if (in != out) w.nin_shortcut = conv(name + ".nin_shortcut", in, out, 1);
        return w;
    }
    LevelWeights blocks(const std::string& name, int64_t in, int level, int count) const {
        LevelWeights w;
        for (int i = 0; i < count; i++)
            w.blocks.push_back(
                res_block(name + ".block." + std::to_string(i), i == 0 ? in : width_of(level), width_of(level)));
        return w;
    }
    MidWeights mid(const std::string& name, int64_t width) const {
        MidWeights w;
        w.block_1 = res_block(name + ".block_1", width, width);
        w.attn_1.norm = norm(name + ".attn_1.norm", width);
        w.attn_1.q = conv(name + ".attn_1.q", width, width, 1);
        w.attn_1.k = conv(name + ".attn_1.k", width, width, 1);
        w.attn_1.v = conv(name + ".attn_1.v", width, width, 1);
        w.attn_1.proj_out = conv(name + ".attn_1.proj_out", width, width, 1);
        w.block_2 = res_block(name + ".block_2", width, width);
        return w;
    }

    const VqganConfig& config_;
    const VqganTensors& tensors_;
};

}  // namespace

VqganWeights bind_vqgan(const VqganConfig& config, const VqganTensors& tensors) {
    VqganBinder binder(config, tensors);
    VqganWeights w;
    if (config.encoder) w.encoder = binder.encoder();
    if (config.decoder) w.decoder = binder.decoder();
    w.codebook = binder.codebook();
    return w;
}

}  // namespace leon
