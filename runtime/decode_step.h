// One step of decoding on the device, again and again without the host: a forward pass over one row per lane, then a
// draw for every candidate, which puts the drawn token where the next step reads it.
//
//   step.begin(batch, members, 256);               // what the host knows, to the device
//   step.queue();  step.queue();                   // each is carried out some time later
//   std::span<const int32_t> drawn = step.take();  // what the oldest of them drew; waits for it
//
// Between begin() and the last take() nothing goes to the device but the order to go on: tokens, positions and lengths
// live there, and drawn tokens come back through a ring of shared memory. So the step is recorded once, and a GPU gets
// a token for one launch; the CPU calls the same operations, and has done them when queue() returns.
//
// Steps may be queued before it is known that they are wanted. Those that are not taken have changed nothing that
// counts: the host's lengths do not include what they wrote, and begin() says anew where every row stands.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/sampler.h"
#include "runtime/state.h"
#include "runtime/transformer.h"

namespace leon {

class DecodeStep {
public:
    // A candidate: what it has so far, how it draws, and how many rows of the batch give logits for it.
    struct Member {
        const std::vector<int32_t>* sequence;  // prompt included
        int prompt_tokens;
        uint64_t seed;
        int lanes;
        const CompiledChain* chain;
    };

    // At most `members` candidates, whose sequences grow to at most `capacity` tokens.
    DecodeStep(Transformer& network, KvCache& cache, const Kernels& kernels, int members, int capacity);

    // What was queued and not taken is given up. The outputs of the batch are the members' lanes, in order. `steps` is
    // how many may be queued: more than one needs a batch of one row per lane, and positions that are reserved.
    void begin(const Batch& batch, std::span<const Member> members, int steps);

    void queue();
    int under_way() const { return queued_ - taken_; }
    bool has_drawn() const;  // whether take() would not wait

    // Of the oldest step under way, in the order of the members: an id, DREW_BROKEN or DREW_NOTHING.
    std::span<const int32_t> take();

private:
    // Adjacent members that draw by the same rule from as many lanes: one call of `sample`.
    struct Group {
        int members, lanes;
        SampleRule rule;  // its ranges are rows of ranges_
        bool operator==(const Group& other) const;
    };
    // All that a recording fixes.
    struct Plan {
        BatchShape shape;
        std::vector<Group> groups;
        bool operator==(const Plan&) const = default;
    };

    void upload_state(std::span<const Member> members, const std::vector<int32_t>& ranges);
    void carry_out(const Plan& plan);
    Draws draws_of(const Group& group, const BatchShape& shape, Tensor logits, int member, int row) const;
    int32_t& written(int member) const { return written_.tensor().i32()[member]; }

    Transformer& network_;
    KvCache& cache_;
    const Kernels& kernels_;

    Buffer seed_, sequence_, length_, prompt_;  // [members, 2], [members, capacity], [members, 1] twice
    Buffer scratch_;                            // [members, SAMPLE_SCRATCH]
    Buffer ranges_;                             // [n, 2], made larger when a rule needs more
    Buffer ring_;                               // shared, one after the other: [RING_SLOTS, members] of each group
    Buffer written_;  // shared: each group's count of draws, at the number of its first member

    Plan plan_, recorded_;
    Replayable recording_;        // of recorded_, which it refers to
    bool replays_ = false;        // the recording is of plan_
    int queued_ = 0, taken_ = 0;  // steps since begin()
    std::vector<int32_t> drawn_;
};

}  // namespace leon
