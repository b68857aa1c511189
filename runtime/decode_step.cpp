// The decode step; see decode_step.h.
#include "runtime/decode_step.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

namespace leon {
namespace {

constexpr int RING_SLOTS = 32;       // more than may be under way at once
constexpr int RANGES_AT_FIRST = 64;  // enough for the rules of every task
// Recording costs a GPU about as much as launching the kernels of a few steps one by one.
constexpr int STEPS_WORTH_RECORDING = 4;
// A step takes a GPU 150 us and more, and another one is queued behind it: such a nap delays nothing.
constexpr auto NAP = std::chrono::microseconds(20);

// All members are words of 32 bits, and compile() leaves none of them unset.
bool is_same(const SampleRule& a, const SampleRule& b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
}
bool is_same(const CompiledChain& a, const CompiledChain& b) {
    return is_same(a.rule, b.rule) && a.ranges == b.ranges;
}

// Appends the chain's ranges to the table that all rules share, and lets its rule refer to them there.
SampleRule with_ranges_in(std::vector<int32_t>& table, const CompiledChain& chain) {
    SampleRule rule = chain.rule;
    const int32_t offset = static_cast<int32_t>(table.size() / 2);
    const auto move = [&](SampleStep* steps, int32_t count) {
        for (int32_t i = 0; i < count; i++) {
            if (steps[i].op != SampleOp::Allow && steps[i].op != SampleOp::Forbid) continue;
            steps[i].first += offset;
            steps[i].last += offset;
        }
    };
    move(rule.per_stream, rule.per_stream_count);
    move(rule.steps, rule.step_count);
    table.insert(table.end(), chain.ranges.begin(), chain.ranges.end());
    return rule;
}

}  // namespace

bool DecodeStep::Group::operator==(const Group& other) const {
    return members == other.members && lanes == other.lanes && is_same(rule, other.rule);
}

DecodeStep::DecodeStep(Transformer& network, KvCache& cache, const Kernels& kernels, int members, int capacity)
    : network_(network),
      cache_(cache),
      kernels_(kernels),
      seed_(kernels, DType::I32, {members, 2}),
      sequence_(kernels, DType::I32, {members, capacity}),
      length_(kernels, DType::I32, {members, 1}),
      prompt_(kernels, DType::I32, {members, 1}),
      scratch_(kernels, DType::U8, {members, SAMPLE_SCRATCH}),
      ranges_(kernels, DType::I32, {RANGES_AT_FIRST, 2}),
      ring_(kernels, DType::I32, {members, RING_SLOTS}, Reach::Shared),
      written_(kernels, DType::I32, {members}, Reach::Shared) {}

void DecodeStep::begin(const Batch& batch, std::span<const Member> members, int steps) {
    std::vector<int32_t> ranges;
    plan_ = {batch.shape(), {}};
    const CompiledChain* previous = nullptr;
    for (const Member& m : members) {
        if (previous && is_same(*previous, *m.chain) && plan_.groups.back().lanes == m.lanes)
            plan_.groups.back().members++;
        else
            plan_.groups.push_back({1, m.lanes, with_ranges_in(ranges, *m.chain)});
        previous = m.chain;
    }
    CHECK(steps == 1 || batch.outputs.size() == batch.tokens.size());
    queued_ = taken_ = 0;

    finish(kernels_);  // the steps that nobody took still count their draws
    upload_state(members, ranges);
    network_.place(cache_, batch);
    replays_ = recording_ && recorded_ == plan_;
    if (replays_ || steps < STEPS_WORTH_RECORDING) return;
    recording_ = {};
    recorded_ = plan_;
    recording_ = Replayable(kernels_, [this] { carry_out(recorded_); });
    replays_ = true;
}

void DecodeStep::upload_state(std::span<const Member> members, const std::vector<int32_t>& ranges) {
    const int64_t capacity = sequence_.tensor().cols();
    std::vector<int32_t> seed, length, prompt, sequence(members.size() * capacity);
    for (size_t i = 0; i < members.size(); i++) {
        const Member& m = members[i];
        CHECK(static_cast<int64_t>(m.sequence->size()) <= capacity);
        std::copy(m.sequence->begin(), m.sequence->end(), sequence.begin() + i * capacity);
        length.push_back(static_cast<int32_t>(m.sequence->size()));
        prompt.push_back(m.prompt_tokens);
        for (int word : {0, 1}) seed.push_back(static_cast<int32_t>(static_cast<uint32_t>(m.seed >> 32 * word)));
        written(static_cast<int>(i)) = 0;
    }
    if (ranges.size() > static_cast<size_t>(ranges_.tensor().elements())) {
        recording_ = {};  // which knows the old place
        ranges_ = Buffer(kernels_, DType::I32, {static_cast<int64_t>(ranges.size()), 2});
    }
    const auto fill = [](Buffer& buffer, const std::vector<int32_t>& values) {
        if (!values.empty()) buffer.fill_from(values.data(), values.size() * sizeof(int32_t));
    };
    fill(seed_, seed);
    fill(sequence_, sequence);
    fill(length_, length);
    fill(prompt_, prompt);
    fill(ranges_, ranges);
}

void DecodeStep::carry_out(const Plan& plan) {
    const Tensor logits = network_.compute(cache_, plan.shape);
    int member = 0, row = 0;
    for (const Group& group : plan.groups) {
        sample(kernels_, draws_of(group, plan.shape, logits, member, row), group.rule);
        member += group.members;
        row += group.members * group.lanes;
    }
    CHECK(row == plan.shape.outputs);
}

Draws DecodeStep::draws_of(const Group& group, const BatchShape& shape, Tensor logits, int member, int row) const {
    const int count = group.members, rows = count * group.lanes;
    Draws d;
    d.logits = logits.slice(row, rows);
    d.first_id = shape.first_id;
    d.vocab = network_.config().vocab;
    d.lanes = group.lanes;
    d.ranges = ranges_.tensor();
    d.seed = seed_.tensor().slice(member, count);
    d.sequence = sequence_.tensor().slice(member, count);
    d.length = length_.tensor().slice(member, count);
    d.prompt = prompt_.tensor().slice(member, count);
    d.tokens = network_.tokens(shape.outputs).as({shape.outputs, 1}).slice(row, rows);
    d.position = network_.position(shape.outputs).as({shape.outputs, 1}).slice(row, rows);
    if ((d.segments = network_.segments())) {
        d.segment = network_.segment(shape.outputs).as({shape.outputs, 1}).slice(row, rows);
        d.code = network_.code(shape.outputs).as({shape.outputs, 1}).slice(row, rows);
    }
    d.ring = ring_.tensor().slice(member, count).as({RING_SLOTS, count});
    d.ring_written = Tensor(&written(member), DType::I32, {1});
    d.scratch = scratch_.tensor().slice(member, count);
    return d;
}

void DecodeStep::queue() {
    CHECK(under_way() < RING_SLOTS);
    queued_++;
    if (replays_)
        recording_.replay();
    else
        carry_out(plan_);
}

bool DecodeStep::has_drawn() const {
    int member = 0;
    for (const Group& group : plan_.groups) {
        if (std::atomic_ref(written(member)).load(std::memory_order_acquire) <= taken_) return false;
        member += group.members;
    }
    return true;
}

std::span<const int32_t> DecodeStep::take() {
    CHECK(under_way() > 0);
    while (!has_drawn()) {
        CHECK(!idle(kernels_) || has_drawn());  // all that was called is done, but has not drawn: a bug
        std::this_thread::sleep_for(NAP);
    }
    drawn_.clear();
    const int32_t* ring = ring_.tensor().i32();
    for (const Group& group : plan_.groups) {
        const int32_t* slot = ring + taken_ % RING_SLOTS * group.members;
        drawn_.insert(drawn_.end(), slot, slot + group.members);
        ring += RING_SLOTS * group.members;
    }
    taken_++;
    return drawn_;
}

}  // namespace leon
