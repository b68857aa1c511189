// The launchers of the two CUDA tables of gradients: one per entry, named as it is. Contracts stand at the wrappers in
// training/grad_kernels.h.
//
// The manner is that of kernels/cuda: one source for nvcc and for the emulator, shared memory from DYNAMIC_SHARED,
// launches through launch(), scratch in workspace(), which is 16 MiB and valid until the next operation. Float sums run
// in an order that depends on shapes, and for linear_dw on the number of multiprocessors; no float is added atomically:
// the same bits every time.
#pragma once

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/launchers.h"
#include "training/grad_kernels.h"

namespace leon::LEON_CUDA::grad {

// Products of float32.
void linear(std::span<const Tensor> outs, Tensor x, std::span<const Tensor> weights, Accumulate accumulate);
void linear_dx(Tensor dx, std::span<const Tensor> douts, std::span<const Tensor> weights, Accumulate accumulate);
void linear_dw(std::span<const Tensor> dweights, Tensor x, std::span<const Tensor> douts);
void attention(Tensor out, Tensor log_sums, Tensor q, Tensor k, Tensor v, Tensor starts);
void attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out, Tensor log_sums, Tensor q, Tensor k,
                        Tensor v, Tensor starts);

// The same of operands that are rounded to bf16, with sums in float32.
void linear_bf16(std::span<const Tensor> outs, Tensor x, std::span<const Tensor> weights, Accumulate accumulate);
void linear_dx_bf16(Tensor dx, std::span<const Tensor> douts, std::span<const Tensor> weights, Accumulate accumulate);
void linear_dw_bf16(std::span<const Tensor> dweights, Tensor x, std::span<const Tensor> douts);
void attention_bf16(Tensor out, Tensor log_sums, Tensor q, Tensor k, Tensor v, Tensor starts);
void attention_backward_bf16(Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out, Tensor log_sums, Tensor q,
                             Tensor k, Tensor v, Tensor starts);

void norm_backward(Tensor dx, Tensor dweight, Tensor dout, Tensor x, const RowNorm& norm, Accumulate accumulate);
void rotate(Tensor out, Tensor x, const HeadNorm& norm, const Rotary& rotary);
void rotate_backward(Tensor dx, Tensor dweight, Tensor dbias, Tensor dout, Tensor x, const HeadNorm& norm,
                     const Rotary& rotary);
void swiglu_backward(Tensor dgate, Tensor dup, Tensor dout, Tensor gate, Tensor up);
void relu_backward(Tensor dx, Tensor out);
void gather_backward(Tensor dtable, Tensor dout, Tensor ids, int offset);
void cross_entropy(Tensor losses, Tensor logits, Tensor targets, Tensor weights, const CrossEntropy& rule);

void clear(Tensor x);
double sum_of_squares(std::span<const Tensor> parts);
void adamw(Tensor values, Tensor gradients, Tensor m, Tensor v, const AdamWStep& rule);
void average_into(Tensor average, Tensor values, double decay);

// The filled tables, whether or not there is a device.
const GradKernels& table();
const GradKernels& bf16_table();

}  // namespace leon::LEON_CUDA::grad
