// The reference table: host memory and the definitions of reference.h.
#include "kernels/reference/reference.h"

#include <cstdlib>
#include <cstring>
#include <string>

namespace leon {
namespace {

void* allocate_host(size_t bytes) {
    const size_t rounded = (bytes + 63) / 64 * 64;
    void* memory = rounded >= bytes ? std::aligned_alloc(64, rounded == 0 ? 64 : rounded) : nullptr;
    if (!memory) throw Error("cannot allocate " + std::to_string(bytes) + " bytes", "memory");
    std::memset(memory, 0, rounded);
    return memory;
}

const Kernels TABLE = {
    .name = "reference",
    .allocate = allocate_host,
    .release = std::free,
    .adopt = [](const void* host, size_t) { return host; },
    .upload = [](void* device, const void* host, size_t bytes) { std::memcpy(device, host, bytes); },
    .download = [](void* host, const void* device, size_t bytes) { std::memcpy(host, device, bytes); },
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
    .relu = reference::relu,
    .append = reference::append,
    .attention = reference::attention,
    .conv2d = reference::conv2d,
    .group_norm = reference::group_norm,
    .spatial_attention = reference::spatial_attention,
    .nearest_code = reference::nearest_code,
};

}  // namespace

const Kernels& reference_kernels() {
    return TABLE;
}

}  // namespace leon
