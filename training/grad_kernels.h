// What training computes beyond inference: one table of operations, and one documented wrapper per operation.
//
// The manner is that of kernels/kernels.h: a backend is one filled table, the wrapper is the contract and the only
// caller of its slot, training/reference/ is the definition in plain loops, and training/cpu/ and training/cuda/ are
// claims that training/tests/test_grad_kernels.cpp holds to it. Tensors lie in the memory of the Kernels of that name.
//
// The law of gradients, stated once: the gradient of `thing` is `dthing`; gradients of parameters accumulate (+=),
// since a step may be the sum of many batches; gradients of activations are assigned (=), unless the call says
// Accumulate::Yes. Nothing is remembered between calls: a backward operation gets what the forward one read or wrote,
// and recomputes statistics that are cheap.
//
// Rows are tokens of documents that stand side by side: document d is the rows starts[d] .. starts[d + 1].
// All tensors are float32 but ids, positions and starts, which are i32. How exact products are is the table's:
// cpu_bf16_grad_kernels() rounds the operands of every product (linear and attention) to bf16 and adds in float32.
#pragma once

#include <span>

#include "kernels/kernels.h"
#include "training/adamw.h"
#include "training/batch.h"

namespace leon {

enum class Accumulate { No, Yes };

// Layer normalisation of each head (Chameleon's qk-norm); without weight: none.
struct HeadNorm {
    Tensor weight, bias;  // [heads, head_dim]
    float eps = 0;
};

struct CrossEntropy {
    float z_loss = 0;  // weight of log(Z)^2, which keeps the logits' normaliser Z near 1 (Chameleon: 1e-5)
    float scale = 1;   // of every gradient: 1 / the sum of all weights of a step, say
};

struct GradKernels {
    const char* name;  // "reference", "cpu-avx2", "cuda-bf16", ...

    void (*linear)(std::span<const Tensor> outs, Tensor x, std::span<const Tensor> weights, Accumulate accumulate);
    void (*linear_dx)(Tensor dx, std::span<const Tensor> douts, std::span<const Tensor> weights, Accumulate accumulate);
    void (*linear_dw)(std::span<const Tensor> dweights, Tensor x, std::span<const Tensor> douts);
    void (*norm_backward)(Tensor dx, Tensor dweight, Tensor dout, Tensor x, const RowNorm& norm, Accumulate accumulate);
    void (*rotate)(Tensor out, Tensor x, const HeadNorm& norm, const Rotary& rotary);
    void (*rotate_backward)(Tensor dx, Tensor dweight, Tensor dbias, Tensor dout, Tensor x, const HeadNorm& norm,
                            const Rotary& rotary);
    void (*attention)(Tensor out, Tensor log_sums, Tensor q, Tensor k, Tensor v, Tensor starts);
    void (*attention_backward)(Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out, Tensor log_sums, Tensor q,
                               Tensor k, Tensor v, Tensor starts);
    void (*swiglu_backward)(Tensor dgate, Tensor dup, Tensor dout, Tensor gate, Tensor up);
    void (*relu_backward)(Tensor dx, Tensor out);
    void (*gather_backward)(Tensor dtable, Tensor dout, Tensor ids, int offset);
    void (*cross_entropy)(Tensor losses, Tensor logits, Tensor targets, Tensor weights, const CrossEntropy& rule);

