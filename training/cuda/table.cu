// The two CUDA tables of gradients. They differ in their products alone.
#include "training/cuda/launchers.h"

namespace leon::LEON_CUDA::grad {

const GradKernels& table() {
    static const GradKernels filled = {
        .name = "cuda",
        .linear = linear,
        .linear_dx = linear_dx,
        .linear_dw = linear_dw,
        .norm_backward = nullptr,
        .rotate = nullptr,
        .rotate_backward = nullptr,
        .attention = attention,
        .attention_backward = attention_backward,
        .swiglu_backward = nullptr,
        .relu_backward = nullptr,
        .gather_backward = nullptr,
        .cross_entropy = nullptr,
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
