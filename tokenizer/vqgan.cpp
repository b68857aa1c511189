// The VQGAN's forward passes. encode() and decode() below read like the tables in the published architecture
// (taming-transformers, as Chameleon uses it); memory is tokenizer/feature_maps.h.
//
// Three maps of the finest level are alive at a time, so 1024x1024 with the published widths takes 3 x 537 MB while it
// runs and nothing afterwards.
#include "tokenizer/vqgan.h"

#include <utility>

#include "runtime/adopted.h"
#include "tokenizer/feature_maps.h"
#include "tokenizer/vqgan_weights.h"

namespace leon {
namespace {

constexpr int GROUPS = 32;
constexpr float GROUP_NORM_EPS = 1e-6f;

using Map = FeatureMap;

// The operations of this network's own.
class VqganPass : public FeaturePass {
public:
    using FeaturePass::FeaturePass;

    // The same of swish(norm(x)), 3x3. scratch: of x's shape, lost; it may be x.
    Map norm_conv(const Map& x, const NormWeights& norm, const ConvWeights& w, const Map& scratch,
                  const Map* residual = nullptr) {
        const GroupNorm groups = {norm.weight, norm.bias, GROUPS, GROUP_NORM_EPS, Activation::Swish};
        return convolve(x, groups, w, SAME, residual, scratch.tensor);
    }
    Map group_norm(const Map& x, const NormWeights& w) {
        Map out = like(x);
        if (kernels_)
            leon::group_norm(*kernels_, out.tensor, x.tensor, w.weight, w.bias, GROUPS, GROUP_NORM_EPS,
                             Activation::None);
        return out;
    }
    Map attention(const Map& q, const Map& k, const Map& v) {
        Map out = make(q.height(), q.width(), q.channels());
        macs_ += 2.0 * static_cast<double>(q.pixels()) * static_cast<double>(q.pixels() * q.channels());
        if (kernels_) spatial_attention(*kernels_, out.rows(), q.rows(), k.rows(), v.rows());
        return out;
    }
    Map look_up(const Map& codes, const Tensor& codebook) {
        Map out = make(codes.height(), codes.width(), codebook.cols());
        if (kernels_) gather(*kernels_, out.rows(), codebook, codes.tensor.as({codes.pixels()}));
        return out;
    }
    Map nearest(const Map& z, const Tensor& codebook) {
        Map codes = make(z.height(), z.width(), 1, DType::I32);
        macs_ += static_cast<double>(z.pixels()) * static_cast<double>(codebook.elements());
        if (kernels_) nearest_code(*kernels_, codes.tensor.as({z.pixels()}), z.rows(), codebook);
        return codes;
    }

