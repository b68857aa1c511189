// head_norm, rope, append, and all three at once (rotate_append), between the projections and attention:
//
//   head_norm   (x - mean) / sqrt(mean((x - mean)^2) + eps) * weight + bias, over the channels of a head
//   rope        channels i and i + half turn by the angle p * theta^(-i / half), where p is the position, for odd i the
//               index in the segment if that is given
//   append      k and v go to the cache, rounded to its type
//
// A warp does one head at a time, in registers: a lane holds pairs of channels that turn together, two adjacent pairs
// where that keeps loads at 8 bytes. One warp a head while tokens are few; more heads a warp when they are many, so
// that an angle is computed once for several.
//
// Decoding, bound by latency: 48 KiB for a token of 32 + 2 * 32 heads of 128. The launch is a dependent one: what does
// not depend on the kernel before it, the frequencies (double precision, 60 instructions in a row), the weights of the
// norms, comes before the wait. Prefill: bound by bytes.
#include <cfloat>
#include <type_traits>

#include "kernels/cuda/cache.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/reduce.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int WARPS = 4;             // of a block: 24 blocks for a token of 96 heads
constexpr int HEADS_OF_A_WARP = 8;   // when tokens are many
constexpr int64_t MANY_TOKENS = 64;  // from here on a warp a head would be more warps than a GPU holds at once

constexpr double ONE_RADIAN = 0.15915494309189535;  // 1 / (2 pi), in turns

// What is done to the heads of a token: q and k are normalised and turned, k and v go to the cache.
struct Heads {
    float *q = nullptr, *k = nullptr, *v = nullptr;  // [tokens, heads or kv_heads, head_dim]
    const float *q_weight = nullptr, *q_bias = nullptr, *k_weight = nullptr, *k_bias = nullptr;  // or null: no norm
    const int *stream = nullptr, *position = nullptr, *segment = nullptr;                        // [tokens]
    double log2_theta = 0;
    float eps = 0;
    bool turns = false;
    int heads = 0, kv_heads = 0, head_dim = 0;
    int heads_of_a_warp = 1;
};

// The channels of a lane: pairs (i, i + half) for i = (step * 32 + lane) * WIDTH and the WIDTH - 1 next to it.
template <int STEPS, int WIDTH>
struct Channels {
    float low[STEPS][WIDTH], high[STEPS][WIDTH];
};

template <int WIDTH>
__device__ __forceinline__ void load(float (&to)[WIDTH], const float* from, bool valid) {
#pragma unroll
    for (int w = 0; w < WIDTH; w++) to[w] = 0;
    if (!valid) return;
    if constexpr (WIDTH == 2) {
        const float2 pair = *reinterpret_cast<const float2*>(from);
        to[0] = pair.x, to[1] = pair.y;
    } else {
        to[0] = *from;
    }
}

template <int WIDTH, class T>
__device__ __forceinline__ void store(T* to, const float (&from)[WIDTH], bool valid) {
    if (!valid) return;
    if constexpr (WIDTH == 2) {
        const T pair[2] = {narrow<T>(from[0]), narrow<T>(from[1])};
        using Word = std::conditional_t<sizeof(T) == 4, float2, std::conditional_t<sizeof(T) == 2, unsigned, uint16_t>>;
        Word word;
        memcpy(&word, pair, sizeof word);
        *reinterpret_cast<Word*>(to) = word;
    } else {
        *to = narrow<T>(from[0]);
    }
}

template <int STEPS, int WIDTH>
class HeadOfLane {
public:
    __device__ __forceinline__ explicit HeadOfLane(int head_dim) : head_dim_(head_dim), half_((head_dim + 1) / 2) {}

