// attention of many tokens of a stream: FlashAttention-2's tiles over the paged cache.
//
// A block owns 64 rows of queries (tokens times the query heads that share a key head), 16 per warp, whose sums over
// the values stay in registers. It walks over the keys in tiles that all warps share; while one tile is worked on, the
// next is copied into the other half of shared memory. Keys behind a row's position weigh nothing, and a warp that sees
// none of a tile's keys skips it.
//
//   shared:  tile of keys | tile of values |   the same again
//
// The tokens of a tile may belong to several streams, whose keys differ: each stretch of one stream is done on its own,
// with the other rows out of sight. The stretches of a tile are shared out over gridDim.z blocks, so that many short
// ones are not done one after the other. Nothing but shapes fixes the grid.
//
// Bound by the tensor cores: 4 * head_dim multiply-adds per row and visible key (two parts, two products), and a
// register of keys is used by two of them. Bytes: a page is read once per 64 rows, from L2 for all but the first.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_tile.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int WARPS = 4;
constexpr int THREADS = WARPS * WARP;
constexpr int ROWS = WARPS * TILE_ROWS;
constexpr int STAGES = 2;     // tiles in shared memory
constexpr int STRETCHES = 8;  // blocks over the stretches of a tile: enough for 8 candidates, few to come in vain

// The n-th stretch of adjacent tokens of one stream among the `count` <= 64 tokens at `stream`; empty behind the last.
struct Stretch {
    int first, count;
};
__device__ Stretch stretch_of(const int* stream, int count, int n) {
    const int lane = static_cast<int>(threadIdx.x) % WARP;
    const auto begins = [&](int i) { return i < count && (i == 0 || stream[i] != stream[i - 1]); };
    uint64_t starts = __ballot_sync(~0u, begins(lane + WARP));
    starts = starts << WARP | __ballot_sync(~0u, begins(lane));
    for (; n > 0; n--) starts &= starts - 1;
    const auto lowest = [](uint64_t bits) {
        const int low = __ffs(static_cast<int>(bits)), high = __ffs(static_cast<int>(bits >> WARP));
        return low ? low - 1 : high + WARP - 1;
    };
    if (starts == 0) return {count, 0};
    const int first = lowest(starts);
    starts &= starts - 1;
    return {first, (starts ? lowest(starts) : count) - first};
}

