// The CPU tables of gradients: takes tensors apart for the kernels of each instruction set, and picks the best at run
// time. What is bound by memory or by sines whatever the instructions stands here, in plain loops.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "kernels/cpu/threads.h"
#include "training/cpu/amx.h"
#include "training/cpu/grad_isa.h"
#include "training/cpu/variants.h"
#include "training/grad_kernels.h"

namespace leon {
namespace {

constexpr int64_t GRAIN = 16 << 10;  // elements per task: below, waking another thread costs more than it brings

// The parts of which a table is made. A table entry is a plain function, so each variant is an instantiation over the
// functions that return its parts.
using Products = const GradProducts* (*)();
using Rows = const GradRows* (*)();

Into into(Accumulate accumulate) {
    return accumulate == Accumulate::Yes ? Into::Add : Into::Overwrite;
}

// x, y and weight of each projection, whichever of them are written.
LinearArguments linear_arguments(Tensor x, std::span<const Tensor> y, std::span<const Tensor> weights, Into into) {
    LinearArguments l = {};
    l.x = x.f32(), l.rows = x.rows(), l.depth = x.cols(), l.into = into;
    for (Tensor part : y) l.n[l.count] = part.cols(), l.y[l.count++] = part.f32();
    for (size_t i = 0; i < weights.size(); i++) l.weight[i] = Tensor(weights[i]).f32();
    return l;
}

template <Products P>
void linear(std::span<const Tensor> outs, Tensor x, std::span<const Tensor> weights, Accumulate accumulate) {
    P()->linear(linear_arguments(x, outs, weights, into(accumulate)));
}
template <Products P>
void linear_dx(Tensor dx, std::span<const Tensor> douts, std::span<const Tensor> weights, Accumulate accumulate) {
    P()->linear_dx(linear_arguments(dx, douts, weights, into(accumulate)));
}
template <Products P>
void linear_dw(std::span<const Tensor> dweights, Tensor x, std::span<const Tensor> douts) {
    P()->linear_dw(linear_arguments(x, douts, dweights, Into::Add));
}

// Documents from the longest to the shortest, equal ones in their order.
std::vector<int32_t> by_length(const Tensor& starts) {
    const int32_t* start = starts.i32();
    std::vector<int32_t> order(static_cast<size_t>(starts.elements() - 1));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [=](int32_t a, int32_t b) { return start[a + 1] - start[a] > start[b + 1] - start[b]; });
    return order;
}

PackedAttention packed_attention(Tensor out, Tensor log_sums, Tensor q, Tensor k, Tensor v, Tensor starts,
                                 const std::vector<int32_t>& longest) {
    return {
        .out = out.f32(),
        .log_sums = log_sums.f32(),
        .q = q.f32(),
        .k = k.f32(),
        .v = v.f32(),
        .starts = starts.i32(),
        .longest = longest.data(),
        .documents = starts.elements() - 1,
        .heads = q.shape[1],
        .kv_heads = k.shape[1],
        .head_dim = q.shape[2],
    };
}

template <Products P>
void attention(Tensor out, Tensor log_sums, Tensor q, Tensor k, Tensor v, Tensor starts) {
    const std::vector<int32_t> longest = by_length(starts);
    P()->attention(packed_attention(out, log_sums, q, k, v, starts, longest));
}
template <Products P>
void attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out, Tensor log_sums, Tensor q, Tensor k,
                        Tensor v, Tensor starts) {
    const std::vector<int32_t> longest = by_length(starts);
    P()->attention_backward({
        .forward = packed_attention(out, log_sums, q, k, v, starts, longest),
        .dout = dout.f32(),
        .dq = dq.f32(),
        .dk = dk.f32(),
        .dv = dv.f32(),
    });
}

