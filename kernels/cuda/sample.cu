// sample: draws a token for every candidate from the logits of its streams, and prepares the next step.
//
//   per-stream steps, mix, steps: kernels/sampling.h; what is done to one id: kernels/sample_math.h
//
// One block draws for a candidate whose rows have up to 8,192 columns (the codes of a picture), a group of blocks where
// there are more (text). The rows stay in shared memory from the first load to the draw, 8 values a thread; nothing is
// sorted. top-k and the nucleus of top-p are cut by a radix selection: three passes over 11 bits of the distance to the
// maximum, each a histogram of integers (counts or masses) in shared memory. The draw is a scan of masses in the order
// of the ids. No logits leave the device.
//
// What bounds it: the instructions of one multiprocessor. Guidance, temperature and top-p of two streams of 8,192 are
// some 280 an id, of which two exponentials are 85: 72,000 of whole warps, 18,000 clocks of four schedulers, 10 us on
// an H100. Reading 64 KB from L2 and 22 barriers are two or three microseconds more. To share a picture's row between
// blocks would save most of the ten and cost a meeting, about 1 us, for each extreme, pass and sum; 65,536 ids, for
// which eight blocks take 15 to 20 us, leave no choice. Exponentials are done in integers, and double is used for a few
// numbers a row; so a consumer card, with a 64th of the double rate, takes no longer. And since all of it is exact to
// the last bit, the GPU draws the processor's tokens.
//
// Equal keys meet in one bin, where shared memory adds one at a time: a row of 8,192 equal logits, which no trained
// model writes, takes some 20 us longer.
#include "kernels/cuda/element.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/sample_group.h"
#include "kernels/random.h"

namespace leon::LEON_CUDA {
namespace {

using namespace sampler;

struct Arguments {
    const float* logits;  // [candidates * lanes, ids]
    int ids, first_id, lanes, streams, candidates, slots;
    int blocks, groups;  // of a candidate; that draw at a time
    bool penalises;
    int64_t capacity;
    const int* ranges;  // [n, 2]
    const int* seed;    // [candidates, 2]
    const int* prompt;  // [candidates]
    int* sequence;      // [candidates, capacity]
    int* length;        // [candidates]
    int* tokens;        // [candidates * lanes]
    int* position;      // [candidates * lanes]
    SegmentRule segments;
    int *segment, *code;     // [candidates * lanes], or null
    int* ring;               // [slots, candidates]
    unsigned* ring_written;  // [1]
    unsigned char* scratch;  // [candidates, SAMPLE_SCRATCH]
    SampleRule rule;
};
using ConstArguments = const Arguments;

__device__ Meeting* meeting_of(const Arguments& a, int candidate) {
    return reinterpret_cast<Meeting*>(a.scratch + candidate * SAMPLE_SCRATCH);
}

// --- tasks ------------------------------------------------------------------------------------------------------

// What is done to a row: the steps of a rule, and what ends a stream and the candidate. A contrast's student ends with
// its temperature, if it has one. Whatever needs all threads
// together stands in the kernel once, for all tasks that need it: its instructions come from memory like any data, and
// inlined at each use they were 200 KB.
struct Task : SampleStep {
    enum class End { None, Threshold, LogSum, Draw };  // of a contrast's first stream; of both its streams; of the mix
    End end = End::None;

