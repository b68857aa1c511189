// attention for heads that the tiles do not take: one block per (token, head), see softmax_row.h.
//
// A tile is a page: 32 positions of one head, adjacent in memory. Bound by the bytes of the cache, which it reads in
// single elements; heads that share keys read them from L2.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/softmax_row.h"

namespace leon::LEON_CUDA {
namespace {

static_assert(PAGE_TOKENS == ROW_KEYS);

template <class T, int CHANNELS>
__global__ void __launch_bounds__(ROW_THREADS, row_blocks_at_once(CHANNELS))
    attention_rows_kernel(float* out,                 // [tokens, heads, head_dim]
                          const float* q,             // [tokens, heads, head_dim]
                          CacheSide<const T> keys,    // [pages, kv_heads, 32, head_dim]
                          CacheSide<const T> values,  // the same
                          const int* stream,          // [tokens]
                          const int* position,        // [tokens]
                          PageTable table, int heads, float scale) {
    DYNAMIC_SHARED(float, shared);
    const int token = static_cast<int>(blockIdx.x) / heads, head = static_cast<int>(blockIdx.x) % heads;
    const int kv_head = head / (heads / table.kv_heads);
    const int64_t at = static_cast<int64_t>(blockIdx.x) * table.head_dim;

    SoftmaxRow<CHANNELS> row(shared, q + at, table.head_dim, scale * LOG2_E);
    const int seen = position[token] + 1;
    for (int page = row.warp(); page * PAGE_TOKENS < seen; page += ROW_WARPS) {
        const int64_t first = table.page_row(stream[token], page, kv_head), start = first * table.head_dim;
        const int count = min(PAGE_TOKENS, seen - page * PAGE_TOKENS);
        if constexpr (sizeof(T) == 1)
            row.add_tile(keys.rows + start, values.rows + start, count, keys.scales + first, values.scales + first);
        else
            row.add_tile(keys.rows + start, values.rows + start, count);
    }
    row.finish(out + at);
}

}  // namespace

void attention_rows(Tensor out, Tensor q, KvPages cache, Placement at) {
    const int heads = static_cast<int>(q.shape[1]), head_dim = static_cast<int>(q.shape[2]);
    const dim3 grid(static_cast<unsigned>(q.rows())), block(ROW_THREADS);
    with_cache(cache.keys.dtype, [&](auto element) {
        using T = decltype(element);
        with_row_channels(head_dim, [&](auto channels) {
            CUDA_CHECK(launch(attention_rows_kernel<T, decltype(channels)::value>, grid, block,
                              row_shared_bytes(head_dim), out.f32(), q.f32(), side_of<const T>(cache.keys),
                              side_of<const T>(cache.values), at.stream.i32(), at.position.i32(), page_table_of(cache),
                              heads, score_scale(head_dim)));
        });
    });
}

}  // namespace leon::LEON_CUDA
