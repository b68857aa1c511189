// What one warp does with 16 rows of queries and a tile of keys and values in shared memory, on tensor cores. Prefill
// and decode are two ways to bring tiles to it.
//
//   scores [16, KEYS] = q [16, CHANNELS] * keys^T      weights = 2^(scores - top)      values [16, CHANNELS] += weights
//   * v
//
// Queries and weights are float32 cut in two (split_mma.h); the cache's own values are exact. The weights pass from the
// result of the first product into the left side of the second without leaving their lanes: column 2c, 2c+1 of a
// result are two adjacent columns of a 16-bit left side. As tf32 they are columns c and c+4; there the order of the
// keys is permuted instead, on both sides alike.
//
//   tile:  KEYS rows of CHANNELS elements, 64 bytes a channel, and 16 bytes of padding a row: eight rows of 16 bytes
//          then lie in different banks, for ldmatrix as for the copies
#pragma once

#include <type_traits>

#include "kernels/cuda/cache.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/online_softmax.h"
#include "kernels/cuda/split_mma.h"
#include "kernels/operands.h"

namespace leon::LEON_CUDA {

constexpr int TILE_ROWS = 16;           // of queries: one side of an mma
constexpr int MAX_TILE_CHANNELS = 128;  // the sums of wider rows do not fit into a warp's registers

template <class T, int CHANNELS>
struct KeyTile {
    static constexpr bool HAS_SCALES = sizeof(T) == 1;
    static constexpr int KEYS = sizeof(T) == 4 ? PAGE_TOKENS / 2 : PAGE_TOKENS;
    static constexpr int CHUNK = 16 / static_cast<int>(sizeof(T));
    static constexpr int PITCH = CHANNELS + CHUNK;
    static constexpr int SCALES = KEYS * PITCH;  // where they stand
    static constexpr int ELEMENTS = SCALES + (HAS_SCALES ? KEYS * static_cast<int>(sizeof(float)) : 0);
    static_assert(PAGE_TOKENS % KEYS == 0);

    // Copies `count` <= KEYS rows of `width` <= CHANNELS elements, `stride` apart, in the background, by THREADS
    // threads; the rest becomes zero, so that a weight of zero meets no NaN. width and stride are multiples of CHUNK,
    // `from` is of 16 bytes.
    template <int THREADS>
    __device__ static void copy(T* tile, const T* from, int count, int width, int stride, int thread) {
        constexpr int CHUNKS = CHANNELS / CHUNK;
#pragma unroll 4
        for (int i = thread; i < KEYS * CHUNKS; i += THREADS) {
            const int key = i / CHUNKS, channel = i % CHUNKS * CHUNK;
            const bool valid = key < count && channel < width;
            cp_async<16>(tile + key * PITCH + channel, from + (valid ? key * stride + channel : 0), valid);
        }
    }

    // The rows from number `row` on of a cache's keys or values, with their scales; `row` starts a tile of its page.
    template <int THREADS>
    __device__ static void copy_rows(T* tile, CacheSide<const T> from, int64_t row, int count, int width, int thread) {
        copy<THREADS>(tile, from.rows + row * width, count, width, width, thread);
        if constexpr (HAS_SCALES) {
            constexpr int FLOATS = 16 / static_cast<int>(sizeof(float));
            for (int i = thread * FLOATS; i < KEYS; i += THREADS * FLOATS)  // of those behind `count`, nobody's
                cp_async<16>(tile + SCALES + i * static_cast<int>(sizeof(float)), from.scales + row + i, i < count);
        }
    }
    __device__ static float2 scales_at(const T* tile, int key) {
        return *reinterpret_cast<const float2*>(reinterpret_cast<const float*>(tile + SCALES) + key);
    }
};

// A warp's 16 rows. Lane l holds parts of rows l/4 and l/4 + 8, called its two rows.
template <class T, int CHANNELS>
class AttentionRows {
public:
    using Tile = KeyTile<T, CHANNELS>;
    static constexpr int DEPTH = Left<T>::DEPTH;
    static constexpr int SCORES = Tile::KEYS / 8;  // results of 8 keys each

