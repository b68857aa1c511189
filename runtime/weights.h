// The transformer's weights, bound by name to the memory of the mapped file: nothing is copied on the CPU. What a GPU
// holds of them is given back with the object that names it.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "runtime/adopted.h"
#include "runtime/config.h"
#include "runtime/weights_file.h"

namespace leon {

// An absent tensor (say attention_norm where the norm has no parameters) has null data.
struct LayerWeights {
    Tensor attention_norm, ffn_norm;    // [dim], f32, RMS norm only
    Tensor q, k, v;                     // [heads or kv_heads * head_dim, dim]
    Tensor o;                           // [dim, heads * head_dim]
    Tensor q_norm_weight, q_norm_bias;  // [heads, head_dim], f32, qk-norm only
    Tensor k_norm_weight, k_norm_bias;  // [kv_heads, head_dim], f32, qk-norm only
    Tensor gate;                        // [ffn_dim, dim], SwiGLU only
    Tensor up, down;                    // [ffn_dim, dim], [dim, ffn_dim]
};

struct TransformerWeights {
    Tensor embedding;  // [vocab, dim]
    Tensor positions;  // [context + position_offset, dim], learned positions only
    Tensor places;     // [places_of(segments), dim], networks with segments only
    Tensor norm;       // [dim], f32, RMS norm only
    Tensor output;     // [vocab, dim]; the embedding itself if tied
    std::vector<LayerWeights> layers;
    AdoptedMemory adopted;  // whose tensors the above are, if they are a backend's

    TransformerWeights on(const Kernels& kernels) const;  // the same weights where that backend's kernels read them
    size_t layer_bytes() const;  // of all layers' matrices: what one forward pass reads beside the output rows
};

// Where tensors come from: a file, or nothing but shapes (for counting work). Names come without "transformer.".
struct TransformerTensors {
    std::function<Tensor(const std::string& name, std::initializer_list<int64_t> shape)> matrix;  // any weight
    std::function<Tensor(const std::string& name, std::initializer_list<int64_t> shape)> vector;  // f32
};
TransformerWeights bind_weights(const TransformerConfig& config, const TransformerTensors& tensors);

// Throws Error naming the tensor if one is missing or has another shape. The file must outlive the weights.
TransformerWeights bind_weights(const WeightsFile& file, const TransformerConfig& config, const Kernels& kernels);

}  // namespace leon