    __device__ __forceinline__ int first(int step) const {
        return (step * WARP + static_cast<int>(threadIdx.x) % WARP) * WIDTH;
    }
    __device__ __forceinline__ bool has_low(int step) const { return first(step) < half_; }
    __device__ __forceinline__ bool has_high(int step) const {
        return first(step) < half_ && first(step) + half_ < head_dim_;
    }
    __device__ __forceinline__ Channels<STEPS, WIDTH> read(const float* head) const {
        Channels<STEPS, WIDTH> x;
#pragma unroll
        for (int s = 0; s < STEPS; s++) {
            load(x.low[s], head + first(s), has_low(s));
            load(x.high[s], head + first(s) + half_, has_high(s));
        }
        return x;
    }
    template <class T>
    __device__ __forceinline__ void write(T* head, const Channels<STEPS, WIDTH>& x) const {
#pragma unroll
        for (int s = 0; s < STEPS; s++) {
            store(head + first(s), x.low[s], has_low(s));
            store(head + first(s) + half_, x.high[s], has_high(s));
        }
    }
    // The scale of the row, and the row in whole numbers of it; see cache_scale() in kernels/operands.h.
    __device__ __forceinline__ float to_scale(Channels<STEPS, WIDTH>& x) const {
        unsigned largest = 0;
#pragma unroll
        for (int s = 0; s < STEPS; s++)
#pragma unroll
            for (int w = 0; w < WIDTH; w++) {
                if (has_low(s)) largest = max(largest, __float_as_uint(x.low[s][w]) & 0x7fffffffu);
                if (has_high(s)) largest = max(largest, __float_as_uint(x.high[s][w]) & 0x7fffffffu);
            }
        const float scale = __uint_as_float(__reduce_max_sync(~0u, largest)) / 127;
        const bool counts = scale >= FLT_MIN && scale <= FLT_MAX;
        const float inverse = counts ? 1 / scale : 0;
#pragma unroll
        for (int s = 0; s < STEPS; s++)
#pragma unroll
            for (int w = 0; w < WIDTH; w++) {
                x.low[s][w] = counts ? x.low[s][w] * inverse : 0;
                x.high[s][w] = counts ? x.high[s][w] * inverse : 0;
            }
        return scale < FLT_MIN ? 0 : scale;
    }
    // The mean first and the squares around it second: one pass over both sums would cancel.
    __device__ __forceinline__ void normalise(Channels<STEPS, WIDTH>& x, const Channels<STEPS, WIDTH>& gain,
                                              const Channels<STEPS, WIDTH>& offset, float eps) const {
        const float count = static_cast<float>(head_dim_);
        float sum = 0, squares = 0;
#pragma unroll
        for (int s = 0; s < STEPS; s++)
#pragma unroll
            for (int w = 0; w < WIDTH; w++) sum += x.low[s][w] + x.high[s][w];
        const float mean = warp_sum(sum) / count;
#pragma unroll
        for (int s = 0; s < STEPS; s++)
#pragma unroll
            for (int w = 0; w < WIDTH; w++) {
                const float low = x.low[s][w] - mean, high = x.high[s][w] - mean;
                if (has_low(s)) squares = fmaf(low, low, squares);
                if (has_high(s)) squares = fmaf(high, high, squares);
            }
        const float factor = 1.0f / sqrtf(warp_sum(squares) / count + eps);
#pragma unroll
        for (int s = 0; s < STEPS; s++)
#pragma unroll
            for (int w = 0; w < WIDTH; w++) {
                x.low[s][w] = (x.low[s][w] - mean) * factor * gain.low[s][w] + offset.low[s][w];
                x.high[s][w] = (x.high[s][w] - mean) * factor * gain.high[s][w] + offset.high[s][w];
            }
    }

private:
    int head_dim_, half_;
};