    __device__ bool is(SampleOp wanted) const { return end == End::None && op == wanted; }
    __device__ bool cuts_by_count() const { return is(SampleOp::TopK) || end == End::Threshold; }
    __device__ bool cuts_by_mass() const { return is(SampleOp::TopP) || is(SampleOp::TopPBefore); }
    __device__ bool sums_masses() const { return end == End::LogSum || end == End::Draw; }
    __device__ bool needs_extremes() const {
        return cuts_by_count() || cuts_by_mass() || sums_masses() || is(SampleOp::Greedy);
    }
    // Whether the extremes that were known still are; the minimum then is a bound.
    __device__ bool keeps_extremes() const { return needs_extremes(); }
};

__device__ bool has_temperature(const SampleRule& rule, int stream) {
    return rule.mix == SampleMix::ContrastiveTopK && stream == 1 && rule.student_temperature != 1;
}

// Task i of a stream, or of the mix behind the last stream.
__device__ int tasks_of(const Arguments& a, int stream) {
    if (stream == a.streams) return a.rule.step_count + 1;
    if (a.rule.mix != SampleMix::ContrastiveTopK) return a.rule.per_stream_count;
    return a.rule.per_stream_count + (stream == 0 || has_temperature(a.rule, stream) ? 2 : 1);
}
__device__ Task task_of(const Arguments& a, int stream, int i) {
    const bool mixed = stream == a.streams;
    const int past = i - (mixed ? a.rule.step_count : a.rule.per_stream_count);
    if (past < 0) return {mixed ? a.rule.steps[i] : a.rule.per_stream[i]};
    if (past == 0 && !mixed && has_temperature(a.rule, stream))
        return {{SampleOp::Temperature, a.rule.student_temperature, 0, 0, 0}};
    Task task{};
    task.count = a.rule.k;
    task.end = mixed ? Task::End::Draw : past == 0 || stream == 1 ? Task::End::LogSum : Task::End::Threshold;
    return task;
}

// --- steps on this thread's values ------------------------------------------------------------------------------

// A logit that is NaN or +inf is noted, and counts as excluded.
__device__ void load(const Group& g, float* row, const float* logits, int ids) {
    float value[VALUES];  // all under way at once
#pragma unroll
    for (int i = 0; i < VALUES; i++) {
        const int column = g.first_column + i * WARP;
        value[i] = column < ids ? logits[column] : EXCLUDED;
    }
    bool broken = false;
#pragma unroll
    for (int i = 0; i < VALUES; i++) {
        broken |= is_broken(value[i]);
        row[g.first_slot + i * WARP] = is_broken(value[i]) ? EXCLUDED : value[i];
    }
    if (broken) atomicOr(&g.shared->broken, 1u);
}

// The rows of the streams, `columns` apart, into the first.
__device__ void mix_streams(const Group& g, float* rows, int columns, const SampleRule& rule) {
    if (rule.mix == SampleMix::None) return;
    const Shared& s = *g.shared;
    __syncthreads();  // orders thread 0's write of the sums before all threads' reads
#pragma unroll 2
    for (int i = 0; i < VALUES; i++) {
        float* row = rows + g.first_slot + i * WARP;
        const float first = row[0], second = row[columns];
        if (rule.mix == SampleMix::Guidance)
            row[0] = guide(first, second, rule.scale);
        else if (rule.mix == SampleMix::Guidance3)
            row[0] = guide3(first, second, row[2 * columns], rule.scale, rule.scale_text);
        else
            row[0] = first >= s.least ? contrast(first, s.total_c, second, s.total_u) : EXCLUDED;
    }
}

__device__ void restrict_to(const Group& g, float* row, const SampleStep& step, const Arguments& a) {
    unsigned named = 0;  // bit i: value i lies in one of the ranges
#pragma unroll 1
    for (int r = step.first; r < step.last; r++) {
        const int first = a.ranges[2 * r] - a.first_id, last = a.ranges[2 * r + 1] - a.first_id;
#pragma unroll
        for (int i = 0; i < VALUES; i++) {
            const int column = g.first_column + i * WARP;
            named |= (column >= first && column <= last ? 1u : 0u) << i;
        }
    }
    if (step.op == SampleOp::Forbid) named = ~named;
#pragma unroll 2
    for (int i = 0; i < VALUES; i++)
        if (!(named >> i & 1)) row[g.first_slot + i * WARP] = EXCLUDED;
}

__device__ void penalise_present(const Group& g, float* row, float penalty) {
#pragma unroll 2
    for (int i = 0; i < VALUES; i++) {
        float& value = row[g.first_slot + i * WARP];
        if (g.shared->present[warp_of_thread() * VALUES + i] >> lane_of_thread() & 1) value = penalise(value, penalty);
    }
}

// Keeps what lies up to the cut.
__device__ void keep_to_cut(const Group& g, float* row, const Selection& selection, unsigned cut) {
    for_each(g, row, [&](float& value, int) { value = selection.key(value) > cut ? EXCLUDED : value; });
}

// Keeps what lies before the cut, and at it, where all values have one mass, as many as are missing: those of the
// lowest ids. `rank` is that of the warp's first value at the cut.
__device__ void keep_lowest_at_cut(const Group& g, float* row, const Selection& selection, const Cut& cut, Sum rank) {
    const Sum each = selection.weight(cut.key);
#pragma unroll 1
    for (int i = 0; i < VALUES; i++) {
        float& value = row[g.first_slot + i * WARP];
        const unsigned key = selection.key(value), holders = __ballot_sync(~0u, key == cut.key);
        const Sum own_rank = rank + static_cast<Sum>(__popc(holders & ((1u << lane_of_thread()) - 1)));
        if (key > cut.key || (key == cut.key && own_rank * each >= cut.missing)) value = EXCLUDED;
        rank += static_cast<Sum>(__popc(holders));
    }
}

// --- the draw and the turn --------------------------------------------------------------------------------------

// By one thread: what the candidate drew (an id or DREW_*), as kernels/sampling.h says.
__device__ void take_turn(const Arguments& a, const Group& g, int candidate, int drawn) {
    const Shared& s = *g.shared;
    const unsigned turn = static_cast<unsigned>(s.turn);
    a.ring[static_cast<int64_t>(turn % static_cast<unsigned>(a.slots)) * a.candidates + candidate] = drawn;
    if (drawn >= 0) {
        a.sequence[candidate * a.capacity + s.length] = drawn;
        a.length[candidate] = s.length + 1;
    }
    for (int lane = 0; lane < a.lanes; lane++) {
        a.tokens[candidate * a.lanes + lane] = drawn >= 0 ? drawn : 0;
        a.position[candidate * a.lanes + lane]++;
        if (!a.segment) continue;
        int *segment = &a.segment[candidate * a.lanes + lane], *code = &a.code[candidate * a.lanes + lane];
        const SegmentPlace place = place_after(a.segments, {*segment, *code}, drawn >= 0 ? drawn : 0);
        *segment = place.index, *code = place.code;
    }
    // The last of the candidates counts the turn, after all their tokens: each one's fence stands before its addition,
    // the last one's second fence behind them all, and the host that sees the counter sees what was written before it.
    __threadfence_system();
    unsigned* done = &meeting_of(a, 0)->done;
    if (atomicAdd(done, 1u) + 1 == static_cast<unsigned>(a.candidates)) {
        __threadfence_system();
        atomicExch(done, 0u);
        st_release_system(a.ring_written, turn + 1);
    }
}

// Finds the place in the masses, ids ascending; the thread that owns it takes the turn.
__device__ void draw(const Group& g, float* row, float maximum, const Share& share, Sum in_warp, const Arguments& a,
                     int candidate) {
    if (share.broken || share.total == 0) {
        if (g.rank == 0 && threadIdx.x == 0) take_turn(a, g, candidate, share.broken ? DREW_BROKEN : DREW_NOTHING);
        return;
    }
    const uint64_t seed =
        uint64_t{static_cast<unsigned>(a.seed[2 * candidate + 1])} << 32 | static_cast<unsigned>(a.seed[2 * candidate]);
    const int drawn_before = g.shared->length - a.prompt[candidate];
    Sum place = place_in(share.total, uniform_bits(seed, 0, static_cast<uint64_t>(drawn_before)));
    if (place < share.before || place >= share.before + in_warp) return;
    place -= share.before;  // within this warp
#pragma unroll 1
    for (int i = 0; i < VALUES; i++) {
        const Sum scanned = warp_scan(mass(distance(row[g.first_slot + i * WARP], maximum)));
        const unsigned beyond = __ballot_sync(~0u, scanned > place);
        if (beyond != 0) {
            if (lane_of_thread() == __ffs(static_cast<int>(beyond)) - 1)
                take_turn(a, g, candidate, a.first_id + g.first_column + i * WARP);
            return;
        }
        place -= __shfl_sync(~0u, scanned, WARP - 1);
    }
}

__device__ void mark_present(const Group& g, const Arguments& a, int candidate) {
    unsigned* present = g.shared->present;
    const int threads = static_cast<int>(blockDim.x), block_column = g.rank * threads * VALUES;
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < g.shared->length; i += threads) {
        const int column = a.sequence[candidate * a.capacity + i] - a.first_id - block_column;
        if (column >= 0 && column < threads * VALUES) atomicOr(&present[column / 32], 1u << column % 32);
    }
    __syncthreads();  // orders the marks before all threads' reads
}

__device__ void draw_token(Group& g, float* rows, const Arguments& a, int candidate) {
    const int columns = static_cast<int>(blockDim.x) * VALUES;
    for (int stream = 0; stream <= a.streams; stream++) {
        const bool mixed = stream == a.streams;
        float* row = rows + (mixed ? 0 : stream * columns);
        if (mixed)
            mix_streams(g, rows, columns, a.rule);
        else
            load(g, row, a.logits + (int64_t{candidate} * a.lanes + stream) * a.ids, a.ids);
        Extremes known{};
        bool is_known = false;
        for (int i = 0; i < tasks_of(a, stream); i++) {
            const Task task = task_of(a, stream, i);
            if (task.needs_extremes() && !is_known) known = extremes(g, row);
            is_known = task.keeps_extremes();
            const bool is_empty = is_known && known.maximum == EXCLUDED;

            const Selection selection{task.cuts_by_mass(), task.value, static_cast<unsigned>(task.count), known.maximum,
                                      known.minimum};
            Cut cut{NOWHERE, 0, 0};
            if ((task.cuts_by_count() || task.cuts_by_mass()) && !is_empty) cut = select(g, row, selection);

            // All masses, or how many values lie at the cut, where not all of them stay.
            const bool has_ties =
                task.cuts_by_mass() && !is_empty && cut.missing + selection.weight(cut.key) <= cut.weight;
            Share share{0, 0, false};
            Sum in_warp = 0;
            if (task.sums_masses() || has_ties) {
                Sum own = 0;
                for_each(g, row, [&](float value, int) {
                    if (value == EXCLUDED) return;
                    const int below = distance(value, known.maximum);
                    own += has_ties ? below == static_cast<int>(cut.key) : mass(below);
                });
                in_warp = warp_total(own);
                share = group_share(g, in_warp);
            }

            const float kth = cut.key == NOWHERE ? EXCLUDED : value_of(equal_order_of(known.maximum) - cut.key);
            if (task.end == Task::End::Draw) {
                draw(g, row, known.maximum, share, in_warp, a, candidate);
            } else if (task.end == Task::End::LogSum) {
                const float total = is_empty ? EXCLUDED : known.maximum + log_of_mass(share.total);
                if (threadIdx.x == 0) (stream == 0 ? g.shared->total_c : g.shared->total_u) = total;
            } else if (task.end == Task::End::Threshold) {
                if (threadIdx.x == 0) g.shared->least = a.rule.scale + kth;
            } else if (task.cuts_by_count()) {
                for_each(g, row, [&](float& value, int) { value = value < kth ? EXCLUDED : value; });
            } else if (has_ties) {
                keep_lowest_at_cut(g, row, selection, cut, share.before);
            } else if (task.cuts_by_mass()) {
                if (!is_empty) keep_to_cut(g, row, selection, cut.key);
            } else if (task.op == SampleOp::Temperature) {
                for_each(g, row, [&](float& value, int) { value = divide(value, task.value); });
            } else if (task.op == SampleOp::RepetitionPenalty) {
                penalise_present(g, row, task.value);
            } else if (task.op == SampleOp::Greedy) {
                for_each(g, row, [&](float& value, int column) { value = column == known.first ? value : EXCLUDED; });
            } else {
                restrict_to(g, row, task, a);
            }
        }
    }
}

__global__ void __launch_bounds__(MAX_WARPS* WARP) sample_kernel(__grid_constant__ ConstArguments a) {
    DYNAMIC_SHARED(Shared, shared);  // [1], then the rows of the streams
    float* rows = reinterpret_cast<float*>(shared + 1);
    grid_dependency_wait();
    const int tid = static_cast<int>(threadIdx.x);
    Group g{};
    g.shared = shared;
    g.size = a.blocks;
    g.rank = static_cast<int>(blockIdx.x) % a.blocks;
    g.first_slot = warp_of_thread() * WARP * VALUES + lane_of_thread();
    g.first_column = g.rank * static_cast<int>(blockDim.x) * VALUES + g.first_slot;

    for (int candidate = static_cast<int>(blockIdx.x) / a.blocks; candidate < a.candidates; candidate += a.groups) {
        g.meeting = meeting_of(a, candidate);
        g.meetings = 0;
        g.pass = g.meeting->passes_before;
        if (tid == 0) {
            shared->length = a.length[candidate];
            shared->turn = static_cast<int>(*a.ring_written);
            shared->broken = 0;
            shared->arrivals = g.meeting->arrived_before;
        }
        if (tid < warps_of_block() * VALUES) shared->present[tid] = 0;
        __syncthreads();  // orders these writes before the reads and marks of all threads
        if (a.penalises) mark_present(g, a, candidate);
        draw_token(g, rows, a, candidate);
        if (g.size > 1 && g.rank == 0 && tid == 0) {  // the other blocks have read them before they came to a meeting
            g.meeting->arrived_before = shared->arrivals;
            g.meeting->passes_before = g.pass;
        }
        __syncthreads();  // orders this candidate's reads of shared memory before the next one's writes
    }
}

struct Shape {
    int warps, blocks;  // of a block; of a candidate
    size_t shared_bytes;
};

// The fewest blocks, of the fewest warps, that hold the rows: meetings cost more than a few values more. Consumer cards
// have 99 KB of shared memory, in which three streams of 8,192 columns find no room; they take two blocks.
Shape shape_of(int64_t ids, int streams) {
    const auto bytes = [&](int warps) {
        return sizeof(Shared) + static_cast<size_t>(streams * warps * WARP * VALUES) * sizeof(float);
    };
    int warps = MAX_WARPS;  // always a power of two, so that the bins are shared out evenly
    if (bytes(warps) > static_cast<size_t>(device_attribute<cudaDevAttrMaxSharedMemoryPerBlockOptin>())) warps /= 2;
    const int64_t blocks = divide_up(ids, warps * WARP * VALUES);
    while (blocks == 1 && warps > 1 && warps / 2 * WARP * VALUES >= ids) warps /= 2;
    return {warps, static_cast<int>(blocks), bytes(warps)};
}

bool penalises(const SampleStep* steps, int count) {
    for (int i = 0; i < count; i++)
        if (steps[i].op == SampleOp::RepetitionPenalty) return true;
    return false;
}

}  // namespace

