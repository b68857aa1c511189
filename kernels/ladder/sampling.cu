// A ladder for sampling: guidance of two streams, the nucleus of top-p 0.9, a draw. [2 * candidates, ids] logits in,
// one id a candidate out.
//
// The least that can be done: read both streams once, 64 KB a candidate with 8,192 ids, and take as many exponentials.
// That is half a microsecond for one multiprocessor; all else is waiting: for barriers, and for the one thread that
// walks. What there is to learn is how to find a cut in a sorted order without sorting.
//
//   1. one thread                Mixes, takes the next largest id until the masses reach 0.9 of all, draws. Each of
//                                some dozens of ids costs a pass over the row.
//   2. one block                 The same with 256 threads: a pass is a few loads and a reduction by shuffles. Still a
//                                pass for each id that is kept, through global memory.
//   3. a sort                    Bitonic, in shared memory: the row is read once, whatever is kept.
//   4. bisection                 Only the cut is wanted, not the order: halve the interval of distances 31 times, each
//                                time with the sum of the masses above.
//   5. digits of 8 bits          Four histograms in place of 31 sums. A bin's masses add up by integer atomics, so
//   their
//                                order does not matter. One thread walks the 256 bins to the cut.
//   6. digits of 11 bits, a scan Three histograms; all threads find the cut by a scan of the sums.
//   7. one launch                The row stays in shared memory from the mix to the draw.
//   8. the shipped launcher      Any rule, any number of ids. Lanes own adjacent values, not runs of them: no two want
//                                the same bank.
//
// Values at the same distance as the cut are all kept here; only the shipped kernel ranks them by their ids.
#include "kernels/cuda/sample_group.h"
#include "kernels/ladder/ladder.h"
#include "kernels/random.h"
#include "kernels/sample_math.h"