    // rows: where the lane's two rows begin, null if there is none; scale: of the scores, without log2(e)
    __device__ __forceinline__ AttentionRows(const float* const (&rows)[2], int width, float scale) {
        float down[2] = {1, 1};
        factor_[0] = factor_[1] = scale * LOG2_E;
        if constexpr (Left<T>::RANGE_IS_SHORT) {
#pragma unroll
            for (int r = 0; r < 2; r++) bring_into_range(rows[r], width, down[r], factor_[r]);
        }
#pragma unroll
        for (int k = 0; k < CHANNELS / DEPTH; k++) {
            if constexpr (DEPTH == 8) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const int channel = k * DEPTH + column() + i / 2 * 4;
                    q_[k].value[i] = rows[i % 2] && channel < width ? rows[i % 2][channel] : 0.0f;
                }
            } else if constexpr (Tile::HAS_SCALES) {
                // As even_and_odd() brings the keys' bytes: channels 0 and 2 of four, then 1 and 3.
#pragma unroll
                for (int r = 0; r < 2; r++) {
                    const int channel = k * DEPTH + column() * 4;
                    const float2 first = pair_at(rows[r], channel, width),
                                 second = pair_at(rows[r], channel + 2, width);
                    q_[k].set(r, first.x, second.x);
                    q_[k].set(r + 2, first.y, second.y);
                }
            } else {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const float2 pair = pair_at(rows[i % 2], k * DEPTH + column() * 2 + i / 2 * 8, width);
                    q_[k].set(i, pair.x * down[i % 2], pair.y * down[i % 2]);
                }
            }
        }
    }

    // Scores of the tile's keys, and the softmax's weights of them. visible: keys of the tile that each of the lane's
    // two rows may see; any number, none if it is not positive.
    __device__ __forceinline__ void weigh(float (&weights)[SCORES][4], const T* keys, const int (&visible)[2]) {
        const int lane = static_cast<int>(threadIdx.x) % WARP;
        // ldmatrix: four matrices of 8 keys x 16 bytes; (keys 0-7, first half), (0-7, second), (8-15, first), ...
        const T* line = keys + (lane / 16 * 8 + lane % 8) * Tile::PITCH + lane / 8 % 2 * Tile::CHUNK;
#pragma unroll
        for (int j = 0; j < SCORES; j++)
#pragma unroll
            for (int i = 0; i < 4; i++) weights[j][i] = 0;
#pragma unroll
        for (int k = 0; k < CHANNELS / DEPTH; k++) {
            unsigned right[SCORES][2];
            if constexpr (Tile::HAS_SCALES) {  // sixteen channels are sixteen bytes: one matrix for eight keys
                static_assert(SCORES == 4);
                unsigned four[SCORES];
                ldmatrix_x4(four, keys + lane * Tile::PITCH + k * DEPTH);
#pragma unroll
                for (int j = 0; j < SCORES; j++) even_and_odd(right[j], four[j], T{});
            } else {
#pragma unroll
                for (int j = 0; j < SCORES; j += 2) {
                    unsigned two[4];
                    ldmatrix_x4(two, line + j * 8 * Tile::PITCH + k * DEPTH);
                    load_two(right[j], right[j + 1], two);
                }
            }
            multiply(weights, q_[k].inside_a_loop(), right);
        }
        if constexpr (Tile::HAS_SCALES) {
#pragma unroll
            for (int j = 0; j < SCORES; j++) {
                const float2 scale = Tile::scales_at(keys, j * 8 + column() * 2);
#pragma unroll
                for (int i = 0; i < 4; i++) weights[j][i] *= i % 2 == 0 ? scale.x : scale.y;
            }
        }
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float top = -INFINITY;
#pragma unroll
            for (int j = 0; j < SCORES; j++)
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    float& score = weights[j][2 * r + i];
                    score = j * 8 + column() * 2 + i < visible[r] ? score * factor_[r] : -INFINITY;
                    top = fmaxf(top, score);
                }
            top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));  // the four lanes of a row
            top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
            const float shrink = state_[r].raise(top);
            float sum = 0;
#pragma unroll
            for (int j = 0; j < SCORES; j++)
#pragma unroll
                for (int i = 0; i < 2; i++)
                    sum += weights[j][2 * r + i] = softmax_weight(weights[j][2 * r + i], state_[r].top);
            state_[r].total += sum;
