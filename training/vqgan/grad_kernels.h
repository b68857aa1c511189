// What training a VQGAN computes beyond the forward pass of kernels/kernels.h: a table of gradients, in its form, and
// the forward operations whose results the gradients need.
//
//   const VqganGradKernels& k = cpu_vqgan_grad_kernels();
//   norm_map(k, normed, statistics, x, norm);                // normed = swish(group_norm(x))
//   conv2d(k, h, normed, packed, bias, SAME, {});
//   ...
//   d_conv2d_weight(k, dweight, dbias, dh, normed, SAME);    // dweight += ..., dbias += ...
//   d_conv2d_input(k, dnormed, dh, packed, SAME, {});        // dnormed = ...
//
// training/reference is the definition in plain loops with double sums; training/cpu is held to it.
//
// Conventions
//   gradients are called d + the forward name; those of parameters are added to what is there (+=), those of
//   activations are assigned (=)
//   one picture at a time, channels last; parallel work is over pictures, so an operation runs on the calling thread
//   alone, and several threads may call at once
//   nothing allocates, but for scratch memory of the thread that grows to its largest use
//
// Pictures inside the network are framed maps: of bf16, or of f32 where exactness matters more than speed (the
// reference only), with a frame of zeros, and zeros in the channels that fill them up to a multiple of 32:
//
//   [height + 2, width + 2, round_up(channels, 32)]      pixel (y, x) stands at (y + 1, x + 1)
//
// so that every tap of a 3x3 kernel is the same picture seen from another pixel, without a case for the border. Every
// operation that writes a framed map writes its frame and filling, too. At the network's ends, pictures are plain:
// [height, width, channels] f32. Sums are taken in float32, whatever the maps are rounded to.
#pragma once

#include <span>

#include "kernels/kernels.h"
#include "kernels/tensor.h"
#include "tokenizer/feature_maps.h"

namespace leon {

struct VqganGradKernels {
    const char* name;  // "reference", "cpu-amx", ...
    DType element;     // of framed maps and packed weights: F32 or BF16

