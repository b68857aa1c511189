// The CPU tables: takes tensors apart for the kernels of each instruction set, and picks the widest at run time.
//
// A table entry is a plain function, so each variant is an instantiation over the function that returns its kernels.
#include <cstring>

#include "kernels/composed.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/memory.h"
#include "kernels/cpu/plain.h"
#include "kernels/cpu/threads.h"
#include "kernels/kernels.h"
#include "kernels/recording.h"

namespace leon {
namespace {

static_assert(CACHE_PAGE == PAGE_TOKENS);

Element element_of(const Tensor& t) {
    switch (t.dtype) {
        case DType::BF16:
            return Element::BF16;
        case DType::F16:
            return Element::F16;
        case DType::I8:
            return Element::I8;
        case DType::F8:
            return Element::F8;
        case DType::I4:
            return Element::I4;
        default:
            return Element::F32;
    }
}

using Isa = const IsaKernels* (*)();

template <Isa ISA>
void rmsnorm(Tensor out, Tensor x, Tensor weight, float eps) {
    ISA()->rmsnorm(out.f32(), x.f32(), weight.f32(), eps, x.rows(), x.cols());
}

template <Isa ISA>
void layernorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float eps) {
    ISA()->layernorm(out.f32(), x.f32(), weight.f32(), bias.f32(), eps, x.rows(), x.cols());
}

template <Isa ISA>
void head_norm(Tensor x, Tensor weight, Tensor bias, float eps) {
    ISA()->head_norm(x.f32(), weight.f32(), bias.f32(), eps, x.shape[0], x.shape[1], x.shape[2]);
}

MatmulArguments matmul_arguments(Tensor out, const Tensor& x, const Tensor& weight, Into into) {
    return {out.f32(),          x.f32(), weight.data, weight.scale,  weight.groups,
            element_of(weight), into,    x.rows(),    weight.rows(), weight.cols()};
}
template <Isa ISA>
void matmul(Tensor out, Tensor x, Tensor weight) {
    ISA()->matmul(matmul_arguments(out, x, weight, Into::Overwrite));
}
template <Isa ISA>
void matmul_add(Tensor out, Tensor x, Tensor weight) {
    ISA()->matmul(matmul_arguments(out, x, weight, Into::Add));
}

template <Isa ISA>
void swiglu(Tensor out, Tensor gate, Tensor up) {
    ISA()->swiglu(out.f32(), gate.f32(), up.f32(), out.elements());
}

template <Isa ISA>
void activate(Tensor x, Activation kind, Tensor slope) {
    ISA()->activate(x.f32(), kind, slope.f32(), x.rows(), x.cols());
}

template <Isa ISA>
void attention(Tensor out, Tensor q, KvPages cache, Placement at) {
    ISA()->attention({
        .out = out.f32(),
        .q = q.f32(),
        .keys = cache.keys.data,
        .values = cache.values.data,
        .key_scales = cache.keys.scale,
        .value_scales = cache.values.scale,
        .element = element_of(cache.keys),
        .page_table = cache.page_table.i32(),
        .stream = at.stream.i32(),
        .position = at.position.i32(),
        .max_pages = cache.page_table.shape[1],
        .tokens = q.shape[0],
        .heads = q.shape[1],
        .kv_heads = cache.keys.shape[1],
        .head_dim = q.shape[2],
    });
}

template <Isa ISA>
void conv2d(Tensor out, Tensor x, Tensor weight, Tensor bias, Convolution shape) {
    ISA()->conv2d({
        .out = out.f32(),
        .x = x.f32(),
        .weight = weight.data,
        .bias = bias.f32(),
        .element = element_of(weight),
        .height = x.shape[0],
        .width = x.shape[1],
        .channels = x.shape[2],
        .out_height = out.shape[0],
        .out_width = out.shape[1],
        .out_channels = out.shape[2],
        .kernel = shape.kernel,
        .stride = shape.stride,
        .pad_before = shape.pad_before,
        .upsample = shape.upsample,
    });
}

template <Isa ISA>
void group_norm(Tensor out, Tensor x, Tensor weight, Tensor bias, int groups, float eps, Activation activation) {
    ISA()->group_norm({
        .out = out.f32(),
        .x = x.f32(),
        .weight = weight.f32(),
        .bias = bias.f32(),
        .pixels = x.rows(),
        .channels = x.cols(),
        .groups = groups,
        .eps = eps,
        .swish = activation == Activation::Swish,
    });
}

template <Isa ISA>
void spatial_attention(Tensor out, Tensor q, Tensor k, Tensor v) {
    ISA()->spatial_attention(out.f32(), q.f32(), k.f32(), v.f32(), q.rows(), q.cols());
}

template <Isa ISA>
void nearest_code(Tensor codes, Tensor z, Tensor codebook) {
    ISA()->nearest_code(codes.i32(), z.f32(), codebook.f32(), z.rows(), codebook.rows(), z.cols());
}

// The fused operations, composed of the same table's: a processor has no launches to save.
template <Isa ISA>
const Kernels* table_of(bool supported);

template <Isa ISA>
void project_qkv(Tensor q, Tensor k, Tensor v, Tensor x, const QkvWeights& w, Tensor scratch) {
    composed::project_qkv(*table_of<ISA>(true), q, k, v, x, w, scratch);
}
template <Isa ISA>
void rotate_append(Tensor q, Tensor k, Tensor v, const HeadNorms& norms, float theta, KvPages cache, Placement at) {
    composed::rotate_append(*table_of<ISA>(true), q, k, v, norms, theta, cache, at);
}
template <Isa ISA>
void feed_forward(Tensor out, Tensor x, const FeedForwardWeights& w, Tensor scratch, Tensor gate_scratch) {
    composed::feed_forward(*table_of<ISA>(true), out, x, w, scratch, gate_scratch);
}
template <Isa ISA>
void norm_add(Tensor x, Tensor y, const RowNorm& norm) {
    composed::norm_add(*table_of<ISA>(true), x, y, norm);
}
template <Isa ISA>
void norm_conv2d(Tensor out, Tensor x, const GroupNorm& norm, Tensor weight, Tensor bias, Convolution shape,
                 Tensor residual, Tensor scratch) {
    composed::norm_conv2d(*table_of<ISA>(true), out, x, norm, weight, bias, shape, residual, scratch);
}

template <Isa ISA>
const Kernels* table_of(bool supported) {
    if (!supported || ISA() == nullptr) return nullptr;
    static const Kernels table = {
        .name = ISA()->name,
        .allocate = [](size_t bytes, Reach) { return allocate_memory(bytes); },
        .release = [](void* memory, Reach) { release_memory(memory); },
        .adopt = [](const void* host, size_t) { return host; },
        .disown = [](const void*) {},
        .upload = [](void* device, const void* host, size_t bytes) { std::memcpy(device, host, bytes); },
        .download = [](void* host, const void* device, size_t bytes) { std::memcpy(host, device, bytes); },
        .record = record_calls,
        .replay = replay_calls,
        .forget = forget_calls,
        .finish = [] {},
        .idle = [] { return true; },
        .gather = plain::gather,
        .gather_add = plain::gather_add,
        .rmsnorm = rmsnorm<ISA>,
        .layernorm = layernorm<ISA>,
        .head_norm = head_norm<ISA>,
        .rope = plain::rope,
        .add = plain::add,
        .matmul = matmul<ISA>,
        .matmul_add = matmul_add<ISA>,
        .swiglu = swiglu<ISA>,
        .activate = activate<ISA>,
        .append = plain::append,
        .attention = attention<ISA>,
        .project_qkv = project_qkv<ISA>,
        .rotate_append = rotate_append<ISA>,
        .feed_forward = feed_forward<ISA>,
        .norm_add = norm_add<ISA>,
        .sample = plain::sample,
        .conv2d = conv2d<ISA>,
        .group_norm = group_norm<ISA>,
        .spatial_attention = spatial_attention<ISA>,
        .nearest_code = nearest_code<ISA>,
        .norm_conv2d = norm_conv2d<ISA>,
        .to_u8 = plain::to_u8,
    };
    return &table;
}

struct Variants {
    const Kernels* table[4];
    size_t count = 0;

    Variants() {
        bool avx2 = false, avx512 = false;
#if defined(__x86_64__)  // these ask the operating system, too: it must save the wide registers
        avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#endif
        // Widest first; the wide code on narrow registers is for tests, so it comes last.
        for (const Kernels* candidate : {table_of<avx512_kernels>(avx512), table_of<avx2_kernels>(avx2),
                                         table_of<baseline_kernels>(true), table_of<wide_kernels>(avx2)})
            if (candidate != nullptr) table[count++] = candidate;
    }
};

}  // namespace

std::span<const Kernels* const> cpu_variants() {
    static const Variants variants;
    return {variants.table, variants.count};
}

const Kernels& cpu_kernels() {
    return *cpu_variants()[0];
}

}  // namespace leon