namespace leon::LEON_CUDA {
namespace {

using namespace sampling;
using sampler::Sum;
using sampler::warp_scan;

constexpr float SCALE = 3, TOP_P = 0.9f;
constexpr unsigned THREADS = 256, WARPS = THREADS / WARP;

__device__ float mixed_at(const float* logits, int ids, int64_t candidate, int i) {
    const float* row = logits + 2 * candidate * ids;
    return guide(row[i], row[ids + i], SCALE);
}
__device__ uint64_t random_bits(int64_t candidate) {
    return uniform_bits(static_cast<uint64_t>(candidate), 0, 0);
}

// --- folds over a block; with one thread, nothing to do ---------------------------------------------------------

template <unsigned COUNT, class Combine>
__device__ Sum fold(Sum value, [[maybe_unused]] Sum* partial, Combine combine) {  // partial [COUNT / WARP]
    if constexpr (COUNT > 1) {
        for (int distance = WARP / 2; distance > 0; distance /= 2)
            value = combine(value, __shfl_xor_sync(~0u, value, distance));
        if (threadIdx.x % WARP == 0) partial[threadIdx.x / WARP] = value;
        __syncthreads();  // orders the warps' values before all threads' reads
        value = partial[0];
        for (unsigned warp = 1; warp < COUNT / WARP; warp++) value = combine(value, partial[warp]);
        __syncthreads();  // orders these reads before the next fold's writes
    }
    return value;
}
template <unsigned COUNT>
__device__ Sum sum_of_all(Sum value, Sum* partial) {
    return fold<COUNT>(value, partial, [](Sum a, Sum b) { return a + b; });
}
template <unsigned COUNT>
__device__ Sum least_of_all(Sum value, Sum* partial) {
    return fold<COUNT>(value, partial, [](Sum a, Sum b) { return b < a ? b : a; });
}
template <unsigned COUNT>
__device__ float maximum_of_row(const float* row, int ids, Sum* partial) {
    Sum best = 0;
    for (int i = static_cast<int>(threadIdx.x); i < ids; i += COUNT) best = max(best, Sum{order_of(row[i])});
    best = fold<COUNT>(best, partial, [](Sum a, Sum b) { return b > a ? b : a; });
    return sampler::value_of(static_cast<unsigned>(best));
}

// --- the mix and the draw ---------------------------------------------------------------------------------------

__global__ void mix_kernel(float* mixed,         // [candidates, ids]
                           const float* logits,  // [2 * candidates, ids]
                           int ids) {
    const int64_t candidate = blockIdx.y;
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < ids) mixed[candidate * ids + i] = mixed_at(logits, ids, candidate, i);
}

// Each thread sums a run of ids; the owner of the place walks its run.
template <unsigned COUNT>
__device__ void draw(int* token, const float* row, int ids, int64_t candidate, float maximum, Sum* partial) {
    const int each = static_cast<int>(divide_up(ids, COUNT)), first = static_cast<int>(threadIdx.x) * each;
    const int last = min(ids, first + each);
    Sum own = 0, before = 0;
    for (int i = first; i < last; i++) own += mass(distance(row[i], maximum));
    const Sum total = sum_of_all<COUNT>(own, partial);
    if constexpr (COUNT > 1) {
        const Sum scanned = warp_scan(own);
        if (threadIdx.x % WARP == WARP - 1) partial[threadIdx.x / WARP] = scanned;
        __syncthreads();  // orders the warps' sums before all threads' reads
        for (unsigned warp = 0; warp < threadIdx.x / WARP; warp++) before += partial[warp];
        before += scanned - own;
    }
    const Sum place = place_in(total, random_bits(candidate));
    if (place < before || place >= before + own) return;
    for (int i = first;; i++) {
        before += mass(distance(row[i], maximum));
        if (before > place) {
            *token = i;
            return;
        }
    }
}
template <unsigned COUNT>
__global__ void __launch_bounds__(COUNT) draw_kernel(int* tokens,         // [candidates]
                                                     const float* mixed,  // [candidates, ids], the nucleus
                                                     int ids) {
    DYNAMIC_SHARED(Sum, partial);  // [WARPS]
    const float* row = mixed + int64_t{blockIdx.x} * ids;
    const float maximum = maximum_of_row<COUNT>(row, ids, partial);
    draw<COUNT>(tokens + blockIdx.x, row, ids, blockIdx.x, maximum, partial);
}

// --- the nucleus ------------------------------------------------------------------------------------------------

// The place of an id in the order: by distance, then by id.
__device__ Sum place_of(float value, float maximum, int i) {
    return Sum{static_cast<unsigned>(distance(value, maximum))} << 32 | static_cast<unsigned>(i);
}

template <unsigned COUNT>
__device__ Sum wanted_mass(const float* row, int ids, float maximum, Sum* partial) {
    Sum total = 0;
    for (int i = static_cast<int>(threadIdx.x); i < ids; i += COUNT) total += mass(distance(row[i], maximum));
    return share(TOP_P, sum_of_all<COUNT>(total, partial));
}

// Takes the next of the order, again and again.
template <unsigned COUNT>
__global__ void __launch_bounds__(COUNT) take_the_largest(float* mixed, int ids) {
    DYNAMIC_SHARED(Sum, partial);  // [WARPS]
    float* row = mixed + int64_t{blockIdx.x} * ids;
    const float maximum = maximum_of_row<COUNT>(row, ids, partial);
    const Sum wanted = wanted_mass<COUNT>(row, ids, maximum, partial);
    Sum sum = 0, taken = 0;  // everything before this place
    while (sum < wanted) {
        Sum next = ~Sum{0};
        for (int i = static_cast<int>(threadIdx.x); i < ids; i += COUNT) {
            const Sum place = place_of(row[i], maximum, i);
            if (place >= taken && place < next) next = place;
        }
        next = least_of_all<COUNT>(next, partial);
        sum += mass(static_cast<int>(next >> 32));
        taken = next + 1;
    }
    for (int i = static_cast<int>(threadIdx.x); i < ids; i += COUNT)
        if (place_of(row[i], maximum, i) >= taken) row[i] = EXCLUDED;
}

__global__ void __launch_bounds__(THREADS) sort_the_row(float* mixed, int ids, int padded) {
    DYNAMIC_SHARED(Sum, partial);  // [WARPS], then the order [padded]
    Sum* order = partial + WARPS;
    float* row = mixed + int64_t{blockIdx.x} * ids;
    const int t = static_cast<int>(threadIdx.x);
    const float maximum = maximum_of_row<THREADS>(row, ids, partial);
    for (int i = t; i < padded; i += THREADS) order[i] = i < ids ? place_of(row[i], maximum, i) : ~Sum{0};
    for (int size = 2; size <= padded; size *= 2)
        for (int stride = size / 2; stride > 0; stride /= 2) {
            __syncthreads();  // orders the exchanges before this one, first the filling, before its reads
            for (int pair = t; pair < padded / 2; pair += THREADS) {
                const int low = pair / stride * 2 * stride + pair % stride, high = low + stride;
                const bool ascends = (low & size) == 0;
                const Sum a = order[low], b = order[high];
                if ((a > b) == ascends) {
                    order[low] = b;
                    order[high] = a;
                }
            }
        }
    __syncthreads();  // orders the last exchanges before the reads below
    Sum total = 0;
    for (int i = t; i < ids; i += THREADS) total += mass(static_cast<int>(order[i] >> 32));
    const Sum wanted = share(TOP_P, sum_of_all<THREADS>(total, partial));
    if (t == 0) {
        int kept = 0;
        for (Sum sum = 0; sum < wanted; kept++) sum += mass(static_cast<int>(order[kept] >> 32));
        partial[0] = static_cast<Sum>(kept);
    }
    __syncthreads();  // orders the count of what is kept before all threads' reads
    for (int i = static_cast<int>(partial[0]) + t; i < ids; i += THREADS) row[static_cast<int>(order[i])] = EXCLUDED;
}

// Excludes what lies further than the cut.
__device__ void keep_to(float* row, int ids, float maximum, int cut) {
    for (int i = static_cast<int>(threadIdx.x); i < ids; i += THREADS)
        if (distance(row[i], maximum) > cut) row[i] = EXCLUDED;
}

__global__ void __launch_bounds__(THREADS) bisect_the_cut(float* mixed, int ids) {
    DYNAMIC_SHARED(Sum, partial);  // [WARPS], then the distances [ids]
    int* distances = reinterpret_cast<int*>(partial + WARPS);
    float* row = mixed + int64_t{blockIdx.x} * ids;
    const float maximum = maximum_of_row<THREADS>(row, ids, partial);
    for (int i = static_cast<int>(threadIdx.x); i < ids; i += THREADS) distances[i] = distance(row[i], maximum);
    const Sum wanted = wanted_mass<THREADS>(row, ids, maximum, partial);
    int cut = 0;  // the largest distance of which it is known that less than is wanted lies before it
    for (int step = 1 << 30; step > 0; step /= 2) {
        Sum before = 0;
        for (int i = static_cast<int>(threadIdx.x); i < ids; i += THREADS)  // each thread reads what it has written
            if (distances[i] < cut + step) before += mass(distances[i]);
        if (sum_of_all<THREADS>(before, partial) < wanted) cut += step;
    }
    keep_to(row, ids, maximum, cut);
}

enum class Finder { OneThread, Scan };

// A selection by digits: as sampler::select of kernels/cuda/sample_group.h, with a choice of digits and of who finds
// the cut.
template <int DIGIT_BITS, Finder FINDER>
__device__ int select_cut(const int* distances, int ids, Sum wanted, Sum* partial, unsigned* low, unsigned* high) {
    constexpr int BINS = 1 << DIGIT_BITS, EACH = FINDER == Finder::Scan ? BINS / THREADS : BINS;
    const int t = static_cast<int>(threadIdx.x);
    int cut = 0;
    for (int bits = 31; bits > 0;) {
        const int digit_bits = bits < DIGIT_BITS ? bits : DIGIT_BITS, shift = bits - digit_bits;
        for (int bin = t; bin < BINS; bin += THREADS) low[bin] = high[bin] = 0;
        __syncthreads();  // orders the zeros before the additions
        for (int i = t; i < ids; i += THREADS) {
            const Sum weight = mass(distances[i]);
            if (weight == 0 || distances[i] >> bits != cut) continue;
            const int bin = distances[i] >> shift & (BINS - 1);
            atomicAdd(&low[bin], static_cast<unsigned>(weight) & 0x3ffffu);
            if (weight >> 18) atomicAdd(&high[bin], static_cast<unsigned>(weight >> 18));
        }
        __syncthreads();  // orders the additions before the reads of the sums
        const auto sum_of = [&](int bin) { return (Sum{high[bin]} << 18) + low[bin]; };
        int bin = 0;
        Sum before = 0, own = ~Sum{0};
        if (FINDER == Finder::Scan) {
            bin = t * EACH;
            own = 0;
            for (int i = 0; i < EACH; i++) own += sum_of(bin + i);
            const Sum scanned = warp_scan(own);
            if (t % WARP == WARP - 1) partial[t / WARP] = scanned;
            __syncthreads();  // orders the warps' sums before all threads' reads
            for (int warp = 0; warp < t / WARP; warp++) before += partial[warp];
            before += scanned - own;
            __syncthreads();  // orders these reads before the write of the cut below
        }
        const bool finds = FINDER == Finder::Scan ? before < wanted && wanted <= before + own : t == 0;
        if (finds) {
            for (; before + sum_of(bin) < wanted; bin++) before += sum_of(bin);
            partial[0] = static_cast<Sum>(bin);
            partial[1] = wanted - before;
        }
        __syncthreads();  // orders the write of the cut before all threads' reads, the reads of the sums before the
                          // zeros
        cut = cut << digit_bits | static_cast<int>(partial[0]);
        wanted = partial[1];
        bits = shift;
    }
    return cut;
}

template <int DIGIT_BITS, Finder FINDER>
__global__ void __launch_bounds__(THREADS) select_by_digits(float* mixed, int ids) {
    DYNAMIC_SHARED(Sum, partial);  // [WARPS], then the bins [2, BINS], then the distances [ids]
    unsigned* bins = reinterpret_cast<unsigned*>(partial + WARPS);
    int* distances = reinterpret_cast<int*>(bins + (2 << DIGIT_BITS));
    float* row = mixed + int64_t{blockIdx.x} * ids;
    const float maximum = maximum_of_row<THREADS>(row, ids, partial);
    for (int i = static_cast<int>(threadIdx.x); i < ids; i += THREADS) distances[i] = distance(row[i], maximum);
    const Sum wanted = wanted_mass<THREADS>(row, ids, maximum, partial);
    const int cut = select_cut<DIGIT_BITS, FINDER>(distances, ids, wanted, partial, bins, bins + (1 << DIGIT_BITS));
    keep_to(row, ids, maximum, cut);
}

// --- one launch -------------------------------------------------------------------------------------------------

__global__ void __launch_bounds__(THREADS) sample_fused(int* tokens, const float* logits, int ids) {
    DYNAMIC_SHARED(Sum, partial);  // [WARPS], then the bins [2, 2048], then the row [ids], then the distances [ids]
    unsigned* bins = reinterpret_cast<unsigned*>(partial + WARPS);
    float* row = reinterpret_cast<float*>(bins + (2 << 11));
    int* distances = reinterpret_cast<int*>(row + ids);
    const int64_t candidate = blockIdx.x;
    for (int i = static_cast<int>(threadIdx.x); i < ids; i += THREADS) row[i] = mixed_at(logits, ids, candidate, i);
    const float maximum = maximum_of_row<THREADS>(row, ids, partial);
    for (int i = static_cast<int>(threadIdx.x); i < ids; i += THREADS) distances[i] = distance(row[i], maximum);
    const Sum wanted = wanted_mass<THREADS>(row, ids, maximum, partial);
    const int cut = select_cut<11, Finder::Scan>(distances, ids, wanted, partial, bins, bins + (1 << 11));
    keep_to(row, ids, maximum, cut);
    __syncthreads();  // orders the exclusions before the draw's reads, which go by runs
    draw<THREADS>(tokens + candidate, row, ids, candidate, maximum, partial);
}

// --- the study --------------------------------------------------------------------------------------------------

int study() {
    const int candidates = 2, ids = static_cast<int>(emulated_or_gpu(1024, 8192)), rows = 2 * candidates;
    Ladder ladder("sampling: guidance and top-p of " + std::to_string(candidates) + " candidates, " +
                      std::to_string(ids) + " ids",
                  {.bytes = rows * ids * 4.0, .flops = candidates * ids * 30.0});
    const Operand logits = ladder.random({rows, ids}), mixed = ladder.random({candidates, ids});
    const auto ints = [&](int64_t n, int32_t value = 0) {
        return ladder.ints({n}, std::vector<int32_t>(static_cast<size_t>(n), value));
    };
    const Operand seed = ladder.ints({candidates, 2}, {0, 0, 1, 0}), tokens = ints(rows), position = ints(rows);
    const Operand length = ints(candidates), prompt = ints(candidates), written = ints(1);
    const Operand sequence = ints(candidates * 4), scratch = ints(candidates * SAMPLE_SCRATCH / 4);
    Operand drawn = ladder.result({1, candidates}, DType::I32);
    const auto draws_on = [&](Tensor Operand::*side) {
        Draws d;
        d.logits = logits.*side;
        d.first_id = 0;
        d.vocab = ids;
        d.lanes = 2;
        d.seed = seed.*side;
        d.sequence = (sequence.*side).as({candidates, 4});
        d.length = length.*side;
        d.prompt = prompt.*side;
        d.tokens = tokens.*side;
        d.position = position.*side;
        d.ring = drawn.*side;
        d.ring_written = written.*side;
        d.scratch = Tensor((scratch.*side).data, DType::U8, {candidates, SAMPLE_SCRATCH});
        return d;
    };
    SampleRule rule{};
    rule.mix = SampleMix::Guidance;
    rule.scale = SCALE;
    rule.steps[rule.step_count++] = {SampleOp::TopP, TOP_P, 0, 0, 0};
    ladder.expect([&] { leon::sample(reference_kernels(), draws_on(&Operand::host), rule); });

    const float* pl = logits.device.f32();
    Tensor mixed_tensor = mixed.device;
    float* pm = mixed_tensor.f32();
    int* pd = drawn.device.i32();
    const size_t partial = WARPS * sizeof(Sum);
    const auto mix = [&] {
        const dim3 grid(static_cast<unsigned>(divide_up(ids, THREADS)), static_cast<unsigned>(candidates));
        CUDA_CHECK(launch(mix_kernel, grid, THREADS, 0, pm, pl, ids));
    };
    const auto draw_by_block = [&] {
        CUDA_CHECK(launch(draw_kernel<THREADS>, candidates, THREADS, partial, pd, pm, ids));
    };

    ladder.rung("one thread, the largest again and again", Figure::None, [&] {
        mix();
        CUDA_CHECK(launch(take_the_largest<1>, candidates, 1, partial, pm, ids));
        CUDA_CHECK(launch(draw_kernel<1>, candidates, 1, partial, pd, pm, ids));
    });
    ladder.rung("one block, the same", Figure::BusiestWarp, [&] {
        mix();
        CUDA_CHECK(launch(take_the_largest<THREADS>, candidates, THREADS, partial, pm, ids));
        draw_by_block();
    });
    ladder.rung("a sort in shared memory", Figure::Moved, [&] {
        mix();
        const size_t bytes = partial + static_cast<size_t>(ids) * sizeof(Sum);
        CUDA_CHECK(launch(sort_the_row, candidates, THREADS, bytes, pm, ids, ids));
        draw_by_block();
    });
    ladder.rung("bisection of the cut", Figure::SharedTraffic, [&] {
        mix();
        const size_t bytes = partial + static_cast<size_t>(ids) * sizeof(int);
        CUDA_CHECK(launch(bisect_the_cut, candidates, THREADS, bytes, pm, ids));
        draw_by_block();
    });
    const auto select = [&](auto kernel, int digit_bits) {
        mix();
        const size_t bytes = partial + (static_cast<size_t>(ids) + (2u << digit_bits)) * sizeof(int);
        CUDA_CHECK(launch(kernel, candidates, THREADS, bytes, pm, ids));
        draw_by_block();
    };
    ladder.rung("digits of 8 bits", Figure::Barriers, [&] { select(select_by_digits<8, Finder::OneThread>, 8); });
    ladder.rung("digits of 11 bits, a scan", Figure::BusiestWarp,
                [&] { select(select_by_digits<11, Finder::Scan>, 11); });
    ladder.rung("one launch", Figure::Launches, [&] {
        const size_t bytes = partial + (2 * static_cast<size_t>(ids) + (2u << 11)) * sizeof(int);
        CUDA_CHECK(launch(sample_fused, candidates, THREADS, bytes, pd, pl, ids));
    });
    ladder.rung("shipped", Figure::BankConflicts, [&] { sample(draws_on(&Operand::device), rule); });
    return ladder.finish();
}

}  // namespace
}  // namespace leon::LEON_CUDA

int main() {
    return leon::LEON_CUDA::study();
}
