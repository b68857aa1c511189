// What kernels/cuda launches for each entry of the table: a mirror of its launchers that computes sizes in place of
// results. Each function appends its launches; names, arguments and choices are those of the launcher of the same name.
//
// Tests hold launches, blocks and barriers to the emulated GPU's counters exactly, and the bytes of global memory to
// its race build's within bounds (tests/test_planning.cpp, tests/cuda_on_cpu/test_traffic.cpp): who changes a launcher
// changes its mirror.
#pragma once

#include "kernels/kernels.h"
#include "kernels/planning/launch.h"

namespace leon::cost {

void gather(Launches& l, const Machine& m, Tensor out, Tensor table, Tensor ids);
void gather_add(Launches& l, const Machine& m, Tensor x, Tensor table, Tensor ids, int offset);
void rmsnorm(Launches& l, const Machine& m, Tensor out, Tensor x, Tensor weight, float eps);
void layernorm(Launches& l, const Machine& m, Tensor out, Tensor x, Tensor weight, Tensor bias, float eps);
void head_norm(Launches& l, const Machine& m, Tensor x, Tensor weight, Tensor bias, float eps);
void rope(Launches& l, const Machine& m, Tensor x, const Rotary& rotary);
void add(Launches& l, const Machine& m, Tensor x, Tensor y, float scale);
void matmul(Launches& l, const Machine& m, Tensor out, Tensor x, Tensor weight);
void matmul_add(Launches& l, const Machine& m, Tensor out, Tensor x, Tensor weight);
void swiglu(Launches& l, const Machine& m, Tensor out, Tensor gate, Tensor up);
void activate(Launches& l, const Machine& m, Tensor x, Activation kind, Tensor slope);
void append(Launches& l, const Machine& m, KvPages cache, Tensor k, Tensor v, Placement at);
void attention(Launches& l, const Machine& m, Tensor out, Tensor q, KvPages cache, Placement at);
void project_qkv(Launches& l, const Machine& m, Tensor q, Tensor k, Tensor v, Tensor x, const QkvWeights& weights,
                 Tensor scratch);
void rotate_append(Launches& l, const Machine& m, Tensor q, Tensor k, Tensor v, const HeadNorms& norms, float theta,
                   KvPages cache, Placement at);
void feed_forward(Launches& l, const Machine& m, Tensor out, Tensor x, const FeedForwardWeights& weights,
                  Tensor scratch, Tensor gate_scratch);
void norm_add(Launches& l, const Machine& m, Tensor x, Tensor y, const RowNorm& norm);
void sample(Launches& l, const Machine& m, const Draws& drawing, const SampleRule& rule);

void conv2d(Launches& l, const Machine& m, Tensor out, Tensor x, Tensor weight, Tensor bias, Convolution shape);
void group_norm(Launches& l, const Machine& m, Tensor out, Tensor x, Tensor weight, Tensor bias, int groups, float eps,
                Activation activation);
void spatial_attention(Launches& l, const Machine& m, Tensor out, Tensor q, Tensor k, Tensor v);
void nearest_code(Launches& l, const Machine& m, Tensor codes, Tensor z, Tensor codebook);
void norm_conv2d(Launches& l, const Machine& m, Tensor out, Tensor x, const GroupNorm& norm, Tensor weight, Tensor bias,
                 Convolution shape, Tensor residual, Tensor scratch);
void to_u8(Launches& l, const Machine& m, Tensor out, Tensor x);

// --- for the files that fill these in ---------------------------------------------------------------------------

constexpr int WARP = 32;

inline int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
inline double bytes_of(const Tensor& t) {
    return static_cast<double>(t.bytes() + t.group_bytes()) + (t.scale ? 4.0 * static_cast<double>(t.rows()) : 0.0);
}

}  // namespace leon::cost
