// Attention over packed documents on the GPU: what its kernels share. The contracts stand in training/grad_kernels.h.
//
//   attention.cu            the launchers: which kernels take which heads; where documents begin and end
//   attention_forward.cu    tiles on tensor cores, operands in bf16, heads of up to 128 channels
//   attention_backward.cu   the same for the way back
//   attention_rows.cu       one warp a row, float32: exact, and for wider heads
//
// Documents are found by a search for each row ahead of the kernels. They see no documents any more but, for each row,
// the first row that it sees and the end of those that see it; both never fall from row to row.
#pragma once

#include "kernels/cuda/ptx.h"
#include "training/cuda/launchers.h"

namespace leon::LEON_CUDA::grad {

struct AttentionShape {
    int rows, heads, kv_heads, head_dim;
    float scale;   // of the scores: 1 / sqrt(head_dim)
    bool aligned;  // every head's channels begin at a multiple of 16 bytes

    __device__ __forceinline__ int group() const { return heads / kv_heads; }  // query heads of a key's head
    // Where a head of a row begins: in q, out and their gradients, and in k, v and theirs.
    __device__ __forceinline__ int64_t query(int row, int head) const {
        return (static_cast<int64_t>(row) * heads + head) * head_dim;
    }
    __device__ __forceinline__ int64_t key(int row, int kv_head) const {
        return (static_cast<int64_t>(row) * kv_heads + kv_head) * head_dim;
    }
};

// Row t sees rows begin[t] to t, and is seen by rows t to end[t] - 1.
struct Documents {
    const int* begin;  // [rows + 1]; begin[rows] is rows
    const int* end;    // [rows]
};

struct AttentionInputs {
    const float *q, *k, *v;  // [rows, heads, head_dim], [rows, kv_heads, head_dim] twice
};

// What the way back has besides.
struct AttentionChanges {
    const float* dout;      // [rows, heads, head_dim]
    const float* log_sums;  // [rows, heads]
    const float* means;     // [rows, heads] of dout . out: the mean of dout . v by the softmax's weights
};

constexpr int WIDEST_TILE_HEAD = 128;  // channels of a head whose sums fit into the registers of a warp's 16 rows

void attention_tiles(float* out, float* log_sums, const AttentionInputs& in, const Documents& documents,
                     const AttentionShape& shape);
void attention_backward_tiles(float* dq, float* dk, float* dv, const AttentionInputs& in,
                              const AttentionChanges& changes, const Documents& documents, const AttentionShape& shape);

enum class Rounding { None, Bf16 };  // of the operands of products
void attention_rows(float* out, float* log_sums, const AttentionInputs& in, const Documents& documents,
                    const AttentionShape& shape, Rounding rounding);
void attention_backward_rows(float* dq, float* dk, float* dv, const AttentionInputs& in,
                             const AttentionChanges& changes, const Documents& documents, const AttentionShape& shape,
                             Rounding rounding);

}  // namespace leon::LEON_CUDA::grad
