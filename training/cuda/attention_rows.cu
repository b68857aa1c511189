// attention() and its way back with one warp for a row and head, in float32: the sums of the definition, in one order.
// It serves the table of float32 products, and heads too wide for the tiles of the other one, whose operands it rounds.
//
// The lanes of a warp take 32 keys (or queries) at a time, one each, and make its score; through shared memory all
// lanes get all weights, and take the channels instead, 128 at a time. Wider heads are gone through once for each 128.
//
// Exactness is what counts here. Bound by the L1 cache: the lanes read 32 rows side by side.
#include "kernels/cuda/reduce.h"
#include "training/cuda/attention.h"

namespace leon::LEON_CUDA::grad {
namespace {

constexpr int WARPS = 4;
constexpr int THREADS = WARPS * WARP;
constexpr int LANE_CHANNELS = 4;
constexpr int PASS = WARP * LANE_CHANNELS;  // channels that are summed at a time

template <Rounding ROUNDING>
__device__ __forceinline__ float operand(float x) {
    return ROUNDING == Rounding::Bf16 ? __bfloat162float(__float2bfloat16_rn(x)) : x;
}
template <Rounding ROUNDING>
__device__ __forceinline__ float dot(const float* a, const float* b, int count) {
    float sum = 0;
    for (int d = 0; d < count; d++) sum = fmaf(operand<ROUNDING>(a[d]), operand<ROUNDING>(b[d]), sum);
    return sum;
}

// A row of q, k or v and a head, of the warp.
struct Item {
    int row, head;
    bool exists;
};
__device__ __forceinline__ Item item_of_warp(int rows, int heads) {
    const int64_t item = static_cast<int64_t>(blockIdx.x) * WARPS + threadIdx.x / WARP;
    return {static_cast<int>(item / heads), static_cast<int>(item % heads), item < int64_t{rows} * heads};
}

// sums[i] += sum over the `count` <= 32 weights of weights[j] * rows[j, channel + 32 i], rows being `stride` apart.
template <Rounding ROUNDING>
__device__ __forceinline__ void mix(float (&sums)[LANE_CHANNELS], const float* weights, const float* rows,
                                    int64_t stride, int count, int channel, int head_dim) {
    for (int j = 0; j < count; j++)
#pragma unroll
        for (int i = 0; i < LANE_CHANNELS; i++)
            if (channel + i * WARP < head_dim)
                sums[i] = fmaf(weights[j], operand<ROUNDING>(rows[j * stride + channel + i * WARP]), sums[i]);
}
__device__ __forceinline__ void store(float* to, const float (&sums)[LANE_CHANNELS], float factor, int channel,
                                      int head_dim) {
#pragma unroll
    for (int i = 0; i < LANE_CHANNELS; i++)
        if (channel + i * WARP < head_dim) to[channel + i * WARP] = sums[i] * factor;
}

template <Rounding ROUNDING>
__global__ void __launch_bounds__(THREADS)
    forward_rows_kernel(float* out,       // [rows, heads, head_dim]
                        float* log_sums,  // [rows, heads]
                        AttentionInputs in, Documents documents, AttentionShape shape) {
    DYNAMIC_SHARED(float, shared);  // [warp][32]
    const int lane = static_cast<int>(threadIdx.x) % WARP;
    float* weights = shared + threadIdx.x / WARP * WARP;
    const Item item = item_of_warp(shape.rows, shape.heads);
    if (!item.exists) return;
    const int kv_head = item.head / shape.group(), begin = documents.begin[item.row];
    const float* q = in.q + shape.query(item.row, item.head);
    for (int channel = lane; channel - lane < shape.head_dim; channel += PASS) {
        float top = -INFINITY, total = 0, sums[LANE_CHANNELS] = {};  // total: of the lane's own keys
        for (int first = begin; first <= item.row; first += WARP) {
            const int key = first + lane;
            const float score = key <= item.row
                                    ? dot<ROUNDING>(q, in.k + shape.key(key, kv_head), shape.head_dim) * shape.scale
                                    : -INFINITY;
            const float higher = fmaxf(top, warp_max(score)), shrink = expf(top - higher);
            const float weight = expf(score - higher);
            top = higher;
            total = total * shrink + weight;
#pragma unroll
            for (int i = 0; i < LANE_CHANNELS; i++) sums[i] *= shrink;
            weights[lane] = weight;
            __syncwarp();  // orders the weights before all lanes' reads
            mix<ROUNDING>(sums, weights, in.v + shape.key(first, kv_head), shape.key(1, 0),
                          min(WARP, item.row + 1 - first), channel, shape.head_dim);
            __syncwarp();  // orders these reads before the next weights
        }
        total = warp_sum(total);
        store(out + shape.query(item.row, item.head), sums, 1 / total, channel, shape.head_dim);
        if (channel == 0) log_sums[static_cast<int64_t>(item.row) * shape.heads + item.head] = top + logf(total);
    }
}

template <Rounding ROUNDING>
__global__ void __launch_bounds__(THREADS)
    query_changes_rows_kernel(float* dq,  // [rows, heads, head_dim]
                              AttentionInputs in, AttentionChanges changes, Documents documents, AttentionShape shape) {
    DYNAMIC_SHARED(float, shared);  // [warp][32]
    const int lane = static_cast<int>(threadIdx.x) % WARP;
    float* dscores = shared + threadIdx.x / WARP * WARP;
    const Item item = item_of_warp(shape.rows, shape.heads);
    if (!item.exists) return;
    const int kv_head = item.head / shape.group(), begin = documents.begin[item.row];
    const int64_t at = shape.query(item.row, item.head);
    const int64_t index = static_cast<int64_t>(item.row) * shape.heads + item.head;
    const float log_sum = changes.log_sums[index], mean = changes.means[index];
    for (int channel = lane; channel - lane < shape.head_dim; channel += PASS) {
        float sums[LANE_CHANNELS] = {};
        for (int first = begin; first <= item.row; first += WARP) {
            const int key = min(first + lane, item.row);
            const float score = dot<ROUNDING>(in.q + at, in.k + shape.key(key, kv_head), shape.head_dim) * shape.scale;
            const float dweight = dot<ROUNDING>(changes.dout + at, in.v + shape.key(key, kv_head), shape.head_dim);
            dscores[lane] = expf(score - log_sum) * (dweight - mean);
            __syncwarp();  // orders these before all lanes' reads
            mix<ROUNDING>(sums, dscores, in.k + shape.key(first, kv_head), shape.key(1, 0),
                          min(WARP, item.row + 1 - first), channel, shape.head_dim);
            __syncwarp();  // orders the reads before what comes next
        }
        store(dq + at, sums, shape.scale, channel, shape.head_dim);
    }
}

template <Rounding ROUNDING>
__global__ void __launch_bounds__(THREADS)
    key_changes_rows_kernel(float* dk,  // [rows, kv_heads, head_dim]
                            float* dv,  // the same
                            AttentionInputs in, AttentionChanges changes, Documents documents, AttentionShape shape) {
    DYNAMIC_SHARED(float, shared);  // [warp][weights, dscores][32]
    const int lane = static_cast<int>(threadIdx.x) % WARP;
    float* weights = shared + threadIdx.x / WARP * 2 * WARP;
    float* dscores = weights + WARP;
    const Item item = item_of_warp(shape.rows, shape.kv_heads);
    if (!item.exists) return;
    const int end = documents.end[item.row];
    const int64_t at = shape.key(item.row, item.head), stride = shape.query(1, 0);
    for (int channel = lane; channel - lane < shape.head_dim; channel += PASS) {
        float sum_k[LANE_CHANNELS] = {}, sum_v[LANE_CHANNELS] = {};
        for (int head = item.head * shape.group(); head < (item.head + 1) * shape.group(); head++)
            for (int first = item.row; first < end; first += WARP) {
                const int row = min(first + lane, end - 1), count = min(WARP, end - first);
                const int64_t query = shape.query(row, head), index = static_cast<int64_t>(row) * shape.heads + head;
                const float score = dot<ROUNDING>(in.q + query, in.k + at, shape.head_dim) * shape.scale;
                const float dweight = dot<ROUNDING>(changes.dout + query, in.v + at, shape.head_dim);
                const float weight = expf(score - changes.log_sums[index]);
                weights[lane] = weight;
                dscores[lane] = weight * (dweight - changes.means[index]);
                __syncwarp();  // orders these before all lanes' reads
                mix<ROUNDING>(sum_v, weights, changes.dout + shape.query(first, head), stride, count, channel,
                              shape.head_dim);
                mix<ROUNDING>(sum_k, dscores, in.q + shape.query(first, head), stride, count, channel, shape.head_dim);
                __syncwarp();  // orders the reads before what comes next
            }
        store(dk + at, sum_k, shape.scale, channel, shape.head_dim);
        store(dv + at, sum_v, 1, channel, shape.head_dim);
    }
}

unsigned blocks(int rows, int heads) {
    return static_cast<unsigned>(divide_up(int64_t{rows} * heads, WARPS));
}
constexpr size_t SHARED_BYTES = THREADS * sizeof(float);

}  // namespace

void attention_rows(float* out, float* log_sums, const AttentionInputs& in, const Documents& documents,
                    const AttentionShape& shape, Rounding rounding) {
    const auto kernel =
        rounding == Rounding::Bf16 ? forward_rows_kernel<Rounding::Bf16> : forward_rows_kernel<Rounding::None>;
    CUDA_CHECK(
        launch(kernel, blocks(shape.rows, shape.heads), THREADS, SHARED_BYTES, out, log_sums, in, documents, shape));
}

void attention_backward_rows(float* dq, float* dk, float* dv, const AttentionInputs& in,
                             const AttentionChanges& changes, const Documents& documents, const AttentionShape& shape,
                             Rounding rounding) {
    const bool bf16 = rounding == Rounding::Bf16;
    const auto of_queries =
        bf16 ? query_changes_rows_kernel<Rounding::Bf16> : query_changes_rows_kernel<Rounding::None>;
    const auto of_keys = bf16 ? key_changes_rows_kernel<Rounding::Bf16> : key_changes_rows_kernel<Rounding::None>;
    CUDA_CHECK(
        launch(of_queries, blocks(shape.rows, shape.heads), THREADS, SHARED_BYTES, dq, in, changes, documents, shape));
    CUDA_CHECK(launch(of_keys, blocks(shape.rows, shape.kv_heads), THREADS, 2 * SHARED_BYTES, dk, dv, in, changes,
                      documents, shape));
}

}  // namespace leon::LEON_CUDA::grad
