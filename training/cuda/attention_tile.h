// What attention's tiles share: rows of a head in shared memory as bf16, and how tensor cores take them.
//
//   a tile: lines of CHANNELS values, chunk c (16 bytes) of line r at c ^ r % 8, so that any eight adjacent lines have
//   a given chunk in different banks, and a line's chunks lie side by side for the writes. Beyond the rows that there
//   are, and beyond the head's own channels, stand zeros.
//
// A tile comes by cp.async to a staging area, as float32, while the one before it is worked on; each thread rounds what
// it has copied itself, so that only the tile needs a barrier.
//
// A tile is one of three operands of mma.m16n8k16, 16 lines by 16 channels for each ldmatrix_x4:
//
//   left          16 rows of the result, summed over channels                    matrices in the order of registers
//   right         2 x 8 columns of the result, summed over channels              registers of two mma
//   transposed    summed over the lines, 2 x 8 columns of the result: channels   the same
#pragma once

#include "kernels/cuda/split.h"
#include "training/cuda/attention.h"

namespace leon::LEON_CUDA::grad {

constexpr int TILE_WARPS = 4;
constexpr int TILE_THREADS = TILE_WARPS * WARP;
constexpr int WARP_ROWS = 16;                 // of a block's tile: the height of an mma
constexpr int TILE = TILE_WARPS * WARP_ROWS;  // rows of queries and rows of keys that meet at a time
constexpr float LN_2 = 0.6931471805599453f;

// On a multiprocessor: 168 registers a thread, or 255.
constexpr int blocks_at_once(int channels) {
    return channels <= WIDEST_TILE_HEAD / 2 ? 3 : 2;
}

template <int CHANNELS>
struct RowTile {
    static constexpr int LINE = 2 * CHANNELS, BYTES = TILE * LINE;
    static constexpr int STAGING_BYTES = 2 * BYTES;

    // Starts the copies of `count` rows of `width` channels, `stride` apart, to a staging area. All threads.
    __device__ __forceinline__ static void copy(char* staging, const float* from, int stride, int count, int width,
                                                bool aligned) {
#pragma unroll 2
        for (int i = 0; i < QUADS; i++) {
            const int line = line_of(i), channel = 4 * quad();
            const float* at = from + static_cast<int64_t>(stride) * line + channel;
            float* to = reinterpret_cast<float*>(staging + place(i));
            if (aligned) {
                const bool valid = line < count && channel < width;
                cp_async<16>(to, valid ? at : from, valid);
            } else {
#pragma unroll 1
                for (int j = 0; j < 4; j++) to[j] = line < count && channel + j < width ? at[j] : 0.0f;
            }
        }
    }
    // Rounds what this thread has copied, once it has come, into a tile.
    __device__ __forceinline__ static void round(char* tile, const char* staging) {
#pragma unroll 2
        for (int i = 0; i < QUADS; i++) {
            const float4 four = *reinterpret_cast<const float4*>(staging + place(i));
            const int line = line_of(i);
            *reinterpret_cast<uint2*>(tile + line * LINE + (((quad() / 2) ^ (line & 7)) << 4) + quad() % 2 * 8) =
                make_uint2(bf16_pair(four.x, four.y), bf16_pair(four.z, four.w));
        }
    }

    // The lane's line of the 16 x 16 values that begin at `row` and at channel 16 c.
    struct Lane {
        int base;
        __device__ __forceinline__ Lane(int line, int half) : base(line * LINE + ((half ^ (line & 7)) << 4)) {}
        __device__ __forceinline__ int at(int row, int c) const { return row * LINE + (base ^ (c << 5)); }
    };
    __device__ __forceinline__ static Lane left_lane() {
        return {lane() % 16, lane() / 16};
    }
    __device__ __forceinline__ static Lane right_lane() {
        return {lane() / 16 * 8 + lane() % 8, lane() / 8 % 2};
    }
    __device__ __forceinline__ static Lane transposed_lane() {
        return left_lane();
    }

    // The left operands of 16 rows, for all channels.
    __device__ __forceinline__ static void load_left(unsigned (&left)[CHANNELS / 16][4], const char* tile, int row) {
        const Lane lane = left_lane();
#pragma unroll
        for (int c = 0; c < CHANNELS / 16; c++) ldmatrix_x4(left[c], tile + lane.at(row, c));
    }

