// The training pass; see network.h. Forward functions stand above, their ways back below in the opposite order, and
// every call of a way back names in a comment the call that it undoes.
#include "training/network.h"

#include <algorithm>
#include <array>

#include "training/grad_backend.h"

namespace leon {
namespace {

// Rows that are scored over the vocabulary at a time: enough to read the output matrix seldom, and on the CPU few
// enough for the cache. A device wants work for all its processors.
constexpr int64_t SCORED_FLOATS = 1 << 20, SCORED_FLOATS_OF_DEVICE = 1 << 25;
constexpr int SCORED_ROWS = 256;  // at least, however large the vocabulary is

int score_rows_of(const TransformerConfig& config, const Kernels& kernels, int max_rows) {
    const int64_t floats = in_host_memory(kernels) ? SCORED_FLOATS : SCORED_FLOATS_OF_DEVICE;
    return static_cast<int>(std::min<int64_t>(max_rows, std::max<int64_t>(SCORED_ROWS, floats / config.vocab)));
}

// `count` elements of a vector.
Tensor part(Tensor vector, int from, int count) {
    return Tensor(static_cast<char*>(vector.data) + from * size_of(vector.dtype), vector.dtype, {count});
}

// What every function of a pass needs.
struct Pass {
    const TransformerConfig& c;
    const Kernels& k;
    const GradKernels& g;
    Rotary rotary;
    Tensor starts;

