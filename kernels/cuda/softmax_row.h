// One row of attention in plain loads: what attention and spatial_attention do with rows that no tile takes, because
// their width is odd or their address is. One block per row; its warps take the keys in turns, 32 at a time.
//
// In a tile, lane j computes the whole score of key j; then each lane owns every 32nd channel of the sum over values.
//
//   shared:  the query: width floats | 32 weights per warp | a state per warp | its sums: width floats per warp
#pragma once

#include <type_traits>

#include "kernels/cuda/element.h"
#include "kernels/cuda/online_softmax.h"

namespace leon::LEON_CUDA {

constexpr int ROW_WARPS = 4;  // tiles in flight per row
constexpr int ROW_THREADS = ROW_WARPS * WARP;
constexpr int ROW_KEYS = WARP;      // of a tile: one a lane
constexpr int ROW_MAX_WIDTH = 512;  // a lane's sums are registers

// Blocks that must fit into a multiprocessor's registers: 80 or 128 a thread are enough.
constexpr int row_blocks_at_once(int channels) {
    return channels <= 4 ? 6 : 4;
}

inline size_t row_shared_bytes(int width) {
    return sizeof(float) * static_cast<size_t>(width + ROW_WARPS * ROW_KEYS + ROW_WARPS * width) +
           ROW_WARPS * sizeof(SoftmaxState);
}

// CHANNELS: of a lane, at least width / 32.
template <int CHANNELS>
class SoftmaxRow {
public:
    __device__ SoftmaxRow(float* shared, const float* q, int width, float scale)
        : width_(width), scale_(scale), query_(shared) {
        weights_ = query_ + width + warp() * ROW_KEYS;
        states_ = reinterpret_cast<SoftmaxState*>(query_ + width + ROW_WARPS * ROW_KEYS);
        sums_ = reinterpret_cast<float*>(states_ + ROW_WARPS);
        for (int i = static_cast<int>(threadIdx.x); i < width; i += ROW_THREADS) query_[i] = q[i];
        __syncthreads();  // orders the writes of the query before all warps' reads
    }

    // Adds `count` <= 32 keys and values, rows of `width` elements and of bytes with a scale each, to this warp's
    // state.
    template <class T>
    __device__ void add_tile(const T* keys, const T* values, int count, const float* key_scales = nullptr,
                             const float* value_scales = nullptr) {
        float score = -INFINITY;
        if (lane() < count) {  // what lies behind the last position was never written
            float dot = 0;
            for (int i = 0; i < width_; i++)
                dot = fmaf(query_[i], widen(keys[static_cast<int64_t>(lane()) * width_ + i]), dot);
            score = dot * scale_;
            if constexpr (sizeof(T) == 1) score *= key_scales[lane()];
        }
        const float shrink = state_.raise(warp_max(score));
        const float weight = softmax_weight(score, state_.top);
        state_.total += warp_sum(weight);
        __syncwarp();  // orders the last tile's reads of weights before this write
        weights_[lane()] = weight;
        if constexpr (sizeof(T) == 1)
            if (lane() < count) weights_[lane()] = weight * value_scales[lane()];
        __syncwarp();  // orders the write of each lane's weight before all lanes' reads
#pragma unroll
        for (int c = 0; c < CHANNELS; c++) {
            const int channel = c * WARP + lane();
            if (channel >= width_) continue;
            float sum = values_[c] * shrink;
            for (int j = 0; j < count; j++)
                sum = fmaf(weights_[j], widen(values[static_cast<int64_t>(j) * width_ + channel]), sum);
            values_[c] = sum;
        }
    }

    // out [width] = the softmax over all warps' tiles.
    __device__ void finish(float* out) {
        if (lane() == 0) states_[warp()] = state_;
#pragma unroll
        for (int c = 0; c < CHANNELS; c++)
            if (c * WARP + lane() < width_) sums_[warp() * width_ + c * WARP + lane()] = values_[c];
        __syncthreads();  // orders the states' writes before the reads below
        for (int i = static_cast<int>(threadIdx.x); i < width_; i += ROW_THREADS)
            out[i] = join(
                         ROW_WARPS, [&](int w) { return states_[w]; }, [&](int w) { return sums_[w * width_ + i]; })
                         .result();
    }

    __device__ static int warp() {
        return static_cast<int>(threadIdx.x) / WARP;
    }

private:
    __device__ static int lane() {
        return static_cast<int>(threadIdx.x) % WARP;
    }

    int width_;
    float scale_;  // log2(e) included
    float *query_, *weights_, *sums_;
    SoftmaxState* states_;
    SoftmaxState state_;  // of this warp
    float values_[CHANNELS] = {};
};

// Calls `use(channels)` with a sufficient number of channels per lane, as a type's constant.
template <class Use>
void with_row_channels(int width, Use use) {
    CHECK(width <= ROW_MAX_WIDTH);
    if (width <= 4 * WARP) return use(std::integral_constant<int, 4>{});
    use(std::integral_constant<int, ROW_MAX_WIDTH / WARP>{});
}

}  // namespace leon::LEON_CUDA