template <Rows R>
void norm_backward(Tensor dx, Tensor dweight, Tensor dout, Tensor x, const RowNorm& norm, Accumulate accumulate) {
    const bool rms = norm.kind == RowNorm::Kind::RMS;
    Tensor weight = norm.weight;
    const NormArguments arguments = {
        .dx = dx.f32(),
        .dweight = rms ? dweight.f32() : nullptr,
        .dout = dout.f32(),
        .x = x.f32(),
        .weight = rms ? weight.f32() : nullptr,
        .eps = norm.eps,
        .into = into(accumulate),
        .rows = x.rows(),
        .dim = x.cols(),
    };
    rms ? R()->rms_backward(arguments) : R()->layer_backward(arguments);
}

RotateArguments rotate_arguments(Tensor out, Tensor dweight, Tensor dbias, Tensor in, Tensor x, const HeadNorm& norm,
                                 const Rotary& rotary) {
    Tensor weight = norm.weight, bias = norm.bias, position = rotary.position;
    Tensor segment = rotary.segment ? rotary.segment : position;
    return {
        .out = out.f32(),
        .dweight = dweight.f32(),
        .dbias = dbias.f32(),
        .in = in.f32(),
        .x = x.f32(),
        .weight = weight.f32(),
        .bias = bias.f32(),
        .position = rotary.theta > 0 ? position.i32() : nullptr,
        .segment = rotary.theta > 0 ? segment.i32() : nullptr,
        .eps = norm.eps,
        .theta = rotary.theta,
        .rows = out.shape[0],
        .heads = out.shape[1],
        .head_dim = out.shape[2],
    };
}
template <Rows R>
void rotate(Tensor out, Tensor x, const HeadNorm& norm, const Rotary& rotary) {
    R()->rotate(rotate_arguments(out, {}, {}, x, x, norm, rotary));
}
template <Rows R>
void rotate_backward(Tensor dx, Tensor dweight, Tensor dbias, Tensor dout, Tensor x, const HeadNorm& norm,
                     const Rotary& rotary) {
    R()->rotate_backward(rotate_arguments(dx, dweight, dbias, dout, x, norm, rotary));
}

template <Rows R>
void swiglu_backward(Tensor dgate, Tensor dup, Tensor dout, Tensor gate, Tensor up) {
    R()->swiglu_backward(dgate.f32(), dup.f32(), dout.f32(), gate.f32(), up.f32(), gate.elements());
}

template <Rows R>
void cross_entropy(Tensor losses, Tensor logits, Tensor targets, Tensor weights, const CrossEntropy& rule) {
    R()->cross_entropy({
        .losses = losses.f32(),
        .logits = logits.f32(),
        .targets = targets.i32(),
        .weights = weights.f32(),
        .z_loss = rule.z_loss,
        .scale = rule.scale,
        .rows = logits.rows(),
        .vocab = logits.cols(),
    });
}

void relu_backward(Tensor dx, Tensor out) {
    float* gradient = dx.f32();
    const float* value = out.f32();
    const int64_t count = dx.elements();
    parallel((count + GRAIN - 1) / GRAIN, [=](int64_t task, int) {
        for (int64_t i = task * GRAIN; i < std::min(count, (task + 1) * GRAIN); i++)
            gradient[i] = value[i] > 0.0f ? gradient[i] : 0.0f;
    });
}

// Many rows may name one entry, so tasks divide the columns, and each adds all rows in their order.
void gather_backward(Tensor dtable, Tensor dout, Tensor ids, int offset) {
    constexpr int64_t COLUMNS = 64;  // four cache lines of a row
    const int64_t dim = dout.cols(), rows = dout.rows();
    float* table = dtable.f32();
    const float* gradient = dout.f32();
    const int32_t* id = ids.i32();
    parallel((dim + COLUMNS - 1) / COLUMNS, [=](int64_t task, int) {
        const int64_t first = task * COLUMNS, count = std::min(COLUMNS, dim - first);
        for (int64_t r = 0; r < rows; r++) {
            float* to = table + (id[r] + offset) * dim + first;
            const float* from = gradient + r * dim + first;
            for (int64_t i = 0; i < count; i++) to[i] += from[i];
        }
    });
}

