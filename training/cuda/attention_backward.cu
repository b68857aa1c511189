// The way back of attention() on tensor cores, operands in bf16. With p the softmax's weights, recomputed from the log
// sums, and ds = p (dout . v - mean) / sqrt(head_dim), where mean = dout . out:
//
//   dq = ds k           one block for 64 rows of queries, over the keys that they see
//   dv = p^T dout       one block for 64 rows of keys, over the heads that share them and the queries that see them
//   dk = ds^T q
//
// Each of the two kernels makes all of p and ds for itself, 7 products in place of 5: then every sum has one owner,
// runs in one order, and stays in registers. In both a warp owns 16 rows of the block's side, as left operands; the
// other side comes in tiles of 64 rows, rounded to bf16 on the way, of which 32 (16 of wide heads) are worked on at a
// time.
//
//   shared:  tile of k or q | tile of v or dout | of the queries: log sums, means, begins
#include "kernels/cuda/online_softmax.h"
#include "training/cuda/attention_tile.h"

namespace leon::LEON_CUDA::grad {
namespace {

template <int CHANNELS>
constexpr int STEP = CHANNELS <= 64 ? 32 : 16;  // rows of the other side

template <int CHANNELS>
__global__ void __launch_bounds__(TILE_THREADS, blocks_at_once(CHANNELS))
    query_changes_kernel(float* dq,  // [rows, heads, head_dim]
                         AttentionInputs in, AttentionChanges changes, Documents documents, AttentionShape shape) {
    using Tile = RowTile<CHANNELS>;
    constexpr int COUNT = STEP<CHANNELS> / 8;
    DYNAMIC_SHARED(char, shared);
    char* const keys = shared;
    char* const values = shared + Tile::BYTES;
    const int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    const int head = static_cast<int>(blockIdx.y), kv_head = head / shape.group();
    const int first_row = static_cast<int>(blockIdx.x) * TILE, end_row = min(first_row + TILE, shape.rows);
    const int64_t q_stride = shape.query(1, 0), k_stride = shape.key(1, 0);

    const int64_t at = shape.query(first_row, head);
    Tile::fill(keys, in.q + at, q_stride, end_row - first_row, shape.head_dim, shape.aligned);
    Tile::fill(values, changes.dout + at, q_stride, end_row - first_row, shape.head_dim, shape.aligned);
    const int warp_row = first_row + warp * WARP_ROWS;
    int row[2], begin[2];
    float log_sum[2], mean[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        row[r] = min(warp_row + lane / 4 + 8 * r, shape.rows - 1);  // beyond the last row it is done once more
        begin[r] = documents.begin[row[r]];
        log_sum[r] = changes.log_sums[static_cast<int64_t>(row[r]) * shape.heads + head] * LOG2_E;
        mean[r] = changes.means[static_cast<int64_t>(row[r]) * shape.heads + head];
    }
    const int warp_begin = documents.begin[min(warp_row, shape.rows - 1)];
    unsigned q[CHANNELS / 16][4], dout[CHANNELS / 16][4];
    __syncthreads();  // orders the queries before their reads
    Tile::load_left(q, keys, warp * WARP_ROWS);
    Tile::load_left(dout, values, warp * WARP_ROWS);
    __syncthreads();  // orders these reads before the keys

    const float factor = shape.scale * LOG2_E;
    float sums[CHANNELS / 32][4][4] = {};
    for (int first_key = documents.begin[first_row]; first_key < end_row; first_key += TILE) {
        const int64_t from = shape.key(first_key, kv_head);
        Tile::fill(keys, in.k + from, k_stride, end_row - first_key, shape.head_dim, shape.aligned);
        Tile::fill(values, in.v + from, k_stride, end_row - first_key, shape.head_dim, shape.aligned);
        __syncthreads();  // orders the tiles before their reads
#pragma unroll 1
        for (int step = 0; step < TILE; step += STEP<CHANNELS>) {
            const int key = first_key + step;
            if (key >= warp_row + WARP_ROWS || key + STEP<CHANNELS> <= warp_begin) continue;
            float scores[COUNT][4], dweights[COUNT][4];
            Tile::multiply(scores, q, keys, step);
            Tile::multiply(dweights, dout, values, step);
#pragma unroll
            for (int j = 0; j < COUNT; j++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const int k = key + 8 * j + lane % 4 * 2 + i % 2, r = i / 2;
                    const float weight = exp2f(scores[j][i] * factor - log_sum[r]);
                    scores[j][i] = k >= begin[r] && k <= row[r] ? weight * (dweights[j][i] - mean[r]) : 0.0f;
                }
            Tile::mix(sums, scores, keys, step);
        }
        __syncthreads();  // orders these reads before the next tiles
    }
#pragma unroll
    for (int r = 0; r < 2; r++)
        if (warp_row + lane / 4 + 8 * r < shape.rows)
            Tile::store(dq + shape.query(row[r], head), sums, r, shape.scale, shape.head_dim, shape.aligned);
}

template <int CHANNELS>
__global__ void __launch_bounds__(TILE_THREADS, blocks_at_once(CHANNELS))
    key_changes_kernel(float* dk,  // [rows, kv_heads, head_dim]
                       float* dv,  // the same
                       AttentionInputs in, AttentionChanges changes, Documents documents, AttentionShape shape) {
    using Tile = RowTile<CHANNELS>;
    constexpr int COUNT = STEP<CHANNELS> / 8;
    DYNAMIC_SHARED(char, shared);
    char* const queries = shared;
    char* const douts = shared + Tile::BYTES;
    float* const log_sums = reinterpret_cast<float*>(shared + 2 * Tile::BYTES);  // [TILE]
    float* const means = log_sums + TILE;                                        // [TILE]
    int* const begins = reinterpret_cast<int*>(means + TILE);                    // [TILE]
    const int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    const int kv_head = static_cast<int>(blockIdx.y);
    const int first_key = static_cast<int>(blockIdx.x) * TILE, end_key = min(first_key + TILE, shape.rows);
    const int64_t q_stride = shape.query(1, 0), k_stride = shape.key(1, 0);

    const int64_t at = shape.key(first_key, kv_head);
    Tile::fill(queries, in.k + at, k_stride, end_key - first_key, shape.head_dim, shape.aligned);
    Tile::fill(douts, in.v + at, k_stride, end_key - first_key, shape.head_dim, shape.aligned);
    const int warp_key = first_key + warp * WARP_ROWS;
    const int warp_end = documents.end[min(warp_key + WARP_ROWS, shape.rows) - 1];  // of the queries that see its keys
    unsigned k[CHANNELS / 16][4], v[CHANNELS / 16][4];
    __syncthreads();  // orders the keys before their reads
    Tile::load_left(k, queries, warp * WARP_ROWS);
    Tile::load_left(v, douts, warp * WARP_ROWS);

    const float factor = shape.scale * LOG2_E;
    const int end_row = documents.end[end_key - 1];
    float sum_k[CHANNELS / 32][4][4] = {}, sum_v[CHANNELS / 32][4][4] = {};
    for (int head = kv_head * shape.group(); head < (kv_head + 1) * shape.group(); head++)
        for (int first_row = first_key; first_row < end_row; first_row += TILE) {
            __syncthreads();  // orders the last tiles' reads before these
            const int64_t from = shape.query(first_row, head);
            Tile::fill(queries, in.q + from, q_stride, end_row - first_row, shape.head_dim, shape.aligned);
            Tile::fill(douts, changes.dout + from, q_stride, end_row - first_row, shape.head_dim, shape.aligned);
            if (const int i = static_cast<int>(threadIdx.x); i < TILE) {
                const int row = first_row + i;
                const int64_t item = static_cast<int64_t>(row) * shape.heads + head;
                log_sums[i] = row < end_row ? changes.log_sums[item] * LOG2_E : 0.0f;
                means[i] = row < end_row ? changes.means[item] : 0.0f;
                begins[i] = row < end_row ? documents.begin[row] : end_row;  // beyond the end a row sees no key
            }
            __syncthreads();  // orders the tiles before their reads
#pragma unroll 1
            for (int step = 0; step < TILE; step += STEP<CHANNELS>) {
                const int row = first_row + step;
                if (row + STEP<CHANNELS> <= warp_key || row >= warp_end) continue;
                float weights[COUNT][4], dscores[COUNT][4];
                Tile::multiply(weights, k, queries, step);
                Tile::multiply(dscores, v, douts, step);
#pragma unroll
                for (int j = 0; j < COUNT; j++)
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        const int query = step + 8 * j + lane % 4 * 2 + i % 2;
                        const int key = warp_key + lane / 4 + i / 2 * 8;
                        const float weight = exp2f(weights[j][i] * factor - log_sums[query]);
                        weights[j][i] = key >= begins[query] && key <= first_row + query ? weight : 0.0f;
                        dscores[j][i] = weights[j][i] * (dscores[j][i] - means[query]);
                    }
                Tile::mix(sum_v, weights, douts, step);
                Tile::mix(sum_k, dscores, queries, step);
            }
        }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int key = warp_key + lane / 4 + 8 * r;
        if (key >= shape.rows) continue;
        const int64_t to = shape.key(key, kv_head);
        Tile::store(dk + to, sum_k, r, shape.scale, shape.head_dim, shape.aligned);
        Tile::store(dv + to, sum_v, r, 1, shape.head_dim, shape.aligned);
    }
}

}  // namespace

void attention_backward_tiles(float* dq, float* dk, float* dv, const AttentionInputs& in,
                              const AttentionChanges& changes, const Documents& documents,
                              const AttentionShape& shape) {
    const unsigned tiles = static_cast<unsigned>(divide_up(shape.rows, TILE));
    const dim3 queries(tiles, static_cast<unsigned>(shape.heads)), keys(tiles, static_cast<unsigned>(shape.kv_heads));
    with_channels(shape.head_dim, [&](auto channels) {
        constexpr int CHANNELS = decltype(channels)::COUNT;
        constexpr size_t TILES = 2 * RowTile<CHANNELS>::BYTES, ROW_VALUES = TILE * (2 * sizeof(float) + sizeof(int));
        CUDA_CHECK(
            launch(query_changes_kernel<CHANNELS>, queries, TILE_THREADS, TILES, dq, in, changes, documents, shape));
        CUDA_CHECK(launch(key_changes_kernel<CHANNELS>, keys, TILE_THREADS, TILES + ROW_VALUES, dk, dv, in, changes,
                          documents, shape));
    });
}

}  // namespace leon::LEON_CUDA::grad