    void (*clear)(Tensor x);
    double (*sum_of_squares)(std::span<const Tensor> parts);
    void (*adamw)(Tensor values, Tensor gradients, Tensor m, Tensor v, const AdamWStep& rule);
    void (*average_into)(Tensor average, Tensor values, double decay);
};

const GradKernels& reference_grad_kernels();       // the definition: plain loops, sums in double
const GradKernels& reference_bf16_grad_kernels();  // the same over operands of products rounded to bf16
const GradKernels& cpu_grad_kernels();             // float32, the widest instruction set of this processor
const GradKernels& cpu_bf16_grad_kernels();  // products of bf16 on tensor tiles (AMX) where the processor has them

// The GPU's, through training/cuda; null where cuda_kernels() is.
const GradKernels* cuda_grad_kernels();       // float32
const GradKernels* cuda_bf16_grad_kernels();  // products of bf16 on tensor cores

constexpr size_t MOST_LINEAR = 3;  // projections of one input: q, k, v

inline bool is_f32(const Tensor& t) {
    return t && t.dtype == DType::F32;
}
inline bool are_products(std::span<const Tensor> outs, const Tensor& x, std::span<const Tensor> weights) {
    if (outs.empty() || outs.size() > MOST_LINEAR || outs.size() != weights.size() || !is_f32(x)) return false;
    for (size_t i = 0; i < outs.size(); i++)
        if (!is_f32(outs[i]) || !is_f32(weights[i]) || outs[i].rows() != x.rows() ||
            !has_shape(weights[i], {outs[i].cols(), x.cols()}))
            return false;
    return true;
}

// outs[i] (+)= x * weights[i]^T: up to three projections of one input.
//   outs[i] [rows, n_i]    x [rows, depth]    weights[i] [n_i, depth]
inline void linear(const GradKernels& k, std::span<const Tensor> outs, Tensor x, std::span<const Tensor> weights,
                   Accumulate accumulate = Accumulate::No) {
    CHECK(are_products(outs, x, weights));
    k.linear(outs, x, weights, accumulate);
}

// dx (+)= sum over i of douts[i] * weights[i].   shapes as linear
inline void linear_dx(const GradKernels& k, Tensor dx, std::span<const Tensor> douts, std::span<const Tensor> weights,
                      Accumulate accumulate = Accumulate::No) {
    CHECK(are_products(douts, dx, weights));
    k.linear_dx(dx, douts, weights, accumulate);
}

// dweights[i] += douts[i]^T * x.   shapes as linear
inline void linear_dw(const GradKernels& k, std::span<const Tensor> dweights, Tensor x, std::span<const Tensor> douts) {
    CHECK(are_products(douts, x, dweights));
    k.linear_dw(dweights, x, douts);
}

// Undoes rmsnorm() (kind RMS), or layernorm() without parameters (kind Layer).
//   dx (+)=, dout, x [rows, dim]    dweight += [dim], RMS only    x: what the forward call read
//   RMS, with s = 1 / sqrt(mean(x^2) + eps):   dweight += sum over rows of dout * x * s
//                                              dx = s * (dout * weight - x * s^2 * mean(dout * weight * x))
//   Layer, with n the normalised row:          dx = s * (dout - mean(dout) - n * mean(dout * n))
inline void norm_backward(const GradKernels& k, Tensor dx, Tensor dweight, Tensor dout, Tensor x, const RowNorm& norm,
                          Accumulate accumulate) {
    CHECK(is_f32(dx) && same_shape(dx, dout) && same_shape(dx, x) && norm.kind != RowNorm::Kind::None);
    CHECK(norm.kind != RowNorm::Kind::RMS || (is_vector(norm.weight, x.cols()) && is_vector(dweight, x.cols())));
    k.norm_backward(dx, dweight, dout, x, norm, accumulate);
}

inline bool is_rotation(const Tensor& out, const Tensor& x, const HeadNorm& norm, const Rotary& rotary) {
    return is_f32(x) && x.rank == 3 && same_shape(out, x) && (norm.weight || rotary.theta > 0) &&
           (!norm.weight || (is_vector(norm.weight, x.shape[1] * x.shape[2]) && same_shape(norm.weight, norm.bias))) &&
           (rotary.theta <= 0 || is_rotary(rotary, x));
}

// out = rope(head_norm(x)), what attention reads of q or k, beside x, which the way back needs. Without weight there is
// no norm, and with theta = 0 no rotation; one of the two there must be.
//   out, x [rows, heads, head_dim]    out may alias x
inline void rotate(const GradKernels& k, Tensor out, Tensor x, const HeadNorm& norm, const Rotary& rotary) {
    CHECK(is_rotation(out, x, norm, rotary));
    k.rotate(out, x, norm, rotary);
}

// Undoes rotate(): the rotation by the opposite angle, then the norm of each head.
//   dx, dout, x [rows, heads, head_dim]    dweight +=, dbias += [heads, head_dim], null without norm
//   x: what the forward call read; without norm it is not looked at and may be null    dx may alias dout
inline void rotate_backward(const GradKernels& k, Tensor dx, Tensor dweight, Tensor dbias, Tensor dout, Tensor x,
                            const HeadNorm& norm, const Rotary& rotary) {
    CHECK(is_rotation(dx, dout, norm, rotary));
    CHECK(!norm.weight || (same_shape(x, dx) && same_shape(dweight, norm.weight) && same_shape(dbias, norm.weight)));
    k.rotate_backward(dx, dweight, dbias, dout, x, norm, rotary);
}

inline bool is_packed(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& starts) {
    return q.rank == 3 && k.rank == 3 && same_shape(k, v) && q.shape[0] == k.shape[0] && q.shape[2] == k.shape[2] &&
           q.shape[1] % k.shape[1] == 0 && starts.dtype == DType::I32 && starts.elements() >= 2;
}

// Causal attention within each document:
//   out[t,h] = sum over p of its document, p <= t, of softmax_p(q[t,h] . k[p,g] / sqrt(head_dim)) v[p,g]
//   log_sums[t,h] = log of the sum of exp(q[t,h] . k[p,g] / sqrt(head_dim)): all that attention_backward() needs to
//   recompute the softmax, so that no [seq, seq] matrix is kept
//   out, q [rows, heads, head_dim]    k, v [rows, kv_heads, head_dim]    g = h / (heads / kv_heads)
//   log_sums [rows, heads]    starts [documents + 1] i32, rising from 0 to rows
inline void attention(const GradKernels& kernels, Tensor out, Tensor log_sums, Tensor q, Tensor k, Tensor v,
                      Tensor starts) {
    CHECK(is_packed(q, k, v, starts) && same_shape(out, q) && has_shape(log_sums, {q.shape[0], q.shape[1]}));
    kernels.attention(out, log_sums, q, k, v, starts);
}

// Undoes attention(): with p the recomputed softmax,
//   dv[p,g] = sum of p dout,  ds = p (dout . v - dout . out) / sqrt(head_dim),  dq = sum of ds k,  dk = sum of ds q
//   dq, dout, out, q [rows, heads, head_dim]    dk, dv, k, v [rows, kv_heads, head_dim]
inline void attention_backward(const GradKernels& kernels, Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out,
                               Tensor log_sums, Tensor q, Tensor k, Tensor v, Tensor starts) {
    CHECK(is_packed(q, k, v, starts) && same_shape(dq, q) && same_shape(dout, q) && same_shape(out, q));
    CHECK(same_shape(dk, k) && same_shape(dv, v) && has_shape(log_sums, {q.shape[0], q.shape[1]}));
    kernels.attention_backward(dq, dk, dv, dout, out, log_sums, q, k, v, starts);
}

// Undoes swiglu(): out = swish(gate) * up.   all [rows, dim]    dgate may alias gate or dout, dup may alias up
inline void swiglu_backward(const GradKernels& k, Tensor dgate, Tensor dup, Tensor dout, Tensor gate, Tensor up) {
    CHECK(same_shape(dgate, gate) && same_shape(dup, up) && same_shape(dout, gate) && same_shape(gate, up));
    k.swiglu_backward(dgate, dup, dout, gate, up);
}

// Undoes activate(ReLU), in place: dx is kept where the forward call's output is above 0, and else becomes 0.
inline void relu_backward(const GradKernels& k, Tensor dx, Tensor out) {
    CHECK(same_shape(dx, out));
    k.relu_backward(dx, out);
}

// Undoes gather() (offset 0) and gather_add():   dtable[ids[r] + offset] += dout[r]
//   dtable [entries, dim]    dout [rows, dim]    ids [rows] i32
inline void gather_backward(const GradKernels& k, Tensor dtable, Tensor dout, Tensor ids, int offset) {
    CHECK(dtable.cols() == dout.cols() && ids.dtype == DType::I32 && ids.elements() == dout.rows() && offset >= 0);
    k.gather_backward(dtable, dout, ids, offset);
}

// Softmax cross-entropy and its gradient at once; the logits become their gradients. With logZ = log(sum exp(logits)):
//   losses[r] = logZ - logits[r, targets[r]] + z_loss logZ^2, unweighted; 0 where there is no target
//   logits[r] = scale weights[r] (softmax (1 + 2 z_loss logZ) - [target]); 0 where there is no target
//   losses, weights [rows]    logits [rows, vocab]    targets [rows] i32, NO_TARGET or within the vocabulary
inline void cross_entropy(const GradKernels& k, Tensor losses, Tensor logits, Tensor targets, Tensor weights,
                          const CrossEntropy& rule) {
    CHECK(is_vector(losses, logits.rows()) && is_vector(weights, logits.rows()));
    CHECK(targets.dtype == DType::I32 && targets.elements() == logits.rows());
    k.cross_entropy(losses, logits, targets, weights, rule);
}

// --- the optimiser, over vectors of whatever shape ----------------------------------------------------------------

// x = 0
inline void clear(const GradKernels& k, Tensor x) {
    CHECK(is_f32(x));
    k.clear(x);
}

// The sum over all elements of all parts, in double, part by part in an order that does not change. Waits until
// everything that was called before has been done.
inline double sum_of_squares(const GradKernels& k, std::span<const Tensor> parts) {
    for (const Tensor& part : parts) CHECK(is_f32(part));
    return k.sum_of_squares(parts);
}

// One update by the formula of training/adamw.h.   all of one shape
inline void adamw(const GradKernels& k, Tensor values, Tensor gradients, Tensor m, Tensor v, const AdamWStep& rule) {
    CHECK(is_f32(values) && same_shape(values, gradients) && same_shape(values, m) && same_shape(values, v));
    CHECK(rule.step > 0);
    k.adamw(values, gradients, m, v, rule);
}

// average = decay * average + (1 - decay) * values.   both of one shape
inline void average_into(const GradKernels& k, Tensor average, Tensor values, double decay) {
    CHECK(is_f32(average) && same_shape(average, values));
    k.average_into(average, values, decay);
}

}  // namespace leon
