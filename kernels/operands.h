// What operations take besides tensors: the paged cache, places in it, normalisations with their weights, and the shape
// of a convolution.
#pragma once

#include <cfloat>

#include "kernels/activation.h"
#include "kernels/tensor.h"

namespace leon {

// Keys and values of one layer, kept in pages of PAGE_TOKENS positions so that streams can share a common prefix.
//
//   keys, values   [pages, kv_heads, PAGE_TOKENS, head_dim]   f32, bf16, f16 or i8, both the same
//   page_table     [streams, max_pages] i32: page_table[s][p / PAGE_TOKENS] is the page that holds position p of
//   stream s
//
//   page:  head 0 | pos 0: head_dim values | pos 1 | ... | pos 31 |   head 1 | pos 0 | ...
constexpr int PAGE_TOKENS = 32;
struct KvPages {
    Tensor keys, values;
    Tensor page_table;
};

// An i8 cache rounds a row, one head's key or value at one position, to whole numbers of the row's scale, which stands
// where a weight's would but is written with the row: the largest magnitude / 127. Magnitudes are compared as the bits
// of a float without its sign, where infinity and NaN are the largest: a row with such a value is zeros under a scale
// that is no number, so that whoever reads it gets NaN. Nothing is left of a row whose scale were below FLT_MIN.
struct CacheScale {
    float scale, inverse;  // inverse 0: all of the row is 0
};
inline uint32_t magnitude_bits(float x) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x, 4);
    return bits & 0x7fffffffu;
}
inline CacheScale cache_scale(uint32_t largest_bits) {
    float scale;
    __builtin_memcpy(&scale, &largest_bits, 4);
    scale /= 127;
    if (!(scale <= FLT_MAX)) return {scale, 0};
    return scale < FLT_MIN ? CacheScale{0, 0} : CacheScale{scale, 1 / scale};
}
inline int8_t cache_number(float x, float inverse) {
    return inverse == 0 ? int8_t{0} : static_cast<int8_t>(__builtin_rintf(x * inverse));
}
inline float* row_scales(const Tensor& cache) {
    return const_cast<float*>(cache.scale);
}

// Where the rows of a batch stand, all [tokens] i32: rows of a stream are adjacent, their positions never falling.
struct Placement {
    Tensor stream;
    Tensor position;
    Tensor segment = {};  // index in the segment (kernels/segments.h), of networks that turn by it; else null
};

// The angles of rotary positions: pair i of a row's heads, i < half, turns by p * theta^(-i / half). p is the row's
// position; for odd i its index in the segment, where that is given: two axes, as M-RoPE (arXiv 2409.12191) has three,
// so that the same cell of an earlier picture is as easy to find as the token before.
struct Rotary {
    Tensor position;      // [rows] i32
    Tensor segment = {};  // [rows] i32, or null
    float theta = 0;      // 0: nothing turns
};

// How the rows of an activation are normalised before a projection reads them, or after one has made them.
struct RowNorm {
    enum class Kind { None, RMS, Layer };  // Layer: mean and variance, no parameters
    Kind kind = Kind::None;
    Tensor weight;  // [dim] f32, RMS only
    float eps = 0;
};

// The projections that begin an attention branch, and the normalisation in front of them.
struct QkvWeights {
    RowNorm norm;
    Tensor q, k, v;  // [heads * head_dim, dim], [kv_heads * head_dim, dim] twice
};

// The first half of a feed-forward branch: SwiGLU, or ReLU if there is no gate.
struct FeedForwardWeights {
    RowNorm norm;
    Tensor gate, up;  // [ffn_dim, dim]; gate may be null
};

// Layer normalisation of every head of q and k (Chameleon's qk-norm); without data: none.
struct HeadNorms {
    Tensor q_weight, q_bias;  // [heads, head_dim] f32
    Tensor k_weight, k_bias;  // [kv_heads, head_dim] f32
    float eps = 0;
};

// How exact the products of a convolution are. Float32: as float32's. Half: where weights have 16 bits, a backend may
// round the activations to f16 (by 2^-12 of each, and to 65,504 at most), which is enough for what becomes bytes.
enum class Exactness { Float32, Half };

// A convolution over [height, width, channels].
//   out_size = (in_size * upsample + pad_before + pad_after - kernel) / stride + 1, in both directions
struct Convolution {
    int kernel = 3;  // square
    int stride = 1;
    int pad_before = 1;  // zeros above and to the left
    int pad_after = 1;   // zeros below and to the right
    int upsample = 1;    // nearest-neighbour enlargement of the input, before padding: 1 or 2
    Exactness exactness = Exactness::Float32;
};

// Group normalisation in front of a convolution; without weight: none.
struct GroupNorm {
    Tensor weight, bias;  // [channels] f32
    int groups = 0;
    float eps = 0;
    Activation activation = Activation::None;  // or Swish
};

}  // namespace leon
