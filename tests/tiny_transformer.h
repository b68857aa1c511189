// A transformer of a few thousand random weights in memory, in any family's shape and any type of weights, for tests of
// the runtime.
#pragma once

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <vector>

#include "kernels/kernels.h"
#include "runtime/sampler.h"
#include "runtime/weights.h"

namespace leon {

// TwoAxes: rotary positions in stream and segment, and places of codes, as the model in the box has them.
enum class Family { Chameleon, ChameleonSwin, CM3Leon, TwoAxes };

class TinyTransformer {
public:
    TransformerConfig config;
    TransformerWeights weights;

    explicit TinyTransformer(Family family, int vocab = 61, int context = 200, DType dtype = DType::F32) {
        TransformerConfig& c = config;
        c.layers = 2;
        c.dim = 24;
        c.vocab = vocab;
        c.context = context;
        c.norm_eps = 1e-5f;
        c.head_dim = 8;
        c.heads = 4;
        if (family == Family::CM3Leon) {
            c.norm = Norm::LayerNorm;
            c.positions = Positions::Learned;
            c.feed_forward = FeedForward::ReLU;
            c.tied_output = true;
            c.kv_heads = c.heads;
            c.ffn_dim = 96;
            c.position_offset = 2;
        } else {
            c.qk_norm = true;
            c.qk_norm_eps = 1e-5f;
            c.kv_heads = 2;
            c.ffn_dim = 40;
            c.rope_theta = 10000;
            if (family == Family::ChameleonSwin) c.norm_placement = NormPlacement::After;
            if (family == Family::TwoAxes) c.segments = {.begin = 3, .first_code = 4, .codes = 32, .cells = 20};
        }
        const int q_dim = c.heads * c.head_dim, kv_dim = c.kv_heads * c.head_dim;
        const bool rms = c.norm == Norm::RMS;
        weights.embedding = matrix(dtype, {c.vocab, c.dim}, 1.0f);
        if (!rms) weights.positions = matrix(dtype, {c.context + c.position_offset, c.dim}, 0.3f);
        if (c.segments) weights.places = matrix(dtype, {places_of(c.segments), c.dim}, 0.5f);
        for (int i = 0; i < c.layers; i++) {
            LayerWeights& l = weights.layers.emplace_back();
            if (rms) l.attention_norm = random({c.dim}, 0.3f, 1);
            if (rms) l.ffn_norm = random({c.dim}, 0.3f, 1);
            l.q = matrix(dtype, {q_dim, c.dim}, 0.3f);
            l.k = matrix(dtype, {kv_dim, c.dim}, 0.3f);
            l.v = matrix(dtype, {kv_dim, c.dim}, 0.3f);
            l.o = matrix(dtype, {c.dim, q_dim}, 0.3f);
            if (c.qk_norm) {
                l.q_norm_weight = random({c.heads, c.head_dim}, 0.3f, 1);
                l.q_norm_bias = random({c.heads, c.head_dim}, 0.1f);
                l.k_norm_weight = random({c.kv_heads, c.head_dim}, 0.3f, 1);
                l.k_norm_bias = random({c.kv_heads, c.head_dim}, 0.1f);
                l.gate = matrix(dtype, {c.ffn_dim, c.dim}, 0.3f);
            }
            l.up = matrix(dtype, {c.ffn_dim, c.dim}, 0.3f);
            l.down = matrix(dtype, {c.dim, c.ffn_dim}, 0.3f);
        }
        if (rms) weights.norm = random({c.dim}, 0.3f, 1);
        weights.output = c.tied_output ? weights.embedding : matrix(dtype, {c.vocab, c.dim}, 0.5f);
    }

    // The weights where the backend's kernels can read them.
    const TransformerWeights& on(const Kernels& kernels) const {
        auto found = adopted_.find(&kernels);
        if (found == adopted_.end()) found = adopted_.emplace(&kernels, weights.on(kernels)).first;
        return found->second;
    }

private:
    Tensor random(std::initializer_list<int64_t> shape, float scale, float mean = 0) {
        Tensor t(nullptr, DType::F32, shape);
        std::vector<float>& values = memory_.emplace_back(t.elements());
        for (float& v : values) v = mean + scale * static_cast<float>(2 * uniform(1, memory_.size(), counter_++) - 1);
        t.data = values.data();
        return t;
    }
    // The same numbers for every type, as near as it has them.
    Tensor matrix(DType dtype, std::initializer_list<int64_t> shape, float scale) {
        Tensor exact = random(shape, scale), t = exact;
        if (dtype == DType::F32) return t;
        const float* values = exact.f32();
        t.dtype = dtype;
        std::vector<char>& bytes = narrow_.emplace_back(t.bytes());
        t.data = bytes.data();
        if (dtype == DType::I8) {
            std::vector<float>& scales = scales_.emplace_back(t.rows());
            for (int64_t row = 0; row < t.rows(); row++) {
                const float* from = values + row * t.cols();
                float largest = 0;
                for (int64_t i = 0; i < t.cols(); i++) largest = std::max(largest, std::fabs(from[i]));
                scales[row] = largest / 127;
                for (int64_t i = 0; i < t.cols(); i++)
                    bytes[row * t.cols() + i] = static_cast<char>(std::lround(from[i] / scales[row]));
            }
            t.scale = scales.data();
        } else {
            uint16_t* to = reinterpret_cast<uint16_t*>(bytes.data());
            for (int64_t i = 0; i < t.elements(); i++)
                to[i] = dtype == DType::BF16 ? float_to_bf16(values[i]) : float_to_f16(values[i]);
        }
        return t;
    }
    std::deque<std::vector<float>> memory_, scales_;
    std::deque<std::vector<char>> narrow_;
    uint64_t counter_ = 0;
    mutable std::map<const Kernels*, TransformerWeights> adopted_;
};

// A fixed pseudo-random prompt within the vocabulary.
inline std::vector<int32_t> random_tokens(int count, int vocab, uint64_t seed = 7) {
    std::vector<int32_t> tokens(count);
    for (int i = 0; i < count; i++) tokens[i] = static_cast<int32_t>(uniform(seed, 0, i) * vocab);
    return tokens;
}

}  // namespace leon