template <class T, int STEPS, int WIDTH>
__global__ void __launch_bounds__(WARPS* WARP) heads_kernel(Heads h, CacheSide<T> keys,  // or null
                                                            CacheSide<T> values, PageTable table) {
    const HeadOfLane<STEPS, WIDTH> lane(h.head_dim);
    const int warp = static_cast<int>(blockIdx.y) * WARPS + static_cast<int>(threadIdx.x) / WARP;
    const int first = warp * h.heads_of_a_warp, half = h.head_dim / 2;
    const int last = min(first + h.heads_of_a_warp, h.heads + (keys.rows ? 2 * h.kv_heads : 0));  // not included
    if (first >= last) return grid_dependency_wait();

    // The weights of the norm of a head, a head ahead.
    Channels<STEPS, WIDTH> gain{}, offset{};
    const auto fetch_norm = [&](int head) {
        const bool is_q = head < h.heads;
        if (!(is_q ? h.q_weight : h.k_weight) || head >= h.heads + h.kv_heads) return;
        const int from = (is_q ? head : head - h.heads) * h.head_dim;
        gain = lane.read((is_q ? h.q_weight : h.k_weight) + from);
        offset = lane.read((is_q ? h.q_bias : h.k_bias) + from);
    };
    fetch_norm(first);

    // In turns, and reduced to half a turn in double: at position 100,000 a float angle would be off by 0.004. The sine
    // itself is float, of pi times its argument, so that nothing is left to reduce.
    double frequency[STEPS][WIDTH] = {};  // turns per position
    float cosine[STEPS][WIDTH] = {}, sine[STEPS][WIDTH] = {};
    if (h.turns)
#pragma unroll
        for (int s = 0; s < STEPS; s++)
#pragma unroll
            for (int w = 0; w < WIDTH; w++)
                frequency[s][w] = exp2(-h.log2_theta * (lane.first(s) + w) / half) * ONE_RADIAN;
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows

    const int64_t token = blockIdx.x;
    const int position = h.position ? h.position[token] : 0;
    const int segment = h.segment ? h.segment[token] : position;
    if (h.turns)
#pragma unroll
        for (int s = 0; s < STEPS; s++)
#pragma unroll
            for (int w = 0; w < WIDTH; w++) {
                const double turns = ((lane.first(s) + w) % 2 == 0 ? position : segment) * frequency[s][w];
                const float half_turns = static_cast<float>(2 * (turns - rint(turns)));
                cosine[s][w] = cospif(half_turns);
                sine[s][w] = sinpif(half_turns);
            }
    int64_t row0 = 0;  // of head 0 in the cache
    if (keys.rows) row0 = table.page_row(h.stream[token], position / PAGE_TOKENS, 0) + position % PAGE_TOKENS;

    for (int i = first; i < last; i++) {
        const bool is_q = i < h.heads, is_value = i >= h.heads + h.kv_heads;
        const int head = is_q ? i : is_value ? i - h.heads - h.kv_heads : i - h.heads;
        float* at = is_q ? h.q : is_value ? h.v : h.k;
        at += (token * (is_q ? h.heads : h.kv_heads) + head) * h.head_dim;
        Channels<STEPS, WIDTH> x = lane.read(at);
        if (!is_value && (is_q ? h.q_weight : h.k_weight)) lane.normalise(x, gain, offset, h.eps);
        if (i + 1 < last) fetch_norm(i + 1);
        if (h.turns && !is_value)
#pragma unroll
            for (int s = 0; s < STEPS; s++)
#pragma unroll
                for (int w = 0; w < WIDTH; w++) {
                    const float u = x.low[s][w], v = x.high[s][w];
                    x.low[s][w] = u * cosine[s][w] - v * sine[s][w];
                    x.high[s][w] = u * sine[s][w] + v * cosine[s][w];
                }
        if (is_q) {
            lane.write(at, x);
            continue;
        }
        const CacheSide<T>& side = is_value ? values : keys;
        const int64_t row = row0 + head * PAGE_TOKENS;
        if constexpr (sizeof(T) == 1) {
            const float scale = lane.to_scale(x);
            if (threadIdx.x % WARP == 0) side.scales[row] = scale;
        }
        lane.write(side.rows + row * h.head_dim, x);
    }
}

