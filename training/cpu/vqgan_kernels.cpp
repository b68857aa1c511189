// The CPU tables of a VQGAN's training: takes tensors apart for the kernels of each instruction set, lays convolutions
// out as grids of taps, packs weights for both directions, and picks the widest at run time.
#include <algorithm>
#include <span>
#include <vector>

#include "kernels/cpu/threads.h"
#include "training/cpu/amx.h"
#include "training/cpu/vqgan_isa.h"
#include "training/cpu/vqgan_jobs.h"
#include "training/vqgan/grad_kernels.h"

namespace leon {
namespace {

using Isa = const VqganIsa* (*)();

uint16_t* bf16_or_null(Tensor t) {
    return static_cast<uint16_t*>(t.data);
}
uint16_t* bf16(Tensor t) {
    CHECK(t.dtype == DType::BF16);
    return static_cast<uint16_t*>(t.data);
}
float* f32_or_null(Tensor t) {
    return t ? t.f32() : nullptr;
}

template <Isa ISA>
void frame(Tensor out, Tensor x) {
    ISA()->frame(bf16(out), x.f32(), x.shape[0], x.shape[1], x.shape[2], out.shape[2]);
}

VqganNormArguments norm_arguments(Tensor out, const Tensor& x, Tensor statistics, const GroupNorm& norm) {
    VqganNormArguments n = {};
    n.out = bf16(out);
    n.x = bf16(x);
    n.statistics = statistics.f32();
    n.weight = norm.weight.f32(), n.bias = norm.bias.f32();
    n.height = x.shape[0] - 2, n.width = x.shape[1] - 2, n.depth = x.shape[2];
    n.channels = norm.weight.elements(), n.groups = norm.groups;
    n.eps = norm.eps;
    n.swish = norm.activation == Activation::Swish;
    return n;
}

template <Isa ISA>
void norm_map(Tensor out, Tensor statistics, Tensor x, const GroupNorm& norm) {
    ISA()->norm_map(norm_arguments(out, x, statistics, norm));
}

template <Isa ISA>
void d_norm_map(Tensor dx, Tensor dweight, Tensor dbias, Tensor dy, Tensor x, Tensor statistics, const GroupNorm& norm,
                Tensor residual) {
    VqganNormArguments n = norm_arguments(dx, x, statistics, norm);
    n.dweight = f32_or_null(dweight), n.dbias = f32_or_null(dbias);
    n.dy = bf16(dy);
    n.residual = bf16_or_null(residual);
    ISA()->d_norm_map(n);
}

// --- weights in the order of the matrix unit ---------------------------------------------------------------------

// Where weight (n, k) of a matrix stands in its tiles; see vqgan_isa.h.
int64_t packed_place(int64_t n, int64_t k, int64_t blocks) {
    return ((k / 32 * blocks + n / 16) * 16 + k % 32 / 2) * 32 + n % 16 * 2 + k % 2;
}

// Both directions of the matrix w(o, c), for `matrix` of `matrices`.
template <class Weight>
void pack_matrix(uint16_t* packed, int64_t matrix, int64_t matrices, int64_t out, int64_t in, Weight w) {
    const int64_t outs = map_channels(out), ins = map_channels(in), size = outs * ins;
    uint16_t *forward = packed + matrix * size, *backward = packed + (matrices + matrix) * size;
    for (int64_t o = 0; o < outs; o++)
        for (int64_t c = 0; c < ins; c++) {
            const uint16_t value = o < out && c < in ? float_to_bf16(w(o, c)) : uint16_t{0};
            forward[packed_place(o, c, outs / 16)] = value;
            backward[packed_place(c, o, ins / 16)] = value;
        }
}

void pack_weights(Tensor packed, Tensor weight, const Convolution& shape) {
    const int64_t out = weight.shape[0], kernel = shape.kernel, in = weight.shape[3];
    const float* values = weight.f32();
    auto tap = [=](int64_t o, int64_t i, int64_t j, int64_t c) {
        return values[((o * kernel + i) * kernel + j) * in + c];
    };
    uint16_t* to = bf16(packed);
    if (shape.upsample == 2) {
        for (int p = 0; p < 2; p++)
            for (int q = 0; q < 2; q++)
                for (int a = 0; a < 2; a++)
                    for (int b = 0; b < 2; b++)
                        pack_matrix(to, double_matrix(p, q, a, b), 16, out, in, [=](int64_t o, int64_t c) {
                            float sum = 0;
                            for (int i = 0; i < 3; i++)
                                for (int j = 0; j < 3; j++)
                                    if (double_row(p, i) == a && double_row(q, j) == b) sum += tap(o, i, j, c);
                            return sum;
                        });
        return;
    }
    for (int64_t i = 0; i < kernel; i++)
        for (int64_t j = 0; j < kernel; j++)
            pack_matrix(to, i * kernel + j, kernel * kernel, out, in,
                        [=](int64_t o, int64_t c) { return tap(o, i, j, c); });
}

// --- convolutions -----------------------------------------------------------------------------------------------

// A result of [height, width], plain or framed.
template <Isa ISA>
ConvArguments result_arguments(Tensor out, int64_t height, int64_t width, ResultKind& kind) {
    ConvArguments a = {};
    kind = is_plain(out, height, width) ? ResultKind::Plain : ResultKind::Framed;
    if (kind == ResultKind::Plain) {
        a.plain = out.f32();
    } else {
        a.framed = bf16(out);
        ISA()->clear_frame(a.framed, height, width, out.shape[2]);
    }
    a.channels = out.shape[2];
    return a;
}

template <Isa ISA>
void conv2d(Tensor out, Tensor x, Tensor packed, Tensor bias, const Convolution& shape, Tensor residual) {
    const int64_t height = x.shape[0] - 2, width = x.shape[1] - 2;
    ResultKind kind;
    ConvArguments a = result_arguments<ISA>(out, convolved(height, shape), convolved(width, shape), kind);
    const ConvJobs jobs = forward_jobs(shape, height, width, kind);
    a.x = bf16(x), a.depth = x.shape[2];
    a.weights = bf16(packed);
    a.bias = bias.f32(), a.biases = bias.elements();
    a.residual = bf16_or_null(residual);
    a.job = jobs.job, a.jobs = jobs.jobs;
    ISA()->conv(a);
}

template <Isa ISA>
void d_conv2d_input(Tensor dx, Tensor dy, Tensor packed, const Convolution& shape, Tensor residual) {
    const int64_t height = (dy.shape[0] - 2) * shape.stride / shape.upsample;
    const int64_t width = (dy.shape[1] - 2) * shape.stride / shape.upsample;
    ResultKind kind;
    ConvArguments a = result_arguments<ISA>(dx, height, width, kind);
    const ConvJobs jobs = backward_jobs(shape, height, width, kind);
    a.x = bf16(dy), a.depth = dy.shape[2];
    a.weights = bf16(packed) + packed.elements() / 2;
    a.residual = bf16_or_null(residual);
    a.job = jobs.job, a.jobs = jobs.jobs;
    ISA()->conv(a);
}

template <Isa ISA>
void d_conv2d_weight(Tensor dweight, Tensor dbias, Tensor dy, Tensor x, const Convolution& shape) {
    const int64_t out = dweight.shape[0], kernel = shape.kernel, in = dweight.shape[3];
    ISA()->sum_pixels(dbias.f32(), bf16(dy), dy.shape[0] - 2, dy.shape[1] - 2, out, dy.shape[2]);
    const WeightJobs jobs = weight_jobs(shape, x.shape[0] - 2, x.shape[1] - 2);
    ConvWeightArguments arguments = {dweight.f32(), bf16(dy), bf16(x), dy.shape[2],
                                     x.shape[2],    out,      in,      static_cast<int>(kernel * kernel),
                                     jobs.job,      jobs.jobs};
    thread_local std::vector<float> sums;  // of DOUBLE's sixteen matrices, [out, 16, in]
    if (shape.upsample == 2) {
        sums.assign(static_cast<size_t>(out * 16 * in), 0.0f);
        arguments.dweight = sums.data();
        arguments.matrices = 16;
    }
    ISA()->conv_weight(arguments);
    if (shape.upsample == 1) return;
    for (int64_t o = 0; o < out; o++)
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++)
                for (int p = 0; p < 2; p++)
                    for (int q = 0; q < 2; q++) {
                        const int matrix = double_matrix(p, q, double_row(p, i), double_row(q, j));
                        const float* from = sums.data() + (o * 16 + matrix) * in;
                        float* to = dweight.f32() + ((o * 3 + i) * 3 + j) * in;
                        for (int64_t c = 0; c < in; c++) to[c] += from[c];
                    }
}

template <Isa ISA>
void d_spatial_attention(Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor q, Tensor k, Tensor v) {
    ISA()->d_spatial_attention(dq.f32(), dk.f32(), dv.f32(), dout.f32(), q.f32(), k.f32(), v.f32(), q.rows(), q.cols());
}

template <Isa ISA>
VqganGradKernels table() {
    return {.name = ISA()->name,
            .element = DType::BF16,
            .frame = frame<ISA>,
            .norm_map = norm_map<ISA>,
            .d_norm_map = d_norm_map<ISA>,
            .pack = pack_weights,
            .conv2d = conv2d<ISA>,
            .d_conv2d_input = d_conv2d_input<ISA>,
            .d_conv2d_weight = d_conv2d_weight<ISA>,
            .d_spatial_attention = d_spatial_attention<ISA>};
}

struct Variants {
    std::vector<VqganGradKernels> tables;
    std::vector<const VqganGradKernels*> all;

    Variants() {
        bool avx2 = false, avx512 = false;
#if defined(__x86_64__)
        avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#endif
        if (amx_vqgan() && amx_granted()) tables.push_back(table<amx_vqgan>());
        if (avx512 && avx512_vqgan()) tables.push_back(table<avx512_vqgan>());
        if (avx2 && avx2_vqgan()) tables.push_back(table<avx2_vqgan>());
        tables.push_back(table<baseline_vqgan>());
        for (const VqganGradKernels& table : tables) all.push_back(&table);
    }
};

const Variants& variants() {
    static const Variants all;
    return all;
}

}  // namespace

const VqganGradKernels& cpu_vqgan_grad_kernels() {
    return *variants().all.front();
}
std::span<const VqganGradKernels* const> cpu_vqgan_grad_variants() {
    return variants().all;
}

}  // namespace leon
