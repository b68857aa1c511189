// The transformer as it is trained: losses of a batch, and the gradients of all parameters.
//
//   Network network(config, cpu_kernels(), cpu_grad_kernels(), 4096);
//   std::span<const float> losses = network.add_gradients(values.weights(), gradients.weights(), batch, rule);
//
// It computes what runtime/transformer.h computes, of whole documents at once instead of a cache: forward() keeps of
// every layer what its way back reads, and backward() is its mirror image, each call beside the one that it undoes.
// Evaluation runs the same code with one layer's memory for all.
//
// Bound by the products: 6 operations a parameter and row. What is kept is about 4 (10 dim + 3 ffn_dim) bytes a layer
// and row. Scores over the vocabulary exist for a few hundred rows at a time, on a device for many thousand. Nothing is
// allocated after construction. All memory is that of the kernels, where parameters and gradients must lie, too; the
// host waits for a pass twice: to copy the batch there, and the losses back when all is done.
#pragma once

#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "runtime/config.h"
#include "runtime/state.h"
#include "runtime/weights.h"
#include "training/batch.h"
#include "training/grad_kernels.h"
#include "training/uploaded_batch.h"

namespace leon {

// What the way back of one layer reads, for up to `rows` rows.
struct LayerHistory {
    Buffer x;                         // [rows, dim] the residual stream before the layer
    Buffer attention_inner;           // [rows, dim] the normalised x; or, norm after the branch, what it normalises
    Buffer raw_q, raw_k;              // [rows, heads, head_dim] and [.., kv_heads, ..] before qk-norm, if there is one
    Buffer q, k, v, mixed, log_sums;  // what attention reads and writes
    Buffer middle;                    // [rows, dim] the residual stream between the branches
    Buffer ffn_inner;                 // as attention_inner
    Buffer gate, up, activated;       // [rows, ffn_dim]; ReLU has activated alone

    LayerHistory(const TransformerConfig& config, const Kernels& kernels, int rows);
};

// Gradients of activations, one set for all layers.
struct ActivationGradients {
    Buffer x;               // [rows, dim] of the residual stream
    Buffer inner;           // [rows, dim] of a branch's inner
    Buffer q, k, v, mixed;  // as in LayerHistory
    Buffer activated;       // [rows, ffn_dim]

    ActivationGradients(const TransformerConfig& config, const Kernels& kernels, int rows);
};

class Network {
public:
    // At most `max_rows` rows a batch. Memory that was never touched costs nothing.
    Network(const TransformerConfig& config, const Kernels& kernels, const GradKernels& grad_kernels, int max_rows);

    // The unweighted loss of every row [rows], 0 where there is no target or its weight is 0; valid until the next
    // call. Tokens and targets must be within the vocabulary, learned positions within the context, and starts rise
    // from 0 to rows (CHECKed).
    std::span<const float> losses(const TransformerWeights& parameters, const PackedBatch& batch,
                                  const CrossEntropy& rule = {});

    // The same, and gradients += d (rule.scale * sum of weights * losses) / d parameters. Gradients are bound like the
    // parameters: training/parameters.h.
    std::span<const float> add_gradients(const TransformerWeights& parameters, const TransformerWeights& gradients,
                                         const PackedBatch& batch, const CrossEntropy& rule);

    const TransformerConfig& config() const { return config_; }
    int max_rows() const { return max_rows_; }

    // Multiplications and additions of all products in one add_gradients() of this batch.
    double operations(const PackedBatch& batch) const;

private:
    enum class Keep { History, Nothing };
    void begin(const PackedBatch& batch);
    Rotary rotary() const;  // of the batch
    Tensor forward(const TransformerWeights& w, Keep keep);
    void score(Tensor x, const TransformerWeights& w, const TransformerWeights* dw, const CrossEntropy& rule);
    void backward(const TransformerWeights& w, const TransformerWeights& dw);
    std::span<const float> downloaded_losses(int rows);
    int batch_rows() const { return static_cast<int>(batch_.tokens.elements()); }

    const TransformerConfig config_;
    const Kernels& kernels_;
    const GradKernels& grads_;
    int max_rows_, score_rows_;  // at a time
    UploadedBatch batch_;
    std::vector<LayerHistory> history_;
    Buffer last_;  // [rows, dim] the residual stream after the last layer
    ActivationGradients d_;
    Buffer picked_, picked_normed_, logits_;  // [score rows, dim] twice, [score rows, vocab]
    Buffer picked_losses_;                    // [rows] of the rows that have a target and a weight
    std::vector<float> losses_, downloaded_;
};

}  // namespace leon