void sample(const Draws& draws, const SampleRule& rule) {
    Draws d = draws;
    const int64_t ids = d.logits.cols();
    Arguments a{};
    a.logits = d.logits.f32();
    a.ids = static_cast<int>(ids);
    a.first_id = d.first_id;
    a.lanes = d.lanes;
    a.streams = streams_of(rule.mix);
    const Shape shape = shape_of(ids, a.streams);
    a.candidates = static_cast<int>(d.candidates());
    a.slots = static_cast<int>(d.ring.shape[0]);
    a.blocks = shape.blocks;
    a.penalises = penalises(rule.per_stream, rule.per_stream_count) || penalises(rule.steps, rule.step_count);
    a.capacity = d.sequence.cols();
    a.ranges = d.ranges ? d.ranges.i32() : nullptr;
    a.seed = d.seed.i32();
    a.prompt = d.prompt.i32();
    a.sequence = d.sequence.i32();
    a.length = d.length.i32();
    a.tokens = d.tokens.i32();
    a.position = d.position.i32();
    a.segments = d.segments;
    a.segment = d.segments ? d.segment.i32() : nullptr;
    a.code = d.segments ? d.code.i32() : nullptr;
    a.ring = d.ring.i32();
    a.ring_written = reinterpret_cast<unsigned*>(d.ring_written.i32());
    a.scratch = data_of<unsigned char>(d.scratch);
    a.rule = rule;

    // Blocks that wait for each other must be resident: one fits a multiprocessor, so many groups are there at a time.
    const int at_once = max(1, multiprocessors() / a.blocks);
    a.groups = a.blocks == 1 ? a.candidates : min(a.candidates, at_once);
    const dim3 grid(static_cast<unsigned>(a.groups * a.blocks)), block(static_cast<unsigned>(shape.warps * WARP));
    if (a.blocks == 1)
        CUDA_CHECK(launch_dependent(sample_kernel, grid, block, shape.shared_bytes, a));
    else
        CUDA_CHECK(launch_cooperative(sample_kernel, grid, block, shape.shared_bytes, a));
}

}  // namespace leon::LEON_CUDA
