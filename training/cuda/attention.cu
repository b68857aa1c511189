// attention() and its way back over packed documents: the launchers, and what stands ahead of their kernels.
//
//   workspace:  begin [rows + 1] | end [rows] | means [rows, heads]
//
// In bf16, heads of up to 128 channels go to tensor cores; all others, and all of float32, to a warp a row.
#include <cmath>
#include <string>

#include "kernels/cuda/reduce.h"
#include "training/cuda/attention.h"

namespace leon::LEON_CUDA::grad {
namespace {

constexpr int THREADS = 128;

// Of each row, the first one of its document, and the end: a search among the documents' starts, some of which may be
// equal (documents without rows).
__global__ void __launch_bounds__(THREADS) find_documents_kernel(int* begin,         // [rows + 1]
                                                                 int* end,           // [rows]
                                                                 const int* starts,  // [documents + 1]
                                                                 int documents, int rows) {
    const int row = static_cast<int>(blockIdx.x * THREADS + threadIdx.x);
    if (row == rows) begin[row] = rows;
    if (row >= rows) return;
    int low = 0, high = documents;  // starts[low] <= row < starts[high]
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        (starts[middle] <= row ? low : high) = middle;
    }
    begin[row] = starts[low];
    end[row] = starts[high];
}

// One warp a row and head: dout . out.
__global__ void __launch_bounds__(THREADS) means_kernel(float* means,       // [items]
                                                        const float* dout,  // [items, head_dim]
                                                        const float* out,   // the same
                                                        int64_t items, int head_dim, Rounding rounding) {
    const int warp = static_cast<int>(threadIdx.x) / WARP, lane = static_cast<int>(threadIdx.x) % WARP;
    const int64_t item = static_cast<int64_t>(blockIdx.x) * (THREADS / WARP) + warp;
    if (item >= items) return;
    float sum = 0;
    for (int d = lane; d < head_dim; d += WARP) {
        const float change = dout[item * head_dim + d];
        sum = fmaf(rounding == Rounding::Bf16 ? __bfloat162float(__float2bfloat16_rn(change)) : change,
                   out[item * head_dim + d], sum);
    }
    sum = warp_sum(sum);
    if (lane == 0) means[item] = sum;
}

AttentionShape shape_of(const Tensor& q, const Tensor& k, std::initializer_list<const void*> all) {
    AttentionShape shape = {static_cast<int>(q.shape[0]),
                            static_cast<int>(q.shape[1]),
                            static_cast<int>(k.shape[1]),
                            static_cast<int>(q.shape[2]),
                            0,
                            q.shape[2] % 4 == 0};
    shape.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)));
    for (const void* data : all) shape.aligned = shape.aligned && is_aligned(data);
    return shape;
}

// The workspace, filled with the documents.
struct Prepared {
    Documents documents;
    float* means;  // empty
};
Prepared prepare(const Tensor& starts, const AttentionShape& shape) {
    const size_t rows = static_cast<size_t>(shape.rows), heads = static_cast<size_t>(shape.heads);
    if ((rows * (2 + heads) + 1) * 4 > WORKSPACE_BYTES)
        throw Error("a batch of " + std::to_string(rows) + " rows of " + std::to_string(heads) + " heads is too large",
                    "attention on the GPU", "train with smaller batches (micro_tokens)");
    int* begin = static_cast<int*>(workspace());
    int* end = begin + rows + 1;
    CUDA_CHECK(launch(find_documents_kernel, static_cast<unsigned>(divide_up(shape.rows + 1, THREADS)), THREADS, 0,
                      begin, end, starts.i32(), static_cast<int>(starts.elements()) - 1, shape.rows));
    return {{begin, end}, reinterpret_cast<float*>(end + rows)};
}

void run(Tensor out, Tensor log_sums, Tensor q, Tensor k, Tensor v, Tensor starts, Rounding rounding) {
    const AttentionShape shape = shape_of(q, k, {out.data, q.data, k.data, v.data});
    if (shape.rows == 0) return;
    const Documents documents = prepare(starts, shape).documents;
    const AttentionInputs in = {q.f32(), k.f32(), v.f32()};
    if (rounding == Rounding::Bf16 && shape.head_dim <= WIDEST_TILE_HEAD)
        attention_tiles(out.f32(), log_sums.f32(), in, documents, shape);
    else
        attention_rows(out.f32(), log_sums.f32(), in, documents, shape, rounding);
}

void run_backward(Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out, Tensor log_sums, Tensor q, Tensor k,
                  Tensor v, Tensor starts, Rounding rounding) {
    const AttentionShape shape = shape_of(q, k, {dq.data, dk.data, dv.data, dout.data, q.data, k.data, v.data});
    if (shape.rows == 0) return;
    const Prepared prepared = prepare(starts, shape);
    const int64_t items = int64_t{shape.rows} * shape.heads;
    CUDA_CHECK(launch(means_kernel, static_cast<unsigned>(divide_up(items, THREADS / WARP)), THREADS, 0, prepared.means,
                      dout.f32(), out.f32(), items, shape.head_dim, rounding));
    const AttentionInputs in = {q.f32(), k.f32(), v.f32()};
    const AttentionChanges changes = {dout.f32(), log_sums.f32(), prepared.means};
    if (rounding == Rounding::Bf16 && shape.head_dim <= WIDEST_TILE_HEAD)
        attention_backward_tiles(dq.f32(), dk.f32(), dv.f32(), in, changes, prepared.documents, shape);
    else
        attention_backward_rows(dq.f32(), dk.f32(), dv.f32(), in, changes, prepared.documents, shape, rounding);
}

}  // namespace

void attention(Tensor out, Tensor log_sums, Tensor q, Tensor k, Tensor v, Tensor starts) {
    run(out, log_sums, q, k, v, starts, Rounding::None);
}
void attention_bf16(Tensor out, Tensor log_sums, Tensor q, Tensor k, Tensor v, Tensor starts) {
    run(out, log_sums, q, k, v, starts, Rounding::Bf16);
}
void attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out, Tensor log_sums, Tensor q, Tensor k,
                        Tensor v, Tensor starts) {
    run_backward(dq, dk, dv, dout, out, log_sums, q, k, v, starts, Rounding::None);
}
void attention_backward_bf16(Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out, Tensor log_sums, Tensor q,
                             Tensor k, Tensor v, Tensor starts) {
    run_backward(dq, dk, dv, dout, out, log_sums, q, k, v, starts, Rounding::Bf16);
}

}  // namespace leon::LEON_CUDA::grad
