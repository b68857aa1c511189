// The fused operations as the compositions that they replace: the definition of each in the reference table, and what a
// backend fills in where fusing would gain nothing.
#pragma once

#include "kernels/kernels.h"

namespace leon::composed {

inline void norm(const Kernels& k, Tensor out, Tensor x, const RowNorm& n) {
    if (n.kind == RowNorm::Kind::RMS)
        rmsnorm(k, out, x, n.weight, n.eps);
    else
        layernorm(k, out, x, {}, {}, n.eps);
}

// What a projection reads: x, or scratch with x normalised in it.
inline Tensor normed(const Kernels& k, Tensor x, const RowNorm& n, Tensor scratch) {
    if (n.kind == RowNorm::Kind::None) return x;
    norm(k, scratch, x, n);
    return scratch;
}

inline void project_qkv(const Kernels& kernels, Tensor q, Tensor k, Tensor v, Tensor x, const QkvWeights& w,
                        Tensor scratch) {
    const Tensor input = normed(kernels, x, w.norm, scratch);
    matmul(kernels, q, input, w.q);
    matmul(kernels, k, input, w.k);
    matmul(kernels, v, input, w.v);
}

inline void rotate_append(const Kernels& kernels, Tensor q, Tensor k, Tensor v, const HeadNorms& norms, float theta,
                          KvPages cache, Placement at) {
    if (norms.q_weight) {
        head_norm(kernels, q, norms.q_weight, norms.q_bias, norms.eps);
        head_norm(kernels, k, norms.k_weight, norms.k_bias, norms.eps);
    }
    if (theta > 0) {
        rope(kernels, q, {at.position, at.segment, theta});
        rope(kernels, k, {at.position, at.segment, theta});
    }
    append(kernels, cache, k, v, at);
}

inline void feed_forward(const Kernels& k, Tensor out, Tensor x, const FeedForwardWeights& w, Tensor scratch,
                         Tensor gate_scratch) {
    const Tensor input = normed(k, x, w.norm, scratch);
    matmul(k, out, input, w.up);
    if (w.gate) {
        matmul(k, gate_scratch, input, w.gate);
        swiglu(k, out, gate_scratch, out);
    } else {
        activate(k, out, Activation::ReLU);
    }
}

inline void norm_add(const Kernels& k, Tensor x, Tensor y, const RowNorm& n) {
    if (n.kind != RowNorm::Kind::None) norm(k, y, y, n);
    add(k, x, y);
}

inline void norm_conv2d(const Kernels& k, Tensor out, Tensor x, const GroupNorm& norm, Tensor weight, Tensor bias,
                        Convolution shape, Tensor residual, Tensor scratch) {
    Tensor input = x;
    if (norm.weight) {
        group_norm(k, scratch, x, norm.weight, norm.bias, norm.groups, norm.eps, norm.activation);
        input = scratch;
    }
    conv2d(k, out, input, weight, bias, shape);
    if (residual) add(k, out, residual);
}

}  // namespace leon::composed
