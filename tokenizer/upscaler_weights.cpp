// Binding by name, in the order of a forward pass.
#include "tokenizer/upscaler_weights.h"

namespace leon {
namespace {

class UpscalerBinder {
public:
    UpscalerBinder(const UpscalerConfig& config, const UpscalerTensors& tensors) : config_(config), tensors_(tensors) {}

    RrdbWeights rrdb() const {
        const int64_t width = config_.channels;
        RrdbWeights w;
        w.conv_first = conv("conv_first", config_.in_channels(), width);
        for (int block = 0; block < config_.blocks; block++) {
            BlockWeights& b = w.body.emplace_back();
            for (int dense = 0; dense < DENSE_BLOCKS; dense++)
                for (int i = 0; i < DENSE_CONVOLUTIONS; i++)
                    b[dense][i] = dense_conv("body." + std::to_string(block) + ".rdb" + std::to_string(dense + 1), i);
        }
        w.conv_body = conv("conv_body", width, width);
        w.conv_up1 = conv("conv_up1", width, width);
        w.conv_up2 = conv("conv_up2", width, width);
        w.conv_hr = conv("conv_hr", width, width);
        w.conv_last = conv("conv_last", width, 3);
        return w;
    }

    CompactWeights compact() const {
        const int last = config_.blocks + 1;
        CompactWeights w;
        for (int i = 0; i <= last; i++) {
            w.convs.push_back(conv("body." + std::to_string(2 * i), i == 0 ? 3 : config_.channels,
                                   i == last ? 3 * config_.factor * config_.factor : config_.channels));
            if (i < last)
                w.slopes.push_back(
                    tensors_.vector("body." + std::to_string(2 * i + 1) + ".weight", {config_.channels}));
        }
        return w;
    }

private:
    ConvWeights conv(const std::string& name, int64_t in, int64_t out) const {
        return {tensors_.matrix(name + ".weight", {out, 3, 3, in}), tensors_.vector(name + ".bias", {out})};
    }
    DenseConvWeights dense_conv(const std::string& dense_block, int index) const {
        const std::string name = dense_block + ".conv" + std::to_string(index + 1);
        const int64_t out = index + 1 < DENSE_CONVOLUTIONS ? config_.growth : config_.channels;
        DenseConvWeights parts;
        for (int part = 0; part <= index; part++)
            parts.push_back(
                {tensors_.matrix(name + ".weight." + std::to_string(part), {out, 3, 3, config_.part_channels(part)}),
                 part == 0 ? tensors_.vector(name + ".bias", {out}) : tensors_.zeros(out)});
        return parts;
    }

    const UpscalerConfig& config_;
    const UpscalerTensors& tensors_;
};

}  // namespace

UpscalerWeights bind_upscaler(const UpscalerConfig& config, const UpscalerTensors& tensors) {
    const UpscalerBinder binder(config, tensors);
    UpscalerWeights w;
    if (config.kind == UpscalerKind::RRDB) w.rrdb = binder.rrdb();
    if (config.kind == UpscalerKind::Compact) w.compact = binder.compact();
    return w;
}

}  // namespace leon
