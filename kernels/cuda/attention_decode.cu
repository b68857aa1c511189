// attention of few tokens of a stream: Flash-Decoding over the paged cache.
//
// The keys of a stream are cut into parts of some pages, so that even one row keeps the whole GPU busy. A block owns
// one part for all query heads of one key head: up to 16 rows of queries, which read the keys once. Its four warps take
// the part's tiles in turns, each with shared memory of its own: a warp's next keys are on their way while it works on
// the values, and its next values while it works on the keys. Then the warps' states are joined, and written down as
// the part's state; the block that finishes a token's last part joins the parts, in their order.
//
//   grid:    (token, key head, part); a block behind its token's last position leaves at once
//   shared:  tile of keys | tile of values   per warp; afterwards 16 states | 16 rows of sums, in the same place
//
// Streams that were forked from one prompt hold the same pages. Among the tokens of a window (as many as fit into 16
// rows), those whose pages in a part are all the same are done by the block of the first of them, so that a prompt is
// read once for up to 16 candidates; the others leave. L2 would serve 16 blocks at 16 times the traffic: for a prompt
// of 1,024 of a 7B model, 268 MB a layer at about 5.5 TB/s, 49 us, where one reading of 17 MB from memory takes 5. A
// row's arithmetic is the same in whatever company, so its bits are, too. A part that is shared but for its last, own
// page is read by each: at most 127 positions.
//
// Bound by the bytes of the cache: keys and values of all positions, once per 16 rows. The tensor cores are idle for
// three quarters of the time even so, with one row in 16 used.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_tile.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int WARPS = 4;
constexpr int THREADS = WARPS * WARP;
constexpr int PART_PAGES = WARPS;  // at least: a page a warp. 64 KiB of keys and values at 128 channels of bf16
constexpr int SUMS_PAD = 8;        // floats between rows of sums, so that a warp's stores meet different banks

// What the blocks of one launch tell each other. Launches follow one another on one stream, so one copy is enough, and
// it needs no allocation.
constexpr int64_t SUMS = 8 << 20, STATES = SUMS / 16, ARRIVALS = 1 << 16;
__device__ float part_sums[SUMS];        // [tokens, heads, parts, head_dim]
__device__ float2 part_states[STATES];   // [tokens, heads, parts]
__device__ unsigned arrivals[ARRIVALS];  // [tokens, key heads]: parts that are done; 0 between launches

// Pages of a part: as few as there is room for the states. Up to 16 tokens count as 16, so that a row's parts do not
// depend on the rows beside it. More tokens have less need of parts.
int pages_of_a_part(int64_t tokens, int64_t heads, int64_t blocks_per_token, int64_t head_dim, int64_t max_pages) {
    const int64_t rows = (tokens < 16 ? 16 : tokens) * heads;
    int64_t pages = PART_PAGES;
    while (pages < max_pages) {
        const int64_t parts = divide_up(max_pages, pages);
        if (rows * parts * head_dim <= SUMS && rows * parts <= STATES && tokens * blocks_per_token <= ARRIVALS) break;
        pages *= 2;
    }
    return static_cast<int>(pages);
}

// What a row of the tile is: nothing if no token of this block's has it.
struct Row {
    bool mine;
    int token, head;
};

