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
//   activations are float32; weights of gather and of all projections are f32, bf16, f16 or i8 (bytes with a scale per
//   row), of convolutions f32, bf16 or f16; the other parameters are f32
//   weights are [out, in] row-major, as checkpoints store them; pictures are channels last: [height, width, channels]
//   token streams are ragged: row t of a batch belongs to stream `stream[t]` and stands at `position[t]` in it
//   nothing here allocates or throws, except allocate(), adopt() and record() (Error when memory is short)
//   operations are done in the order of their calls, but may still be under way when the call returns: download() and
//   finish() wait, idle() asks
#pragma once

#include <functional>
#include <span>

#include "kernels/operands.h"
#include "kernels/sampling.h"
#include "kernels/tensor.h"

namespace leon {

// Where memory is reached from: by the kernels only, or by the host, too, at any time and without a copy.
enum class Reach { Device, Shared };

// A sequence of operations that can be carried out again and again.
struct Recording;

struct Kernels {
    const char* name;  // "reference", "cpu-avx2", ...

    void* (*allocate)(size_t bytes, Reach reach);
    void (*release)(void* memory, Reach reach);
    const void* (*adopt)(const void* host, size_t bytes);
    void (*disown)(const void* adopted);
    void (*upload)(void* device, const void* host, size_t bytes);
    void (*download)(void* host, const void* device, size_t bytes);
    Recording* (*record)(const std::function<void()>& operations);
    void (*replay)(Recording* recording);
    void (*forget)(Recording* recording);
    void (*finish)();
    bool (*idle)();

    void (*gather)(Tensor out, Tensor table, Tensor ids);
    void (*gather_add)(Tensor x, Tensor table, Tensor ids, int offset);
    void (*rmsnorm)(Tensor out, Tensor x, Tensor weight, float eps);
    void (*layernorm)(Tensor out, Tensor x, Tensor weight, Tensor bias, float eps);
    void (*head_norm)(Tensor x, Tensor weight, Tensor bias, float eps);
    void (*rope)(Tensor x, const Rotary& rotary);
    void (*add)(Tensor x, Tensor y, float scale);
    void (*matmul)(Tensor out, Tensor x, Tensor weight);
    void (*matmul_add)(Tensor x_out, Tensor x, Tensor weight);
    void (*swiglu)(Tensor out, Tensor gate, Tensor up);
    void (*activate)(Tensor x, Activation kind, Tensor slope);
    void (*append)(KvPages cache, Tensor k, Tensor v, Placement at);
    void (*attention)(Tensor out, Tensor q, KvPages cache, Placement at);
    void (*project_qkv)(Tensor q, Tensor k, Tensor v, Tensor x, const QkvWeights& weights, Tensor scratch);
    void (*rotate_append)(Tensor q, Tensor k, Tensor v, const HeadNorms& norms, float theta, KvPages cache,
                          Placement at);
    void (*feed_forward)(Tensor out, Tensor x, const FeedForwardWeights& weights, Tensor scratch, Tensor gate_scratch);
    void (*norm_add)(Tensor x, Tensor y, const RowNorm& norm);
    void (*sample)(const Draws& drawing, const SampleRule& rule);

