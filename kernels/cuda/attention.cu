// attention: one block per (token, head); its four warps share the stream's pages.
//
//   out[t,h] = sum_{p <= position[t]} softmax_p(q[t,h] . key[p,g] / sqrt(head_dim)) value[p,g]
//
// A tile is a page: 32 positions of one head, adjacent in memory. Positions and streams are read from device memory, so
// that the same launch serves every step. Bound by the bytes of the cache; heads that share keys read them from L2.
#include "kernels/cuda/cache.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/online_softmax.h"

namespace leon::LEON_CUDA {
namespace {

static_assert(PAGE_TOKENS == TILE_KEYS);
constexpr int THREADS = SOFTMAX_WARPS * WARP;

template <class T, int CHANNELS>
__global__ void __launch_bounds__(THREADS) attention_kernel(float* out,           // [tokens, heads, head_dim]
                                                            const float* q,       // [tokens, heads, head_dim]
                                                            const T* keys,        // [pages, kv_heads, 32, head_dim]
                                                            const T* values,      // the same
                                                            const int* stream,    // [tokens]
                                                            const int* position,  // [tokens]
                                                            PageTable table, int heads, float scale) {
    DYNAMIC_SHARED(float, query);  // [head_dim], then the weights, then the states
    const int width = table.head_dim, warp = static_cast<int>(threadIdx.x) / WARP;
    float* weights = query + width + warp * TILE_KEYS;
    float* states = query + width + SOFTMAX_WARPS * TILE_KEYS;
    const int token = static_cast<int>(blockIdx.x) / heads, head = static_cast<int>(blockIdx.x) % heads;
    const int kv_head = head / (heads / table.kv_heads);
    const int64_t row = static_cast<int64_t>(blockIdx.x) * width;

    for (int i = static_cast<int>(threadIdx.x); i < width; i += THREADS) query[i] = q[row + i];
    __syncthreads();  // orders the writes of query before all warps' reads

    SoftmaxState<CHANNELS> state;
    const int seen = position[token] + 1;
    for (int page = warp; page * PAGE_TOKENS < seen; page += SOFTMAX_WARPS) {
        const int64_t start = table.page_start(stream[token], page, kv_head);
        add_tile(state, query, keys + start, values + start, min(PAGE_TOKENS, seen - page * PAGE_TOKENS), width, scale,
                 weights);
    }
    merge(out + row, state, width, states);
}

}  // namespace

void attention(Tensor out, Tensor q, KvPages cache, Placement at) {
    const int heads = static_cast<int>(q.shape[1]), head_dim = static_cast<int>(q.shape[2]);
    const dim3 grid(static_cast<unsigned>(q.rows())), block(THREADS);
    const size_t shared_bytes = softmax_shared_floats(head_dim) * sizeof(float);
    const float scale = 1.0f / sqrtf(static_cast<float>(head_dim));
    if (q.elements() == 0) return;
    with_float(cache.keys.dtype, [&](auto element) {
        with_channels(head_dim, [&](auto channels) {
            using T = decltype(element);
            CUDA_CHECK(launch(attention_kernel<T, decltype(channels)::PER_LANE>, grid, block, shared_bytes, out.f32(),
                              q.f32(), data_of<T>(cache.keys), data_of<T>(cache.values), at.stream.i32(),
                              at.position.i32(), page_table_of(cache), heads, scale));
        });
    });
}

}  // namespace leon::LEON_CUDA