template <class T, int CHANNELS>
__global__ void __launch_bounds__(THREADS, blocks_at_once(CHANNELS))
    attention_decode_kernel(float* out,                 // [tokens, heads, head_dim]
                            const float* q,             // [tokens, heads, head_dim]
                            CacheSide<const T> keys,    // [pages, kv_heads, 32, head_dim]
                            CacheSide<const T> values,  // the same
                            const int* stream,          // [tokens]
                            const int* position,        // [tokens]
                            PageTable table, int tokens, int heads, int part_pages, float scale) {
    using Tile = KeyTile<T, CHANNELS>;
    constexpr int SUMS_PITCH = CHANNELS + SUMS_PAD;
    static_assert(TILE_ROWS * (sizeof(SoftmaxState) + SUMS_PITCH * sizeof(float)) <= 2 * Tile::ELEMENTS * sizeof(T));
    DYNAMIC_SHARED(T, shared);
    const int thread = static_cast<int>(threadIdx.x), lane = thread % WARP, warp = thread / WARP;
    const int width = table.head_dim;
    const TileRows<TILE_ROWS> rows{heads / table.kv_heads};
    const int token = static_cast<int>(blockIdx.x), nth_part = static_cast<int>(blockIdx.z);
    const int kv_head = static_cast<int>(blockIdx.y) / rows.parts(),
              head_part = static_cast<int>(blockIdx.y) % rows.parts();
    const int row_heads = rows.heads(head_part), first_head = rows.first_head(kv_head, head_part);
    const int part_keys = part_pages * PAGE_TOKENS, first_key = nth_part * part_keys,
              first_page = nth_part * part_pages;
    grid_dependency_wait();    // for the queries, the keys just appended, the positions
    grid_dependency_launch();  // the next product may fetch its weights
    if (first_key > position[token]) return;

    // The tokens of the window that this block works for: lane i speaks for the window's token i.
    const int window = token / rows.tokens() * rows.tokens();
    const bool full = position[token] >= first_key + part_keys - 1;
    const int* pages = table.pages_of(stream[token]) + first_page;
    int seen = 0;  // keys of this part
    if (lane < rows.tokens() && window + lane < tokens) {
        const int other = window + lane, last = position[other] - first_key;
        bool same = last >= 0 && full == (last >= part_keys - 1);
        if (same && stream[other] != stream[token]) {
            same = full;
            const int* other_pages = table.pages_of(stream[other]) + first_page;
            for (int i = 0; same && i < part_pages; i++) same = other_pages[i] == pages[i];
        }
        if (same) seen = min(last + 1, part_keys);
    }
    const unsigned sharers = __ballot_sync(~0u, seen > 0);
    if (__ffs(static_cast<int>(sharers)) - 1 != token - window) return;  // the first of them does the work
    const int count = __reduce_max_sync(~0u, seen);

    const auto row_of = [&](int i) {
        const int nth = i / row_heads;
        return Row{nth < rows.tokens() && (sharers >> nth & 1) != 0, window + nth, first_head + i % row_heads};
    };
    const float* row[2];
    int limit[2];  // keys of this part that the lane's two rows see
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const Row mine = row_of(lane / 4 + 8 * r);
        row[r] = mine.mine ? q + (static_cast<int64_t>(mine.token) * heads + mine.head) * width : nullptr;
        limit[r] = mine.mine ? position[mine.token] + 1 - first_key : 0;
    }
    AttentionRows<T, CHANNELS> state(row, width, scale);

    T* key_tile = shared + warp * 2 * Tile::ELEMENTS;
    T* value_tile = key_tile + Tile::ELEMENTS;
    const auto copy = [&](T* tile, const CacheSide<const T>& from, int key) {
        if (key < count) {
            const int64_t first = table.row_of(pages[key / PAGE_TOKENS], kv_head) + key % PAGE_TOKENS;
            Tile::template copy_rows<WARP>(tile, from, first, min(Tile::KEYS, count - key), width, lane);
        }
        cp_async_commit();  // empty at the end, so that the waits below always mean the same copies
    };
    constexpr int STEP = WARPS * Tile::KEYS;
    copy(key_tile, keys, warp * Tile::KEYS);
    copy(value_tile, values, warp * Tile::KEYS);
    for (int key = warp * Tile::KEYS; key < count; key += STEP) {
        const int visible[2] = {limit[0] - key, limit[1] - key};
        float weights[AttentionRows<T, CHANNELS>::SCORES][4];
        cp_async_wait<1>();
        __syncwarp();  // orders all lanes' copies of the keys before the reads
        state.weigh(weights, key_tile, visible);
        __syncwarp();  // orders the reads of the keys before the next ones' copies
        copy(key_tile, keys, key + STEP);
        cp_async_wait<1>();
        __syncwarp();  // orders all lanes' copies of the values before the reads
        state.mix(weights, value_tile);
        __syncwarp();  // orders the reads of the values before the next ones' copies
        copy(value_tile, values, key + STEP);
    }

    // The warps' states, each where its tiles were.
    cp_async_wait<0>();
    __syncwarp();  // orders the end of all lanes' copies before the states' writes
    const auto states_of = [&](int w) { return reinterpret_cast<SoftmaxState*>(shared + w * 2 * Tile::ELEMENTS); };
    const auto sums_of = [&](int w) { return reinterpret_cast<float*>(states_of(w) + TILE_ROWS); };
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const SoftmaxState all = state.state(r);
        const int i = lane / 4 + 8 * r;
        if (!row[r]) continue;
        if (lane % 4 == 0) states_of(warp)[i] = all;
        state.for_values(r, [&](int channel, float x, float y) {
            *reinterpret_cast<float2*>(sums_of(warp) + i * SUMS_PITCH + channel) = make_float2(x, y);
        });
    }
    __syncthreads();  // orders the writes of the warps' states before all threads' reads

    const int parts = static_cast<int>(gridDim.z);
    const auto parts_of = [&](int t) { return position[t] / part_keys + 1; };
    for (int i = 0; i < TILE_ROWS; i++) {
        const Row mine = row_of(i);
        if (!mine.mine) continue;
        const int64_t nth_row = static_cast<int64_t>(mine.token) * heads + mine.head;
        for (int channel = thread; channel < width; channel += THREADS) {
            const SoftmaxSum sum = join(
                WARPS, [&](int w) { return states_of(w)[i]; },
                [&](int w) { return sums_of(w)[i * SUMS_PITCH + channel]; });
            if (parts_of(mine.token) == 1) {
                out[nth_row * width + channel] = sum.result();
                continue;
            }
            part_sums[(nth_row * parts + nth_part) * width + channel] = sum.value;
            if (channel == 0) part_states[nth_row * parts + nth_part] = stored(sum.state);
        }
    }

    // Whoever brings a token's last part joins all of them.
    __threadfence();  // the part's state is seen by whoever sees the arrival
    __syncthreads();  // orders all threads' writes of the part's state before the arrival, and the reads of the warps'
                      // states before the write of `complete`
    unsigned* complete = reinterpret_cast<unsigned*>(shared);
    if (warp == 0) {
        bool last = false;
        if ((sharers >> lane & 1) != 0 && parts_of(window + lane) > 1) {
            unsigned* arrived = &arrivals[static_cast<int64_t>(window + lane) * gridDim.y + blockIdx.y];
            last = atomicAdd(arrived, 1u) + 1 == static_cast<unsigned>(parts_of(window + lane));
            if (last) *arrived = 0;  // for the next launch
        }
        const unsigned tokens_done = __ballot_sync(~0u, last);
        if (lane == 0) *complete = tokens_done;
    }
    __syncthreads();  // orders the arrival and the write of `complete` before all threads' reads
    __threadfence();  // the other blocks' states are read after their arrival was seen
    for (int i = 0; i < TILE_ROWS; i++) {
        const Row mine = row_of(i);
        if (!mine.mine || (*complete >> (mine.token - window) & 1) == 0) continue;
        const int64_t nth_row = static_cast<int64_t>(mine.token) * heads + mine.head;
        const float2* states = part_states + nth_row * parts;
        const float* sums = part_sums + nth_row * parts * width;
        for (int channel = thread; channel < width; channel += THREADS)
            out[nth_row * width + channel] = join(
                                                 parts_of(mine.token), [&](int p) { return restored(states[p]); },
                                                 [&](int p) { return sums[p * width + channel]; })
                                                 .result();
    }
}

}  // namespace