    void (*conv2d)(Tensor out, Tensor x, Tensor weight, Tensor bias, Convolution shape);
    void (*group_norm)(Tensor out, Tensor x, Tensor weight, Tensor bias, int groups, float eps, Activation activation);
    void (*spatial_attention)(Tensor out, Tensor q, Tensor k, Tensor v);
    void (*nearest_code)(Tensor codes, Tensor z, Tensor codebook);
    void (*norm_conv2d)(Tensor out, Tensor x, const GroupNorm& norm, Tensor weight, Tensor bias, Convolution shape,
                        Tensor residual, Tensor scratch);
    void (*to_u8)(Tensor out, Tensor x);
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

// 64-byte aligned, zeroed, owned by the caller until release() with the same reach. Throws Error when there is not
// enough.
inline void* allocate(const Kernels& k, size_t bytes, Reach reach = Reach::Device) {
    return k.allocate(bytes, reach);
}
inline void release(const Kernels& k, void* memory, Reach reach = Reach::Device) {
    k.release(memory, reach);
}

// Makes `bytes` of host memory readable by the backend's kernels: the same pointer on the CPU (nothing is copied, so
// the host memory must outlive its use), a device copy elsewhere, which the caller gives back with disown().
inline const void* adopt(const Kernels& k, const void* host, size_t bytes) {
    return k.adopt(host, bytes);
}
inline void disown(const Kernels& k, const void* adopted) {
    k.disown(adopted);
}
inline void upload(const Kernels& k, void* device, const void* host, size_t bytes) {
    k.upload(device, host, bytes);
}
inline void download(const Kernels& k, void* host, const void* device, size_t bytes) {
    k.download(host, device, bytes);
}

// Remembers the operations that `operations` calls, without carrying them out; replay() then carries them out, in
// order, on the same tensors: what is to change from time to time must stand in device memory. `operations` must not
// allocate, upload, download or finish, and what it refers to must live until forget(). On a GPU one replay is one
// launch.
inline Recording* record(const Kernels& k, const std::function<void()>& operations) {
    return k.record(operations);
}
inline void replay(const Kernels& k, Recording* recording) {
    k.replay(recording);
}
inline void forget(const Kernels& k, Recording* recording) {
    k.forget(recording);
}
// Waits until everything that was called has been done.
inline void finish(const Kernels& k) {
    k.finish();
}
// Whether everything that was called has been done: for a host that waits for Shared memory to change. On a GPU that
// has failed nothing would ever change: the program ends here.
inline bool idle(const Kernels& k) {
    return k.idle();
}

// --- the transformer --------------------------------------------------------------------------------------------

inline bool is_float(const Tensor& t) {
    return t.dtype == DType::F32 || t.dtype == DType::BF16 || t.dtype == DType::F16;
}
inline bool is_weight(const Tensor& t) {
    if (t.dtype == DType::I4) return t.scale && t.groups && t.cols() % GROUP == 0;
    return is_float(t) || (has_row_scale(t.dtype) && t.scale);
}
inline bool is_vector(const Tensor& t, int64_t n) {
    return t.dtype == DType::F32 && t.elements() == n;
}
inline bool is_ids(const Tensor& t, int64_t n) {
    return t.dtype == DType::I32 && t.elements() == n;
}
inline bool is_placement(const Placement& at, int64_t tokens) {
    return is_ids(at.stream, tokens) && is_ids(at.position, tokens) && (!at.segment || is_ids(at.segment, tokens));
}

// out[r] = table[ids[r]]: token embedding, code lookup, and picking rows of activations.
//   out [rows, dim] f32    table [entries, dim] any weight    ids [rows] i32, each within the table
inline void gather(const Kernels& k, Tensor out, Tensor table, Tensor ids) {
    CHECK(out.dtype == DType::F32 && is_weight(table) && ids.dtype == DType::I32);
    CHECK(out.cols() == table.cols() && out.rows() == ids.elements());
    k.gather(out, table, ids);
}

// x[r] += table[ids[r] + offset]: learned positions (OPT's table starts `offset` = 2 rows in).
//   x [rows, dim]    table [entries, dim] any weight    ids [rows] i32
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

// out = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias, row by row, biased variance.
//   out, x [rows, dim]    weight, bias [dim], or both null: ones and zeros    out may alias x
inline void layernorm(const Kernels& k, Tensor out, Tensor x, Tensor weight, Tensor bias, float eps) {
    CHECK(same_shape(out, x) && !weight == !bias);
    CHECK(!weight || (is_vector(weight, x.cols()) && is_vector(bias, x.cols())));
    k.layernorm(out, x, weight, bias, eps);
}

// Layer normalisation of each head of q or k over its own channels (Chameleon's qk-norm), in place:
//   x[r,h] = (x[r,h] - mean) / sqrt(variance + eps) * weight[h] + bias[h]
//   x [rows, heads, head_dim]    weight, bias [heads, head_dim]
inline void head_norm(const Kernels& k, Tensor x, Tensor weight, Tensor bias, float eps) {
    CHECK(x.rank == 3 && is_vector(weight, x.shape[1] * x.shape[2]) && is_vector(bias, x.shape[1] * x.shape[2]));
    k.head_norm(x, weight, bias, eps);
}

// Whether heads of x's rows can turn so.
inline bool is_rotary(const Rotary& r, const Tensor& x) {
    return x.shape[2] % 2 == 0 && is_ids(r.position, x.shape[0]) && (!r.segment || is_ids(r.segment, x.shape[0]));
}

// Rotary positions in place, half-split pairs: with the angles a of the rotary, i < head_dim/2,
//   (x[i], x[i + head_dim/2]) = (x[i] cos a - x[i + head_dim/2] sin a, x[i] sin a + x[i + head_dim/2] cos a)
//   x [rows, heads, head_dim], head_dim even
inline void rope(const Kernels& k, Tensor x, const Rotary& rotary) {
    CHECK(x.rank == 3 && rotary.theta > 0 && is_rotary(rotary, x));
    k.rope(x, rotary);
}

// x += scale * y.   x [rows, cols]    y of x's size, or one row [cols] for all of x's: a bias
inline void add(const Kernels& k, Tensor x, Tensor y, float scale = 1) {
    CHECK(y.elements() == x.elements() || y.elements() == x.cols());
    k.add(x, y, scale);
}

// out = x * weight^T.
//   out [rows, n]    x [rows, depth]    weight [n, depth], read once whatever the number of rows
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

// x = activation(x), in place; see activation.h.
//   x [rows, cols]    slope [cols], a slope below zero for each column: of Leaky, null otherwise
inline void activate(const Kernels& k, Tensor x, Activation kind, Tensor slope = {}) {
    CHECK(kind != Activation::None && static_cast<bool>(slope) == (kind == Activation::Leaky));
    CHECK(!slope || is_vector(slope, x.cols()));
    k.activate(x, kind, slope);
}

inline bool is_cache(const KvPages& c) {
    const bool has_type = is_float(c.keys) || (c.keys.dtype == DType::I8 && c.keys.scale && c.values.scale);
    return c.keys.rank == 4 && same_shape(c.keys, c.values) && c.keys.dtype == c.values.dtype && has_type &&
           c.keys.shape[2] == PAGE_TOKENS && c.page_table.rank == 2 && c.page_table.dtype == DType::I32;
}

// Writes row t of k and v into the cache at (stream[t], position[t]), rounding to its dtype; i8 as cache_scale() says.
//   k, v [tokens, kv_heads, head_dim]
inline void append(const Kernels& kernels, KvPages cache, Tensor k, Tensor v, Placement at) {
    CHECK(is_cache(cache) && k.rank == 3 && same_shape(k, v) && is_placement(at, k.shape[0]));
    CHECK(k.shape[1] == cache.keys.shape[1] && k.shape[2] == cache.keys.shape[3]);
    kernels.append(cache, k, v, at);
}

// Attention of each row over its own stream, which must already hold positions 0..position[t] (causal where those
// are the rows' own):   out[t,h] = sum_{p <= position[t]} softmax_p(q[t,h] . key[p,g] / sqrt(head_dim)) value[p,g]
//   g = h / (heads/kv_heads)    out, q [tokens, heads, head_dim], heads a multiple of kv_heads
inline void attention(const Kernels& k, Tensor out, Tensor q, KvPages cache, Placement at) {
    CHECK(is_cache(cache) && q.rank == 3 && same_shape(out, q) && is_placement(at, q.shape[0]));
    CHECK(q.shape[2] == cache.keys.shape[3] && q.shape[1] % cache.keys.shape[1] == 0);
    k.attention(out, q, cache, at);
}

inline bool is_norm(const RowNorm& norm, int64_t dim) {
    return norm.kind != RowNorm::Kind::RMS || is_vector(norm.weight, dim);
}

// q, k, v = norm(x) * weight^T each: a normalisation and three projections.
//   q [rows, heads * head_dim]    k, v [rows, kv_heads * head_dim]    x [rows, dim]
//   scratch [rows, dim]: afterwards anything
inline void project_qkv(const Kernels& kernels, Tensor q, Tensor k, Tensor v, Tensor x, const QkvWeights& w,
                        Tensor scratch) {
    CHECK(is_norm(w.norm, x.cols()) && same_shape(scratch, x) && same_shape(k, v));
    CHECK(is_weight(w.q) && w.q.dtype == w.k.dtype && w.q.dtype == w.v.dtype);
    CHECK(has_shape(w.q, {q.cols(), x.cols()}) && has_shape(w.k, {k.cols(), x.cols()}) && same_shape(w.k, w.v));
    CHECK(q.rows() == x.rows() && k.rows() == x.rows());
    kernels.project_qkv(q, k, v, x, w, scratch);
}

// head_norm of q and k (if there are norms), rope of both by the placement (if theta > 0), then append of k and v to
// the cache.
//   q [tokens, heads, head_dim], changed in place    k, v [tokens, kv_heads, head_dim]: afterwards anything
inline void rotate_append(const Kernels& kernels, Tensor q, Tensor k, Tensor v, const HeadNorms& norms, float theta,
                          KvPages cache, Placement at) {
    CHECK(is_cache(cache) && q.rank == 3 && k.rank == 3 && same_shape(k, v) && is_placement(at, k.shape[0]));
    CHECK(q.shape[0] == k.shape[0] && q.shape[2] == k.shape[2] && (theta <= 0 || q.shape[2] % 2 == 0));
    CHECK(k.shape[1] == cache.keys.shape[1] && k.shape[2] == cache.keys.shape[3]);
    CHECK(!norms.q_weight ||
          (is_vector(norms.q_weight, q.shape[1] * q.shape[2]) && same_shape(norms.q_weight, norms.q_bias)));
    CHECK(!norms.k_weight ||
          (is_vector(norms.k_weight, k.shape[1] * k.shape[2]) && same_shape(norms.k_weight, norms.k_bias)));
    CHECK(!norms.q_weight == !norms.k_weight);
    kernels.rotate_append(q, k, v, norms, theta, cache, at);
}

// out = swish(norm(x) * gate^T) * (norm(x) * up^T), or max(norm(x) * up^T, 0) without a gate.
//   out [rows, ffn_dim]    x [rows, dim]    scratch [rows, dim] and gate_scratch [rows, ffn_dim]: afterwards anything;
//   gate_scratch may be null if there is no gate
inline void feed_forward(const Kernels& k, Tensor out, Tensor x, const FeedForwardWeights& w, Tensor scratch,
                         Tensor gate_scratch) {
    CHECK(is_norm(w.norm, x.cols()) && same_shape(scratch, x) && out.rows() == x.rows());
    CHECK(is_weight(w.up) && has_shape(w.up, {out.cols(), x.cols()}));
    CHECK(!w.gate || (w.gate.dtype == w.up.dtype && same_shape(w.gate, w.up) && same_shape(gate_scratch, out)));
    k.feed_forward(out, x, w, scratch, gate_scratch);
}

// x += norm(y): the end of a branch whose normalisation comes after it.
//   x, y [rows, dim]; y afterwards anything
inline void norm_add(const Kernels& k, Tensor x, Tensor y, const RowNorm& norm) {
    CHECK(same_shape(x, y) && is_norm(norm, x.cols()));
    k.norm_add(x, y, norm);
}

// Draws one token for every candidate from the logits of its streams and prepares the next step; see sampling.h.
inline void sample(const Kernels& k, const Draws& d, const SampleRule& rule) {
    CHECK(are_draws(d, rule));
    k.sample(d, rule);
}

// --- pictures ---------------------------------------------------------------------------------------------------

inline int64_t convolved(int64_t size, const Convolution& c) {
    return (size * c.upsample + c.pad_before + c.pad_after - c.kernel) / c.stride + 1;
}

// out[y,x,o] = bias[o] + sum_{i,j,c} weight[o,i,j,c] * padded(upsampled(x))[y*stride + i, x*stride + j, c]
//   out [height', width', out_channels]    x [height, width, in_channels]    weight [out_channels, kernel, kernel,
//   in_channels] f32, bf16 or f16    bias [out_channels]
inline void conv2d(const Kernels& k, Tensor out, Tensor x, Tensor weight, Tensor bias, Convolution shape) {
    CHECK(x.rank == 3 && is_float(weight) && is_vector(bias, weight.shape[0]));
    CHECK(has_shape(weight, {weight.shape[0], shape.kernel, shape.kernel, x.shape[2]}));
    CHECK(has_shape(out, {convolved(x.shape[0], shape), convolved(x.shape[1], shape), weight.shape[0]}));
    k.conv2d(out, x, weight, bias, shape);
}

inline bool follows_group_norm(Activation activation) {
    return activation == Activation::None || activation == Activation::Swish;
}

// Group normalisation over all pixels and the channels of each group, then the activation:
//   out = activation((x - mean_g) / sqrt(variance_g + eps) * weight[c] + bias[c]),  group g = c / (channels/groups)
//   out, x [height, width, channels]    weight, bias [channels]    activation None or Swish    out may alias x
inline void group_norm(const Kernels& k, Tensor out, Tensor x, Tensor weight, Tensor bias, int groups, float eps,
                       Activation activation) {
    CHECK(same_shape(out, x) && is_vector(weight, x.cols()) && is_vector(bias, x.cols()));
    CHECK(groups > 0 && x.cols() % groups == 0 && follows_group_norm(activation));
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

// out = residual + conv2d(activation(group_norm(x))): half a residual block. Without norm, of x itself; without
// residual, nothing is added.
//   shapes as conv2d and group_norm    residual: null, or of out's shape
//   scratch: of x's shape, afterwards anything; may be x itself, which is lost then; may be null without norm
inline void norm_conv2d(const Kernels& k, Tensor out, Tensor x, const GroupNorm& norm, Tensor weight, Tensor bias,
                        Convolution shape, Tensor residual, Tensor scratch) {
    CHECK(x.rank == 3 && is_float(weight) && is_vector(bias, weight.shape[0]));
    CHECK(has_shape(weight, {weight.shape[0], shape.kernel, shape.kernel, x.shape[2]}));
    CHECK(has_shape(out, {convolved(x.shape[0], shape), convolved(x.shape[1], shape), weight.shape[0]}));
    CHECK(!residual || same_shape(residual, out));
    if (norm.weight) {
        CHECK(is_vector(norm.weight, x.cols()) && is_vector(norm.bias, x.cols()) && same_shape(scratch, x));
        CHECK(norm.groups > 0 && x.cols() % norm.groups == 0 && follows_group_norm(norm.activation));
    }
    k.norm_conv2d(out, x, norm, weight, bias, shape, residual, scratch);
}

// out = (clamp(x, -1, 1) + 1) / 2 * 255 without its fraction: a picture's values as bytes.
//   out U8, x f32, of the same size; NaN gives 0
inline void to_u8(const Kernels& k, Tensor out, Tensor x) {
    CHECK(out.dtype == DType::U8 && x.dtype == DType::F32 && out.elements() == x.elements());
    k.to_u8(out, x);
}

}  // namespace leon
