// Binding by name; the list below is the specification of the transformer's tensors (docs/weights_format.md).
#include "runtime/weights.h"

#include <string>

namespace leon {

size_t TransformerWeights::layer_bytes() const {
    size_t bytes = 0;
    for (const LayerWeights& w : layers)
        for (const Tensor* t : {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down})
            if (*t) bytes += t->bytes() + t->group_bytes();
    return bytes;
}

TransformerWeights TransformerWeights::on(const Kernels& kernels) const {
    TransformerWeights w{embedding, positions, places, norm, output, layers, AdoptedMemory(kernels)};
    auto take = [&](Tensor& t) { t = w.adopted.adopt(t); };
    for (Tensor* t : {&w.embedding, &w.positions, &w.places, &w.norm}) take(*t);
    for (LayerWeights& l : w.layers)
        for (Tensor* t : {&l.attention_norm, &l.ffn_norm, &l.q, &l.k, &l.v, &l.o, &l.q_norm_weight, &l.q_norm_bias,
                          &l.k_norm_weight, &l.k_norm_bias, &l.gate, &l.up, &l.down})
            take(*t);
    if (output.data == embedding.data)
        w.output = w.embedding;  // tied: one copy
    else
        take(w.output);
    return w;
}

namespace {

// Matrices that are multiplied in one operation have one type.
void check_alike(const WeightsFile& file, size_t number, const LayerWeights& layer) {
    const auto check = [&](const char* name, const Tensor& t, const char* other, const Tensor& like) {
        if (t.dtype == like.dtype) return;
        const std::string prefix = "transformer.layers." + std::to_string(number) + ".";
        throw Error("tensor " + in_quotes(prefix + name) + " is " + name_of(t.dtype) + ", but " +
                        in_quotes(prefix + other) + " is " + name_of(like.dtype),
                    file.path(), "matrices that are multiplied together have one type");
    };
    check("k", layer.k, "q", layer.q);
    check("v", layer.v, "q", layer.q);
    if (layer.gate) check("up", layer.up, "gate", layer.gate);
}

}  // namespace

// Everything is bound, and so checked, before the first byte goes to the device.
TransformerWeights bind_weights(const WeightsFile& file, const TransformerConfig& config, const Kernels& kernels) {
    const TransformerWeights weights =
        bind_weights(config, {[&](const std::string& name, std::initializer_list<int64_t> shape) {
                                  return file.matrix("transformer." + name, shape);
                              },
                              [&](const std::string& name, std::initializer_list<int64_t> shape) {
                                  return file.vector("transformer." + name, shape);
                              }});
    for (size_t i = 0; i < weights.layers.size(); i++) check_alike(file, i, weights.layers[i]);
    return weights.on(kernels);
}

TransformerWeights bind_weights(const TransformerConfig& c, const TransformerTensors& tensors) {
    auto matrix = [&](const std::string& name, int64_t rows, int64_t cols) {
        return tensors.matrix(name, {rows, cols});
    };
    auto vector = [&](const std::string& name, int64_t size) { return tensors.vector(name, {size}); };
    auto per_head = [&](const std::string& name, int64_t heads) { return tensors.vector(name, {heads, c.head_dim}); };

    const bool norms = c.norm == Norm::RMS;
    TransformerWeights w;
    w.embedding = matrix("embedding", c.vocab, c.dim);
    if (c.positions == Positions::Learned) w.positions = matrix("positions", c.context + c.position_offset, c.dim);
    if (c.segments) w.places = matrix("places", places_of(c.segments), c.dim);
    for (int i = 0; i < c.layers; i++) {
        const std::string layer = "layers." + std::to_string(i) + ".";
        LayerWeights& l = w.layers.emplace_back();
        if (norms) l.attention_norm = vector(layer + "attention_norm", c.dim);
        l.q = matrix(layer + "q", int64_t{c.heads} * c.head_dim, c.dim);
        l.k = matrix(layer + "k", int64_t{c.kv_heads} * c.head_dim, c.dim);
        l.v = matrix(layer + "v", int64_t{c.kv_heads} * c.head_dim, c.dim);
        l.o = matrix(layer + "o", c.dim, int64_t{c.heads} * c.head_dim);
        if (c.qk_norm) {
            l.q_norm_weight = per_head(layer + "q_norm.weight", c.heads);
            l.q_norm_bias = per_head(layer + "q_norm.bias", c.heads);
            l.k_norm_weight = per_head(layer + "k_norm.weight", c.kv_heads);
            l.k_norm_bias = per_head(layer + "k_norm.bias", c.kv_heads);
        }
        if (norms) l.ffn_norm = vector(layer + "ffn_norm", c.dim);
        if (c.feed_forward == FeedForward::SwiGLU) l.gate = matrix(layer + "gate", c.ffn_dim, c.dim);
        l.up = matrix(layer + "up", c.ffn_dim, c.dim);
        l.down = matrix(layer + "down", c.dim, c.ffn_dim);
    }
    if (norms) w.norm = vector("norm", c.dim);
    w.output = c.tied_output ? w.embedding : matrix("output", c.vocab, c.dim);
    return w;
}

}  // namespace leon