    void (*frame)(Tensor out, Tensor x);
    void (*norm_map)(Tensor out, Tensor statistics, Tensor x, const GroupNorm& norm);
    void (*d_norm_map)(Tensor dx, Tensor dweight, Tensor dbias, Tensor dy, Tensor x, Tensor statistics,
                       const GroupNorm& norm, Tensor residual);
    void (*pack)(Tensor packed, Tensor weight, const Convolution& shape);
    void (*conv2d)(Tensor out, Tensor x, Tensor packed, Tensor bias, const Convolution& shape, Tensor residual);
    void (*d_conv2d_input)(Tensor dx, Tensor dy, Tensor packed, const Convolution& shape, Tensor residual);
    void (*d_conv2d_weight)(Tensor dweight, Tensor dbias, Tensor dy, Tensor x, const Convolution& shape);
    void (*d_spatial_attention)(Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor q, Tensor k, Tensor v);
};

// The definition; exact: its maps are f32. The second one rounds maps and weights to bf16 as the CPU does.
const VqganGradKernels& reference_vqgan_grad_kernels();
const VqganGradKernels& reference_bf16_vqgan_grad_kernels();
// The fast one: the widest instruction set of this processor, its matrix unit (AMX) included.
const VqganGradKernels& cpu_vqgan_grad_kernels();
// Every variant that this processor can run, widest first.
std::span<const VqganGradKernels* const> cpu_vqgan_grad_variants();

constexpr int64_t MAP_CHANNELS = 32;  // framed maps have a multiple of them

inline int64_t map_channels(int64_t channels) {
    return (channels + MAP_CHANNELS - 1) / MAP_CHANNELS * MAP_CHANNELS;
}
inline bool is_framed(const VqganGradKernels& k, const Tensor& t, int64_t height, int64_t width, int64_t channels) {
    return t.dtype == k.element && has_shape(t, {height + 2, width + 2, map_channels(channels)});
}
inline bool is_plain(const Tensor& t, int64_t height, int64_t width) {
    return t.dtype == DType::F32 && t.rank == 3 && t.shape[0] == height && t.shape[1] == width;
}
inline bool is_one_of(const Convolution& c, const Convolution& shape) {
    return c.kernel == shape.kernel && c.stride == shape.stride && c.pad_before == shape.pad_before &&
           c.pad_after == shape.pad_after && c.upsample == shape.upsample;
}
inline bool is_vqgan_convolution(const Convolution& c) {
    return is_one_of(c, SAME) || is_one_of(c, POINTWISE) || is_one_of(c, HALVE) || is_one_of(c, DOUBLE);
}
// Shapes of a convolution from inner to outer pictures (HALVE: of even height and width).
inline bool fits(const Convolution& c, int64_t height, int64_t width, int64_t out_height, int64_t out_width) {
    return is_vqgan_convolution(c) && out_height * c.stride == height * c.upsample &&
           out_width * c.stride == width * c.upsample;
}

// Values of packed weights: each tap forward and backward, channels filled up. DOUBLE has sixteen taps, since the
// pixels that it repeats share the sum of their weights.
inline int64_t packed_elements(int64_t out, int64_t in, const Convolution& c) {
    const int64_t taps = c.upsample == 2 ? 16 : int64_t{c.kernel} * c.kernel;
    return 2 * taps * map_channels(out) * map_channels(in);
}

// out = x, framed.   x [height, width, channels] plain
inline void frame(const VqganGradKernels& k, Tensor out, Tensor x) {
    CHECK(x.rank == 3 && x.dtype == DType::F32 && is_framed(k, out, x.shape[0], x.shape[1], x.shape[2]));
    k.frame(out, x);
}

inline bool is_training_norm(const GroupNorm& norm, int64_t channels) {
    return channels % 16 == 0 && norm.groups > 0 && channels % norm.groups == 0 && has_shape(norm.weight, {channels}) &&
           has_shape(norm.bias, {channels}) &&
           (norm.activation == Activation::None || norm.activation == Activation::Swish);
}

// out = activation((x - mean_g) * deviation_g * weight + bias): group_norm of kernels.h, which keeps
// (mean_g, deviation_g = 1 / sqrt(variance_g + eps)) for its gradient.
//   out, x framed, of norm.weight's channels, a multiple of 16    statistics [groups, 2]    out may not be x
inline void norm_map(const VqganGradKernels& k, Tensor out, Tensor statistics, Tensor x, const GroupNorm& norm) {
    CHECK(x.rank == 3 && is_training_norm(norm, norm.weight.elements()) && has_shape(statistics, {norm.groups, 2}));
    CHECK(is_framed(k, x, x.shape[0] - 2, x.shape[1] - 2, norm.weight.elements()));
    CHECK(same_shape(out, x) && out.dtype == x.dtype);
    k.norm_map(out, statistics, x, norm);
}

// The gradient of norm_map: with g = dy * activation'(.), xhat = (x - mean) * deviation,
//   dweight[c] += sum g xhat    dbias[c] += sum g
//   dx = residual + deviation * (g weight - mean_g(g weight) - xhat mean_g(g weight xhat))
//   dx, dy, x framed    residual likewise, or null: nothing is added    dweight and dbias: both null if not wanted
//   dx may be dy; g may be rounded to the maps' type
inline void d_norm_map(const VqganGradKernels& k, Tensor dx, Tensor dweight, Tensor dbias, Tensor dy, Tensor x,
                       Tensor statistics, const GroupNorm& norm, Tensor residual) {
    CHECK(x.rank == 3 && is_training_norm(norm, norm.weight.elements()) && has_shape(statistics, {norm.groups, 2}));
    CHECK(is_framed(k, x, x.shape[0] - 2, x.shape[1] - 2, norm.weight.elements()));
    CHECK(same_shape(dx, x) && same_shape(dy, x) && (!residual || same_shape(residual, x)) && !dweight == !dbias);
    CHECK(dx.dtype == k.element && dy.dtype == k.element && (!residual || residual.dtype == k.element));
    CHECK(!dweight || (same_shape(dweight, norm.weight) && same_shape(dbias, norm.bias)));
    k.d_norm_map(dx, dweight, dbias, dy, x, statistics, norm, residual);
}

// weight [out, kernel, kernel, in] f32 in the order in which the backend multiplies, for both directions: once after
// each change of the weights.   packed [packed_elements(out, in, shape)]
inline void pack(const VqganGradKernels& k, Tensor packed, Tensor weight, const Convolution& shape) {
    CHECK(is_vqgan_convolution(shape) && weight.dtype == DType::F32 && weight.rank == 4 && packed.dtype == k.element);
    CHECK(weight.shape[1] == shape.kernel && weight.shape[2] == shape.kernel);
    CHECK(packed.elements() == packed_elements(weight.shape[0], weight.shape[3], shape));
    k.pack(packed, weight, shape);
}

// The channels of a convolution's result: of a plain one all, of a framed one those that exist.
inline bool is_result(const VqganGradKernels& k, const Tensor& t, int64_t height, int64_t width, int64_t channels,
                      const Tensor& residual) {
    if (is_plain(t, height, width)) return t.shape[2] == channels && !residual;
    return is_framed(k, t, height, width, channels) &&
           (!residual || (same_shape(residual, t) && residual.dtype == k.element));
}

// out = residual + conv2d(x), as conv2d of kernels.h.
//   out [height', width', out_channels], framed or plain    x: framed [height, width, in_channels]
//   bias [out_channels]    residual of out's shape, or null (always if out is plain); it may be out
inline void conv2d(const VqganGradKernels& k, Tensor out, Tensor x, Tensor packed, Tensor bias,
                   const Convolution& shape, Tensor residual) {
    CHECK(x.rank == 3 && x.dtype == k.element && is_vqgan_convolution(shape) && bias.rank == 1);
    const int64_t height = x.shape[0] - 2, width = x.shape[1] - 2, channels = bias.shape[0];
    const int64_t out_height = convolved(height, shape), out_width = convolved(width, shape);
    CHECK(fits(shape, height, width, out_height, out_width) &&
          is_result(k, out, out_height, out_width, channels, residual));
    CHECK(x.shape[2] % MAP_CHANNELS == 0 && packed.dtype == k.element);
    CHECK(packed.elements() == packed_elements(channels, x.shape[2], shape));
    k.conv2d(out, x, packed, bias, shape, residual);
}

// dx = residual + the gradient of conv2d's sum with respect to x.
//   dx [height, width, in_channels], framed or plain    dy: framed [height', width', out_channels]
//   in: channels of x    residual as in conv2d
inline void d_conv2d_input(const VqganGradKernels& k, Tensor dx, Tensor dy, Tensor packed, int64_t in,
                           const Convolution& shape, Tensor residual) {
    CHECK(dy.rank == 3 && dy.dtype == k.element && is_vqgan_convolution(shape) && packed.dtype == k.element);
    const int64_t out_height = dy.shape[0] - 2, out_width = dy.shape[1] - 2;
    const int64_t height = out_height * shape.stride / shape.upsample;
    const int64_t width = out_width * shape.stride / shape.upsample;
    CHECK(fits(shape, height, width, out_height, out_width) && is_result(k, dx, height, width, in, residual));
    CHECK(dy.shape[2] % MAP_CHANNELS == 0 && packed.elements() == packed_elements(dy.shape[2], in, shape));
    k.d_conv2d_input(dx, dy, packed, shape, residual);
}

// dweight[o,i,j,c] += sum over pixels of dy[o] * x[tap (i, j), c]    dbias[o] += sum of dy[o]
//   dweight [out, kernel, kernel, in] f32    dbias [out]    dy: framed [height', width', out]
//   x: framed [height, width, in]
inline void d_conv2d_weight(const VqganGradKernels& k, Tensor dweight, Tensor dbias, Tensor dy, Tensor x,
                            const Convolution& shape) {
    CHECK(dy.rank == 3 && x.rank == 3 && dy.dtype == k.element && x.dtype == k.element && dweight.rank == 4);
    CHECK(fits(shape, x.shape[0] - 2, x.shape[1] - 2, dy.shape[0] - 2, dy.shape[1] - 2));
    CHECK(dweight.shape[1] == shape.kernel && dweight.shape[2] == shape.kernel && has_shape(dbias, {dweight.shape[0]}));
    CHECK(map_channels(dweight.shape[0]) == dy.shape[2] && map_channels(dweight.shape[3]) == x.shape[2]);
    k.d_conv2d_weight(dweight, dbias, dy, x, shape);
}

// The gradient of spatial_attention of kernels.h, whose probabilities P are computed again: with scale =
// 1/sqrt(channels),
//   dv = P^T dout    dS = P * (dout v^T - rowsum(dout * out))    dq = scale dS k    dk = scale dS^T q
//   all [pixels, channels] f32
inline void d_spatial_attention(const VqganGradKernels& kernels, Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor q,
                                Tensor k, Tensor v) {
    CHECK(q.rank == 2 && same_shape(q, k) && same_shape(k, v) && same_shape(v, dout));
    CHECK(same_shape(dq, q) && same_shape(dk, q) && same_shape(dv, q));
    kernels.d_spatial_attention(dq, dk, dv, dout, q, k, v);
}

}  // namespace leon
