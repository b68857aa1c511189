// Attention: attention.cu.
#include <algorithm>

#include "kernels/planning/cost.h"

namespace leon::cost {

// How many positions the rows see. Placements stand in memory that the planner has filled.
struct Seen {
    double by_rows = 0;     // each row for itself
    double by_streams = 0;  // each stream once, for its longest row
    int longest = 0;
};
static Seen seen_by(const Placement& at) {
    Seen seen;
    for (int64_t t = 0; t < at.position.elements(); t++) {
        const int positions = at.position.i32()[t] + 1;
        const bool last_of_stream = t + 1 == at.position.elements() || at.stream.i32()[t + 1] != at.stream.i32()[t];
        seen.by_rows += positions;
        if (last_of_stream) seen.by_streams += positions;
        seen.longest = std::max(seen.longest, positions);
    }
    return seen;
}

void attention(Launches& l, const Machine&, Tensor out, Tensor q, KvPages cache, Placement at) {
    constexpr int WARPS = 4;
    if (q.elements() == 0) return;
    const int64_t heads = q.shape[1], kv_heads = cache.keys.shape[1], head_dim = q.shape[2];
    const Seen seen = seen_by(at);
    const double row_bytes = 2.0 * static_cast<double>(head_dim) * static_cast<double>(size_of(cache.keys.dtype));
    Launch k;
    k.kernel = "attention_kernel";
    k.blocks = q.rows();
    k.threads = WARPS * WARP;
    k.shared_bytes = static_cast<int>((head_dim + WARPS * 32 + WARPS * (2 + head_dim)) * 4);
    k.weight_bytes = seen.by_streams * row_bytes * static_cast<double>(kv_heads);
    k.input_bytes = bytes_of(q);
    k.output_bytes = k.store_bytes = bytes_of(out);
    k.load_bytes = bytes_of(q) + seen.by_rows * row_bytes * static_cast<double>(heads);
    k.unit = Unit::Float;
    k.flops = 4.0 * seen.by_rows * static_cast<double>(heads * head_dim);
    k.barriers = 2 * k.blocks;
    k.trips = static_cast<int>(3 + 2 * divide_up(seen.longest, 32 * WARPS));  // each tile waits for its page and keys
    l.push_back(k);
}

}  // namespace leon::cost
