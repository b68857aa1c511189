// attention: which of its kernels takes a batch. The contract stands in kernels/kernels.h.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_tile.h"

namespace leon::LEON_CUDA {
namespace {

enum class Way { Rows, Decode, Prefill };

// From the shapes alone, so that a recording stays right for whatever the tensors come to hold. Up to 16 tokens always
// take the same way, so that a row does not depend on the rows beside it. Beyond, prefill pays where streams bring some
// tokens each: with grouped heads, four fill a warp's 16 rows. With fewer, decoding has more blocks for the same keys.
Way way_of(const Tensor& out, const Tensor& q, const KvPages& cache) {
    constexpr int64_t FEW_ROWS = 16, TOKENS_PER_STREAM = 4;
    const int64_t tokens = q.shape[0], streams = cache.page_table.shape[0], head_dim = q.shape[2];
    if (head_dim > MAX_TILE_CHANNELS || !is_aligned(cache.keys) || !is_aligned(cache.values) || !is_aligned(q) ||
        !is_aligned(out))
        return Way::Rows;
    return tokens > FEW_ROWS && tokens >= TOKENS_PER_STREAM * streams ? Way::Prefill : Way::Decode;
}

}  // namespace

void attention(Tensor out, Tensor q, KvPages cache, Placement at) {
    if (q.elements() == 0) return;
    switch (way_of(out, q, cache)) {
        case Way::Rows:
            return attention_rows(out, q, cache, at);
        case Way::Decode:
            return attention_decode(out, q, cache, at);
        case Way::Prefill:
            return attention_prefill(out, q, cache, at);
    }
}

}  // namespace leon::LEON_CUDA
