// Sampling: sample.cu. How often a block waits depends on the rule, and a little on the logits: barriers are an
// estimate.
#include <algorithm>

#include "kernels/planning/cost.h"

namespace leon::cost {
namespace {

constexpr int VALUES = 8, MAX_WARPS = 32;
constexpr int64_t SHARED_BYTES = 20 << 10;  // beside the rows

// Cuts of one row, each three passes over the digits of a distance.
int selections(const SampleStep* steps, int count) {
    return static_cast<int>(std::count_if(steps, steps + count, [](const SampleStep& s) {
        return s.op == SampleOp::TopK || s.op == SampleOp::TopP || s.op == SampleOp::TopPBefore;
    }));
}

}  // namespace

void sample(Launches& l, const Machine& m, const Draws& d, const SampleRule& rule) {
    const int64_t ids = d.logits.cols(), streams = streams_of(rule.mix), candidates = d.candidates();
    const auto shared_bytes = [&](int64_t warps) { return SHARED_BYTES + streams * warps * WARP * VALUES * 4; };
    int64_t warps = MAX_WARPS;
    if (shared_bytes(warps) > m.shared_bytes) warps /= 2;
    const int64_t blocks = divide_up(ids, warps * WARP * VALUES);
    while (blocks == 1 && warps > 1 && warps / 2 * WARP * VALUES >= ids) warps /= 2;
    const int64_t at_once = std::max<int64_t>(1, m.multiprocessors / blocks);
    const int64_t groups = blocks == 1 ? candidates : std::min(candidates, at_once);
    // Extremes, and a sum to draw from; three passes for each cut; a logarithm of sums and a cut for a contrast.
    const int64_t cuts = streams * selections(rule.per_stream, rule.per_stream_count) +
                         selections(rule.steps, rule.step_count) + (rule.mix == SampleMix::ContrastiveTopK ? 1 : 0);
    const int64_t meetings = 2 + streams + 3 * cuts, turns = divide_up(candidates, groups);

    Launch k;
    k.kernel = "sample_kernel";
    k.blocks = groups * blocks;
    k.threads = static_cast<int>(warps * WARP);
    k.shared_bytes = static_cast<int>(shared_bytes(warps));
    k.input_bytes = k.load_bytes = 4.0 * static_cast<double>(candidates * streams * ids);
    k.store_bytes = 4.0 * static_cast<double>(candidates * (3 + 2 * d.lanes));
    k.unit = Unit::Float;
    k.flops = 40.0 * static_cast<double>(candidates * streams * ids);  // the exponential is done in integers
    k.barriers = candidates * blocks * 4 * meetings;
    k.grid_barriers = blocks > 1 ? meetings * turns : 0;
    k.trips = 3;
    k.early = blocks == 1;
    l.push_back(k);
}

}  // namespace leon::cost
