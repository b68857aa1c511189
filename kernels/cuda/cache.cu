// append: one block per (token, head); threads walk along the head. Bound by latency: a row is a few KiB.
#include "kernels/cuda/cache.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/launchers.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int THREADS = 128;  // a head of 128

template <class T>
__global__ void __launch_bounds__(THREADS) append_kernel(T* keys, T* values,   // [pages, kv_heads, 32, head_dim]
                                                         const float* k,       // [tokens, kv_heads, head_dim]
                                                         const float* v,       // [tokens, kv_heads, head_dim]
                                                         const int* stream,    // [tokens]
                                                         const int* position,  // [tokens]
                                                         PageTable table) {
    const int64_t token = blockIdx.x / table.kv_heads;
    const int head = static_cast<int>(blockIdx.x % table.kv_heads), at = position[token];
    const int64_t to = table.page_start(stream[token], at / PAGE_TOKENS, head) +
                       static_cast<int64_t>(at % PAGE_TOKENS) * table.head_dim;
    const int64_t from = static_cast<int64_t>(blockIdx.x) * table.head_dim;
    for (int i = static_cast<int>(threadIdx.x); i < table.head_dim; i += THREADS) {
        keys[to + i] = narrow<T>(k[from + i]);
        values[to + i] = narrow<T>(v[from + i]);
    }
}

}  // namespace

void append(KvPages cache, Tensor k, Tensor v, Placement at) {
    const dim3 grid(static_cast<unsigned>(k.rows())), block(THREADS);
    if (k.elements() == 0) return;
    with_float(cache.keys.dtype, [&](auto element) {
        using T = decltype(element);
        CUDA_CHECK(launch(append_kernel<T>, grid, block, 0, data_of<T>(cache.keys), data_of<T>(cache.values), k.f32(),
                          v.f32(), at.stream.i32(), at.position.i32(), page_table_of(cache)));
    });
}

}  // namespace leon::LEON_CUDA
