// attention() on tensor cores: FlashAttention-2 over packed documents.
//
// A block owns 64 rows of queries of a head, 16 a warp, whose scores, weights and sums over the values stay in
// registers. It walks over the keys from the first one that its first row sees, 64 at a time. Rows of several documents
// may stand in a tile: each sees keys from its own document's first one on. A warp that sees none of a tile's keys
// skips it.
//
//   shared:  tile of keys (of queries, at first) | tile of values | the next keys | the next values, in float32
//
// Bound by shared memory: a right operand is read for each 16 rows.
#include "kernels/cuda/online_softmax.h"
#include "training/cuda/attention_tile.h"

namespace leon::LEON_CUDA::grad {
namespace {

template <int CHANNELS>
__global__ void __launch_bounds__(TILE_THREADS, blocks_at_once(CHANNELS))
    attention_forward_kernel(float* out,       // [rows, heads, head_dim]
                             float* log_sums,  // [rows, heads]
                             AttentionInputs in, Documents documents, AttentionShape shape) {
    using Tile = RowTile<CHANNELS>;
    DYNAMIC_SHARED(char, shared);
    char* const keys = shared;
    char* const values = shared + Tile::BYTES;
    char* const next_keys = shared + 2 * Tile::BYTES;
    char* const next_values = next_keys + Tile::STAGING_BYTES;
    const int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    const int head = static_cast<int>(blockIdx.y), kv_head = head / shape.group();
    const int first_row = static_cast<int>(blockIdx.x) * TILE, end_row = min(first_row + TILE, shape.rows);
    const int q_stride = shape.heads * shape.head_dim, k_stride = shape.kv_heads * shape.head_dim;

    const auto copy = [&](int key) {
        const int64_t at = shape.key(key, kv_head);
        Tile::copy(next_keys, in.k + at, k_stride, end_row - key, shape.head_dim, shape.aligned);
        Tile::copy(next_values, in.v + at, k_stride, end_row - key, shape.head_dim, shape.aligned);
        cp_async_commit();
    };

    Tile::copy(next_keys, in.q + shape.query(first_row, head), q_stride, end_row - first_row, shape.head_dim,
               shape.aligned);
    cp_async_commit();
    const int first_key = documents.begin[first_row];
    cp_async_wait<0>();
    Tile::round(keys, next_keys);
    copy(first_key);
    const int warp_row = first_row + warp * WARP_ROWS;
    int row[2], begin[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        row[r] = min(warp_row + lane / 4 + 8 * r, shape.rows - 1);  // beyond the last row it is done once more
        begin[r] = documents.begin[row[r]];
    }
    const int warp_begin = documents.begin[min(warp_row, shape.rows - 1)];
    unsigned q[CHANNELS / 16][4];
    __syncthreads();  // orders the queries before their reads
    Tile::load_left(q, keys, warp * WARP_ROWS);
    __syncthreads();  // orders these reads before the keys

    const float factor = shape.scale * LOG2_E;
    SoftmaxState state[2];  // the totals are of the lane's own keys
    float sums[CHANNELS / 32][4][4] = {};
    for (int key = first_key; key < end_row; key += TILE) {
        cp_async_wait<0>();
        Tile::round(keys, next_keys);
        Tile::round(values, next_values);
        if (key + TILE < end_row) copy(key + TILE);
        __syncthreads();  // orders the tiles before their reads
        if (key < warp_row + WARP_ROWS && key + TILE > warp_begin) {
            float weights[TILE / 8][4];
            Tile::multiply(weights, q, keys, 0);
#pragma unroll
            for (int r = 0; r < 2; r++) {
                float top = -INFINITY;
#pragma unroll
                for (int j = 0; j < TILE / 8; j++)
#pragma unroll
                    for (int i = 0; i < 2; i++) {
                        float& score = weights[j][2 * r + i];
                        const int k = key + 8 * j + lane % 4 * 2 + i;
                        score = k >= begin[r] && k <= row[r] ? score * factor : -INFINITY;
                        top = fmaxf(top, score);
                    }
                top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));  // the four lanes of a row
                top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
                const float shrink = state[r].raise(top);
                float total = 0;
#pragma unroll
                for (int j = 0; j < TILE / 8; j++)
#pragma unroll
                    for (int i = 0; i < 2; i++)
                        total += weights[j][2 * r + i] = softmax_weight(weights[j][2 * r + i], state[r].top);
                state[r].total += total;
#pragma unroll
                for (int n = 0; n < CHANNELS / 8; n++) {
                    sums[n / 4][n % 4][2 * r] *= shrink;
                    sums[n / 4][n % 4][2 * r + 1] *= shrink;
                }
            }
            Tile::mix(sums, weights, values, 0);
        }
        __syncthreads();  // orders these reads before the next tiles
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float total = state[r].total;
        total += __shfl_xor_sync(~0u, total, 1);
        total += __shfl_xor_sync(~0u, total, 2);
        if (warp_row + lane / 4 + 8 * r >= shape.rows) continue;
        Tile::store(out + shape.query(row[r], head), sums, r, 1 / total, shape.head_dim, shape.aligned);
        if (lane % 4 == 0)
            log_sums[static_cast<int64_t>(row[r]) * shape.heads + head] = (state[r].top + log2f(total)) * LN_2;
    }
}

}  // namespace

void attention_tiles(float* out, float* log_sums, const AttentionInputs& in, const Documents& documents,
                     const AttentionShape& shape) {
    const dim3 grid(static_cast<unsigned>(divide_up(shape.rows, TILE)), static_cast<unsigned>(shape.heads));
    with_channels(shape.head_dim, [&](auto channels) {
        constexpr int CHANNELS = decltype(channels)::COUNT;
        constexpr size_t SHARED_BYTES = 2 * (RowTile<CHANNELS>::BYTES + RowTile<CHANNELS>::STAGING_BYTES);
        CUDA_CHECK(launch(attention_forward_kernel<CHANNELS>, grid, TILE_THREADS, SHARED_BYTES, out, log_sums, in,
                          documents, shape));
    });
}

}  // namespace leon::LEON_CUDA::grad