    Map to_bytes(const Map& x) {
        Map out = make(x.height(), x.width(), x.channels(), DType::U8);
        if (kernels_) to_u8(*kernels_, out.tensor, x.tensor);
        return out;
    }
};

// x + conv2(swish(norm2(conv1(swish(norm1(x)))))); the shortcut is a raw 1x1 convolution where the width changes.
Map res_block(VqganPass& p, Map x, const ResBlockWeights& w) {
    const Map h = p.norm_conv(x, w.norm1, w.conv1, p.like(x));
    if (w.nin_shortcut) x = p.conv(x, w.nin_shortcut, POINTWISE);
    return p.norm_conv(h, w.norm2, w.conv2, h, &x);
}

// x + proj_out(attention of every pixel to every pixel), one head.
Map attention_block(VqganPass& p, Map x, const AttentionWeights& w) {
    Map h = p.group_norm(x, w.norm);
    Map q = p.conv(h, w.q, POINTWISE), k = p.conv(h, w.k, POINTWISE), v = p.conv(h, w.v, POINTWISE);
    h = p.attention(q, k, v);
    return p.conv(h, w.proj_out, POINTWISE, &x);
}

Map mid(VqganPass& p, Map x, const MidWeights& w) {
    x = res_block(p, std::move(x), w.block_1);
    x = attention_block(p, std::move(x), w.attn_1);
    return res_block(p, std::move(x), w.block_2);
}

// picture [height, width, 3] -> codes [height/patch, width/patch, 1]
Map encode(VqganPass& p, const VqganWeights& weights, Map x) {
    const EncoderWeights& w = weights.encoder;
    x = p.conv(x, w.conv_in, SAME);
    for (const LevelWeights& level : w.levels) {
        for (const ResBlockWeights& block : level.blocks) x = res_block(p, std::move(x), block);
        if (level.resample) x = p.conv(x, level.resample, HALVE);
    }
    x = mid(p, std::move(x), w.mid);
    x = p.norm_conv(x, w.norm_out, w.conv_out, x);
    x = p.conv(x, w.quant_conv, POINTWISE);
    return p.nearest(x, weights.codebook);
}

// codes [rows, cols, 1] -> picture [rows*patch, cols*patch, 3]
Map decode(VqganPass& p, const VqganWeights& weights, Map x) {
    const DecoderWeights& w = weights.decoder;
    x = p.look_up(x, weights.codebook);
    x = p.conv(x, w.post_quant_conv, POINTWISE);
    x = p.conv(x, w.conv_in, SAME);
    x = mid(p, std::move(x), w.mid);
    for (const LevelWeights& level : w.levels) {
        for (const ResBlockWeights& block : level.blocks) x = res_block(p, std::move(x), block);
        if (level.resample) x = p.conv(x, level.resample, DOUBLE);
    }
    return p.norm_conv(x, w.norm_out, w.conv_out, x);
}

void measure_encode(VqganPass& p, const VqganConfig& config, const VqganWeights& weights, int height, int width) {
    encode(p, weights, p.make(height, width, config.in_channels));
}

void check_picture_size(const VqganConfig& config, int height, int width) {
    const int patch = config.patch();
    if (height > 0 && width > 0 && height % patch == 0 && width % patch == 0) return;
    throw Error("a picture of " + size_text(width, height) + " pixels does not divide into tokens of " +
                    size_text(patch, patch),
                "", "resize or crop it to multiples of " + std::to_string(patch));
}

VqganWeights bind_shapes(const VqganConfig& config) {
    auto shape_only = [](const std::string&, std::initializer_list<int64_t> shape) {
        return Tensor(nullptr, DType::F32, shape);
    };
    return bind_vqgan(config, {shape_only, shape_only});
}

VqganWeights bind_file(const WeightsFile& file, const VqganConfig& config, AdoptedMemory& adopted) {
    return bind_vqgan(config, {[&](const std::string& name, std::initializer_list<int64_t> shape) {
                                   return adopted.adopt(file.matrix("vqgan." + name, shape));
                               },
                               [&](const std::string& name, std::initializer_list<int64_t> shape) {
                                   return adopted.adopt(file.vector("vqgan." + name, shape));
                               }});
}

}  // namespace

struct Vqgan::Impl {
    std::string path;
    VqganConfig config;
    const Kernels& kernels;
    AdoptedMemory adopted;  // of which the weights are made, if they come from a file
    VqganWeights weights;
};

Vqgan::Vqgan(const WeightsFile& file, const VqganConfig& config, const Kernels& kernels)
    : impl_(new Impl{file.path(), config, kernels, AdoptedMemory(kernels), {}}) {
    impl_->weights = bind_file(file, config, impl_->adopted);
}
Vqgan::Vqgan(const VqganTensors& tensors, const VqganConfig& config, const Kernels& kernels)
    : impl_(new Impl{"", config, kernels, {}, bind_vqgan(config, tensors)}) {}
Vqgan::~Vqgan() = default;
Vqgan::Vqgan(Vqgan&&) noexcept = default;

const VqganConfig& Vqgan::config() const {
    return impl_->config;
}

std::vector<int32_t> Vqgan::encode(std::span<const float> pixels, int height, int width) const {
    const Impl& m = *impl_;
    if (!m.config.encoder)
        throw Error("the model has no picture encoder, so it cannot read pictures", m.path,
                    "convert a checkpoint that holds the VQGAN's encoder");
    check_picture_size(m.config, height, width);
    CHECK(pixels.size() == static_cast<size_t>(height) * static_cast<size_t>(width) * m.config.in_channels);

    VqganPass plan;
    measure_encode(plan, m.config, m.weights, height, width);
    VqganPass pass(m.kernels, plan, Exactness::Float32);
    Map picture = pass.make(height, width, m.config.in_channels);
    upload(m.kernels, picture.tensor.data, pixels.data(), pixels.size_bytes());
    Map codes = leon::encode(pass, m.weights, std::move(picture));
    std::vector<int32_t> result(static_cast<size_t>(codes.pixels()));
    download(m.kernels, result.data(), codes.tensor.data, codes.tensor.bytes());
    return result;
}

namespace {

// draw(pass, grid of codes) on the backend, its result copied to the host.
template <class T, class Draw>
std::vector<T> drawn(const std::string& path, const VqganConfig& config, const Kernels& kernels, Exactness exactness,
                     std::span<const int32_t> codes, int rows, int cols, Draw draw) {
    if (!config.decoder)
        throw Error("the model has no picture decoder, so it cannot draw", path,
                    "convert it together with a VQGAN that has one (Meta's vqgan.ckpt does)");
    if (rows <= 0 || cols <= 0) throw Error("a grid of " + size_text(cols, rows) + " picture tokens is empty");
    CHECK(codes.size() == static_cast<size_t>(rows) * static_cast<size_t>(cols));
    for (int32_t code : codes)
        if (code < 0 || code >= config.codes)
            throw Error("picture code " + std::to_string(code) + " is outside 0.." + std::to_string(config.codes - 1),
                        path);

    VqganPass plan;
    draw(plan, plan.make(rows, cols, 1, DType::I32));
    VqganPass pass(kernels, plan, exactness);
    Map grid = pass.make(rows, cols, 1, DType::I32);
    upload(kernels, grid.tensor.data, codes.data(), codes.size_bytes());
    const Map picture = draw(pass, std::move(grid));
    std::vector<T> result(static_cast<size_t>(picture.tensor.elements()));
    CHECK(picture.tensor.bytes() == result.size() * sizeof(T));
    download(kernels, result.data(), picture.tensor.data, picture.tensor.bytes());
    return result;
}

}  // namespace

std::vector<float> Vqgan::decode(std::span<const int32_t> codes, int rows, int cols) const {
    const Impl& m = *impl_;
    return drawn<float>(m.path, m.config, m.kernels, Exactness::Float32, codes, rows, cols,
                        [&](VqganPass& p, Map grid) { return leon::decode(p, m.weights, std::move(grid)); });
}

Picture Vqgan::decode_u8(std::span<const int32_t> codes, int rows, int cols) const {
    const Impl& m = *impl_;
    Picture picture;
    picture.rgb =
        drawn<uint8_t>(m.path, m.config, m.kernels, Exactness::Half, codes, rows, cols,
                       [&](VqganPass& p, Map grid) { return p.to_bytes(leon::decode(p, m.weights, std::move(grid))); });
    picture.height = rows * m.config.patch();
    picture.width = cols * m.config.patch();
    return picture;
}

double Vqgan::encode_macs(int height, int width) const {
    return vqgan_encode_macs(impl_->config, height, width);
}
double Vqgan::decode_macs(int rows, int cols) const {
    return vqgan_decode_macs(impl_->config, rows, cols);
}

double vqgan_encode_macs(const VqganConfig& config, int height, int width) {
    CHECK(config.encoder);
    check_picture_size(config, height, width);
    VqganPass pass;
    measure_encode(pass, config, bind_shapes(config), height, width);
    return pass.macs();
}

double vqgan_decode_macs(const VqganConfig& config, int rows, int cols) {
    CHECK(config.decoder && rows > 0 && cols > 0);
    VqganPass pass;
    decode(pass, bind_shapes(config), pass.make(rows, cols, 1, DType::I32));
    return pass.macs();
}

}  // namespace leon
