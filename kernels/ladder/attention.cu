// A ladder for attention: softmax(q . k / sqrt(head_dim)) v over a paged cache of bf16, first for the many rows of a
// prompt, then for the one row of a step.
//
// Prefill: n rows see n keys each, so keys and values can be used n times once they are on the chip. What there is to
// learn is how to keep them there, and how never to have n x n scores.
//
//   1. scores in memory         Three kernels: scores, their softmax, the weighted values. The scores are written and
//                               read four times; they are soon larger than the cache.
//   2. online softmax           A warp per row keeps a running maximum, total and sum (online_softmax.h), and rescales
//                               them when a larger score comes. No score leaves the warp. Every row reads all keys.
//   3. tiles                    16 rows share a tile of keys in shared memory: a sixteenth of the reading.
//   4. tensor cores             The same 16 rows as the side of an mma, 16 x 8 x 16 multiply-adds each; float32 queries
//                               and weights as two bf16. The weights go from one product into the next in registers.
//   5. shipped: prefill         Four such warps share a tile, and the next one comes while this one is worked on.
//
// Decode: one row per stream sees all keys, each is used once per head: memory bounds, if enough of it is asked for at
// once. Now the figure is how long the longest chain of loads is, and how often a key is read.
//
//   1. a block a row            The heads that share keys each read them.
//   2. heads together           One warp takes all heads of a key head: keys are read once, by 2 streams x 2 warps.
//   3. four warps               Every fourth tile each; their states are joined at the end.
//   4. shipped: parts           Blocks share out the keys, the last to finish joins: a chain as long as 128 keys.
//   5. the same, pages shared   The streams begin with the same pages: the block of one works for both.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_tile.h"
#include "kernels/ladder/ladder.h"

namespace leon::LEON_CUDA {
namespace {

using Bf16 = __nv_bfloat16;
constexpr int WIDTH = 64;  // of a head
constexpr int HEADS = 8, KV_HEADS = 2, GROUP = HEADS / KV_HEADS;
constexpr double ROUNDED = 4e-5;  // error of two bf16 in place of a float32

struct Batch {
    const float* q;       // [tokens, HEADS, WIDTH]
    const Bf16* keys;     // [pages, KV_HEADS, 32, WIDTH]
    const Bf16* values;   // the same
    const int* stream;    // [tokens]
    const int* position;  // [tokens]
    PageTable table;
    int tokens;
    float scale;

