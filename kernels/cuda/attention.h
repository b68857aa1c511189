// The three kernels behind attention, and how they number their rows. The choice between them stands in attention.cu.
#pragma once

#include "kernels/cuda/cache.h"
#include "kernels/cuda/launchers.h"

namespace leon::LEON_CUDA {

// Few tokens of a stream: the keys are cut into parts that blocks share out. attention_decode.cu
void attention_decode(Tensor out, Tensor q, KvPages cache, Placement at);
// Many tokens of a stream: 64 rows of queries share the keys that a block reads. attention_prefill.cu
void attention_prefill(Tensor out, Tensor q, KvPages cache, Placement at);
// Heads of any width up to 512: a block per row. attention_rows.cu
void attention_rows(Tensor out, Tensor q, KvPages cache, Placement at);

inline float score_scale(int64_t head_dim) {
    return 1.0f / sqrtf(static_cast<float>(head_dim));
}

// A tile of up to ROWS rows: some heads that share keys, of some adjacent tokens.
//   row i: token first_token + i / heads, head first_head + i % heads
// All query heads of a key head are in one tile, with as many tokens as fit; if they do not fit, a token's heads take
// several tiles.
template <int ROWS>
struct TileRows {
    int group;  // query heads of a key head

    __host__ __device__ int tokens() const { return group < ROWS ? ROWS / group : 1; }
    __host__ __device__ int parts() const { return static_cast<int>(divide_up(group, ROWS)); }
    __device__ int first_head(int kv_head, int part) const { return kv_head * group + part * ROWS; }
    __device__ int heads(int part) const { return min(ROWS, group - part * ROWS); }
};

}  // namespace leon::LEON_CUDA