std::span<float> floats_of(Tensor& t) {
    return {t.f32(), static_cast<size_t>(t.elements())};
}
std::span<const float> floats_of(const Tensor& t) {
    return {t.f32(), static_cast<size_t>(t.elements())};
}

void clear(Tensor x) {
    std::memset(x.data, 0, x.bytes());
}
double sum_of_squares(std::span<const Tensor> parts) {
    double sum = 0;
    for (const Tensor& part : parts) sum += leon::sum_of_squares(floats_of(part));
    return sum;
}
void adamw(Tensor values, Tensor gradients, Tensor m, Tensor v, const AdamWStep& rule) {
    leon::adamw(floats_of(values), floats_of(gradients), floats_of(m), floats_of(v), rule);
}
void average_into(Tensor average, Tensor values, double decay) {
    leon::average_into(floats_of(average), floats_of(values), decay);
}

template <Products P, Rows R>
const GradKernels* table_of(bool supported) {
    if (!supported || P() == nullptr || R() == nullptr) return nullptr;
    static const GradKernels table = {
        .name = P()->name,
        .linear = linear<P>,
        .linear_dx = linear_dx<P>,
        .linear_dw = linear_dw<P>,
        .norm_backward = norm_backward<R>,
        .rotate = rotate<R>,
        .rotate_backward = rotate_backward<R>,
        .attention = attention<P>,
        .attention_backward = attention_backward<P>,
        .swiglu_backward = swiglu_backward<R>,
        .relu_backward = relu_backward,
        .gather_backward = gather_backward,
        .cross_entropy = cross_entropy<R>,
        .clear = clear,
        .sum_of_squares = sum_of_squares,
        .adamw = adamw,
        .average_into = average_into,
    };
    return &table;
}

template <GradIsa (*ISA)()>
const GradProducts* f32_of() {
    return ISA().f32;
}
template <GradIsa (*ISA)()>
const GradProducts* bf16_of() {
    return ISA().bf16;
}
template <GradIsa (*ISA)()>
const GradRows* rows_of() {
    return ISA().rows;
}

template <GradIsa (*ISA)()>
const GradKernels* f32_table(bool supported) {
    return table_of<f32_of<ISA>, rows_of<ISA>>(supported);
}
template <GradIsa (*ISA)()>
const GradKernels* bf16_table(bool supported) {
    return table_of<bf16_of<ISA>, rows_of<ISA>>(supported);
}

using Variants = std::vector<const GradKernels*>;

// Of candidates, best first, those that this processor can run.
Variants present(std::initializer_list<const GradKernels*> candidates) {
    Variants variants;
    for (const GradKernels* candidate : candidates)
        if (candidate != nullptr) variants.push_back(candidate);
    return variants;
}

bool has_avx512() {
#if defined(__x86_64__)  // these ask the operating system, too: it must save the wide registers
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#else
    return false;
#endif
}
bool has_avx2() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

}  // namespace

std::span<const GradKernels* const> cpu_grad_variants() {
    static const Variants variants =
        present({f32_table<avx512_gradients>(has_avx512()), f32_table<avx2_gradients>(has_avx2()),
                 f32_table<baseline_gradients>(true), f32_table<wide_gradients>(has_avx2())});
    return variants;
}

std::span<const GradKernels* const> cpu_bf16_grad_variants() {
    static const Variants variants =
        present({table_of<amx_gradients, rows_of<avx512_gradients>>(amx_granted()),
                 bf16_table<avx512_gradients>(has_avx512()), bf16_table<avx2_gradients>(has_avx2()),
                 bf16_table<baseline_gradients>(true), bf16_table<wide_gradients>(has_avx2())});
    return variants;
}

const GradKernels& cpu_grad_kernels() {
    return *cpu_grad_variants()[0];
}

const GradKernels& cpu_bf16_grad_kernels() {
    return *cpu_bf16_grad_variants()[0];
}

}  // namespace leon