#pragma unroll
            for (int n = 0; n < CHANNELS / 8; n++) {
                values_[n / 4][n % 4][2 * r] *= shrink;
                values_[n / 4][n % 4][2 * r + 1] *= shrink;
            }
        }
    }

    // Adds the tile's values by their weights.
    __device__ __forceinline__ void mix(const float (&weights)[SCORES][4], const T* values) {
        const int lane = static_cast<int>(threadIdx.x) % WARP;
#pragma unroll
        for (int k = 0; k < Tile::KEYS / DEPTH; k++) {
            Left<T> left;
            if constexpr (DEPTH == 8) {
                // column c of the left side is key 2c, column c + 4 is key 2c + 1: so are the rows of the right side
#pragma unroll
                for (int i = 0; i < 4; i++) left.value[i] = weights[k][i % 2 * 2 + i / 2];
                const T* line = values + (k * DEPTH + column() * 2) * Tile::PITCH + lane / 4;
#pragma unroll
                for (int n = 0; n < CHANNELS / 32; n++) {
                    unsigned right[4][2];
#pragma unroll
                    for (int i = 0; i < 8; i++)
                        right[i / 2][i % 2] = __float_as_uint(line[i % 2 * Tile::PITCH + n * 32 + i / 2 * 8]);
                    multiply(values_[n], left, right);
                }
            } else if constexpr (Tile::HAS_SCALES) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const float* pair = &weights[2 * k + i / 2][i % 2 * 2];
                    const float2 scale = Tile::scales_at(values, (2 * k + i / 2) * 8 + column() * 2);
                    // Nothing is known of the scale of a key that nobody sees.
                    left.set(i, pair[0] == 0 ? 0 : pair[0] * scale.x, pair[1] == 0 ? 0 : pair[1] * scale.y);
                }
                // (keys 0-7, channels 0-15), (8-15, 0-15), (0-7, 16-31), (8-15, 16-31)
                const T* line = values + (k * DEPTH + lane % 16) * Tile::PITCH + lane / 16 * 16;
#pragma unroll
                for (int n = 0; n < CHANNELS / 32; n++) {
                    unsigned right[4][2], four[4], pairs[2];
                    ldmatrix_x4<true>(four, line + n * 32);
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        even_and_odd(pairs, four[i], T{});
                        right[i / 2 * 2][i % 2] = pairs[0], right[i / 2 * 2 + 1][i % 2] = pairs[1];
                    }
                    multiply(values_[n], left, right);
                }
            } else {
#pragma unroll
                for (int i = 0; i < 4; i++)
                    left.set(i, weights[2 * k + i / 2][i % 2 * 2], weights[2 * k + i / 2][i % 2 * 2 + 1]);
                // (keys 0-7, channels 0-7), (8-15, 0-7), (0-7, 8-15), (8-15, 8-15)
                const T* line = values + (k * DEPTH + lane % 16) * Tile::PITCH + lane / 16 * 8;
#pragma unroll
                for (int n = 0; n < CHANNELS / 32; n++) {
                    unsigned right[4][2], two[4];
                    ldmatrix_x4<true>(two, line + n * 32);
                    load_two(right[0], right[1], two);
                    ldmatrix_x4<true>(two, line + n * 32 + 16);
                    load_two(right[2], right[3], two);
                    multiply(values_[n], left, right);
                }
            }
        }
    }

    // Row r's state, after its four lanes have put their sums together; all lanes must call it.
    __device__ __forceinline__ SoftmaxState state(int r) const {
        SoftmaxState all = state_[r];  // top is the same in the four lanes, total is of the lane's keys
        all.total += __shfl_xor_sync(~0u, all.total, 1);
        all.total += __shfl_xor_sync(~0u, all.total, 2);
        return all;
    }

    // Calls use(channel, x, y) for every pair of sums that the lane holds of row r: channels `channel` and the next.
    template <class Use>
    __device__ __forceinline__ void for_values(int r, Use use) const {
#pragma unroll
        for (int n = 0; n < CHANNELS / 8; n++) {
            if constexpr (Tile::HAS_SCALES) {  // of 16 channels, results n and n + 1 have the even and the odd ones
                const auto& even = values_[n / 4][n % 4 / 2 * 2];
                const auto& odd = values_[n / 4][n % 4 / 2 * 2 + 1];
                use(n / 2 * 16 + column() * 4 + n % 2 * 2, even[2 * r + n % 2], odd[2 * r + n % 2]);
            } else {
                use(n * 8 + column() * 2, values_[n / 4][n % 4][2 * r], values_[n / 4][n % 4][2 * r + 1]);
            }
        }
    }

private:
    __device__ __forceinline__ static int column() {
        return static_cast<int>(threadIdx.x) % 4;
    }
    __device__ __forceinline__ static float2 pair_at(const float* row, int channel, int width) {
        if (!row || channel >= width) return make_float2(0, 0);
        return *reinterpret_cast<const float2*>(row + channel);
    }

    // The power of two that brings the row's largest value into [1, 2), and its inverse into the factor of the scores.
    __device__ __forceinline__ static void bring_into_range(const float* row, int width, float& down, float& factor) {
        float largest = 0;
#pragma unroll 4
        for (int channel = column() * 2; channel < CHANNELS; channel += 8) {
            const float2 pair = pair_at(row, channel, width);
            largest = fmaxf(largest, fmaxf(fabsf(pair.x), fabsf(pair.y)));
        }
        largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
        largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
        const unsigned exponent = min(max(__float_as_uint(largest) >> 23, 1u), 253u);  // 2^-126 to 2^126
        down = __uint_as_float((254 - exponent) << 23);
        factor *= __uint_as_float(exponent << 23);
    }

    Left<T> q_[CHANNELS / DEPTH];
    float factor_[2];
    SoftmaxState state_[2];  // the totals are of the lane's own keys
    float values_[CHANNELS / 32][4][4] = {};
};

// Blocks of 128 threads that must fit into a multiprocessor's 65,536 registers: 168 or 255 a thread are needed.
constexpr int blocks_at_once(int channels) {
    return channels <= MAX_TILE_CHANNELS / 2 ? 3 : 2;
}

// Calls `use(channels)` with the number of channels of the tiles that take heads of this width, as a type's constant.
template <class Use>
void with_tile_channels(int head_dim, Use use) {
    if (head_dim <= MAX_TILE_CHANNELS / 2) return use(std::integral_constant<int, MAX_TILE_CHANNELS / 2>{});
    use(std::integral_constant<int, MAX_TILE_CHANNELS>{});
}

}  // namespace leon::LEON_CUDA
