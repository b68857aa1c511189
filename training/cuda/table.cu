// The two CUDA tables of gradients. They differ in their products alone.
#include "training/cuda/launchers.h"

namespace leon::LEON_CUDA::grad {

const GradKernels& table() {
    static const GradKernels filled = {
        .name = "cuda",
        .linear = linear,
        .linear_dx = linear_dx,
        .linear_dw = linear_dw,
        .norm_backward = norm_backward,
        .rotate = rotate,
        .rotate_backward = rotate_backward,
        .attention = attention,
        .attention_backward = attention_backward,
        .swiglu_backward = swiglu_backward,
        .relu_backward = relu_backward,
        .gather_backward = gather_backward,
        .cross_entropy = cross_entropy,
        .clear = clear,
        .sum_of_squares = sum_of_squares,
        .adamw = adamw,
        .average_into = average_into,
    };
    return filled;
}

const GradKernels& bf16_table() {
    static const GradKernels filled = [] {
        GradKernels t = table();
        t.name = "cuda-bf16";
        t.linear = linear_bf16;
        t.linear_dx = linear_dx_bf16;
        t.linear_dw = linear_dw_bf16;
        t.attention = attention_bf16;
        t.attention_backward = attention_backward_bf16;
        return t;
    }();
    return filled;
}

}  // namespace leon::LEON_CUDA::grad
