// The reference table in three files: what a transformer, drawing a token, and pictures need. Plain loops, one thread,
// sums in double, every weight widened to float as it is read. This is the definition of each operation; nothing here
// is fast.
#pragma once

#include "kernels/kernels.h"

namespace leon::reference {

// One element of a weight or cache tensor of any dtype, widened exactly; of one with scales, without its row's.
inline float element(const Tensor& t, int64_t index) {
    if (t.dtype == DType::BF16) return bf16_to_float(static_cast<const uint16_t*>(t.data)[index]);
    if (t.dtype == DType::F16) return f16_to_float(static_cast<const uint16_t*>(t.data)[index]);
    if (t.dtype == DType::I8) return static_cast<const int8_t*>(t.data)[index];
    if (t.dtype == DType::F8) return e4m3_to_float(static_cast<const uint8_t*>(t.data)[index]);
    if (t.dtype == DType::I4) return i4_element(static_cast<const uint8_t*>(t.data), t.groups, index);
    return t.f32()[index];
}
// The factor of a row of a weight: 1, if it has no scales.
inline float scale_of(const Tensor& t, int64_t row) {
    return t.scale ? t.scale[row] : 1.0f;
}

void gather(Tensor out, Tensor table, Tensor ids);
void gather_add(Tensor x, Tensor table, Tensor ids, int offset);
void rmsnorm(Tensor out, Tensor x, Tensor weight, float eps);
void layernorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float eps);
void head_norm(Tensor x, Tensor weight, Tensor bias, float eps);
void rope(Tensor x, const Rotary& rotary);
void add(Tensor x, Tensor y, float scale);
void matmul(Tensor out, Tensor x, Tensor weight);
void matmul_add(Tensor out, Tensor x, Tensor weight);
void swiglu(Tensor out, Tensor gate, Tensor up);
void activate(Tensor x, Activation kind, Tensor slope);
void append(KvPages cache, Tensor k, Tensor v, Placement at);
void attention(Tensor out, Tensor q, KvPages cache, Placement at);
void sample(const Draws& draws, const SampleRule& rule);

void conv2d(Tensor out, Tensor x, Tensor weight, Tensor bias, Convolution shape);
void group_norm(Tensor out, Tensor x, Tensor weight, Tensor bias, int groups, float eps, Activation activation);
void spatial_attention(Tensor out, Tensor q, Tensor k, Tensor v);
void nearest_code(Tensor codes, Tensor z, Tensor codebook);
void to_u8(Tensor out, Tensor x);

}  // namespace leon::reference