    __device__ const Bf16* page(const Bf16* cache, int token, int head, int nth) const {
        return cache + table.page_row(stream[token], nth, head / GROUP) * WIDTH;
    }
};

// --- prefill ----------------------------------------------------------------------------------------------------

__global__ void write_scores(float* scores, Batch b, int longest) {  // [tokens, HEADS, longest]
    const int row = static_cast<int>(blockIdx.x), token = row / HEADS;
    for (int key = static_cast<int>(threadIdx.x); key <= b.position[token]; key += static_cast<int>(blockDim.x)) {
        const Bf16* k = b.page(b.keys, token, row % HEADS, key / PAGE_TOKENS) + key % PAGE_TOKENS * WIDTH;
        float dot = 0;
        for (int i = 0; i < WIDTH; i++) dot = fmaf(b.q[row * WIDTH + i], widen(k[i]), dot);
        scores[static_cast<int64_t>(row) * longest + key] = dot * b.scale;
    }
}
__global__ void normalise_scores(float* scores, Batch b, int longest) {
    const int row = static_cast<int>(blockIdx.x), lane = static_cast<int>(threadIdx.x),
              seen = b.position[row / HEADS] + 1;
    float* line = scores + static_cast<int64_t>(row) * longest;
    float top = -INFINITY, total = 0;
    for (int key = lane; key < seen; key += WARP) top = fmaxf(top, line[key]);
    top = warp_max(top);
    for (int key = lane; key < seen; key += WARP) total += expf(line[key] - top);
    total = warp_sum(total);
    for (int key = lane; key < seen; key += WARP) line[key] = expf(line[key] - top) / total;
}
__global__ void weigh_values(float* out, const float* scores, Batch b, int longest) {
    const int row = static_cast<int>(blockIdx.x), token = row / HEADS, channel = static_cast<int>(threadIdx.x);
    float sum = 0;
    for (int key = 0; key <= b.position[token]; key++)
        sum = fmaf(scores[static_cast<int64_t>(row) * longest + key],
                   widen(b.page(b.values, token, row % HEADS, key / PAGE_TOKENS)[key % PAGE_TOKENS * WIDTH + channel]),
                   sum);
    out[row * WIDTH + channel] = sum;
}

// Lane j scores key j of each page; then each lane sums two channels over the page.
__global__ void __launch_bounds__(WARP) warp_per_row(float* out, Batch b) {
    const int row = static_cast<int>(blockIdx.x), token = row / HEADS, lane = static_cast<int>(threadIdx.x);
    const int seen = b.position[token] + 1;
    SoftmaxState state;
    float sums[2] = {};
    for (int page = 0; page * PAGE_TOKENS < seen; page++) {
        const Bf16* k = b.page(b.keys, token, row % HEADS, page);
        const Bf16* v = b.page(b.values, token, row % HEADS, page);
        const int count = min(PAGE_TOKENS, seen - page * PAGE_TOKENS);
        float score = 0;
        if (lane < count)
            for (int i = 0; i < WIDTH; i++) score = fmaf(b.q[row * WIDTH + i], widen(k[lane * WIDTH + i]), score);
        score = lane < count ? score * b.scale * LOG2_E : -INFINITY;
        const float shrink = state.raise(warp_max(score)), weight = softmax_weight(score, state.top);
        state.total += warp_sum(weight);
        for (float& sum : sums) sum *= shrink;
        for (int j = 0; j < count; j++) {
            const float w = __shfl_sync(~0u, weight, j);
            for (int i = 0; i < 2; i++) sums[i] = fmaf(w, widen(v[j * WIDTH + i * WARP + lane]), sums[i]);
        }
    }
    for (int i = 0; i < 2; i++) out[row * WIDTH + i * WARP + lane] = sums[i] / state.total;
}

// 16 rows of a key head; eight lanes a row: a lane scores every eighth key of a page, and sums every eighth channel.
constexpr int LANES = 8, SHARING_THREADS = TILE_ROWS * LANES, PITCH = WIDTH + 1;
__global__ void __launch_bounds__(SHARING_THREADS) rows_share_a_tile(float* out, Batch b) {
    DYNAMIC_SHARED(float, shared);  // q [16][PITCH] | keys [32][PITCH] | values [32][PITCH] | weights [16][33]
    float *q = shared, *keys = q + TILE_ROWS * PITCH, *values = keys + PAGE_TOKENS * PITCH,
          *weights = values + PAGE_TOKENS * PITCH;
    const int thread = static_cast<int>(threadIdx.x), i = thread / LANES, lane = thread % LANES;
    const int first_token = static_cast<int>(blockIdx.x) * (TILE_ROWS / GROUP), kv_head = static_cast<int>(blockIdx.y);
    const int token = first_token + i / GROUP, row = token * HEADS + kv_head * GROUP + i % GROUP;
    const int seen = b.position[token] + 1, most = b.position[first_token + TILE_ROWS / GROUP - 1] + 1;
    for (int c = lane; c < WIDTH; c += LANES) q[i * PITCH + c] = b.q[row * WIDTH + c];
    SoftmaxState state;
    float sums[WIDTH / LANES] = {};
    for (int page = 0; page * PAGE_TOKENS < most; page++) {
        const int count = min(PAGE_TOKENS, most - page * PAGE_TOKENS);
        __syncthreads();  // orders the last page's reads before these writes
        for (int at = thread; at < count * WIDTH; at += SHARING_THREADS) {
            keys[at / WIDTH * PITCH + at % WIDTH] = widen(b.page(b.keys, token, kv_head * GROUP, page)[at]);
            values[at / WIDTH * PITCH + at % WIDTH] = widen(b.page(b.values, token, kv_head * GROUP, page)[at]);
        }
        __syncthreads();  // orders the writes of the queries and of this page before all reads
        float scores[PAGE_TOKENS / LANES], top = -INFINITY;
        for (int j = 0; j < PAGE_TOKENS / LANES; j++) {
            const int key = j * LANES + lane;
            scores[j] = 0;
            if (key < count)
                for (int c = 0; c < WIDTH; c++) scores[j] = fmaf(q[i * PITCH + c], keys[key * PITCH + c], scores[j]);
            scores[j] = page * PAGE_TOKENS + key < seen ? scores[j] * b.scale * LOG2_E : -INFINITY;
            top = fmaxf(top, scores[j]);
        }
        for (int distance = 1; distance < LANES; distance *= 2) top = fmaxf(top, __shfl_xor_sync(~0u, top, distance));
        const float shrink = state.raise(top);
        float total = 0;
        for (int j = 0; j < PAGE_TOKENS / LANES; j++) {
            const float weight = softmax_weight(scores[j], state.top);
            total += weight;
            weights[i * (PAGE_TOKENS + 1) + j * LANES + lane] = weight;
        }
        for (int distance = 1; distance < LANES; distance *= 2) total += __shfl_xor_sync(~0u, total, distance);
        state.total += total;
        __syncwarp();  // orders the writes of a row's weights before its lanes' reads
        for (int c = 0; c < WIDTH / LANES; c++) {
            sums[c] *= shrink;
            for (int key = 0; key < count; key++)
                sums[c] = fmaf(weights[i * (PAGE_TOKENS + 1) + key], values[key * PITCH + c * LANES + lane], sums[c]);
        }
    }
    for (int c = 0; c < WIDTH / LANES; c++) out[row * WIDTH + c * LANES + lane] = sums[c] / state.total;
}
constexpr size_t SHARING_BYTES =
    sizeof(float) * ((TILE_ROWS + 2 * PAGE_TOKENS) * PITCH + TILE_ROWS * (PAGE_TOKENS + 1));

// --- both -------------------------------------------------------------------------------------------------------

// All heads of a key head, of `together` adjacent tokens of one stream: up to 16 rows, whose keys the warps take in
// turns.
using Tile = KeyTile<Bf16, WIDTH>;
template <int WARPS>
__global__ void __launch_bounds__(WARPS* WARP) tensor_core_rows(float* out, Batch b, int together) {
    DYNAMIC_SHARED(Bf16, shared);  // a tile of keys and one of values per warp; then the states and the sums
    const int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    const int first_token = static_cast<int>(blockIdx.x) * together, kv_head = static_cast<int>(blockIdx.y);
    const auto start_of = [&](int i) {
        return static_cast<int64_t>((first_token + i / GROUP) * HEADS + kv_head * GROUP + i % GROUP) * WIDTH;
    };
    const float* row[2];
    int limit[2];
    for (int r = 0; r < 2; r++) {
        const int i = lane / 4 + 8 * r;
        row[r] = i < together * GROUP ? b.q + start_of(i) : nullptr;
        limit[r] = row[r] ? b.position[first_token + i / GROUP] + 1 : 0;
    }
    AttentionRows<Bf16, WIDTH> state(row, WIDTH, b.scale);
    Bf16* tile = shared + warp * 2 * Tile::ELEMENTS;
    const int most = b.position[first_token + together - 1] + 1;
    for (int page = warp; page * PAGE_TOKENS < most; page += WARPS) {
        const int first_key = page * PAGE_TOKENS, count = min(PAGE_TOKENS, most - first_key);
        const int64_t start = b.table.page_row(b.stream[first_token], page, kv_head) * WIDTH;
        Tile::copy<WARP>(tile, b.keys + start, count, WIDTH, WIDTH, lane);
        Tile::copy<WARP>(tile + Tile::ELEMENTS, b.values + start, count, WIDTH, WIDTH, lane);
        cp_async_commit();
        cp_async_wait<0>();
        __syncwarp();  // orders all lanes' copies before the reads
        const int visible[2] = {limit[0] - first_key, limit[1] - first_key};
        float weights[AttentionRows<Bf16, WIDTH>::SCORES][4];
        state.weigh(weights, tile, visible);
        state.mix(weights, tile + Tile::ELEMENTS);
        __syncwarp();  // orders these reads before the next copies
    }
    const auto states_of = [&](int w) { return reinterpret_cast<SoftmaxState*>(shared + w * 2 * Tile::ELEMENTS); };
    const auto sums_of = [&](int w) { return reinterpret_cast<float*>(states_of(w) + TILE_ROWS); };
    for (int r = 0; r < 2; r++) {
        const SoftmaxState all = state.state(r);
        const int i = lane / 4 + 8 * r;
        if (lane % 4 == 0) states_of(warp)[i] = all;
        state.for_values(r, [&](int channel, float x, float y) {
            sums_of(warp)[i * WIDTH + channel] = x;
            sums_of(warp)[i * WIDTH + channel + 1] = y;
        });
    }
    __syncthreads();  // orders the writes of the warps' states before all reads
    for (int at = static_cast<int>(threadIdx.x); at < together * GROUP * WIDTH; at += WARPS * WARP)
        out[start_of(at / WIDTH) + at % WIDTH] =
            join(
                WARPS, [&](int w) { return states_of(w)[at / WIDTH]; }, [&](int w) { return sums_of(w)[at]; })
                .result();
}
constexpr size_t warps_bytes(int warps) {
    return static_cast<size_t>(warps) * 2 * Tile::ELEMENTS * sizeof(Bf16);
}

struct Data {
    Operand q, keys, values, pages, stream, position, out;

