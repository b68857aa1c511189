// What the threads that draw one token do together: extremes, sums, and the selection of a cut by digits.
//
// A block holds up to 8,192 columns of a row in shared memory, 8 a thread: warp w owns 256 adjacent columns, and value
// i of lane l is column 32 i + l of them, so that loads are coalesced and columns ascend with (warp, i, lane). No
// thread touches another's values. A row of more columns is shared by a group of blocks, which meet in the candidate's
// scratch memory: each posts what it has found, and a counter in device memory tells when all have.
//
// All sums are of integers, so neither the number of threads nor the order of their atomics shows in a result.
#pragma once

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/ptx.h"
#include "kernels/sample_math.h"
#include "kernels/sampling.h"

namespace leon::LEON_CUDA::sampler {

using namespace sampling;
using Sum = unsigned long long;  // of masses; the type that CUDA's 64-bit atomics know

constexpr int VALUES = 8, MAX_WARPS = 32;
constexpr int MAX_COLUMNS = MAX_WARPS * WARP * VALUES;  // of a block
constexpr int MIN_COLUMNS = MAX_COLUMNS / 2;            // of a block of a group
constexpr int MAX_BLOCKS = 256;                         // of a group
static_assert(int64_t{MAX_BLOCKS} * MIN_COLUMNS >= MAX_SAMPLE_VOCAB);

// Eleven bits: the 31 bits of a distance are three digits, and the first one is 1/64 wide, so that the logits of a
// model fall into hundreds of bins and few additions meet in one.
constexpr int DIGIT_BITS = 11, BINS = 1 << DIGIT_BITS;

// A mass in two halves, because shared memory adds 32 bits at a time (64 bits are a loop around compare-and-swap): a
// block has 2^13 values of at most 2^36, so neither half's sum exceeds 2^31.
constexpr int HALF_BITS = 18;
static_assert(MAX_COLUMNS * (MASS_OF_MAXIMUM >> HALF_BITS) <= Sum{1} << 31 && MAX_COLUMNS <= 1 << 13);

// A thread reads a run of bins. One empty place behind each 32 moves the runs of a warp's lanes to different banks.
constexpr int BIN_PLACES = BINS + BINS / 32;
__device__ __forceinline__ int place_of_bin(int bin) {
    return bin + bin / 32;
}

struct Shared {
    unsigned low[BIN_PLACES], high[BIN_PLACES];  // of the sum of each bin
    Sum partial[2][MAX_WARPS];                   // of each warp
    Sum cut_missing, cut_weight;
    unsigned cut_bin;
    unsigned broken;                     // a logit is NaN or +inf
    int length, turn;                    // of the candidate: ids in its sequence; of the ring: calls so far
    unsigned arrivals;                   // of the group's blocks at the barriers so far; thread 0's
    float least, total_c, total_u;       // what a contrast needs of its streams (c, u)
    unsigned present[MAX_COLUMNS / 32];  // bit l of word i: the block's column 32 i + l is in the sequence
};

struct Post {
    Sum a, b;
};
struct Meeting {                // of a group, in the candidate's scratch memory; zero at first
    Sum bins[3][BINS];          // of a pass of a selection; the next pass's are zero
    Post posts[2][MAX_BLOCKS];  // of each block, by turns
    unsigned arrived;           // blocks, at all barriers of all launches
    unsigned arrived_before;    // at the barriers of the launches before this one
    unsigned passes_before;     // of selections, modulo 3
    unsigned done;              // of candidate 0: how many candidates have drawn
};
static_assert(sizeof(Meeting) <= SAMPLE_SCRATCH);

struct Group {
    Shared* shared;
    Meeting* meeting;
    int rank, size;                // of this block; of the group
    unsigned meetings;             // so far in this launch
    unsigned pass;                 // of selections, modulo 3
    int first_slot, first_column;  // of this thread: in the block; in the row
};
__device__ __forceinline__ int lane_of_thread() {
    return static_cast<int>(threadIdx.x) % WARP;
}
__device__ __forceinline__ int warp_of_thread() {
    return static_cast<int>(threadIdx.x) / WARP;
}
__device__ __forceinline__ int warps_of_block() {
    return static_cast<int>(blockDim.x) / WARP;
}

// use(value, column) for this thread's values of a row, columns ascending.
template <class Use>
__device__ __forceinline__ void for_each(const Group& g, float* row, Use use) {
#pragma unroll 2
    for (int i = 0; i < VALUES; i++) use(row[g.first_slot + i * WARP], g.first_column + i * WARP);
}

// The barrier of all blocks of the group.
__device__ inline void meet(Group& g) {
    g.meetings++;
    __syncthreads();  // orders the writes and atomics of all threads before thread 0 says that the block has arrived
    if (threadIdx.x == 0) {
        __threadfence();
        atomicAdd(&g.meeting->arrived, 1u);
        g.shared->arrivals += static_cast<unsigned>(g.size);
        while (static_cast<int>(ld_acquire(&g.meeting->arrived) - g.shared->arrivals) < 0) {
        }
    }
    __syncthreads();  // orders the arrival of all blocks before the reads of all threads
}

// Posts of the blocks, every one read by every thread: use(rank, post). Two sets take turns, because a block may be at
// the next meeting before another has read the posts of this one.
template <class Use>
__device__ __forceinline__ void exchange(Group& g, Post mine, Use use) {
    Post* posts = g.meeting->posts[g.meetings % 2];
    if (threadIdx.x == 0) posts[g.rank] = mine;
    meet(g);
#pragma unroll 1
    for (int rank = 0; rank < g.size; rank++) use(rank, Post{__ldcg(&posts[rank].a), __ldcg(&posts[rank].b)});
}

// --- extremes ---------------------------------------------------------------------------------------------------

struct Extremes {
    float maximum, minimum;  // of what is not excluded; EXCLUDED if there is nothing
    int first;               // the first column that holds the maximum
};

__device__ __forceinline__ float value_of(unsigned order) {
    return __uint_as_float(order >> 31 ? order & 0x7fffffffu : ~order);
}
// -0 as 0, its equal.
__device__ __forceinline__ unsigned equal_order_of(float value) {
    return order_of(value + 0.0f);
}

__device__ inline Extremes extremes(Group& g, float* row) {
    unsigned most = order_of(EXCLUDED), least = ~0u, first = ~0u;
    for_each(g, row, [&](float value, int column) {
        const unsigned order = equal_order_of(value);
        first = order > most ? static_cast<unsigned>(column) : first;
        most = order > most ? order : most;
        least = value != EXCLUDED && order < least ? order : least;
    });
    const auto fold = [&] {
        const unsigned top = __reduce_max_sync(~0u, most);
        first = __reduce_min_sync(~0u, most == top ? first : ~0u);
        most = top;
        least = __reduce_min_sync(~0u, least);
    };
    // The largest order, and of its holders the lowest column, as one number: the column in reverse.
    const auto pack = [&] { return Sum{most} << 32 | ~first; };
    const auto unpack = [&](Sum packed) {
        most = static_cast<unsigned>(packed >> 32);
        first = ~static_cast<unsigned>(packed);
    };
    fold();
    Shared& s = *g.shared;
    if (lane_of_thread() == 0) {
        s.partial[0][warp_of_thread()] = pack();
        s.partial[1][warp_of_thread()] = least;
    }
    __syncthreads();  // orders the warps' extremes before all warps' reads
    unpack(lane_of_thread() < warps_of_block() ? s.partial[0][lane_of_thread()] : 0);
    least = lane_of_thread() < warps_of_block() ? static_cast<unsigned>(s.partial[1][lane_of_thread()]) : ~0u;
    fold();
    __syncthreads();  // orders these reads before the next writes of partial
    if (g.size > 1) {
        Sum top = 0;
        exchange(g, {pack(), least}, [&](int, Post post) {
            top = post.a > top ? post.a : top;
            least = post.b < least ? static_cast<unsigned>(post.b) : least;
        });
        unpack(top);
    }
    return {value_of(most), least == ~0u ? EXCLUDED : value_of(least), static_cast<int>(first)};
}

// --- sums -------------------------------------------------------------------------------------------------------

// Of at most 2^39 each.
__device__ __forceinline__ Sum warp_total(Sum value) {
    const unsigned low = __reduce_add_sync(~0u, static_cast<unsigned>(value & 0xfffffu));
    const unsigned high = __reduce_add_sync(~0u, static_cast<unsigned>(value >> 20));
    return (Sum{high} << 20) + low;
}
// Of this lane's and of all lower lanes' values.
__device__ __forceinline__ Sum warp_scan(Sum value) {
#pragma unroll 1
    for (unsigned distance = 1; distance < WARP; distance *= 2) {
        const Sum other = __shfl_up_sync(~0u, value, distance);
        if (lane_of_thread() >= static_cast<int>(distance)) value += other;
    }
    return value;
}

struct Share {
    Sum before, total;  // of the warps before this one; of all
    bool broken;        // a logit of the row
};

// Of one value a warp, the same in all its lanes.
__device__ inline Share block_share(Group& g, Sum own) {
    if (lane_of_thread() == 0) g.shared->partial[0][warp_of_thread()] = own;
    __syncthreads();  // orders the warps' sums, and marks of broken, before all warps' reads
    const Sum scanned = warp_scan(lane_of_thread() < warps_of_block() ? g.shared->partial[0][lane_of_thread()] : 0);
    __syncthreads();  // orders these reads before the next writes of partial
    return {__shfl_sync(~0u, scanned, warp_of_thread()) - own, __shfl_sync(~0u, scanned, WARP - 1),
            g.shared->broken != 0};
}
__device__ inline Share group_share(Group& g, Sum own) {
    const Share share = block_share(g, own);
    if (g.size == 1) return share;
    Share all{share.before, 0, false};
    exchange(g, {share.total, share.broken}, [&](int rank, Post post) {
        if (rank < g.rank) all.before += post.a;
        all.total += post.a;
        all.broken |= post.b != 0;
    });
    return all;
}

// --- the cut of a selection -------------------------------------------------------------------------------------

// What is selected, by the distance of the values to the maximum: either as many as reach a share of the mass, or a
// number of them, and then the distance is one of orders, exact to the last bit.
struct Selection {
    bool by_mass;
    float p;
    unsigned count;
    float maximum, minimum;

