// What one instruction set offers to the gradients' table: kernels over plain pointers and sizes.
//
// As in kernels/cpu/isa.h: each isa_*_grad.cpp fills these from the headers beside it, and grad_kernels.cpp, compiled
// for the baseline, takes tensors apart. Products stand apart from what works row by row, since of products there are
// two kinds, of float32 and of operands rounded to bf16.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu/isa.h"

namespace leon {

// Up to three projections of one input: y[i] = x * weight[i]^T. Which of them is written, the function says.
struct LinearArguments {
    float* x;          // [rows, depth]
    float* y[3];       // [rows, n[i]]
    float* weight[3];  // [n[i], depth]
    int64_t n[3];
    int64_t count, rows, depth;
    Into into;
};

// Strides are of whole rows: heads * head_dim, or kv_heads * head_dim.
struct PackedAttention {
    float *out, *log_sums;
    const float *q, *k, *v;
    const int32_t* starts;   // [documents + 1]
    const int32_t* longest;  // [documents] the documents from the longest to the shortest
    int64_t documents, heads, kv_heads, head_dim;
};
struct PackedAttentionBackward {
    PackedAttention forward;
    const float* dout;
    float *dq, *dk, *dv;
};

struct NormArguments {
    float *dx, *dweight;             // dweight [dim] of RMS, else null
    const float *dout, *x, *weight;  // [rows, dim], [rows, dim], [dim]
    float eps;
    Into into;  // dx
    int64_t rows, dim;
};
// The norm of each head, where weight is given, and its rotation, where theta is above 0. Forward reads x and writes
// out; backward reads dout and x and writes dx.
struct RotateArguments {
    float *out, *dweight, *dbias;         // out or dx [rows, heads, head_dim]; dweight, dbias [heads, head_dim]
    const float *in, *x, *weight, *bias;  // in: x or dout
    const int32_t *position, *segment;    // [rows]: what even and odd pairs turn by
    float eps, theta;
    int64_t rows, heads, head_dim;
};
struct CrossEntropyArguments {
    float *losses, *logits;  // [rows], [rows, vocab]
    const int32_t* targets;  // [rows]
    const float* weights;    // [rows]
    float z_loss, scale;
    int64_t rows, vocab;
};

struct GradProducts {
    const char* name;  // of the table: "cpu-avx2", "cpu-bf16-amx"

    void (*linear)(const LinearArguments& arguments);     // y
    void (*linear_dx)(const LinearArguments& arguments);  // x
    void (*linear_dw)(const LinearArguments& arguments);  // weight, always added to
    void (*attention)(const PackedAttention& arguments);
    void (*attention_backward)(const PackedAttentionBackward& arguments);
};

struct GradRows {
    void (*rms_backward)(const NormArguments& arguments);
    void (*layer_backward)(const NormArguments& arguments);
    void (*rotate)(const RotateArguments& arguments);
    void (*rotate_backward)(const RotateArguments& arguments);
    void (*swiglu_backward)(float* dgate, float* dup, const float* dout, const float* gate, const float* up,
                            int64_t count);
    void (*cross_entropy)(const CrossEntropyArguments& arguments);
};

// Null on other architectures; whether this processor can run them is for the caller to ask.
struct GradIsa {
    const GradProducts* f32;
    const GradProducts* bf16;
    const GradRows* rows;
};
GradIsa avx512_gradients();
GradIsa avx2_gradients();
GradIsa wide_gradients();
GradIsa baseline_gradients();
const GradProducts* amx_gradients();

}  // namespace leon
