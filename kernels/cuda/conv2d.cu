// conv2d and norm_conv2d: out = residual + bias + convolution of f(x), f group normalisation and swish, or nothing.
//
// One kernel for all: convolution.h gathers the pixels and multiplies on tensor cores, tensor_products.h says in how
// many terms; here are the epilogue and the choice of a tile. Normalising costs two reads of x for its statistics
// (group_norm.cu) and nothing more: the convolution applies it between global and shared memory, so that no normalised
// map is ever written and `scratch` stays as it is.
//
// Bound by arithmetic. docs/kernels.md has the sums.
#include "kernels/cuda/convolution.h"
#include "kernels/cuda/group_statistics.h"
#include "kernels/cuda/launchers.h"

namespace leon::LEON_CUDA {
namespace {

template <class Products, class Tile, template <class> class Source>
__global__ void __launch_bounds__(CONV_THREADS, Tile::RESIDENT)
    conv2d_kernel(float* out,                               // [out_height, out_width, out_channels]
                  const float* x,                           // [height, width, channels]
                  const typename Products::Weight* weight,  // [out_channels, kernel, kernel, channels]
                  const float* bias,                        // [out_channels]
                  const float* residual,                    // of out's shape, or null
                  ChannelNorm norm, ConvGeometry g) {
    DYNAMIC_SHARED(char, shared);
    float sums[Tile::M][Tile::N][4] = {};
    convolve<Products, Tile, Source>(sums, shared, x, weight, norm, g);

    const auto aligned = [](const float* p) { return reinterpret_cast<uintptr_t>(p) % sizeof(float2) == 0; };
    const bool in_pairs = g.out_channels % 2 == 0 && aligned(out) && aligned(bias) && aligned(residual);
    for_each_pair<Tile>(sums, g, [=](int64_t pixel, int column, float2 sum) {
        const int64_t at = pixel * g.out_channels + column;
        if (in_pairs && column < g.out_channels) {
            const float2 b = *reinterpret_cast<const float2*>(bias + column);
            const float2 r = residual ? *reinterpret_cast<const float2*>(residual + at) : make_float2(0, 0);
            *reinterpret_cast<float2*>(out + at) = make_float2(sum.x + b.x + r.x, sum.y + b.y + r.y);
        } else if (!in_pairs) {
            if (column < g.out_channels) out[at] = sum.x + bias[column] + (residual ? residual[at] : 0.0f);
            if (column + 1 < g.out_channels)
                out[at + 1] = sum.y + bias[column + 1] + (residual ? residual[at + 1] : 0.0f);
        }
    });
}

struct Call {
    Tensor out, x, weight, bias, residual;
    Convolution shape;
    ChannelNorm norm;
};

template <class Products, class Tile, template <class> class Source>
void launch_conv2d(Call& c, Gather gather) {
    const ConvGeometry g = conv_geometry<Tile>(c.out, c.x, c.weight, c.shape, gather);
    CUDA_CHECK(launch_dependent(conv2d_kernel<Products, Tile, Source>, conv_grid<Tile>(g), CONV_THREADS,
                                conv_shared_bytes<Products, Tile>(g), c.out.f32(), c.x.f32(),
                                data_of<typename Products::Weight>(c.weight), c.bias.f32(),
                                c.residual ? c.residual.f32() : nullptr, c.norm, g));
}

constexpr int FEW_OUTPUTS = 16;

template <class Products>
void choose_tile(Call& c) {
    const ConvGeometry g = conv_geometry<SmallTile>(c.out, c.x, c.weight, c.shape, Gather::Patch);
    const int64_t large =
        divide_up(c.out.shape[0], LargeTile::LINES) * g.tiles_across * divide_up(c.out.shape[2], LargeTile::COLUMNS);
    if (c.shape.kernel != 3 || c.shape.stride != 1 || !g.whole_rows || g.channels < SLICE / 2)
        return launch_conv2d<Products, WindowTile, WindowSource>(c, Gather::Windows);
    if (g.out_channels <= FEW_OUTPUTS) return launch_conv2d<Products, ThinTile, PatchSource>(c, Gather::Patch);
    // Two large tiles find room on a processor; less than three quarters of that and small ones keep more of it busy.
    if (2 * large >= 3 * multiprocessors()) return launch_conv2d<Products, LargeTile, PatchSource>(c, Gather::Patch);
    launch_conv2d<Products, SmallTile, PatchSource>(c, Gather::Patch);
}

void run(Call& c) {
    if (c.out.elements() == 0) return;
    with_products(c.weight.dtype, c.shape.exactness, [&](auto products) { choose_tile<decltype(products)>(c); });
}

}  // namespace

void conv2d(Tensor out, Tensor x, Tensor weight, Tensor bias, Convolution shape) {
    Call call = {out, x, weight, bias, {}, shape, {}};
    run(call);
}

void norm_conv2d(Tensor out, Tensor x, const GroupNorm& norm, Tensor weight, Tensor bias, Convolution shape,
                 Tensor residual, Tensor) {
    Call call = {out, x, weight, bias, residual, shape, {}};
    if (norm.weight && x.elements() > 0) call.norm = group_statistics(x, norm);
    run(call);
}

}  // namespace leon::LEON_CUDA