    bool norm_before() const { return c.norm_placement == NormPlacement::Before; }
    bool rotates() const { return c.qk_norm || rotary.theta > 0; }
    HeadNorm head_norm(Tensor weight, Tensor bias) const { return {weight, bias, c.qk_norm_eps}; }
    RowNorm row_norm(Tensor gain) const {
        return {c.norm == Norm::RMS ? RowNorm::Kind::RMS : RowNorm::Kind::Layer, gain, c.norm_eps};
    }
    void normalise(Tensor out, Tensor x, Tensor gain) const {
        if (c.norm == Norm::RMS)
            rmsnorm(k, out, x, gain, c.norm_eps);
        else
            layernorm(k, out, x, {}, {}, c.norm_eps);
    }
};

// One layer's history for the rows of this batch, and where its output goes.
struct Layer {
    Tensor x, attention_inner, raw_q, raw_k, q, k, v, mixed, log_sums, middle, ffn_inner, gate, up, activated, out;
};
Tensor first(const Buffer& buffer, int rows) {
    return buffer.tensor() ? buffer.first(rows) : Tensor();
}
Layer layer_of(const LayerHistory& h, int rows, Tensor out) {
    return {first(h.x, rows),
            first(h.attention_inner, rows),
            first(h.raw_q, rows),
            first(h.raw_k, rows),
            first(h.q, rows),
            first(h.k, rows),
            first(h.v, rows),
            first(h.mixed, rows),
            first(h.log_sums, rows),
            first(h.middle, rows),
            first(h.ffn_inner, rows),
            first(h.gate, rows),
            first(h.up, rows),
            first(h.activated, rows),
            out};
}

struct Changes {
    Tensor x, inner, q, k, v, mixed, activated;
};

Tensor flat(const Tensor& t) {
    return t.as({t.shape[0], t.shape[1] * t.shape[2]});
}  // heads side by side

// out = x + the branch's activations projected, normalised where the norm comes after the branch.
void branch_output(const Pass& p, Tensor out, Tensor x, Tensor inner, Tensor activations, Tensor projection,
                   Tensor gain) {
    if (p.norm_before()) {
        linear(p.g, std::array{out}, activations, std::array{projection});
    } else {
        linear(p.g, std::array{inner}, activations, std::array{projection});
        p.normalise(out, inner, gain);
    }
    add(p.k, out, x);
}

void attention_branch(const Pass& p, const LayerWeights& w, const Layer& l) {
    const Tensor in = p.norm_before() ? l.attention_inner : l.x;
    const Tensor q = p.c.qk_norm ? l.raw_q : l.q, k = p.c.qk_norm ? l.raw_k : l.k;
    if (p.norm_before()) p.normalise(in, l.x, w.attention_norm);
    linear(p.g, std::array{flat(q), flat(k), flat(l.v)}, in, std::array{w.q, w.k, w.v});
    if (p.rotates()) {
        rotate(p.g, l.q, q, p.head_norm(w.q_norm_weight, w.q_norm_bias), p.rotary);
        rotate(p.g, l.k, k, p.head_norm(w.k_norm_weight, w.k_norm_bias), p.rotary);
    }
    attention(p.g, l.mixed, l.log_sums, l.q, l.k, l.v, p.starts);
    branch_output(p, l.middle, l.x, l.attention_inner, flat(l.mixed), w.o, w.attention_norm);
}

void feed_forward_branch(const Pass& p, const LayerWeights& w, const Layer& l) {
    const Tensor in = p.norm_before() ? l.ffn_inner : l.middle;
    if (p.norm_before()) p.normalise(in, l.middle, w.ffn_norm);
    if (w.gate) {
        linear(p.g, std::array{l.gate, l.up}, in, std::array{w.gate, w.up});
        swiglu(p.k, l.activated, l.gate, l.up);
    } else {
        linear(p.g, std::array{l.activated}, in, std::array{w.up});
        activate(p.k, l.activated, Activation::ReLU);
    }
    branch_output(p, l.out, l.middle, l.ffn_inner, l.activated, w.down, w.ffn_norm);
}

// --- the way back: d.x is the gradient of the residual stream, which each branch changes from that of its output to
// that of its input. The sum x + branch passes it on as it is; the branch's own part is added to it. -----------------

// -> dactivations, dprojection, dgain
void branch_output_backward(const Pass& p, const Changes& d, Tensor dactivations, Tensor dprojection, Tensor dgain,
                            Tensor inner, Tensor activations, Tensor projection, Tensor gain) {
    Tensor dout = d.x;
    if (!p.norm_before()) {
        dout = d.inner;  // normalise(out, inner, gain)
        norm_backward(p.g, dout, dgain, d.x, inner, p.row_norm(gain), Accumulate::No);
    }
    // linear(out or inner, activations, projection)
    linear_dw(p.g, std::array{dprojection}, activations, std::array{dout});
    linear_dx(p.g, dactivations, std::array{dout}, std::array{projection});
}

// -> d.x, dweights, dgain
void branch_input_backward(const Pass& p, const Changes& d, std::span<const Tensor> dweights, Tensor dgain,
                           std::span<const Tensor> douts, Tensor x, Tensor inner, std::span<const Tensor> weights,
                           Tensor gain) {
    // linear(outs, in, weights)
    linear_dw(p.g, dweights, p.norm_before() ? inner : x, douts);
    if (!p.norm_before()) {
        linear_dx(p.g, d.x, douts, weights, Accumulate::Yes);
        return;
    }
    linear_dx(p.g, d.inner, douts, weights);
    // normalise(in, x, gain)
    norm_backward(p.g, d.x, dgain, d.inner, x, p.row_norm(gain), Accumulate::Yes);
}

void feed_forward_branch_backward(const Pass& p, const LayerWeights& w, const LayerWeights& dw, const Layer& l,
                                  const Changes& d) {
    branch_output_backward(p, d, d.activated, dw.down, dw.ffn_norm, l.ffn_inner, l.activated, w.down, w.ffn_norm);
    if (w.gate) {
        // swiglu(activated, gate, up); in the place of gate and up, which nobody reads after this
        swiglu_backward(p.g, l.gate, l.up, d.activated, l.gate, l.up);
        branch_input_backward(p, d, std::array{dw.gate, dw.up}, dw.ffn_norm, std::array{l.gate, l.up}, l.middle,
                              l.ffn_inner, std::array{w.gate, w.up}, w.ffn_norm);
    } else {
        relu_backward(p.g, d.activated, l.activated);  // activate(activated, ReLU)
        branch_input_backward(p, d, std::array{dw.up}, dw.ffn_norm, std::array{d.activated}, l.middle, l.ffn_inner,
                              std::array{w.up}, w.ffn_norm);
    }
}

void attention_branch_backward(const Pass& p, const LayerWeights& w, const LayerWeights& dw, const Layer& l,
                               const Changes& d) {
    branch_output_backward(p, d, flat(d.mixed), dw.o, dw.attention_norm, l.attention_inner, flat(l.mixed), w.o,
                           w.attention_norm);
    // attention(mixed, log_sums, q, k, v)
    attention_backward(p.g, d.q, d.k, d.v, d.mixed, l.mixed, l.log_sums, l.q, l.k, l.v, p.starts);
    if (p.rotates()) {
        // rotate(k, raw_k), rotate(q, raw_q)
        rotate_backward(p.g, d.k, dw.k_norm_weight, dw.k_norm_bias, d.k, l.raw_k,
                        p.head_norm(w.k_norm_weight, w.k_norm_bias), p.rotary);
        rotate_backward(p.g, d.q, dw.q_norm_weight, dw.q_norm_bias, d.q, l.raw_q,
                        p.head_norm(w.q_norm_weight, w.q_norm_bias), p.rotary);
    }
    branch_input_backward(p, d, std::array{dw.q, dw.k, dw.v}, dw.attention_norm,
                          std::array{flat(d.q), flat(d.k), flat(d.v)}, l.x, l.attention_inner,
                          std::array{w.q, w.k, w.v}, w.attention_norm);
}

void check_batch(const TransformerConfig& c, const PackedBatch& b, int max_rows) {
    const size_t rows = b.tokens.size();
    CHECK(b.rows() <= max_rows && b.position.size() == rows && b.targets.size() == rows && b.weights.size() == rows);
    CHECK(rows > 0 && b.starts.front() == 0 && b.starts.back() == b.rows());
    CHECK(std::is_sorted(b.starts.begin(), b.starts.end()));
    const int positions = c.positions == Positions::Learned ? c.context : INT32_MAX;
    for (size_t r = 0; r < rows; r++) {
        CHECK(b.tokens[r] >= 0 && b.tokens[r] < c.vocab && b.position[r] >= 0 && b.position[r] < positions);
        CHECK(b.targets[r] == NO_TARGET || (b.targets[r] >= 0 && b.targets[r] < c.vocab));
    }
}

}  // namespace

LayerHistory::LayerHistory(const TransformerConfig& c, const Kernels& kernels, int rows) {
    const auto make = [&](std::initializer_list<int64_t> shape) { return Buffer(kernels, DType::F32, shape); };
    x = make({rows, c.dim});
    attention_inner = make({rows, c.dim});
    if (c.qk_norm) raw_q = make({rows, c.heads, c.head_dim});
    if (c.qk_norm) raw_k = make({rows, c.kv_heads, c.head_dim});
    q = make({rows, c.heads, c.head_dim});
    k = make({rows, c.kv_heads, c.head_dim});
    v = make({rows, c.kv_heads, c.head_dim});
    mixed = make({rows, c.heads, c.head_dim});
    log_sums = make({rows, c.heads});
    middle = make({rows, c.dim});
    ffn_inner = make({rows, c.dim});
    if (c.feed_forward == FeedForward::SwiGLU) gate = make({rows, c.ffn_dim});
    if (c.feed_forward == FeedForward::SwiGLU) up = make({rows, c.ffn_dim});
    activated = make({rows, c.ffn_dim});
}

ActivationGradients::ActivationGradients(const TransformerConfig& c, const Kernels& kernels, int rows)
    : x(kernels, DType::F32, {rows, c.dim}),
      inner(kernels, DType::F32, {rows, c.dim}),
      q(kernels, DType::F32, {rows, c.heads, c.head_dim}),
      k(kernels, DType::F32, {rows, c.kv_heads, c.head_dim}),
      v(kernels, DType::F32, {rows, c.kv_heads, c.head_dim}),
      mixed(kernels, DType::F32, {rows, c.heads, c.head_dim}),
      activated(kernels, DType::F32, {rows, c.ffn_dim}) {}

Network::Network(const TransformerConfig& config, const Kernels& kernels, const GradKernels& grad_kernels, int max_rows)
    : config_(config),
      kernels_(kernels),
      grads_(grad_kernels),
      max_rows_(max_rows),
      score_rows_(score_rows_of(config, kernels, max_rows)),
      batch_(kernels, max_rows),
      last_(kernels, DType::F32, {max_rows, config.dim}),
      d_(config, kernels, max_rows),
      picked_(kernels, DType::F32, {score_rows_, config.dim}),
      picked_normed_(kernels, DType::F32, {score_rows_, config.dim}),
      logits_(kernels, DType::F32, {score_rows_, config.vocab}),
      picked_losses_(kernels, DType::F32, {max_rows}),
      losses_(max_rows),
      downloaded_(max_rows) {
    for (int i = 0; i < config.layers; i++) history_.emplace_back(config, kernels, max_rows);
}

std::span<const float> Network::losses(const TransformerWeights& parameters, const PackedBatch& batch,
                                       const CrossEntropy& rule) {
    begin(batch);
    score(forward(parameters, Keep::Nothing), parameters, nullptr, rule);
    return downloaded_losses(batch.rows());
}

std::span<const float> Network::add_gradients(const TransformerWeights& parameters, const TransformerWeights& gradients,
                                              const PackedBatch& batch, const CrossEntropy& rule) {
    begin(batch);
    score(forward(parameters, Keep::History), parameters, &gradients, rule);
    backward(parameters, gradients);
    return downloaded_losses(batch.rows());
}

void Network::begin(const PackedBatch& batch) {
    check_batch(config_, batch, max_rows_);
    batch_.upload(batch, config_.segments);
}

Rotary Network::rotary() const {
    if (config_.positions != Positions::Rotary) return {};
    return {batch_.position, config_.segments ? batch_.segment : Tensor(), config_.rope_theta};
}

// Waits for all of the pass.
std::span<const float> Network::downloaded_losses(int rows) {
    const std::span<const int32_t> picked = batch_.picked();
    if (!picked.empty()) download(kernels_, downloaded_.data(), picked_losses_.tensor().data, picked.size_bytes());
    std::fill(losses_.begin(), losses_.begin() + rows, 0.0f);
    for (size_t i = 0; i < picked.size(); i++) losses_[picked[i]] = downloaded_[i];
    return {losses_.data(), static_cast<size_t>(rows)};
}

// Where nothing is kept, every layer has the first one's memory, and writes its output over its input.
Tensor Network::forward(const TransformerWeights& w, Keep keep) {
    const int rows = batch_rows();
    const Pass pass = {config_, kernels_, grads_, rotary(), batch_.starts};
    const Tensor x = history_[0].x.first(rows);
    gather(kernels_, x, w.embedding, batch_.tokens);
    if (w.positions) gather_add(kernels_, x, w.positions, batch_.position, config_.position_offset);
    if (w.places) gather_add(kernels_, x, w.places, batch_.code, OFFSET_OF_PLACES);
    for (int i = 0; i < config_.layers; i++) {
        const bool is_last = i + 1 == config_.layers;
        const Tensor out = keep == Keep::Nothing ? x : (is_last ? last_ : history_[i + 1].x).first(rows);
        const Layer layer = layer_of(history_[keep == Keep::Nothing ? 0 : i], rows, out);
        attention_branch(pass, w.layers[i], layer);
        feed_forward_branch(pass, w.layers[i], layer);
    }
    return keep == Keep::Nothing ? x : last_.first(rows);
}

void Network::backward(const TransformerWeights& w, const TransformerWeights& dw) {
    const int rows = batch_rows();
    const Pass pass = {config_, kernels_, grads_, rotary(), batch_.starts};
    const Changes d = {d_.x.first(rows), d_.inner.first(rows), d_.q.first(rows),        d_.k.first(rows),
                       d_.v.first(rows), d_.mixed.first(rows), d_.activated.first(rows)};
    for (int i = config_.layers; i-- > 0;) {
        const Layer layer = layer_of(history_[i], rows, {});
        feed_forward_branch_backward(pass, w.layers[i], dw.layers[i], layer, d);
        attention_branch_backward(pass, w.layers[i], dw.layers[i], layer, d);
    }
    // gather_add(x, places), gather_add(x, positions), gather(x, embedding)
    if (w.places) gather_backward(grads_, dw.places, d.x, batch_.code, OFFSET_OF_PLACES);
    if (w.positions) gather_backward(grads_, dw.positions, d.x, batch_.position, config_.position_offset);
    gather_backward(grads_, dw.embedding, d.x, batch_.tokens, 0);
}

// The final norm, the output matrix and the cross-entropy of the rows that have a target, some at a time; and with `dw`
// their ways back at once, down to d_.x, so that the logits need not be kept.
void Network::score(Tensor x, const TransformerWeights& w, const TransformerWeights* dw, const CrossEntropy& rule) {
    const Pass pass = {config_, kernels_, grads_, {}, {}};
    const Tensor dx = d_.x.first(batch_rows());
    if (dw) clear(grads_, dx);
    const int count = static_cast<int>(batch_.picked().size());
    for (int from = 0; from < count; from += score_rows_) {
        const int rows = std::min(score_rows_, count - from);
        const Tensor ids = part(batch_.picked_rows, from, rows), targets = part(batch_.picked_targets, from, rows);
        const Tensor weights = part(batch_.picked_weights, from, rows);
        const Tensor losses = part(picked_losses_.tensor(), from, rows);
        const Tensor picked = picked_.first(rows), normed = picked_normed_.first(rows), logits = logits_.first(rows);

        gather(kernels_, picked, x, ids);
        pass.normalise(normed, picked, w.norm);
        linear(grads_, std::array{logits}, normed, std::array{w.output});
        cross_entropy(grads_, losses, logits, targets, weights, rule);
        if (!dw) continue;

        // linear(logits, normed, output); the logits are their gradients now
        const Tensor dnormed = d_.inner.first(rows), dpicked = normed;
        linear_dw(grads_, std::array{dw->output}, normed, std::array{logits});
        linear_dx(grads_, dnormed, std::array{logits}, std::array{w.output});
        // normalise(normed, picked, norm), gather(picked, x, ids)
        norm_backward(grads_, dpicked, dw->norm, dnormed, picked, pass.row_norm(w.norm), Accumulate::No);
        gather_backward(grads_, dx, dpicked, ids, 0);
    }
}

double Network::operations(const PackedBatch& batch) const {
    const TransformerConfig& c = config_;
    const double q_dim = double(c.heads) * c.head_dim, kv_dim = double(c.kv_heads) * c.head_dim;
    const double matrices = c.feed_forward == FeedForward::SwiGLU ? 3 : 2;
    const double a_row = double(c.dim) * (2 * q_dim + 2 * kv_dim + matrices * c.ffn_dim);
    double pairs = 0, scored = 0;  // of rows that see one another; rows that go through the output matrix
    for (int d = 0; d < batch.documents(); d++) {
        const double length = batch.starts[d + 1] - batch.starts[d];
        pairs += length * (length + 1) / 2;
    }
    for (int r = 0; r < batch.rows(); r++) scored += batch.targets[r] != NO_TARGET && batch.weights[r] != 0;
    // A product forward is two backward. Attention: scores and mixture, then scores again and four products.
    return 6 * (batch.rows() * a_row * c.layers + scored * c.dim * c.vocab) + 14 * pairs * q_dim * c.layers;
}

}  // namespace leon