    // products[n] = left . rows `row` + 8 n to + 7 of the tile, by channels. The left side stands in registers, or in
    // 16 rows of another tile.
    template <int COUNT>
    __device__ __forceinline__ static void multiply(float (&products)[COUNT][4],
                                                    const unsigned (&left)[CHANNELS / 16][4], const char* tile,
                                                    int row) {
        multiply_by(
            products, [&](int c) -> const unsigned(&)[4] { return left[c]; }, tile, row);
    }
    template <int COUNT>
    __device__ __forceinline__ static void multiply(float (&products)[COUNT][4], const char* left_tile, int left_row,
                                                    const char* tile, int row) {
        Lane lane = left_lane();
        compute_here(lane.base);
        unsigned left[4];
        const auto load = [&](int c) -> const unsigned(&)[4] {
            ldmatrix_x4(left, left_tile + lane.at(left_row, c));
            return left;
        };
        multiply_by(products, load, tile, row);
    }

    // sums += weights . rows `row` to + 8 COUNT - 1 of the tile, which the columns of `weights` are; rounded to bf16.
    template <int COUNT>
    __device__ __forceinline__ static void mix(float (&sums)[CHANNELS / 32][4][4], const float (&weights)[COUNT][4],
                                               const char* tile, int row) {
        Lane lane = transposed_lane();
        compute_here(lane.base);
#pragma unroll
        for (int k = 0; k < COUNT / 2; k++) {
            // Two adjacent columns of a result are two adjacent columns of a left side: no lane needs another's.
            const unsigned left[4] = {bf16_pair(weights[2 * k][0], weights[2 * k][1]),
                                      bf16_pair(weights[2 * k][2], weights[2 * k][3]),
                                      bf16_pair(weights[2 * k + 1][0], weights[2 * k + 1][1]),
                                      bf16_pair(weights[2 * k + 1][2], weights[2 * k + 1][3])};
#pragma unroll
            for (int c = 0; c < CHANNELS / 32; c++) {
                unsigned right[4][2];
#pragma unroll
                for (int n = 0; n < 4; n += 2) {
                    unsigned two[4];
                    ldmatrix_x4<true>(two, tile + lane.at(row + 16 * k, 2 * c + n / 2));
                    right[n][0] = two[0], right[n][1] = two[1], right[n + 1][0] = two[2], right[n + 1][1] = two[3];
                }
                mma_bf16(sums[c], left, right);
            }
        }
    }

    // Writes the lane's sums of one of its two rows, each times `factor`, to a head's channels.
    __device__ __forceinline__ static void store(float* to, const float (&sums)[CHANNELS / 32][4][4], int r,
                                                 float factor, int width, bool aligned) {
#pragma unroll
        for (int n = 0; n < CHANNELS / 8; n++) {
            const int channel = 8 * n + lane() % 4 * 2;
            const float x = sums[n / 4][n % 4][2 * r] * factor, y = sums[n / 4][n % 4][2 * r + 1] * factor;
            if (channel >= width) continue;
            if (aligned) {
                *reinterpret_cast<float2*>(to + channel) = make_float2(x, y);
            } else {
                to[channel] = x;
                if (channel + 1 < width) to[channel + 1] = y;
            }
        }
    }

private:
    template <int COUNT, class Left>
    __device__ __forceinline__ static void multiply_by(float (&products)[COUNT][4], Left left, const char* tile,
                                                       int row) {
        Lane lane = right_lane();
        compute_here(lane.base);
#pragma unroll
        for (int n = 0; n < COUNT; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) products[n][i] = 0;
#pragma unroll
        for (int c = 0; c < CHANNELS / 16; c++) {
            unsigned right[COUNT][2];
#pragma unroll
            for (int n = 0; n < COUNT; n += 2) {
                unsigned two[4];
                ldmatrix_x4(two, tile + lane.at(row + 8 * n, c));
                right[n][0] = two[0], right[n][1] = two[1], right[n + 1][0] = two[2], right[n + 1][1] = two[3];
            }
            mma_bf16(products, left(c), right);
        }
    }

    static constexpr int QUADS = TILE * CHANNELS / 4 / TILE_THREADS;  // of a thread, one below the other
    __device__ __forceinline__ static int number(int i) {
        return i * TILE_THREADS + static_cast<int>(threadIdx.x);
    }
    __device__ __forceinline__ static int line_of(int i) {
        return number(i) / (CHANNELS / 4);
    }
    __device__ __forceinline__ static int quad() {
        return static_cast<int>(threadIdx.x) % (CHANNELS / 4);
    }
    __device__ __forceinline__ static int place(int i) {
        return number(i) * 16;
    }
    __device__ __forceinline__ static int lane() {
        return static_cast<int>(threadIdx.x) % WARP;
    }
};

// use(channels): with those of the tiles that take heads of this width, as a type's constant.
template <int CHANNELS>
struct Channels {
    static constexpr int COUNT = CHANNELS;
};
template <class Use>
void with_channels(int head_dim, Use use) {
    head_dim <= WIDEST_TILE_HEAD / 2 ? use(Channels<WIDEST_TILE_HEAD / 2>{}) : use(Channels<WIDEST_TILE_HEAD>{});
}

}  // namespace leon::LEON_CUDA::grad
