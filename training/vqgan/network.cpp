// Forward and backward passes of the VQGAN. Each backward function stands under the forward one that it undoes, and
// takes from the history what that has put there, in reverse order.
#include "training/vqgan/network.h"

#include <algorithm>
#include <utility>

#include "kernels/cpu/threads.h"
#include "tokenizer/vqgan.h"
#include "training/vqgan/maps.h"

namespace leon {
namespace {

constexpr int GROUPS = 32;
constexpr float GROUP_NORM_EPS = 1e-6f;

struct NormHistory {
    Map x, normed, statistics;
};
struct ResBlockHistory {
    NormHistory first, second;
};
struct AttentionHistory {
    NormHistory norm;
    Map q, k, v, mixed;
};
struct History {
    std::vector<ResBlockHistory> blocks;
    std::vector<AttentionHistory> attentions;
    std::vector<NormHistory> norms;
    std::vector<Map> inputs;  // of convolutions without a normalisation in front
};
template <class T>
T take_last(std::vector<T>& all) {
    CHECK(!all.empty());
    T last = std::move(all.back());
    all.pop_back();
    return last;
}

// A part of the network's weights in its three forms: as they are, packed, and the gradient's place (null: nowhere).
//   w(&ResBlockWeights::conv1)   the same of a member
template <class T>
struct Part {
    const T *value, *packed, *gradient;

    template <class M>
    Part<M> operator()(M T::*member) const {
        return {&(value->*member), &(packed->*member), &(gradient->*member)};
    }
};
template <class T>
Part<T> element(const Part<std::vector<T>>& w, size_t i) {
    return {&(*w.value)[i], &(*w.packed)[i], &(*w.gradient)[i]};
}

// The operations on maps, their memory, and the history.
class Pass {
public:
    Pass(const VqganGradKernels& gradients, const Kernels& kernels, MapPool& pool)
        : g_(gradients), k_(kernels), pool_(pool) {}

    Map plain(int64_t height, int64_t width, int64_t channels) {
        return pool_.take(DType::F32, {height, width, channels});
    }
    Map framed(int64_t height, int64_t width, int64_t channels) {
        return pool_.take(g_.element, {height + 2, width + 2, map_channels(channels)});
    }
    Map like(const Map& x) { return pool_.take((*x).dtype, {x.height(), x.width(), x.channels()}); }
    Map frame(const Map& x) {
        Map out = framed(x.height(), x.width(), x.channels());
        leon::frame(g_, *out, *x);
        return out;
    }

    // The convolution of a framed map, added to `residual` if there is one.
    Map conv(const Map& x, Part<ConvWeights> w, const Convolution& shape, const Map* residual = nullptr) {
        Map out = framed(convolved(x.height() - 2, shape), convolved(x.width() - 2, shape), w.value->out());
        conv2d(g_, *out, *x, w.packed->weight, w.value->bias, shape, residual ? **residual : Tensor());
        return out;
    }
    Map conv_to_plain(const Map& x, Part<ConvWeights> w, const Convolution& shape) {
        Map out = plain(convolved(x.height() - 2, shape), convolved(x.width() - 2, shape), w.value->out());
        conv2d(g_, *out, *x, w.packed->weight, w.value->bias, shape, {});
        return out;
    }
    void d_conv_weight(Part<ConvWeights> w, const Map& dy, const Map& x, const Convolution& shape) {
        if (w.gradient->weight) d_conv2d_weight(g_, w.gradient->weight, w.gradient->bias, *dy, *x, shape);
    }
    Map d_conv_input(const Map& dy, Part<ConvWeights> w, const Convolution& shape, const Map* residual = nullptr) {
        const int64_t up = shape.upsample, in = w.value->in();
        Map dx = framed((dy.height() - 2) * shape.stride / up, (dy.width() - 2) * shape.stride / up, in);
        d_conv2d_input(g_, *dx, *dy, w.packed->weight, in, shape, residual ? **residual : Tensor());
        return dx;
    }
    Map d_conv_input_to_plain(const Map& dy, Part<ConvWeights> w, const Convolution& shape) {
        Map dx = plain(dy.height() - 2, dy.width() - 2, w.value->in());
        d_conv2d_input(g_, *dx, *dy, w.packed->weight, w.value->in(), shape, {});
        return dx;
    }