template <class T, int CHANNELS>
__global__ void __launch_bounds__(THREADS, blocks_at_once(CHANNELS))
    attention_prefill_kernel(float* out,                 // [tokens, heads, head_dim]
                             const float* q,             // [tokens, heads, head_dim]
                             CacheSide<const T> keys,    // [pages, kv_heads, 32, head_dim]
                             CacheSide<const T> values,  // the same
                             const int* stream,          // [tokens]
                             const int* position,        // [tokens]
                             PageTable table, int tokens, int heads, float scale) {
    using Tile = KeyTile<T, CHANNELS>;
    DYNAMIC_SHARED(T, shared);
    const int thread = static_cast<int>(threadIdx.x), lane = thread % WARP, warp = thread / WARP;
    const int width = table.head_dim;
    const TileRows<ROWS> rows{heads / table.kv_heads};
    const int kv_head = static_cast<int>(blockIdx.y) / rows.parts(), part = static_cast<int>(blockIdx.y) % rows.parts();
    const int row_heads = rows.heads(part), first_head = rows.first_head(kv_head, part);
    // The last tiles see the most keys: they begin first.
    const int first_token = static_cast<int>(gridDim.x - 1 - blockIdx.x) * rows.tokens();
    const int tile_tokens = min(rows.tokens(), tokens - first_token);

    for (int n = static_cast<int>(blockIdx.z);; n += static_cast<int>(gridDim.z)) {
        const Stretch stretch = stretch_of(stream + first_token, tile_tokens, n);
        if (stretch.count == 0) break;
        const int token0 = first_token + stretch.first;
        const int seen = position[token0 + stretch.count - 1] + 1;  // the last row sees the most

        const auto nth_token = [&](int r) { return (warp * TILE_ROWS + lane / 4 + 8 * r) / row_heads; };  // of the tile
        const auto row_start = [&](int r) {
            const int head = first_head + (warp * TILE_ROWS + lane / 4 + 8 * r) % row_heads;
            return (static_cast<int64_t>(first_token + nth_token(r)) * heads + head) * width;
        };
        const float* row[2];
        int limit[2], warp_limit = 0;  // keys that the lane's two rows see, and the warp's rows at most
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const int nth = nth_token(r) - stretch.first;
            const bool mine = nth >= 0 && nth < stretch.count;
            row[r] = mine ? q + row_start(r) : nullptr;
            limit[r] = mine ? position[token0 + nth] + 1 : 0;
            warp_limit = max(warp_limit, __reduce_max_sync(~0u, limit[r]));
        }
        AttentionRows<T, CHANNELS> state(row, width, scale);

        const int* pages = table.pages_of(stream[token0]);
        int page = pages[0];  // of the next tile to be copied
        const auto copy = [&](int first_key) {
            if (first_key >= seen) return;
            T* stage = shared + first_key / Tile::KEYS % STAGES * 2 * Tile::ELEMENTS;
            const int64_t first = table.row_of(page, kv_head) + first_key % PAGE_TOKENS;
            const int count = min(Tile::KEYS, seen - first_key);
            Tile::template copy_rows<THREADS>(stage, keys, first, count, width, thread);
            Tile::template copy_rows<THREADS>(stage + Tile::ELEMENTS, values, first, count, width, thread);
            cp_async_commit();
            if (first_key + Tile::KEYS < seen) page = pages[(first_key + Tile::KEYS) / PAGE_TOKENS];
        };
        __syncthreads();  // orders the last stretch's reads of shared memory before the copies into it
        copy(0);
        for (int first_key = 0; first_key < seen; first_key += Tile::KEYS) {
            cp_async_wait<0>();
            __syncthreads();  // orders all threads' copies of this tile before the reads, and the reads of the tile
                              // before it before the copies that follow
            copy(first_key + Tile::KEYS);
            if (first_key >= warp_limit) continue;
            const T* tile = shared + first_key / Tile::KEYS % STAGES * 2 * Tile::ELEMENTS;
            const int visible[2] = {limit[0] - first_key, limit[1] - first_key};
            float weights[AttentionRows<T, CHANNELS>::SCORES][4];
            state.weigh(weights, tile, visible);
            state.mix(weights, tile + Tile::ELEMENTS);
        }

#pragma unroll
        for (int r = 0; r < 2; r++) {
            const SoftmaxState all = state.state(r);
            if (limit[r] == 0) continue;
            float* to = out + row_start(r);
            state.for_values(r, [&](int channel, float x, float y) {
                if (channel < width)
                    *reinterpret_cast<float2*>(to + channel) = make_float2(x / all.total, y / all.total);
            });
        }
    }
}

}  // namespace

void attention_prefill(Tensor out, Tensor q, KvPages cache, Placement at) {
    const int tokens = static_cast<int>(q.shape[0]), heads = static_cast<int>(q.shape[1]);
    const int head_dim = static_cast<int>(q.shape[2]), kv_heads = static_cast<int>(cache.keys.shape[1]);
    const TileRows<ROWS> rows{heads / kv_heads};
    const int64_t stretches = min(min(cache.page_table.shape[0], int64_t{STRETCHES}), int64_t{rows.tokens()});
    const dim3 grid(static_cast<unsigned>(divide_up(tokens, rows.tokens())),
                    static_cast<unsigned>(kv_heads * rows.parts()), static_cast<unsigned>(stretches));
    with_cache(cache.keys.dtype, [&](auto element) {
        using T = decltype(element);
        with_tile_channels(head_dim, [&](auto channels) {
            constexpr int CHANNELS = decltype(channels)::value;
            constexpr size_t SHARED_BYTES = STAGES * 2 * KeyTile<T, CHANNELS>::ELEMENTS * sizeof(T);
            CUDA_CHECK(launch(attention_prefill_kernel<T, CHANNELS>, grid, THREADS, SHARED_BYTES, out.f32(), q.f32(),
                              side_of<const T>(cache.keys), side_of<const T>(cache.values), at.stream.i32(),
                              at.position.i32(), page_table_of(cache), tokens, heads, score_scale(head_dim)));
        });
    });
}

}  // namespace leon::LEON_CUDA
