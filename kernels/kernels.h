// Everything leon computes: one table of operations, and one documented wrapper per operation.
//
//   const Kernels& k = cpu_kernels();
//   rmsnorm(k, normed, x, weight, 1e-5f);
//
// A backend is one filled table. The wrapper below is the contract (formula, shapes, aliasing) and the only caller of
// its slot; it checks shapes once, so implementations hold mathematics only. kernels/reference is the definition of
// every operation in plain loops; every other backend is held to it by tests/test_kernels.cpp.
//
// Conventions
//   outputs first, then inputs, weights, scalars; out and inputs must not overlap unless the comment says "may alias"
//   activations are float32; `weight` of gather, matmul and conv2d is f32 or bf16, the other parameters are f32
//   weights are [out, in] row-major, as checkpoints store them; pictures are channels last: [height, width, channels]
//   token streams are ragged: row t of a batch belongs to stream `stream[t]` and stands at `position[t]` in it
//   nothing here allocates or throws, except allocate() (Error when memory is short)
#pragma once

#include <span>

#include "kernels/tensor.h"

namespace leon {

// Keys and values of one layer, kept in pages of PAGE_TOKENS positions so that streams can share a common prefix.
//
//   keys, values   [pages, kv_heads, PAGE_TOKENS, head_dim]   f32 or bf16 (both the same)
//   page_table     [streams, max_pages] i32: page_table[s][p / PAGE_TOKENS] is the page that holds position p of stream
//   s
//
//   page:  head 0 | pos 0: head_dim values | pos 1 | ... | pos 31 |   head 1 | pos 0 | ...
constexpr int PAGE_TOKENS = 32;
struct KvPages {
    Tensor keys, values;
    Tensor page_table;
};

// Where each row of a batch stands; both [tokens] i32. Rows of one stream are adjacent and in rising position.
struct Placement {
    Tensor stream;
    Tensor position;
};

enum class Activation { None, Swish };  // Swish: x * sigmoid(x), also called SiLU

// A convolution over [height, width, channels].
//   out_size = (in_size * upsample + pad_before + pad_after - kernel) / stride + 1, in both directions
struct Convolution {
    int kernel = 3;  // square
    int stride = 1;
    int pad_before = 1;  // zeros above and to the left
    int pad_after = 1;   // zeros below and to the right
    int upsample = 1;    // nearest-neighbour enlargement of the input, before padding: 1 or 2
};

struct Kernels {
    const char* name;  // "reference", "cpu-avx2", ...

    void* (*allocate)(size_t bytes);
    void (*release)(void* memory);
    const void* (*adopt)(const void* host, size_t bytes);
    void (*upload)(void* device, const void* host, size_t bytes);
    void (*download)(void* host, const void* device, size_t bytes);

    void (*gather)(Tensor out, Tensor table, Tensor ids);
    void (*gather_add)(Tensor x, Tensor table, Tensor ids, int offset);
    void (*rmsnorm)(Tensor out, Tensor x, Tensor weight, float eps);
    void (*layernorm)(Tensor out, Tensor x, float eps);
    void (*head_norm)(Tensor x, Tensor weight, Tensor bias, float eps);
    void (*rope)(Tensor x, Tensor position, float theta);
    void (*add)(Tensor x, Tensor y);
    void (*matmul)(Tensor out, Tensor x, Tensor weight);
    void (*matmul_add)(Tensor x_out, Tensor x, Tensor weight);
    void (*swiglu)(Tensor out, Tensor gate, Tensor up);
    void (*relu)(Tensor x);
    void (*append)(KvPages cache, Tensor k, Tensor v, Placement at);
    void (*attention)(Tensor out, Tensor q, KvPages cache, Placement at);

