// The forward pass. compute() reads like docs/models.md §2: the families differ in six config facts, and each fact is
// consulted once. Nothing here allocates, throws, or knows what device it runs on.
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
           {b.stream.first(rows), b.position.first(rows), {}}};
    if (b.gate.tensor()) r.gate = b.gate.first(rows);
    if (b.segment.tensor()) r.at.segment = b.segment.first(rows);
    return r;
}

Tensor flat(const Tensor& t) {
    return t.as({t.shape[0], t.shape[1] * t.shape[2]});
}  // heads side by side

// The normalisation with this gain, as the configuration has it, where `placement` is the configuration's.
RowNorm norm_at(const TransformerConfig& c, NormPlacement placement, Tensor weight) {
    if (c.norm_placement != placement) return {};
    return {c.norm == Norm::RMS ? RowNorm::Kind::RMS : RowNorm::Kind::Layer, weight, c.norm_eps};
}

// x += projection of `activations`, normalised first where the norm comes after the branch.
void branch_output(const Kernels& k, const TransformerConfig& c, Rows& b, Tensor activations, Tensor projection,
                   Tensor weight) {
    if (c.norm_placement == NormPlacement::Before) {
        matmul_add(k, b.x, activations, projection);
        return;
    }
    matmul(k, b.normed, activations, projection);
    norm_add(k, b.x, b.normed, norm_at(c, NormPlacement::After, weight));
}

void attention_branch(const Kernels& k, const TransformerConfig& c, const LayerWeights& w, KvPages cache, Rows& b) {
    const RowNorm before = norm_at(c, NormPlacement::Before, w.attention_norm);
    HeadNorms heads;
    if (c.qk_norm) heads = {w.q_norm_weight, w.q_norm_bias, w.k_norm_weight, w.k_norm_bias, c.qk_norm_eps};
    const float theta = c.positions == Positions::Rotary ? c.rope_theta : 0;

    project_qkv(k, flat(b.q), flat(b.k), flat(b.v), b.x, {before, w.q, w.k, w.v}, b.normed);
    rotate_append(k, b.q, b.k, b.v, heads, theta, cache, b.at);
    attention(k, b.mixed, b.q, cache, b.at);
    branch_output(k, c, b, flat(b.mixed), w.o, w.attention_norm);
}

void feed_forward_branch(const Kernels& k, const TransformerConfig& c, const LayerWeights& w, Rows& b) {
    const RowNorm before = norm_at(c, NormPlacement::Before, w.ffn_norm);
    const Tensor gate = c.feed_forward == FeedForward::SwiGLU ? w.gate : Tensor();
    feed_forward(k, b.up, b.x, {before, gate, w.up}, b.normed, b.gate);
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

size_t Transformer::weight_bytes(const BatchShape& shape) const {
    const size_t row_bytes = weights_.output.bytes() / static_cast<size_t>(weights_.output.rows());
    return weights_.layer_bytes() + (shape.outputs > 0 ? row_bytes * ids_of(shape) : 0);
}

const float* Transformer::forward(KvCache& cache, const Batch& batch) {
    place(cache, batch);
    const Tensor logits = compute(cache, batch.shape());
    for (int r = 0; r < batch.rows(); r++) cache.extend(batch.stream[r], std::span(batch.tokens).subspan(r, 1));
    if (!logits) return nullptr;
    download(kernels_, host_logits_.data(), logits.data, logits.bytes());
    return host_logits_.data();
}

void Transformer::place(KvCache& cache, const Batch& batch) {
    const int rows = batch.rows(), outputs = static_cast<int>(batch.outputs.size());
    CHECK(rows > 0 && rows <= buffers_.rows && outputs <= buffers_.max_outputs);
    std::vector<int32_t> segment, code;
    SegmentPlace at;
    for (int r = 0, nth = 0; r < rows; r++) {  // `nth` of the stream's rows in this batch
        nth = r > 0 && batch.stream[r] == batch.stream[r - 1] ? nth + 1 : 0;
        CHECK(batch.tokens[r] >= 0 && batch.tokens[r] < config_.vocab);
        CHECK(batch.position[r] == cache.length(batch.stream[r]) + nth);
        CHECK(config_.positions != Positions::Learned || batch.position[r] < config_.context);
        cache.reserve(batch.stream[r], nth + 1);
        if (!config_.segments) continue;
        at = place_after(config_.segments, nth == 0 ? cache.place(batch.stream[r]) : at, batch.tokens[r]);
        segment.push_back(at.index);
        code.push_back(at.code);
    }
    buffers_.tokens.fill_from(batch.tokens.data(), rows * sizeof(int32_t));
    buffers_.stream.fill_from(batch.stream.data(), rows * sizeof(int32_t));
    buffers_.position.fill_from(batch.position.data(), rows * sizeof(int32_t));
    if (config_.segments) {
        buffers_.segment.fill_from(segment.data(), rows * sizeof(int32_t));
        buffers_.code.fill_from(code.data(), rows * sizeof(int32_t));
    }
    if (outputs > 0) buffers_.outputs.fill_from(batch.outputs.data(), outputs * sizeof(int32_t));
}

Tensor Transformer::compute(const KvCache& cache, const BatchShape& shape) {
    Rows b = views(buffers_, shape.rows);
    gather(kernels_, b.x, weights_.embedding, buffers_.tokens.first(shape.rows));
    if (config_.positions == Positions::Learned)
        gather_add(kernels_, b.x, weights_.positions, b.at.position, config_.position_offset);
    if (config_.segments) gather_add(kernels_, b.x, weights_.places, buffers_.code.first(shape.rows), OFFSET_OF_PLACES);
    for (int i = 0; i < config_.layers; i++) {
        attention_branch(kernels_, config_, weights_.layers[i], cache.layer(i), b);
        feed_forward_branch(kernels_, config_, weights_.layers[i], b);
    }
    if (shape.outputs == 0) return {};

    const Tensor normed = buffers_.picked.first(shape.outputs);
    const bool every_row = shape.outputs == shape.rows;  // then there is nothing to pick
    if (!every_row) gather(kernels_, normed, b.x, buffers_.outputs.first(shape.outputs));
    const Tensor picked = every_row ? b.x : normed;
    if (config_.norm == Norm::RMS)
        rmsnorm(kernels_, normed, picked, weights_.norm, config_.norm_eps);
    else
        layernorm(kernels_, normed, picked, {}, {}, config_.norm_eps);

    const int ids = ids_of(shape);
    CHECK(shape.first_id >= 0 && shape.first_id + ids <= config_.vocab);
    const Tensor logits(buffers_.logits.tensor().data, DType::F32, {shape.outputs, ids});
    matmul(kernels_, logits, normed, weights_.output.slice(shape.first_id, ids));
    return logits;
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