    NormHistory norm(Map x, Part<NormWeights> w, Activation activation) {
        NormHistory h;
        h.normed = like(x);
        h.statistics = pool_.take(DType::F32, {GROUPS, 2});
        norm_map(g_, *h.normed, *h.statistics, *x, with_groups(w, activation));
        h.x = std::move(x);
        return h;
    }
    // In dy's place.
    Map d_norm(Map dy, const NormHistory& h, Part<NormWeights> w, Activation activation,
               const Map* residual = nullptr) {
        d_norm_map(g_, *dy, w.gradient->weight, w.gradient->bias, *dy, *h.x, *h.statistics, with_groups(w, activation),
                   residual ? **residual : Tensor());
        return dy;
    }

    Map attention(const Map& q, const Map& k, const Map& v) {
        Map out = like(q);
        spatial_attention(k_, out.rows(), q.rows(), k.rows(), v.rows());
        return out;
    }
    void d_attention(Map& dq, Map& dk, Map& dv, const Map& dout, const Map& q, const Map& k, const Map& v) {
        dq = like(q), dk = like(q), dv = like(q);
        d_spatial_attention(g_, dq.rows(), dk.rows(), dv.rows(), dout.rows(), q.rows(), k.rows(), v.rows());
    }

    void nearest(std::vector<int32_t>& codes, const Map& z, Tensor codebook) {
        codes.resize(static_cast<size_t>(z.height() * z.width()));
        nearest_code(k_, Tensor(codes.data(), DType::I32, {z.height() * z.width()}), z.rows(), codebook);
    }
    Map look_up(const std::vector<int32_t>& codes, int64_t rows, int64_t cols, Tensor codebook) {
        Map out = plain(rows, cols, codebook.cols());
        Tensor ids(const_cast<int32_t*>(codes.data()), DType::I32, {rows * cols});
        gather(k_, out.rows(), codebook, ids);
        return out;
    }

    History history;

private:
    static GroupNorm with_groups(Part<NormWeights> w, Activation activation) {
        return {w.value->weight, w.value->bias, GROUPS, GROUP_NORM_EPS, activation};
    }