    void (*conv2d)(Tensor out, Tensor x, Tensor weight, Tensor bias, Convolution shape);
    void (*group_norm)(Tensor out, Tensor x, Tensor weight, Tensor bias, int groups, float eps, Activation activation);
    void (*spatial_attention)(Tensor out, Tensor q, Tensor k, Tensor v);
    void (*nearest_code)(Tensor codes, Tensor z, Tensor codebook);
};

// The definition: plain loops, one thread, double accumulation where it matters. Slow on purpose.
const Kernels& reference_kernels();

// The fast one: picks the widest instruction set of this processor at run time.
const Kernels& cpu_kernels();

// Every variant of cpu_kernels() that this processor can run, widest first ("cpu-avx512", "cpu-avx2", "cpu-baseline",
// and "cpu-wide", the 16-lane code lowered to narrower registers). For tests and for `--backend cpu-avx2`.
std::span<const Kernels* const> cpu_variants();

// The GPU, through kernels/cuda; null if it is not built or if there is no device, and why_no_cuda() says which in one
// line (null otherwise).
const Kernels* cuda_kernels();
const char* why_no_cuda();

// Threads that cpu_kernels() may use, this one included; 0 means one per processor. Not while an operation runs.
void set_cpu_threads(int threads);
int cpu_threads();

// --- memory -----------------------------------------------------------------------------------------------------

// 64-byte aligned, zeroed, owned by the caller until release(). Throws Error when there is not enough.
inline void* allocate(const Kernels& k, size_t bytes) {
    return k.allocate(bytes);
}
inline void release(const Kernels& k, void* memory) {
    k.release(memory);
}

// Makes `bytes` of host memory readable by the backend's kernels: the same pointer on the CPU (nothing is copied, so
// the host memory must outlive its use), a device copy elsewhere.
inline const void* adopt(const Kernels& k, const void* host, size_t bytes) {
    return k.adopt(host, bytes);
}
inline void upload(const Kernels& k, void* device, const void* host, size_t bytes) {
    k.upload(device, host, bytes);
}
inline void download(const Kernels& k, void* host, const void* device, size_t bytes) {
    k.download(host, device, bytes);
}

// --- the transformer --------------------------------------------------------------------------------------------

inline bool is_weight(const Tensor& t) {
    return t.dtype == DType::F32 || t.dtype == DType::BF16;
}
inline bool is_vector(const Tensor& t, int64_t n) {
    return t.dtype == DType::F32 && t.elements() == n;
}
inline bool is_placement(const Placement& at, int64_t tokens) {
    return at.stream.dtype == DType::I32 && at.position.dtype == DType::I32 && at.stream.elements() == tokens &&
           at.position.elements() == tokens;
}

// out[r] = table[ids[r]]: token embedding, code lookup, and picking rows of activations.
//   out [rows, dim] f32    table [entries, dim] f32 or bf16    ids [rows] i32, each within the table
inline void gather(const Kernels& k, Tensor out, Tensor table, Tensor ids) {
    CHECK(out.dtype == DType::F32 && is_weight(table) && ids.dtype == DType::I32);
    CHECK(out.cols() == table.cols() && out.rows() == ids.elements());
    k.gather(out, table, ids);
}

// x[r] += table[ids[r] + offset]: learned positions (OPT's table starts `offset` = 2 rows in).
//   x [rows, dim]    table [entries, dim] f32 or bf16    ids [rows] i32
inline void gather_add(const Kernels& k, Tensor x, Tensor table, Tensor ids, int offset) {
    CHECK(x.dtype == DType::F32 && is_weight(table) && ids.dtype == DType::I32);
    CHECK(x.cols() == table.cols() && x.rows() == ids.elements() && offset >= 0);
    k.gather_add(x, table, ids, offset);
}

// out = x / sqrt(mean(x^2) + eps) * weight, row by row; statistics in float32 or better.
//   out, x [rows, dim]    weight [dim]    out may alias x
inline void rmsnorm(const Kernels& k, Tensor out, Tensor x, Tensor weight, float eps) {
    CHECK(same_shape(out, x) && is_vector(weight, x.cols()));
    k.rmsnorm(out, x, weight, eps);
}

// out = (x - mean(x)) / sqrt(variance(x) + eps), row by row, biased variance, no gain and no bias.
//   out, x [rows, dim]    out may alias x
inline void layernorm(const Kernels& k, Tensor out, Tensor x, float eps) {
    CHECK(same_shape(out, x));
    k.layernorm(out, x, eps);
}

// Layer normalisation of each head of q or k over its own channels (Chameleon's qk-norm), in place:
//   x[r,h] = (x[r,h] - mean) / sqrt(variance + eps) * weight[h] + bias[h]
//   x [rows, heads, head_dim]    weight, bias [heads, head_dim]
inline void head_norm(const Kernels& k, Tensor x, Tensor weight, Tensor bias, float eps) {
    CHECK(x.rank == 3 && is_vector(weight, x.shape[1] * x.shape[2]) && is_vector(bias, x.shape[1] * x.shape[2]));
    k.head_norm(x, weight, bias, eps);
}

// Rotary positions in place, half-split pairs: with a = position * theta^(-2i/head_dim), i < head_dim/2,
//   (x[i], x[i + head_dim/2]) = (x[i] cos a - x[i + head_dim/2] sin a, x[i] sin a + x[i + head_dim/2] cos a)
//   x [rows, heads, head_dim], head_dim even    position [rows] i32
inline void rope(const Kernels& k, Tensor x, Tensor position, float theta) {
    CHECK(x.rank == 3 && x.shape[2] % 2 == 0 && position.dtype == DType::I32 && position.elements() == x.shape[0]);
    k.rope(x, position, theta);
}

// x += y.   x, y of the same size
inline void add(const Kernels& k, Tensor x, Tensor y) {
    CHECK(x.elements() == y.elements());
    k.add(x, y);
}

// out = x * weight^T.
//   out [rows, n]    x [rows, depth]    weight [n, depth] f32 or bf16, read once whatever the number of rows
inline void matmul(const Kernels& k, Tensor out, Tensor x, Tensor weight) {
    CHECK(is_weight(weight) && x.cols() == weight.cols() && out.cols() == weight.rows() && out.rows() == x.rows());
    k.matmul(out, x, weight);
}

// out += x * weight^T, shapes as matmul: a projection back into the residual stream.
inline void matmul_add(const Kernels& k, Tensor out, Tensor x, Tensor weight) {
    CHECK(is_weight(weight) && x.cols() == weight.cols() && out.cols() == weight.rows() && out.rows() == x.rows());
    k.matmul_add(out, x, weight);
}

// out = swish(gate) * up, element by element.   all [rows, dim]    out may alias gate or up
inline void swiglu(const Kernels& k, Tensor out, Tensor gate, Tensor up) {
    CHECK(same_shape(out, gate) && same_shape(out, up));
    k.swiglu(out, gate, up);
}

// x = max(x, 0), in place.
inline void relu(const Kernels& k, Tensor x) {
    k.relu(x);
}

inline bool is_cache(const KvPages& c) {
    return c.keys.rank == 4 && same_shape(c.keys, c.values) && c.keys.dtype == c.values.dtype && is_weight(c.keys) &&
           c.keys.shape[2] == PAGE_TOKENS && c.page_table.rank == 2 && c.page_table.dtype == DType::I32;
}

// Writes row t of k and v into the cache at (stream[t], position[t]), rounding to its dtype.
//   k, v [tokens, kv_heads, head_dim]
inline void append(const Kernels& kernels, KvPages cache, Tensor k, Tensor v, Placement at) {
    CHECK(is_cache(cache) && k.rank == 3 && same_shape(k, v) && is_placement(at, k.shape[0]));
    CHECK(k.shape[1] == cache.keys.shape[1] && k.shape[2] == cache.keys.shape[3]);
    kernels.append(cache, k, v, at);
}

// Causal attention of each row over its own stream, which must already hold positions 0..position[t]:
//   out[t,h] = sum_{p <= position[t]} softmax_p(q[t,h] . key[p,g] / sqrt(head_dim)) value[p,g],  g = h /
//   (heads/kv_heads) out, q [tokens, heads, head_dim], heads a multiple of kv_heads
inline void attention(const Kernels& k, Tensor out, Tensor q, KvPages cache, Placement at) {
    CHECK(is_cache(cache) && q.rank == 3 && same_shape(out, q) && is_placement(at, q.shape[0]));
    CHECK(q.shape[2] == cache.keys.shape[3] && q.shape[1] % cache.keys.shape[1] == 0);
    k.attention(out, q, cache, at);
}

// --- pictures ---------------------------------------------------------------------------------------------------

inline int64_t convolved(int64_t size, const Convolution& c) {
    return (size * c.upsample + c.pad_before + c.pad_after - c.kernel) / c.stride + 1;
}

// out[y,x,o] = bias[o] + sum_{i,j,c} weight[o,i,j,c] * padded(upsampled(x))[y*stride + i, x*stride + j, c]
//   out [height', width', out_channels]    x [height, width, in_channels]    weight [out_channels, kernel, kernel,
//   in_channels] f32 or bf16    bias [out_channels]
inline void conv2d(const Kernels& k, Tensor out, Tensor x, Tensor weight, Tensor bias, Convolution shape) {
    CHECK(x.rank == 3 && is_weight(weight) && is_vector(bias, weight.shape[0]));
    CHECK(has_shape(weight, {weight.shape[0], shape.kernel, shape.kernel, x.shape[2]}));
    CHECK(has_shape(out, {convolved(x.shape[0], shape), convolved(x.shape[1], shape), weight.shape[0]}));
    k.conv2d(out, x, weight, bias, shape);
}

// Group normalisation over all pixels and the channels of each group, then the activation:
//   out = activation((x - mean_g) / sqrt(variance_g + eps) * weight[c] + bias[c]),  group g = c / (channels/groups)
//   out, x [height, width, channels]    weight, bias [channels]    out may alias x
inline void group_norm(const Kernels& k, Tensor out, Tensor x, Tensor weight, Tensor bias, int groups, float eps,
                       Activation activation) {
    CHECK(same_shape(out, x) && is_vector(weight, x.cols()) && is_vector(bias, x.cols()));
    CHECK(groups > 0 && x.cols() % groups == 0);
    k.group_norm(out, x, weight, bias, groups, eps, activation);
}

// Every pixel attends to every pixel, one head as wide as the channels (VQGAN's mid block):
//   out[i] = sum_j softmax_j(q[i] . k[j] / sqrt(channels)) v[j]
//   out, q, k, v [pixels, channels]
inline void spatial_attention(const Kernels& kernels, Tensor out, Tensor q, Tensor k, Tensor v) {
    CHECK(out.rank == 2 && same_shape(out, q) && same_shape(q, k) && same_shape(k, v));
    kernels.spatial_attention(out, q, k, v);
}

// codes[i] = argmin_n |z[i] - codebook[n]|^2, the first of equals.
//   codes [pixels] i32    z [pixels, width] f32    codebook [codes, width] f32
inline void nearest_code(const Kernels& k, Tensor codes, Tensor z, Tensor codebook) {
    CHECK(codes.dtype == DType::I32 && codes.elements() == z.rows() && z.cols() == codebook.cols());
    CHECK(codebook.dtype == DType::F32);
    k.nearest_code(codes, z, codebook);
}

}  // namespace leon
