// A transformer of a few thousand random weights in memory, in either family's shape, for tests of the runtime.
#pragma once

#include <cmath>
#include <deque>
#include <map>
#include <vector>

#include "kernels/kernels.h"
#include "runtime/sampler.h"
#include "runtime/weights.h"

namespace leon {

enum class Family { Chameleon, ChameleonSwin, CM3Leon };

class TinyTransformer {
public:
    TransformerConfig config;
    TransformerWeights weights;

    explicit TinyTransformer(Family family, int vocab = 61, int context = 200) {
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
        }
        const int q_dim = c.heads * c.head_dim, kv_dim = c.kv_heads * c.head_dim;
        const bool rms = c.norm == Norm::RMS;
        weights.embedding = random({c.vocab, c.dim}, 1.0f);
        if (!rms) weights.positions = random({c.context + c.position_offset, c.dim}, 0.3f);
        for (int i = 0; i < c.layers; i++) {
            LayerWeights& l = weights.layers.emplace_back();
            if (rms) l.attention_norm = random({c.dim}, 0.3f, 1);
            if (rms) l.ffn_norm = random({c.dim}, 0.3f, 1);
            l.q = random({q_dim, c.dim}, 0.3f);
            l.k = random({kv_dim, c.dim}, 0.3f);
            l.v = random({kv_dim, c.dim}, 0.3f);
            l.o = random({c.dim, q_dim}, 0.3f);
            if (c.qk_norm) {
                l.q_norm_weight = random({c.heads, c.head_dim}, 0.3f, 1);
                l.q_norm_bias = random({c.heads, c.head_dim}, 0.1f);
                l.k_norm_weight = random({c.kv_heads, c.head_dim}, 0.3f, 1);
                l.k_norm_bias = random({c.kv_heads, c.head_dim}, 0.1f);
                l.gate = random({c.ffn_dim, c.dim}, 0.3f);
            }
            l.up = random({c.ffn_dim, c.dim}, 0.3f);
            l.down = random({c.dim, c.ffn_dim}, 0.3f);
        }
        if (rms) weights.norm = random({c.dim}, 0.3f, 1);
        weights.output = c.tied_output ? weights.embedding : random({c.vocab, c.dim}, 0.5f);
    }

    // The weights where the backend's kernels can read them.
    const TransformerWeights& on(const Kernels& kernels) const {
        auto found = adopted_.find(&kernels);
        if (found != adopted_.end()) return found->second;
        TransformerWeights w = weights;
        auto adopt_one = [&](Tensor& t) {
            if (t) t.data = const_cast<void*>(adopt(kernels, t.data, t.bytes()));
        };
        for (Tensor* t : {&w.embedding, &w.positions, &w.norm, &w.output}) adopt_one(*t);
        for (LayerWeights& l : w.layers)
            for (Tensor* t : {&l.attention_norm, &l.ffn_norm, &l.q, &l.k, &l.v, &l.o, &l.q_norm_weight, &l.q_norm_bias,
                              &l.k_norm_weight, &l.k_norm_bias, &l.gate, &l.up, &l.down})
                adopt_one(*t);
        return adopted_.emplace(&kernels, std::move(w)).first->second;
    }

private:
    Tensor random(std::initializer_list<int64_t> shape, float scale, float mean = 0) {
        Tensor t(nullptr, DType::F32, shape);
        std::vector<float>& values = memory_.emplace_back(t.elements());
        for (float& v : values) v = mean + scale * static_cast<float>(2 * uniform(1, memory_.size(), counter_++) - 1);
        t.data = values.data();
        return t;
    }
    std::deque<std::vector<float>> memory_;
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