    Batch batch() const {
        return {q.device.f32(),
                data_of<Bf16>(keys.device),
                data_of<Bf16>(values.device),
                stream.device.i32(),
                position.device.i32(),
                page_table_of({keys.device, values.device, pages.device}),
                static_cast<int>(q.device.shape[0]),
                score_scale(WIDTH)};
    }
    void attend(void (*launcher)(Tensor, Tensor, KvPages, Placement)) const {
        launcher(out.device, q.device, {keys.device, values.device, pages.device}, {stream.device, position.device});
    }
    void expect(Ladder& ladder) const {
        ladder.expect([&] {
            leon::attention(reference_kernels(), out.host, q.host, {keys.host, values.host, pages.host},
                            {stream.host, position.host});
        });
    }
};

int prefill() {
    const int tokens = static_cast<int>(emulated_or_gpu(96, 4096)), pages = tokens / PAGE_TOKENS;
    const double scores = tokens * (tokens + 1.0) / 2 * HEADS;
    Ladder ladder("attention of a prompt: " + std::to_string(tokens) + " tokens, " + std::to_string(HEADS) + "/" +
                      std::to_string(KV_HEADS) + " heads of " + std::to_string(WIDTH) + ", bf16 cache",
                  {.bytes = tokens * WIDTH * (2.0 * HEADS * 4 + 2.0 * KV_HEADS * 2),
                   .flops = 4 * scores * WIDTH,
                   .on_tensor_cores = true});
    std::vector<int32_t> table, zeros(static_cast<size_t>(tokens)), positions;
    for (int p = 0; p < pages; p++) table.push_back(p);
    for (int t = 0; t < tokens; t++) positions.push_back(t);
    Data d;
    d.q = ladder.random({tokens, HEADS, WIDTH});
    d.keys = ladder.random({pages, KV_HEADS, PAGE_TOKENS, WIDTH}, DType::BF16);
    d.values = ladder.random({pages, KV_HEADS, PAGE_TOKENS, WIDTH}, DType::BF16);
    d.pages = ladder.ints({1, pages}, table);
    d.stream = ladder.ints({tokens}, zeros);
    d.position = ladder.ints({tokens}, positions);
    Operand scores_in_memory = ladder.random({tokens, HEADS, tokens});  // scratch
    d.out = ladder.result({tokens, HEADS, WIDTH});
    d.expect(ladder);

    const Batch b = d.batch();
    float *out = d.out.device.f32(), *line = scores_in_memory.device.f32();
    const auto rows = static_cast<unsigned>(tokens * HEADS);
    const dim3 tiles(static_cast<unsigned>(tokens * GROUP / TILE_ROWS), KV_HEADS);
    ladder.rung("scores in memory", Figure::None, [&] {
        CUDA_CHECK(launch(write_scores, rows, WARP, 0, line, b, tokens));
        CUDA_CHECK(launch(normalise_scores, rows, WARP, 0, line, b, tokens));
        CUDA_CHECK(launch(weigh_values, rows, WIDTH, 0, out, line, b, tokens));
    });
    ladder.rung("online softmax, a warp a row", Figure::Launches,
                [&] { CUDA_CHECK(launch(warp_per_row, rows, WARP, 0, out, b)); });
    ladder.rung("16 rows share a tile", Figure::Moved,
                [&] { CUDA_CHECK(launch(rows_share_a_tile, tiles, SHARING_THREADS, SHARING_BYTES, out, b)); });
    ladder.rung(
        "tensor cores", Figure::MatrixProducts,
        [&] { CUDA_CHECK(launch(tensor_core_rows<1>, tiles, WARP, warps_bytes(1), out, b, TILE_ROWS / GROUP)); },
        ROUNDED);
    ladder.rung(
        "shipped: 64 rows share a tile", Figure::Moved, [&] { d.attend(attention); }, ROUNDED);
    return ladder.finish();
}

int decode() {
    constexpr int STREAMS = 2;
    const int length = static_cast<int>(emulated_or_gpu(512, 4096)), pages = length / PAGE_TOKENS;
    Ladder ladder("attention of a step: " + std::to_string(STREAMS) + " streams of " + std::to_string(length) + ", " +
                      std::to_string(HEADS) + "/" + std::to_string(KV_HEADS) + " heads of " + std::to_string(WIDTH) +
                      ", bf16 cache",
                  {.bytes = STREAMS * WIDTH * (2.0 * HEADS * 4 + 2.0 * KV_HEADS * 2 * length),
                   .flops = 4.0 * STREAMS * HEADS * length * WIDTH,
                   .on_tensor_cores = true});
    // The second stream's pages are copies of the first one's; `shared` has both use the first one's.
    std::vector<int32_t> own, shared;
    for (int s = 0; s < STREAMS; s++)
        for (int p = 0; p < pages; p++) own.push_back(s * pages + p), shared.push_back(p);
    Data d;
    d.q = ladder.random({STREAMS, HEADS, WIDTH});
    d.keys = ladder.random({STREAMS * pages, KV_HEADS, PAGE_TOKENS, WIDTH}, DType::BF16);
    d.values = ladder.random({STREAMS * pages, KV_HEADS, PAGE_TOKENS, WIDTH}, DType::BF16);
    for (Tensor* cache : {&d.keys.host, &d.values.host})
        std::memcpy(static_cast<char*>(cache->data) + cache->bytes() / 2, cache->data, cache->bytes() / 2);
    d.pages = ladder.ints({STREAMS, pages}, own);
    d.stream = ladder.ints({STREAMS}, {0, 1});
    d.position = ladder.ints({STREAMS}, {length - 1, length - 1});
    Data sharing = d;
    sharing.pages = ladder.ints({STREAMS, pages}, shared);
    sharing.out = d.out = ladder.result({STREAMS, HEADS, WIDTH});
    d.expect(ladder);

    const Batch b = d.batch();
    float* out = d.out.device.f32();
    const dim3 grid(STREAMS, KV_HEADS);
    ladder.rung("a block a row", Figure::None, [&] { d.attend(attention_rows); });
    ladder.rung(
        "heads together, a warp", Figure::Moved,
        [&] { CUDA_CHECK(launch(tensor_core_rows<1>, grid, WARP, warps_bytes(1), out, b, 1)); }, ROUNDED);
    ladder.rung(
        "four warps", Figure::BusiestWarp,
        [&] { CUDA_CHECK(launch(tensor_core_rows<4>, grid, 4 * WARP, warps_bytes(4), out, b, 1)); }, ROUNDED);
    ladder.rung(
        "shipped: parts for many blocks", Figure::BusiestWarp, [&] { d.attend(attention); }, ROUNDED);
    ladder.rung(
        "shipped, the streams share pages", Figure::Moved, [&] { sharing.attend(attention); }, ROUNDED);
    return ladder.finish();
}

}  // namespace
}  // namespace leon::LEON_CUDA

int main() {
    const int first = leon::LEON_CUDA::prefill();
    return first | leon::LEON_CUDA::decode();
}
