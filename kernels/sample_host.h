// Sampling on the host: one candidate as plain pointers, and the turn that every backend of the host shares.
#pragma once

#include <atomic>
#include <span>
#include <vector>

#include "kernels/random.h"
#include "kernels/sampling.h"

namespace leon {

// The logits of a candidate's streams, in the order of the mix, and what the steps of a rule refer to.
struct SampleRows {
    const float* row[3];                // [ids] each
    int32_t ids, first_id;              // column i is id first_id + i
    const int32_t* ranges;              // [n, 2]
    std::span<const int32_t> sequence;  // ids without a column are passed over
};

namespace reference {

// The definition. Scores [ids], -inf = excluded; the logits are not broken.
std::vector<float> score(const SampleRule& rule, const SampleRows& rows);
// The column that the random bits choose, or DREW_NOTHING.
int32_t draw(std::span<const float> scores, uint64_t random_bits);
// Whether a logit is NaN or +inf.
bool is_broken(std::span<const float> logits);

}  // namespace reference

namespace plain {

// draw(score(rule, rows), random_bits), but works on the surviving ids only and sorts nothing.
int32_t draw_column(const SampleRule& rule, const SampleRows& rows, uint64_t random_bits);
// As reference::is_broken.
bool is_broken(std::span<const float> logits);

}  // namespace plain

// The rows of candidate c, and the random bits of its next draw.
inline SampleRows rows_of(const Draws& d, const SampleRule& rule, int64_t c) {
    SampleRows rows{};
    rows.ids = static_cast<int32_t>(d.logits.cols());
    rows.first_id = d.first_id;
    rows.ranges = d.ranges ? d.ranges.i32() : nullptr;
    for (int s = 0; s < streams_of(rule.mix); s++) rows.row[s] = d.logits.f32() + (c * d.lanes + s) * rows.ids;
    rows.sequence = {d.sequence.i32() + c * d.sequence.cols(), static_cast<size_t>(d.length.i32()[c])};
    return rows;
}
inline uint64_t random_bits_of(const Draws& d, int64_t c) {
    const auto word = [&](int64_t i) { return static_cast<uint64_t>(static_cast<uint32_t>(d.seed.i32()[2 * c + i])); };
    const int32_t drawn = d.length.i32()[c] - d.prompt.i32()[c];
    return uniform_bits(word(1) << 32 | word(0), 0, static_cast<uint64_t>(drawn));
}

// What candidate c drew (an id, DREW_BROKEN or DREW_NOTHING) into the ring and into the next step's input.
inline void take_turn(Draws d, int64_t c, int32_t drawn) {
    const int64_t slot = static_cast<uint32_t>(d.ring_written.i32()[0]) % d.ring.shape[0];
    d.ring.i32()[slot * d.candidates() + c] = drawn;
    int32_t& length = d.length.i32()[c];
    if (drawn >= 0) d.sequence.i32()[c * d.sequence.cols() + length++] = drawn;
    for (int64_t row = c * d.lanes; row < (c + 1) * d.lanes; row++) {
        d.tokens.i32()[row] = drawn >= 0 ? drawn : 0;
        d.position.i32()[row]++;
        if (!d.segments) continue;
        int32_t &index = d.segment.i32()[row], &code = d.code.i32()[row];
        const SegmentPlace place = place_after(d.segments, {index, code}, d.tokens.i32()[row]);
        index = place.index, code = place.code;
    }
}
// After the turns of all candidates.
inline void count_turn(Draws d) {
    const std::atomic_ref<int32_t> written(d.ring_written.i32()[0]);
    written.store(static_cast<int32_t>(static_cast<uint32_t>(written.load()) + 1), std::memory_order_release);
}

}  // namespace leon
