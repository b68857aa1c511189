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
//   shared:  tile of k or q | tile of v or dout | the next two, in float32
//            dk and dv:  tile of q | tile of dout | tile of v | the next two | RowValues of this and the next queries
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
    char* const next_keys = shared + 2 * Tile::BYTES;
    char* const next_values = next_keys + Tile::STAGING_BYTES;
    const int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    const int head = static_cast<int>(blockIdx.y), kv_head = head / shape.group();
    const int first_row = static_cast<int>(blockIdx.x) * TILE, end_row = min(first_row + TILE, shape.rows);
    const int q_stride = shape.heads * shape.head_dim, k_stride = shape.kv_heads * shape.head_dim;

    const auto copy = [&](const float* k, const float* v, int64_t at, int stride, int count) {
        Tile::copy(next_keys, k + at, stride, count, shape.head_dim, shape.aligned);
        Tile::copy(next_values, v + at, stride, count, shape.head_dim, shape.aligned);
        cp_async_commit();
    };
    const auto round = [&] {
        cp_async_wait<0>();
        Tile::round(keys, next_keys);
        Tile::round(values, next_values);
    };

    copy(in.q, changes.dout, shape.query(first_row, head), q_stride, end_row - first_row);
    const int begin_key = documents.begin[first_row];
    round();
    copy(in.k, in.v, shape.key(begin_key, kv_head), k_stride, end_row - begin_key);
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
    for (int first_key = begin_key; first_key < end_row; first_key += TILE) {
        round();
        if (const int next = first_key + TILE; next < end_row)
            copy(in.k, in.v, shape.key(next, kv_head), k_stride, end_row - next);
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

struct RowValues {  // of a tile of queries
    float log_sum[TILE], mean[TILE];
    int begin[TILE];
};

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
    char* const values = shared + 2 * Tile::BYTES;
    char* const next_queries = shared + 3 * Tile::BYTES;
    char* const next_douts = next_queries + Tile::STAGING_BYTES;
    RowValues* const row_values = reinterpret_cast<RowValues*>(next_douts + Tile::STAGING_BYTES);  // [2]
    const int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    const int kv_head = static_cast<int>(blockIdx.y);
    const int first_key = static_cast<int>(blockIdx.x) * TILE, end_key = min(first_key + TILE, shape.rows);
    const int q_stride = shape.heads * shape.head_dim, k_stride = shape.kv_heads * shape.head_dim;

    const auto copy = [&](const float* q, const float* dout, int64_t at, int stride, int count) {
        Tile::copy(next_queries, q + at, stride, count, shape.head_dim, shape.aligned);
        Tile::copy(next_douts, dout + at, stride, count, shape.head_dim, shape.aligned);
    };
    const auto round = [&](char* second) {
        cp_async_wait<0>();
        Tile::round(queries, next_queries);
        Tile::round(second, next_douts);
    };
    const int end_row = documents.end[end_key - 1];
    const auto copy_rows = [&](int row, int head, RowValues& of_row) {
        copy(in.q, changes.dout, shape.query(row, head), q_stride, end_row - row);
        if (const int i = static_cast<int>(threadIdx.x); i < TILE) {
            const bool exists = row + i < end_row;
            const int64_t item = static_cast<int64_t>(exists ? row + i : row) * shape.heads + head;
            cp_async<4>(&of_row.log_sum[i], changes.log_sums + item, exists);
            cp_async<4>(&of_row.mean[i], changes.means + item, exists);
            cp_async<4>(&of_row.begin[i], documents.begin + min(row + i, end_row), true);  // at the end: sees no key
        }
        cp_async_commit();
    };

    copy(in.k, in.v, shape.key(first_key, kv_head), k_stride, end_key - first_key);
    cp_async_commit();
    round(values);
    int head = kv_head * shape.group(), slot = 0;
    copy_rows(first_key, head, row_values[slot]);
    const int warp_key = first_key + warp * WARP_ROWS;
    unsigned k[CHANNELS / 16][4];
    __syncthreads();  // orders the keys before their reads
    Tile::load_left(k, queries, warp * WARP_ROWS);

    const float factor = shape.scale * LOG2_E;
    float sum_k[CHANNELS / 32][4][4] = {}, sum_v[CHANNELS / 32][4][4] = {};
    __syncthreads();  // orders the reads of the keys before the queries
    for (int first_row = first_key; head < (kv_head + 1) * shape.group(); slot ^= 1) {
        round(douts);
        const bool is_last_tile = first_row + TILE >= end_row;
        const int next_row = is_last_tile ? first_key : first_row + TILE, next_head = head + is_last_tile;
        if (next_head < (kv_head + 1) * shape.group()) copy_rows(next_row, next_head, row_values[slot ^ 1]);
        const RowValues& of_row = row_values[slot];
        __syncthreads();  // orders the tiles before their reads
        // Of the queries that see the warp's keys; read here, lest it fill a register beside the tile on its way.
        const int warp_end = documents.end[min(warp_key + WARP_ROWS, shape.rows) - 1];
#pragma unroll 1
        for (int step = 0; step < TILE; step += STEP<CHANNELS>) {
            const int row = first_row + step;
            if (row + STEP<CHANNELS> <= warp_key || row >= warp_end) continue;
            float weights[COUNT][4], dscores[COUNT][4];
            Tile::multiply(weights, k, queries, step);
            Tile::multiply(dscores, values, warp * WARP_ROWS, douts, step);
#pragma unroll
            for (int j = 0; j < COUNT; j++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const int query = step + 8 * j + lane % 4 * 2 + i % 2;
                    const int key = warp_key + lane / 4 + i / 2 * 8;
                    const bool seen = key >= of_row.begin[query] && key <= first_row + query;
                    const float weight = exp2f(weights[j][i] * factor - of_row.log_sum[query] * LOG2_E);
                    weights[j][i] = seen ? weight : 0.0f;
                    dscores[j][i] = weights[j][i] * (dscores[j][i] - of_row.mean[query]);
                }
            Tile::mix(sum_v, weights, douts, step);
            Tile::mix(sum_k, dscores, queries, step);
        }
        __syncthreads();  // orders these reads before the next tiles
        first_row = next_row, head = next_head;
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
        constexpr size_t TILES = 2 * (RowTile<CHANNELS>::BYTES + RowTile<CHANNELS>::STAGING_BYTES);
        CUDA_CHECK(
            launch(query_changes_kernel<CHANNELS>, queries, TILE_THREADS, TILES, dq, in, changes, documents, shape));
        CUDA_CHECK(launch(key_changes_kernel<CHANNELS>, keys, TILE_THREADS,
                          TILES + RowTile<CHANNELS>::BYTES + 2 * sizeof(RowValues), dk, dv, in, changes, documents,
                          shape));
    });
}

}  // namespace leon::LEON_CUDA::grad