    const VqganGradKernels& g_;
    const Kernels& k_;
    MapPool& pool_;
};

// x + conv2(swish(norm2(conv1(swish(norm1(x)))))); the shortcut is a 1x1 convolution where the width changes.
Map res_block(Pass& p, Map x, Part<ResBlockWeights> w) {
    ResBlockHistory h;
    h.first = p.norm(std::move(x), w(&ResBlockWeights::norm1), Activation::Swish);
    h.second =
        p.norm(p.conv(h.first.normed, w(&ResBlockWeights::conv1), SAME), w(&ResBlockWeights::norm2), Activation::Swish);
    Map shortcut;
    if (w.value->nin_shortcut) shortcut = p.conv(h.first.x, w(&ResBlockWeights::nin_shortcut), POINTWISE);
    Map y = p.conv(h.second.normed, w(&ResBlockWeights::conv2), SAME, shortcut ? &shortcut : &h.first.x);
    p.history.blocks.push_back(std::move(h));
    return y;
}
Map d_res_block(Pass& p, Map dy, Part<ResBlockWeights> w) {
    const ResBlockHistory h = take_last(p.history.blocks);
    p.d_conv_weight(w(&ResBlockWeights::conv2), dy, h.second.normed, SAME);
    Map d = p.d_conv_input(dy, w(&ResBlockWeights::conv2), SAME);
    d = p.d_norm(std::move(d), h.second, w(&ResBlockWeights::norm2), Activation::Swish);
    p.d_conv_weight(w(&ResBlockWeights::conv1), d, h.first.normed, SAME);
    d = p.d_conv_input(d, w(&ResBlockWeights::conv1), SAME);
    if (w.value->nin_shortcut) {
        p.d_conv_weight(w(&ResBlockWeights::nin_shortcut), dy, h.first.x, POINTWISE);
        dy = p.d_conv_input(dy, w(&ResBlockWeights::nin_shortcut), POINTWISE);
    }
    return p.d_norm(std::move(d), h.first, w(&ResBlockWeights::norm1), Activation::Swish, &dy);
}

// x + proj_out(attention of every pixel to every pixel), one head.
Map attention_block(Pass& p, Map x, Part<AttentionWeights> w) {
    AttentionHistory h;
    h.norm = p.norm(std::move(x), w(&AttentionWeights::norm), Activation::None);
    h.q = p.conv_to_plain(h.norm.normed, w(&AttentionWeights::q), POINTWISE);
    h.k = p.conv_to_plain(h.norm.normed, w(&AttentionWeights::k), POINTWISE);
    h.v = p.conv_to_plain(h.norm.normed, w(&AttentionWeights::v), POINTWISE);
    h.mixed = p.frame(p.attention(h.q, h.k, h.v));
    Map y = p.conv(h.mixed, w(&AttentionWeights::proj_out), POINTWISE, &h.norm.x);
    p.history.attentions.push_back(std::move(h));
    return y;
}
Map d_attention_block(Pass& p, Map dy, Part<AttentionWeights> w) {
    const AttentionHistory h = take_last(p.history.attentions);
    p.d_conv_weight(w(&AttentionWeights::proj_out), dy, h.mixed, POINTWISE);
    const Map mixed = p.d_conv_input_to_plain(dy, w(&AttentionWeights::proj_out), POINTWISE);
    Map dq, dk, dv, sum;
    p.d_attention(dq, dk, dv, mixed, h.q, h.k, h.v);
    auto through = [&](const Map& d, Part<ConvWeights> projection) {
        const Map d_framed = p.frame(d);
        p.d_conv_weight(projection, d_framed, h.norm.normed, POINTWISE);
        sum = p.d_conv_input(d_framed, projection, POINTWISE, sum ? &sum : nullptr);
    };
    through(dq, w(&AttentionWeights::q));
    through(dk, w(&AttentionWeights::k));
    through(dv, w(&AttentionWeights::v));
    return p.d_norm(std::move(sum), h.norm, w(&AttentionWeights::norm), Activation::None, &dy);
}

Map mid(Pass& p, Map x, Part<MidWeights> w) {
    x = res_block(p, std::move(x), w(&MidWeights::block_1));
    x = attention_block(p, std::move(x), w(&MidWeights::attn_1));
    return res_block(p, std::move(x), w(&MidWeights::block_2));
}
Map d_mid(Pass& p, Map dy, Part<MidWeights> w) {
    dy = d_res_block(p, std::move(dy), w(&MidWeights::block_2));
    dy = d_attention_block(p, std::move(dy), w(&MidWeights::attn_1));
    return d_res_block(p, std::move(dy), w(&MidWeights::block_1));
}

// A convolution of x itself.
Map bare_conv(Pass& p, Map x, Part<ConvWeights> w, const Convolution& shape) {
    p.history.inputs.push_back(std::move(x));
    return p.conv(p.history.inputs.back(), w, shape);
}
Map d_bare_conv(Pass& p, const Map& dy, Part<ConvWeights> w, const Convolution& shape) {
    p.d_conv_weight(w, dy, take_last(p.history.inputs), shape);
    return p.d_conv_input(dy, w, shape);
}

// norm_out and swish, of which conv_out is taken
const Map& last_norm(Pass& p, Map x, Part<NormWeights> w) {
    p.history.norms.push_back(p.norm(std::move(x), w, Activation::Swish));
    return p.history.norms.back().normed;
}
Map d_last_conv(Pass& p, const Map& dy, Part<NormWeights> norm, Part<ConvWeights> w) {
    const NormHistory h = take_last(p.history.norms);
    p.d_conv_weight(w, dy, h.normed, SAME);
    return p.d_norm(p.d_conv_input(dy, w, SAME), h, norm, Activation::Swish);
}

Map levels(Pass& p, Map x, Part<std::vector<LevelWeights>> w, const Convolution& resample) {
    for (size_t i = 0; i < w.value->size(); i++) {
        const Part<LevelWeights> level = element(w, i);
        const auto blocks = level(&LevelWeights::blocks);
        for (size_t b = 0; b < blocks.value->size(); b++) x = res_block(p, std::move(x), element(blocks, b));
        if (level.value->resample) x = bare_conv(p, std::move(x), level(&LevelWeights::resample), resample);
    }
    return x;
}
Map d_levels(Pass& p, Map dy, Part<std::vector<LevelWeights>> w, const Convolution& resample) {
    for (size_t i = w.value->size(); i-- > 0;) {
        const Part<LevelWeights> level = element(w, i);
        const auto blocks = level(&LevelWeights::blocks);
        if (level.value->resample) dy = d_bare_conv(p, dy, level(&LevelWeights::resample), resample);
        for (size_t b = blocks.value->size(); b-- > 0;) dy = d_res_block(p, std::move(dy), element(blocks, b));
    }
    return dy;
}

// picture, framed -> latent [rows, cols, code_dim], plain
Map encode(Pass& p, Map picture, Part<EncoderWeights> w) {
    Map x = bare_conv(p, std::move(picture), w(&EncoderWeights::conv_in), SAME);
    x = levels(p, std::move(x), w(&EncoderWeights::levels), HALVE);
    x = mid(p, std::move(x), w(&EncoderWeights::mid));
    x = p.conv(last_norm(p, std::move(x), w(&EncoderWeights::norm_out)), w(&EncoderWeights::conv_out), SAME);
    p.history.inputs.push_back(std::move(x));
    return p.conv_to_plain(p.history.inputs.back(), w(&EncoderWeights::quant_conv), POINTWISE);
}
void d_encode(Pass& p, Map dy, Part<EncoderWeights> w) {
    dy = d_bare_conv(p, dy, w(&EncoderWeights::quant_conv), POINTWISE);
    dy = d_last_conv(p, dy, w(&EncoderWeights::norm_out), w(&EncoderWeights::conv_out));
    dy = d_mid(p, std::move(dy), w(&EncoderWeights::mid));
    dy = d_levels(p, std::move(dy), w(&EncoderWeights::levels), HALVE);
    p.d_conv_weight(w(&EncoderWeights::conv_in), dy, take_last(p.history.inputs), SAME);  // of the picture nobody asks
}

// looked-up codes, framed -> picture [height, width, 3], plain
Map decode(Pass& p, Map quantised, Part<DecoderWeights> w) {
    Map x = bare_conv(p, std::move(quantised), w(&DecoderWeights::post_quant_conv), POINTWISE);
    x = bare_conv(p, std::move(x), w(&DecoderWeights::conv_in), SAME);
    x = mid(p, std::move(x), w(&DecoderWeights::mid));
    x = levels(p, std::move(x), w(&DecoderWeights::levels), DOUBLE);
    return p.conv_to_plain(last_norm(p, std::move(x), w(&DecoderWeights::norm_out)), w(&DecoderWeights::conv_out),
                           SAME);
}
// -> gradient of the looked-up codes, plain
Map d_decode(Pass& p, Map dy, Part<DecoderWeights> w) {
    dy = d_last_conv(p, dy, w(&DecoderWeights::norm_out), w(&DecoderWeights::conv_out));
    dy = d_levels(p, std::move(dy), w(&DecoderWeights::levels), DOUBLE);
    dy = d_mid(p, std::move(dy), w(&DecoderWeights::mid));
    dy = d_bare_conv(p, dy, w(&DecoderWeights::conv_in), SAME);
    p.d_conv_weight(w(&DecoderWeights::post_quant_conv), dy, take_last(p.history.inputs), POINTWISE);
    return p.d_conv_input_to_plain(dy, w(&DecoderWeights::post_quant_conv), POINTWISE);
}

Convolution shape_of(const std::string& name, std::initializer_list<int64_t> shape) {
    if (name.find("downsample") != std::string::npos) return HALVE;
    if (name.find("upsample") != std::string::npos) return DOUBLE;
    return *(shape.begin() + 1) == 1 ? POINTWISE : SAME;
}

int64_t product(std::initializer_list<int64_t> shape) {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
}

}  // namespace

// --- the network ------------------------------------------------------------------------------------------------

VqganNetwork::VqganNetwork(const VqganConfig& config, const VqganGradKernels& gradients, const Kernels& kernels)
    : config_(config), gradients_(gradients), kernels_(kernels) {
    const std::string fix = "train a VQGAN of the published design";
    if (!config.encoder || !config.decoder) throw Error("training needs both halves of the VQGAN", "", fix);
    if (config.in_channels != 3) throw Error("training takes pictures of three channels", "", fix);
    for (int multiplier : config.multipliers)
        if (config.channels * multiplier % GROUPS != 0)
            throw Error("the widths of all levels must be multiples of 32", "", fix);

    auto lay_out = [&](const std::string& name, std::initializer_list<int64_t> shape) {
        if (name == "codebook") return Tensor(nullptr, DType::F32, shape);
        const int64_t count = product(shape);
        layout_.push_back({name, shape, parameters_, count, shape.size() == 4});
        parameters_ += count;
        const bool in_encoder = name.rfind("encoder.", 0) == 0 || name.rfind("quant_conv", 0) == 0;
        if (in_encoder) encoder_parameters_ = parameters_;
        return Tensor(nullptr, DType::F32, shape);
    };
    bind_vqgan(config, {lay_out, lay_out});

    auto make_packed = [&](const std::string& name, std::initializer_list<int64_t> shape) {
        const int64_t out = *shape.begin(), in = *(shape.begin() + 3);
        const int64_t elements = packed_elements(out, in, shape_of(name, shape));
        packed_.emplace_back(kernels, gradients.element, std::initializer_list<int64_t>{elements});
        return packed_.back().tensor();
    };
    auto nothing = [&](const std::string&, std::initializer_list<int64_t> shape) {
        return Tensor(nullptr, DType::F32, shape);
    };
    packed_weights_ = bind_vqgan(config, {make_packed, nothing});
}

VqganWeights VqganNetwork::bind(float* base) const {
    size_t next = 0;
    auto part = [&](const std::string& name, std::initializer_list<int64_t> shape) {
        if (name == "codebook" || !base) return Tensor(nullptr, DType::F32, shape);
        const VqganParameter& parameter = layout_[next++];
        CHECK(parameter.name == name);
        return Tensor(base + parameter.offset, DType::F32, shape);
    };
    return bind_vqgan(config_, {part, part});
}

void VqganNetwork::pack(float* values) {
    values_ = bind(values);
    size_t next = 0;
    struct Job {
        Tensor weight, packed;
        Convolution shape;
    };
    std::vector<Job> jobs;
    for (const VqganParameter& parameter : layout_) {
        if (!parameter.is_matrix) continue;
        const std::vector<int64_t>& s = parameter.shape;
        jobs.push_back({Tensor(values + parameter.offset, DType::F32, {s[0], s[1], s[2], s[3]}),
                        packed_[next++].tensor(), shape_of(parameter.name, {s[0], s[1], s[2], s[3]})});
    }
    parallel(static_cast<int64_t>(jobs.size()),
             [&](int64_t i, int) { leon::pack(gradients_, jobs[i].packed, jobs[i].weight, jobs[i].shape); });
}

double VqganNetwork::forward_macs(int height, int width) const {
    return vqgan_encode_macs(config_, height, width) +
           vqgan_decode_macs(config_, height / config_.patch(), width / config_.patch());
}

// --- a lane -----------------------------------------------------------------------------------------------------

struct VqganLane::Impl {
    const VqganNetwork& network;
    MapPool pool;
    Pass pass;
    VqganWeights nowhere;
    VqganPass result;
    Map latent, picture;  // what result refers to
    bool has_encoded = false;

