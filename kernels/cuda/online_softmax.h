// One row of attention, softmax(q . k * scale) v, in tiles of 32 keys, without ever holding all scores.
//
// Each warp walks its own tiles with a running maximum, sum of weights and weighted sum of values (its state); merge()
// joins the states of a block's warps. In a tile, lane j computes the whole score of key j; then each lane owns every
// 32nd channel of the sum over values.
#pragma once

#include "kernels/cuda/element.h"
#include "kernels/cuda/reduce.h"

namespace leon::LEON_CUDA {

constexpr int SOFTMAX_WARPS = 4;  // tiles in flight per row
constexpr int TILE_KEYS = WARP;   // one key per lane; also a page of the cache

template <int CHANNELS>  // of the values, per lane: divide_up(head_dim, 32)
struct SoftmaxState {
    float top = -INFINITY;
    float total = 0;
    float sum[CHANNELS] = {};
};

// Floats of shared memory that a row needs: q, 32 weights per warp, and for merge() a state per warp.
inline size_t softmax_shared_floats(int width) {
    return static_cast<size_t>(width + SOFTMAX_WARPS * TILE_KEYS + SOFTMAX_WARPS * (2 + width));
}

// Adds `count` <= 32 keys and values, rows of `width` elements, to the state of this warp.
//   q [width], weights [32]: shared memory; weights are this warp's own
template <int CHANNELS, class T>
__device__ void add_tile(SoftmaxState<CHANNELS>& state, const float* q, const T* keys, const T* values, int count,
                         int width, float scale, float* weights) {
    const int lane = static_cast<int>(threadIdx.x) % WARP;
    float score = -INFINITY;
    if (lane < count) {  // what lies behind the last position was never written
        float dot = 0;
        for (int i = 0; i < width; i++) dot = fmaf(q[i], widen(keys[static_cast<int64_t>(lane) * width + i]), dot);
        score = dot * scale;
    }
    const float top = fmaxf(state.top, warp_max(score));
    const float shrink = expf(state.top - top);  // 0 for the first tile
    const float weight = expf(score - top);
    state.total = state.total * shrink + warp_sum(weight);
    state.top = top;
    __syncwarp();  // orders the last tile's reads of weights before this write
    weights[lane] = weight;
    __syncwarp();  // orders the write of each lane's weight before all lanes' reads
#pragma unroll
    for (int c = 0; c < CHANNELS; c++) {
        const int channel = c * WARP + lane;
        if (channel >= width) continue;
        float sum = state.sum[c] * shrink;
        for (int j = 0; j < count; j++)
            sum = fmaf(weights[j], widen(values[static_cast<int64_t>(j) * width + channel]), sum);
        state.sum[c] = sum;
    }
}

// out [width] = the softmax over all warps' tiles. states: shared memory for SOFTMAX_WARPS * (2 + width) floats.
//   states:  top of each warp | total of each warp | sums of warp 0: width floats | of warp 1 | ...
template <int CHANNELS>
__device__ void merge(float* out, const SoftmaxState<CHANNELS>& state, int width, float* states) {
    const int warp = static_cast<int>(threadIdx.x) / WARP, lane = static_cast<int>(threadIdx.x) % WARP;
    float* tops = states;
    float* totals = tops + SOFTMAX_WARPS;
    float* sums = totals + SOFTMAX_WARPS;
    if (lane == 0) {
        tops[warp] = state.top;
        totals[warp] = state.total;
    }
#pragma unroll
    for (int c = 0; c < CHANNELS; c++)
        if (c * WARP + lane < width) sums[warp * width + c * WARP + lane] = state.sum[c];
    __syncthreads();  // orders the states' writes before the reads below
    float top = -INFINITY, total = 0, shrink[SOFTMAX_WARPS];
    for (int w = 0; w < SOFTMAX_WARPS; w++) top = fmaxf(top, tops[w]);
    for (int w = 0; w < SOFTMAX_WARPS; w++) {
        shrink[w] = expf(tops[w] - top);  // 0 for a warp without tiles
        total += totals[w] * shrink[w];
    }
    for (int i = static_cast<int>(threadIdx.x); i < width; i += SOFTMAX_WARPS * WARP) {
        float sum = 0;
        for (int w = 0; w < SOFTMAX_WARPS; w++) sum = fmaf(sums[w * width + i], shrink[w], sum);
        out[i] = sum / total;
    }
}

// Calls `use(channels)` with the smallest supported number of channels per lane, as a type's constant.
template <int COUNT>
struct Channels {
    static constexpr int PER_LANE = COUNT;
};
template <class Use>
void with_channels(int64_t width, Use use) {
    if (width <= 1 * WARP) return use(Channels<1>{});
    if (width <= 2 * WARP) return use(Channels<2>{});
    if (width <= 4 * WARP) return use(Channels<4>{});
    if (width <= 8 * WARP) return use(Channels<8>{});
    CHECK(width <= 16 * WARP);
    use(Channels<16>{});
}

}  // namespace leon::LEON_CUDA