template <class T, int STEPS, int WIDTH>
void launch_heads(const Heads& h, int64_t tokens, KvPages cache) {
    PageTable table{};
    if (cache.keys) table = page_table_of(cache);
    const int all_heads = h.heads + (cache.keys ? 2 * h.kv_heads : 0);
    const dim3 grid(static_cast<unsigned>(tokens),
                    static_cast<unsigned>(divide_up(all_heads, WARPS * h.heads_of_a_warp)));
    const dim3 block(WARPS * WARP);
    CUDA_CHECK(launch_dependent(heads_kernel<T, STEPS, WIDTH>, grid, block, 0, h, side_of<T>(cache.keys),
                                side_of<T>(cache.values), table));
}

bool is_in_pairs(const void* data) {
    return reinterpret_cast<uintptr_t>(data) % 8 == 0;
}

void run(Heads h, int64_t tokens, KvPages cache) {
    if (tokens == 0 || h.head_dim == 0) return;
    h.heads_of_a_warp = tokens < MANY_TOKENS ? 1 : HEADS_OF_A_WARP;
    const bool pairs = h.head_dim % 4 == 0 && is_in_pairs(h.q) && is_in_pairs(h.k) && is_in_pairs(h.v) &&
                       is_in_pairs(h.q_weight) && is_in_pairs(h.q_bias) && is_in_pairs(h.k_weight) &&
                       is_in_pairs(h.k_bias) && is_in_pairs(cache.keys.data) && is_in_pairs(cache.values.data);
    CHECK(h.head_dim <= 512);
    with_cache(cache.keys.dtype, [&](auto element) {
        using T = decltype(element);
        if (pairs && h.head_dim <= 128) return launch_heads<T, 1, 2>(h, tokens, cache);
        if (pairs && h.head_dim <= 256) return launch_heads<T, 2, 2>(h, tokens, cache);
        if (h.head_dim <= 64) return launch_heads<T, 1, 1>(h, tokens, cache);
        if (h.head_dim <= 128) return launch_heads<T, 2, 1>(h, tokens, cache);
        launch_heads<T, 8, 1>(h, tokens, cache);
    });
}

}  // namespace

void head_norm(Tensor x, Tensor weight, Tensor bias, float eps) {
    Heads h;
    h.q = x.f32();
    h.q_weight = weight.f32();
    h.q_bias = bias.f32();
    h.eps = eps;
    h.heads = static_cast<int>(x.shape[1]);
    h.head_dim = static_cast<int>(x.shape[2]);
    run(h, x.shape[0], {});
}

void rope(Tensor x, const Rotary& rotary) {
    Tensor position = rotary.position, segment = rotary.segment;
    Heads h;
    h.q = x.f32();
    h.position = position.i32();
    h.segment = segment ? segment.i32() : nullptr;
    h.turns = true;
    h.log2_theta = log2(static_cast<double>(rotary.theta));
    h.heads = static_cast<int>(x.shape[1]);
    h.head_dim = static_cast<int>(x.shape[2]);
    run(h, x.shape[0], {});
}

void append(KvPages cache, Tensor k, Tensor v, Placement at) {
    Tensor no_q(nullptr, DType::F32, {k.shape[0], 0, k.shape[2]});
    rotate_append(no_q, k, v, {}, 0, cache, at);
}

void rotate_append(Tensor q, Tensor k, Tensor v, const HeadNorms& norms, float theta, KvPages cache, Placement at) {
    Heads h;
    h.q = q.f32();
    h.k = k.f32();
    h.v = v.f32();
    if (norms.q_weight) {
        h.q_weight = norms.q_weight.f32();
        h.q_bias = norms.q_bias.f32();
        h.k_weight = norms.k_weight.f32();
        h.k_bias = norms.k_bias.f32();
        h.eps = norms.eps;
    }
    h.stream = at.stream.i32();
    h.position = at.position.i32();
    h.segment = at.segment ? at.segment.i32() : nullptr;
    h.turns = theta > 0;
    h.log2_theta = theta > 0 ? log2(static_cast<double>(theta)) : 0;
    h.heads = static_cast<int>(q.shape[1]);
    h.kv_heads = static_cast<int>(k.shape[1]);
    h.head_dim = static_cast<int>(k.shape[2]);
    run(h, k.shape[0], cache);
}

}  // namespace leon::LEON_CUDA