    explicit Impl(const VqganNetwork& n) : network(n), pass(n.gradients_, n.kernels_, pool), nowhere(n.bind(nullptr)) {}

    template <class M>
    Part<M> part(M VqganWeights::*member, const VqganWeights& gradient) const {
        return {&(network.values_.*member), &(network.packed_weights_.*member), &(gradient.*member)};
    }
    const VqganPass& finish_decoding(int64_t rows, int64_t cols, Tensor codebook) {
        Map quantised = pass.frame(pass.look_up(result.codes, rows, cols, codebook));
        picture = decode(pass, std::move(quantised), part(&VqganWeights::decoder, nowhere));
        result.picture = *picture;
        return result;
    }
};

VqganLane::VqganLane(const VqganNetwork& network) : impl_(new Impl(network)) {}
VqganLane::~VqganLane() = default;

const std::vector<int32_t>& VqganLane::encode(std::span<const float> pixels, int height, int width, Tensor codebook) {
    Impl& m = *impl_;
    const int patch = m.network.config_.patch();
    CHECK(height % patch == 0 && width % patch == 0 && m.network.values_.codebook.rank == 2);
    CHECK(pixels.size() == static_cast<size_t>(height) * static_cast<size_t>(width) * 3);
    m.pass.history = {};
    const Map picture = m.pass.plain(height, width, 3);
    std::copy(pixels.begin(), pixels.end(), (*picture).f32());
    m.latent = leon::encode(m.pass, m.pass.frame(picture), m.part(&VqganWeights::encoder, m.nowhere));
    m.result.latent = m.latent.rows();
    m.pass.nearest(m.result.codes, m.latent, codebook);
    m.has_encoded = true;
    return m.result.codes;
}

const VqganPass& VqganLane::forward(std::span<const float> pixels, int height, int width, Tensor codebook) {
    encode(pixels, height, width, codebook);
    const int patch = impl_->network.config_.patch();
    return impl_->finish_decoding(height / patch, width / patch, codebook);
}

const VqganPass& VqganLane::forward(std::span<const int32_t> codes, int rows, int cols, Tensor codebook) {
    Impl& m = *impl_;
    CHECK(codes.size() == static_cast<size_t>(rows) * static_cast<size_t>(cols));
    m.pass.history = {};
    m.result.codes.assign(codes.begin(), codes.end());
    m.result.latent = Tensor();
    m.has_encoded = false;
    return m.finish_decoding(rows, cols, codebook);
}

void VqganLane::backward(Tensor dpicture, Tensor dlatent, float* gradient, VqganHalf half) {
    Impl& m = *impl_;
    CHECK(m.picture && same_shape(dpicture, *m.picture) && (half == VqganHalf::Decoder || m.has_encoded));
    const VqganWeights d = m.network.bind(gradient);
    Map plain = m.pass.like(m.picture);
    std::copy_n(dpicture.f32(), dpicture.elements(), (*plain).f32());
    plain = d_decode(m.pass, m.pass.frame(plain), m.part(&VqganWeights::decoder, d));
    if (half == VqganHalf::Decoder) return;
    if (dlatent) add(m.network.kernels_, plain.rows(), dlatent);
    d_encode(m.pass, m.pass.frame(plain), m.part(&VqganWeights::encoder, d));
}

}  // namespace leon
