// The definition of the operations of training/grad_kernels.h in three files: plain loops over one thread, sums in
// double, rounded to float32 once at the end of each. Formulas and shapes stand at the wrappers; nothing here is fast.
#pragma once

#include "training/grad_kernels.h"

namespace leon::grad_reference {

void linear(std::span<const Tensor> outs, Tensor x, std::span<const Tensor> weights, Accumulate accumulate);
void linear_dx(Tensor dx, std::span<const Tensor> douts, std::span<const Tensor> weights, Accumulate accumulate);
void linear_dw(std::span<const Tensor> dweights, Tensor x, std::span<const Tensor> douts);
void norm_backward(Tensor dx, Tensor dweight, Tensor dout, Tensor x, const RowNorm& norm, Accumulate accumulate);
void rotate(Tensor out, Tensor x, const HeadNorm& norm, const Rotary& rotary);
void rotate_backward(Tensor dx, Tensor dweight, Tensor dbias, Tensor dout, Tensor x, const HeadNorm& norm,
                     const Rotary& rotary);
void swiglu_backward(Tensor dgate, Tensor dup, Tensor dout, Tensor gate, Tensor up);
void relu_backward(Tensor dx, Tensor out);
void gather_backward(Tensor dtable, Tensor dout, Tensor ids, int offset);
void cross_entropy(Tensor losses, Tensor logits, Tensor targets, Tensor weights, const CrossEntropy& rule);

void attention(Tensor out, Tensor log_sums, Tensor q, Tensor k, Tensor v, Tensor starts);
void attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out, Tensor log_sums, Tensor q, Tensor k,
                        Tensor v, Tensor starts);

void clear(Tensor x);
double sum_of_squares(std::span<const Tensor> parts);
void adamw(Tensor values, Tensor gradients, Tensor m, Tensor v, const AdamWStep& rule);
void average_into(Tensor average, Tensor values, double decay);

}  // namespace leon::grad_reference