    __device__ unsigned key(float value) const {
        return by_mass ? static_cast<unsigned>(distance(value, maximum))
                       : equal_order_of(maximum) - equal_order_of(value);
    }
    __device__ Sum weight(unsigned key) const { return by_mass ? mass(static_cast<int>(key)) : 1; }
    __device__ Sum wanted(Sum total) const { return by_mass ? share(p, total) : count; }
};

constexpr unsigned NOWHERE = ~0u;
struct Cut {
    unsigned key;         // where the weight of the keys up to and with it reaches what is wanted, or NOWHERE
    Sum missing, weight;  // wanted of the values with this very key; their weight
};

// Selection by digits, the highest first: each pass adds up the weights of the values that share the digits found so
// far by their next one, and finds the digit in which the cut lies. Rows of close values have few digits.
__device__ inline Cut select(Group& g, float* row, const Selection& selection) {
    Shared& s = *g.shared;
    const int threads = static_cast<int>(blockDim.x), bins_each = BINS / threads, tid = static_cast<int>(threadIdx.x);
    const int first_bin = tid * bins_each;
    Cut cut{0, 0, 0};
    int bits = 32 - __clz(static_cast<int>(selection.key(selection.minimum) | 1u));
    for (bool is_first = true; bits > 0; is_first = false) {
        const int digit_bits = bits < DIGIT_BITS ? bits : DIGIT_BITS, shift = bits - digit_bits;
        for (int place = tid; place < BIN_PLACES; place += threads) s.low[place] = s.high[place] = 0;
        __syncthreads();  // orders the zeros before the additions
        for_each(g, row, [&](float value, int) {
            const unsigned key = selection.key(value);
            if (value == EXCLUDED || (!is_first && key >> bits != cut.key)) return;
            const Sum weight = selection.weight(key);
            if (weight == 0) return;
            const int place = place_of_bin(static_cast<int>(key >> shift & (BINS - 1)));
            atomicAdd(&s.low[place], static_cast<unsigned>(weight) & ((1u << HALF_BITS) - 1));
            if (weight >> HALF_BITS) atomicAdd(&s.high[place], static_cast<unsigned>(weight >> HALF_BITS));
        });
        __syncthreads();  // orders the additions before the reads of the sums
        const auto sum_of = [&](int bin) {
            return (Sum{s.high[place_of_bin(bin)]} << HALF_BITS) + s.low[place_of_bin(bin)];
        };
        Sum* all = nullptr;  // the group's sums, if there is a group
        if (g.size > 1) {
            all = g.meeting->bins[g.pass];
            g.pass = (g.pass + 1) % 3;
#pragma unroll 1
            for (int bin = first_bin; bin < first_bin + bins_each; bin++)
                if (const Sum own = sum_of(bin)) atomicAdd(&all[bin], own);
#pragma unroll 1
            for (int bin = g.rank * threads + tid; bin < BINS; bin += g.size * threads)
                g.meeting->bins[g.pass][bin] = 0;
            meet(g);
        }
        const auto total_of = [&](int bin) { return all ? __ldcg(&all[bin]) : sum_of(bin); };
        Sum own = 0;
#pragma unroll 1
        for (int bin = first_bin; bin < first_bin + bins_each; bin++) own += total_of(bin);
        const Sum scanned = warp_scan(own);
        const Share warps = block_share(g, __shfl_sync(~0u, scanned, WARP - 1));
        if (is_first) {
            cut.missing = selection.wanted(warps.total);
            if (warps.total < cut.missing) return {NOWHERE, 0, 0};  // all threads: the total is the same in all
        }
        Sum before = warps.before + scanned - own;
        if (before < cut.missing && cut.missing <= before + own) {  // in one thread
            int bin = first_bin;
            Sum weight = total_of(bin);
#pragma unroll 1
            for (; before + weight < cut.missing; weight = total_of(++bin)) before += weight;
            s.cut_bin = static_cast<unsigned>(bin);
            s.cut_missing = cut.missing - before;
            s.cut_weight = weight;
        }
        __syncthreads();  // orders the write of the cut before its reads, and the reads of the sums before the zeros
        cut = {cut.key << digit_bits | s.cut_bin, s.cut_missing, s.cut_weight};
        bits = shift;
    }
    return cut;
}

}  // namespace leon::LEON_CUDA::sampler