void attention_decode(Tensor out, Tensor q, KvPages cache, Placement at) {
    const int tokens = static_cast<int>(q.shape[0]), heads = static_cast<int>(q.shape[1]);
    const int head_dim = static_cast<int>(q.shape[2]), kv_heads = static_cast<int>(cache.keys.shape[1]);
    const int blocks_per_token = kv_heads * TileRows<TILE_ROWS>{heads / kv_heads}.parts();
    const int64_t max_pages = cache.page_table.shape[1];
    const int part_pages = pages_of_a_part(tokens, heads, blocks_per_token, head_dim, max_pages);
    const dim3 grid(static_cast<unsigned>(tokens), static_cast<unsigned>(blocks_per_token),
                    static_cast<unsigned>(divide_up(max_pages, part_pages)));
    with_cache(cache.keys.dtype, [&](auto element) {
        using T = decltype(element);
        with_tile_channels(head_dim, [&](auto channels) {
            constexpr int CHANNELS = decltype(channels)::value;
            constexpr size_t SHARED_BYTES = WARPS * 2 * KeyTile<T, CHANNELS>::ELEMENTS * sizeof(T);
            CUDA_CHECK(launch_dependent(attention_decode_kernel<T, CHANNELS>, grid, THREADS, SHARED_BYTES, out.f32(),
                                        q.f32(), side_of<const T>(cache.keys), side_of<const T>(cache.values),
                                        at.stream.i32(), at.position.i32(), page_table_of(cache), tokens, heads,
                                        part_pages, score_scale(head_dim)));
        });
    });
}

}  // namespace leon::LEON_CUDA
