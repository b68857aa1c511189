// The forward pass. It reads like docs/models.md §2: the families differ in six config facts, and
// each fact is consulted once. Nothing here allocates, throws, or knows what device it runs on.
#include "runtime/transformer.h"

#include <algorithm>

namespace leon {
namespace {

// The views of one batch's rows: tensors of exactly this many rows over the layer buffers.
struct Rows {
    Tensor x, normed, q, k, v, mixed, gate, up;
    Placement at;
};

Rows views(const LayerBuffers& b, int rows) {
    Rows r{b.x.first(rows),
           b.normed.first(rows),
           b.q.first(rows),
           b.k.first(rows),
           b.v.first(rows),
           b.mixed.first(rows),
           {},
           b.up.first(rows),
           {b.stream.first(rows), b.position.first(rows)}};
    if (b.gate.tensor()) r.gate = b.gate.first(rows);
    return r;
}

Tensor flat(const Tensor& t) {
    return t.as({t.shape[0], t.shape[1] * t.shape[2]});
}  // heads side by side

void norm(const Kernels& k, const TransformerConfig& c, Tensor out, Tensor x, Tensor weight) {
    if (c.norm == Norm::RMS)
        rmsnorm(k, out, x, weight, c.norm_eps);
    else
        layernorm(k, out, x, c.norm_eps);
}

// What a branch reads: the normalised residual stream, or the raw one where the norm comes after the branch.
Tensor branch_input(const Kernels& k, const TransformerConfig& c, Rows& b, Tensor weight) {
    if (c.norm_placement == NormPlacement::After) return b.x;
    norm(k, c, b.normed, b.x, weight);
    return b.normed;
}

// x += projection of `activations`, normalised first where the norm comes after the branch.
void branch_output(const Kernels& k, const TransformerConfig& c, Rows& b, Tensor activations, Tensor projection,
                   Tensor weight) {
    if (c.norm_placement == NormPlacement::Before) {
        matmul_add(k, b.x, activations, projection);
        return;
    }
    matmul(k, b.normed, activations, projection);
    norm(k, c, b.normed, b.normed, weight);
    add(k, b.x, b.normed);
}

void attention_branch(const Kernels& k, const TransformerConfig& c, const LayerWeights& w, KvPages cache, Rows& b) {
    const Tensor input = branch_input(k, c, b, w.attention_norm);
    matmul(k, flat(b.q), input, w.q);
    matmul(k, flat(b.k), input, w.k);
    matmul(k, flat(b.v), input, w.v);
    if (c.qk_norm) {  // per head, before rotation
        head_norm(k, b.q, w.q_norm_weight, w.q_norm_bias, c.qk_norm_eps);
        head_norm(k, b.k, w.k_norm_weight, w.k_norm_bias, c.qk_norm_eps);
    }
    if (c.positions == Positions::Rotary) {
        rope(k, b.q, b.at.position, c.rope_theta);
        rope(k, b.k, b.at.position, c.rope_theta);
    }
    append(k, cache, b.k, b.v, b.at);
    attention(k, b.mixed, b.q, cache, b.at);
    branch_output(k, c, b, flat(b.mixed), w.o, w.attention_norm);
}

void feed_forward_branch(const Kernels& k, const TransformerConfig& c, const LayerWeights& w, Rows& b) {
    const Tensor input = branch_input(k, c, b, w.ffn_norm);
    matmul(k, b.up, input, w.up);
    if (c.feed_forward == FeedForward::SwiGLU) {
        matmul(k, b.gate, input, w.gate);
        swiglu(k, b.up, b.gate, b.up);
    } else {
        relu(k, b.up);
    }
    branch_output(k, c, b, b.up, w.down, w.ffn_norm);
}

}  // namespace

Transformer::Transformer(const TransformerConfig& config, const TransformerWeights& weights, const Kernels& kernels,
                         int max_rows, int max_outputs)
    : config_(config),
      weights_(weights),
      kernels_(kernels),
      buffers_(config, kernels, max_rows, max_outputs),
      host_logits_(static_cast<size_t>(max_outputs) * config.vocab) {}

size_t Transformer::weight_bytes(const Batch& batch) const {
    const size_t row_bytes = config_.dim * size_of(weights_.output.dtype);
    const size_t output_rows = batch.outputs.empty() ? 0 : batch.ids > 0 ? batch.ids : config_.vocab;
    return weights_.layer_bytes() + row_bytes * output_rows;
}

const float* Transformer::forward(KvCache& cache, const Batch& batch) {
    const int rows = batch.rows(), outputs = static_cast<int>(batch.outputs.size());
    CHECK(rows > 0 && rows <= buffers_.rows && outputs <= buffers_.max_outputs);
    for (int r = 0; r < rows; r++) {
        CHECK(batch.tokens[r] >= 0 && batch.tokens[r] < config_.vocab);
        CHECK(batch.position[r] == cache.length(batch.stream[r]));
        CHECK(config_.positions != Positions::Learned || batch.position[r] < config_.context);
        cache.extend(batch.stream[r], 1);
    }
    buffers_.tokens.fill_from(batch.tokens.data(), rows * sizeof(int32_t));
    buffers_.stream.fill_from(batch.stream.data(), rows * sizeof(int32_t));
    buffers_.position.fill_from(batch.position.data(), rows * sizeof(int32_t));

    Rows b = views(buffers_, rows);
    gather(kernels_, b.x, weights_.embedding, buffers_.tokens.first(rows));
    if (config_.positions == Positions::Learned)
        gather_add(kernels_, b.x, weights_.positions, b.at.position, config_.position_offset);
    for (int i = 0; i < config_.layers; i++) {
        attention_branch(kernels_, config_, weights_.layers[i], cache.layer(i), b);
        feed_forward_branch(kernels_, config_, weights_.layers[i], b);
    }
    if (outputs == 0) return nullptr;

    buffers_.outputs.fill_from(batch.outputs.data(), outputs * sizeof(int32_t));
    const Tensor picked = buffers_.picked.first(outputs);
    gather(kernels_, picked, b.x, buffers_.outputs.first(outputs));
    norm(kernels_, config_, picked, picked, weights_.norm);

    const int ids = batch.ids > 0 ? batch.ids : config_.vocab;
    CHECK(batch.first_id >= 0 && batch.first_id + ids <= config_.vocab);
    Tensor output = weights_.output;
    output.data = static_cast<char*>(output.data) + size_t(batch.first_id) * config_.dim * size_of(output.dtype);
    output.shape[0] = ids;
    Tensor logits(buffers_.logits.tensor().data, DType::F32, {outputs, ids});
    matmul(kernels_, logits, picked, output);
    download(kernels_, host_logits_.data(), logits.data, logits.bytes());
    return host_logits_.data();
}

void prefill(Transformer& network, KvCache& cache, int stream, std::span<const int32_t> tokens) {
    for (size_t done = 0; done < tokens.size();) {
        const size_t chunk = std::min<size_t>(tokens.size() - done, network.max_rows());
        Batch batch;
        const int start = cache.length(stream);
        for (size_t i = 0; i < chunk; i++)
            batch.add(tokens[done + i], stream, start + static_cast<int>(i), WantLogits::No);
        network.forward(cache, batch);
        done += chunk;
    }
}

}  // namespace leon
