// The VQGAN: conv2d.cu, group_norm.cu, spatial_attention.cu, nearest_code.cu, fused.cu.
#include "kernels/planning/cost.h"

namespace leon::cost {

void conv2d(Launches& l, const Machine&, Tensor out, Tensor x, Tensor weight, Tensor, Convolution shape) {
    constexpr int TILE = 64, SLICE = 16;
    if (out.elements() == 0) return;
    const int64_t pixels = out.rows(), depth = static_cast<int64_t>(shape.kernel) * shape.kernel * x.cols();
    const int64_t across = divide_up(out.cols(), TILE), down = divide_up(pixels, TILE);
    Launch k;
    k.kernel = "conv2d_kernel";
    k.blocks = across * down;
    k.threads = 256;
    k.shared_bytes = 2 * SLICE * (TILE + 4) * 4;
    k.weight_bytes = bytes_of(weight);
    k.input_bytes = bytes_of(x);
    k.output_bytes = k.store_bytes = bytes_of(out);
    k.load_bytes = 4.0 * static_cast<double>(pixels * depth * across) + bytes_of(weight) * static_cast<double>(down);
    k.unit = Unit::Float;
    k.flops = 2.0 * static_cast<double>(k.blocks * TILE * TILE) * static_cast<double>(depth);
    k.barriers = k.blocks * 2 * divide_up(depth, SLICE);
    l.push_back(k);
}

void group_norm(Launches& l, const Machine&, Tensor out, Tensor x, Tensor, Tensor, int groups, float, Activation) {
    if (x.elements() == 0) return;
    Launch k;
    k.kernel = "group_norm_kernel";
    k.blocks = groups;
    k.threads = 256;
    k.input_bytes = 3 * bytes_of(x);
    k.output_bytes = k.store_bytes = bytes_of(out);
    k.load_bytes = 3 * bytes_of(x);
    k.in_flight_bytes = 256 * 4 * 4;
    k.barriers = 4 * k.blocks;
    l.push_back(k);
}

void spatial_attention(Launches& l, const Machine&, Tensor out, Tensor q, Tensor k, Tensor v) {
    constexpr int WARPS = 4;
    if (q.elements() == 0) return;
    const double pairs = static_cast<double>(q.rows()) * static_cast<double>(q.rows());
    Launch launch;
    launch.kernel = "spatial_attention_kernel";
    launch.blocks = q.rows();
    launch.threads = WARPS * WARP;
    launch.shared_bytes = static_cast<int>((q.cols() + WARPS * 32 + WARPS * (2 + q.cols())) * 4);
    launch.input_bytes = bytes_of(q) + bytes_of(k) + bytes_of(v);
    launch.output_bytes = launch.store_bytes = bytes_of(out);
    launch.load_bytes = bytes_of(q) + 8.0 * pairs * static_cast<double>(q.cols());
    launch.unit = Unit::Float;
    launch.flops = 4.0 * pairs * static_cast<double>(q.cols());
    launch.barriers = 2 * launch.blocks;
    launch.trips = static_cast<int>(1 + 2 * divide_up(q.rows(), 32 * WARPS));
    l.push_back(launch);
}

void nearest_code(Launches& l, const Machine&, Tensor codes, Tensor z, Tensor codebook) {
    constexpr int WARPS = 4;
    if (z.elements() == 0) return;
    const double pairs = static_cast<double>(z.rows()) * static_cast<double>(codebook.elements());
    Launch k;
    k.kernel = "nearest_code_kernel";
    k.blocks = divide_up(z.rows(), WARPS);
    k.threads = WARPS * WARP;
    k.weight_bytes = bytes_of(codebook);
    k.input_bytes = bytes_of(z);
    k.output_bytes = k.store_bytes = bytes_of(codes);
    k.load_bytes = 8.0 * pairs;  // an element of z and one of the codebook for each
    k.unit = Unit::Float;
    k.flops = 4.0 * pairs;  // a subtraction counts as much as the multiply-add
    l.push_back(k);
}

void norm_conv2d(Launches& l, const Machine& m, Tensor out, Tensor x, const GroupNorm& norm, Tensor weight, Tensor bias,
                 Convolution shape, Tensor residual, Tensor scratch) {
    if (norm.weight) group_norm(l, m, scratch, x, norm.weight, norm.bias, norm.groups, norm.eps, norm.activation);
    conv2d(l, m, out, x, weight, bias, shape);
    if (residual) add(l, m, out, residual);
}

}  // namespace leon::cost
