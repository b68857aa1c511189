// The reference table: host memory and the definitions of reference.h.
#include "kernels/reference/reference.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "kernels/composed.h"
#include "kernels/recording.h"

namespace leon {
namespace {

void* allocate_host(size_t bytes, Reach) {
    const size_t rounded = (bytes + 63) / 64 * 64;
    void* memory = rounded >= bytes ? std::aligned_alloc(64, rounded == 0 ? 64 : rounded) : nullptr;
    if (!memory) throw Error("cannot allocate " + std::to_string(bytes) + " bytes", "memory");
    std::memset(memory, 0, rounded);
    return memory;
}

// The fused operations, composed of this table's own.
void project_qkv(Tensor q, Tensor k, Tensor v, Tensor x, const QkvWeights& w, Tensor scratch) {
    composed::project_qkv(reference_kernels(), q, k, v, x, w, scratch);
}
void rotate_append(Tensor q, Tensor k, Tensor v, const HeadNorms& norms, float theta, KvPages cache, Placement at) {
    composed::rotate_append(reference_kernels(), q, k, v, norms, theta, cache, at);
}
void feed_forward(Tensor out, Tensor x, const FeedForwardWeights& w, Tensor scratch, Tensor gate_scratch) {
    composed::feed_forward(reference_kernels(), out, x, w, scratch, gate_scratch);
}
void norm_add(Tensor x, Tensor y, const RowNorm& norm) {
    composed::norm_add(reference_kernels(), x, y, norm);
}
void norm_conv2d(Tensor out, Tensor x, const GroupNorm& norm, Tensor weight, Tensor bias, Convolution shape,
                 Tensor residual, Tensor scratch) {
    composed::norm_conv2d(reference_kernels(), out, x, norm, weight, bias, shape, residual, scratch);
}

const Kernels TABLE = {
    .name = "reference",
    .allocate = allocate_host,
    .release = [](void* memory, Reach) { std::free(memory); },
    .adopt = [](const void* host, size_t) { return host; },
    .disown = [](const void*) {},
    .upload = [](void* device, const void* host, size_t bytes) { std::memcpy(device, host, bytes); },
    .download = [](void* host, const void* device, size_t bytes) { std::memcpy(host, device, bytes); },
    .record = record_calls,
    .replay = replay_calls,
    .forget = forget_calls,
    .finish = [] {},
    .idle = [] { return true; },
    .gather = reference::gather,
    .gather_add = reference::gather_add,
    .rmsnorm = reference::rmsnorm,
    .layernorm = reference::layernorm,
    .head_norm = reference::head_norm,
    .rope = reference::rope,
    .add = reference::add,
    .matmul = reference::matmul,
    .matmul_add = reference::matmul_add,
    .swiglu = reference::swiglu,
    .activate = reference::activate,
    .append = reference::append,
    .attention = reference::attention,
    .project_qkv = project_qkv,
    .rotate_append = rotate_append,
    .feed_forward = feed_forward,
    .norm_add = norm_add,
    .sample = reference::sample,
    .conv2d = reference::conv2d,
    .group_norm = reference::group_norm,
    .spatial_attention = reference::spatial_attention,
    .nearest_code = reference::nearest_code,
    .norm_conv2d = norm_conv2d,
    .to_u8 = reference::to_u8,
};

}  // namespace

const Kernels& reference_kernels() {
    return TABLE;
}

}  // namespace leon
