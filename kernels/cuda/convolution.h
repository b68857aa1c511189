// The convolution as one product on tensor cores (implicit GEMM): what conv2d, norm_conv2d and nearest_code share.
//
//   sums[pixel, o] = sum over taps and channels of f(x)[pixel moved by tap, channel] * weight[o, tap, channel]
//
// A block makes TILE_ROWS x 16 pixels, one mma's rows being 16 pixels of a line, for COLUMNS outputs. Two ways to bring
// the activations into shared memory:
//
//   Patch    (3x3, stride 1) The pixels under the whole tile, once for each SLICE of channels, and all nine taps read
//            them there, each from another place: f, the split into tensor-core operands and the traffic from L2 happen
//            1.4 times a pixel instead of 9. Enlargement by two makes the patch smaller still: 60 pixels for 128.
//   Windows  (anything else) The pixels under one tap, or under several if the channels are few: depth is (tap,
//            channel), cut into slices wherever it falls.
//
// mma_tile.h, the loop of the other products, brings both sides slice by slice of the depth, so a pixel would come, and
// be normalised, once for each tap: hence a loop of its own.
//
//   patch of an 8 x 16 tile:        one step: tap (i, j) of one slice, for all of the tile
//     10 x 18 pixels                  activations  row i + y, column j + x of the patch, by ldmatrix
//     x SLICE channels                weights      [COLUMNS][SLICE], the next ones on their way by cp.async
//
// f, group normalisation and swish, is applied between global and shared memory. During a step each thread fetches a
// few values of the next patch into registers, multiplies, then transforms them and puts them into the other of two
// patches: loads are hidden behind a step of products. One barrier a step.
//
//   shared:  patch 0 | patch 1      each [PLANES][positions][ROW bytes]
//            weights                [STAGES][COLUMNS][WEIGHT_ROW bytes]
#pragma once

#include "kernels/cuda/tensor_products.h"
#include "kernels/operands.h"

namespace leon::LEON_CUDA {

constexpr int TILE_WIDTH = 16;
constexpr int CONV_THREADS = 128;

// Of weights: two or three steps ahead cover the latency of L2. Where the operands are large, a fourth would need more
// shared memory than a small GPU gives to a block (99 KB).
template <class Products>
constexpr int STAGES = Products::WEIGHT_ROW > 64 || Products::PLANES > 2 ? 3 : 4;

enum class Gather { Patch, Windows };

// WARPS_DOWN x WARPS_ACROSS warps, each of M lines of 16 pixels and 8 N outputs. Shared memory feeds a warp of 64 x 64
// with 62% of its bandwidth at the full speed of mma.sync; halving either side would ask for all of it.
template <int DOWN, int ACROSS, int WARP_M, int WARP_N, int RESIDENT_BLOCKS>
struct ConvTile {
    static constexpr int WARPS_DOWN = DOWN, WARPS_ACROSS = ACROSS, M = WARP_M, N = WARP_N, RESIDENT = RESIDENT_BLOCKS;
    static constexpr int LINES = DOWN * M, PIXELS = LINES * TILE_WIDTH, COLUMNS = ACROSS * N * 8;
    static_assert(DOWN * ACROSS * WARP == CONV_THREADS);
};
using LargeTile = ConvTile<2, 2, 4, 8, 2>;   // 128 pixels x 128 outputs
using SmallTile = ConvTile<2, 2, 2, 4, 4>;   // 64 x 64: for maps too small to give every processor a large one
using WindowTile = ConvTile<2, 2, 2, 4, 3>;  // the same, with more registers
using ThinTile = ConvTile<4, 1, 2, 2, 4>;    // 128 x 16: for a picture's three colours

// Of the group normalisation in front: f(v) = activation((v - centre) * scale + offset), per channel; centre null:
// none.
struct ChannelNorm {
    const float *centre, *scale, *offset;  // [channels]
    Activation activation;
};

// A convolution's sizes, and what its kernels would else divide for.
struct ConvGeometry {
    int height, width, channels;  // of the input
    int out_height, out_width, out_channels;
    int kernel, stride, pad, doubled;  // doubled: 1 if the input is enlarged by two
    int tiles_across, column_tiles;
    int patch_width, positions;  // of a patch, or a tile
    bool whole_rows;             // every window of four channels, and every row of weights, is aligned to 16 bytes

    __host__ __device__ int depth() const { return kernel * kernel * channels; }
};

template <class Tile>
ConvGeometry conv_geometry(const Tensor& out, const Tensor& x, const Tensor& weight, const Convolution& shape,
                           Gather gather) {
    ConvGeometry g{};
    g.height = static_cast<int>(x.shape[0]), g.width = static_cast<int>(x.shape[1]);
    g.channels = static_cast<int>(x.shape[2]);
    g.out_height = static_cast<int>(out.shape[0]), g.out_width = static_cast<int>(out.shape[1]);
    g.out_channels = static_cast<int>(weight.shape[0]);
    g.kernel = shape.kernel, g.stride = shape.stride, g.pad = shape.pad_before, g.doubled = shape.upsample - 1;
    g.tiles_across = static_cast<int>(divide_up(g.out_width, TILE_WIDTH));
    g.column_tiles = static_cast<int>(divide_up(g.out_channels, Tile::COLUMNS));
    const auto covered = [&](int pixels) { return ((pixels + g.kernel - 2 + g.doubled) >> g.doubled) + 1; };
    g.patch_width = gather == Gather::Patch ? covered(TILE_WIDTH) : TILE_WIDTH;
    g.positions = g.patch_width * (gather == Gather::Patch ? covered(Tile::LINES) : Tile::LINES);
    const auto aligned = [](const Tensor& t, int64_t run) {
        return reinterpret_cast<uintptr_t>(t.data) % 16 == 0 && run * static_cast<int64_t>(size_of(t.dtype)) % 16 == 0;
    };
    g.whole_rows = aligned(x, g.channels) && aligned(weight, g.depth());
    return g;
}

template <class Tile>
dim3 conv_grid(const ConvGeometry& g) {
    const int64_t tiles = divide_up(g.out_height, Tile::LINES) * g.tiles_across;
    return dim3(static_cast<unsigned>(tiles * g.column_tiles));
}
template <class Products, class Tile>
size_t conv_shared_bytes(const ConvGeometry& g) {
    return static_cast<size_t>(2 * Products::PLANES * g.positions) * Products::ROW +
           static_cast<size_t>(STAGES<Products> * Tile::COLUMNS) * Products::WEIGHT_ROW;
}

// Where a block's tile lies. Blocks of one tile of pixels and different outputs are neighbours, and share it in L2.
struct TilePlace {
    int row, col, column;  // first pixel of the output, first output
};
template <class Tile>
__device__ __forceinline__ TilePlace tile_place(const ConvGeometry& g) {
    const int tile = static_cast<int>(blockIdx.x) / g.column_tiles;
    return {tile / g.tiles_across * Tile::LINES, tile % g.tiles_across * TILE_WIDTH,
            static_cast<int>(blockIdx.x) % g.column_tiles * Tile::COLUMNS};
}

// --- weights -----------------------------------------------------------------------------------------------------

// Brings `count` values of depth, from `first` on, of COLUMNS rows of weights into a stage; zeros behind them and for
// rows that there are not.
template <class Tile, class T, int ROW>
__device__ __forceinline__ void fetch_weights(char* stage, const T* weight, const ConvGeometry& g, int column,
                                              int first, int count) {
    constexpr int CHUNK = 16 / static_cast<int>(sizeof(T)), CHUNKS = ROW / 16;
    const int64_t depth = g.depth();
#pragma unroll
    for (int i = static_cast<int>(threadIdx.x); i < Tile::COLUMNS * CHUNKS; i += CONV_THREADS) {
        const int row = i / CHUNKS, chunk = i % CHUNKS;
        const T* from = weight + (column + row) * depth + first + chunk * CHUNK;
        char* to = stage + chunk_place<ROW>(row, chunk);
        if (g.whole_rows) {
            const bool valid = column + row < g.out_channels && chunk * CHUNK < count;
            cp_async<16>(to, valid ? from : weight, valid);
        } else {
#pragma unroll
            for (int e = 0; e < CHUNK; e++)
                reinterpret_cast<T*>(to)[e] =
                    column + row < g.out_channels && chunk * CHUNK + e < count ? from[e] : narrow<T>(0.0f);
        }
    }
}

// --- activations -------------------------------------------------------------------------------------------------

__device__ __forceinline__ float normed(float v, const ChannelNorm& norm, int channel) {
    v = fmaf(v - norm.centre[channel], norm.scale[channel], norm.offset[channel]);
    return norm.activation == Activation::Swish ? __fdividef(v, 1.0f + __expf(-v)) : v;
}

// Four values of a patch on their way to shared memory.
struct Quad {
    float value[4];
    int position;     // in the patch; negative: none
    int channel;      // of the first value
    unsigned inside;  // bit e: value e is of the picture, not of the zeros around it
};

// Adjacent channels of one pixel.
__device__ __forceinline__ Quad fetch_quad(const float* x, const ConvGeometry& g, int position, int row, int col,
                                           int channel) {
    Quad quad = {{0, 0, 0, 0}, position, channel, 0};
    if (row >= 0 && col >= 0 && row < g.height && col < g.width && channel < g.channels) {
        const float4 four =
            *reinterpret_cast<const float4*>(x + (static_cast<int64_t>(row) * g.width + col) * g.channels + channel);
        quad.value[0] = four.x, quad.value[1] = four.y, quad.value[2] = four.z, quad.value[3] = four.w;
        quad.inside = 15;
    }
    return quad;
}

template <class Products>
__device__ __forceinline__ void put_quad(char* patch, int plane_bytes, const Quad& quad, int place,
                                         const ConvGeometry& g, const ChannelNorm& norm) {
    if (quad.position < 0) return;
    float v[4];
#pragma unroll
    for (int e = 0; e < 4; e++) {
        v[e] = quad.value[e];
        if (norm.centre && quad.inside >> e & 1)
            v[e] = normed(v[e], norm, g.whole_rows ? quad.channel + e : (quad.channel + e) % g.channels);
    }
    Products::put(patch, plane_bytes, quad.position, place, v);
}

// The patch under a 3x3 tile: each of the nine steps of a slice brings PIECES x CONV_THREADS quads of the next one.
template <class Tile>
struct PatchSource {
    static constexpr int QUADS = SLICE / 4, TAPS = 9;
    static constexpr int PIECES =
        static_cast<int>(divide_up((Tile::LINES + 2) * (TILE_WIDTH + 2) * QUADS, TAPS* CONV_THREADS));
    int first_row, first_col;  // of the input, where the patch begins
    int row_odd, col_odd;      // enlarged: 1 if the tile begins at the second of two equal pixels
    int per_width;             // 2^16 / patch_width, rounded up: a division by multiplying, exact for small numbers

    __device__ __forceinline__ PatchSource(const ConvGeometry& g, const TilePlace& at)
        : first_row((at.row - g.pad) >> g.doubled),
          first_col((at.col - g.pad) >> g.doubled),
          row_odd((at.row - g.pad) & g.doubled),
          col_odd((at.col - g.pad) & g.doubled),
          per_width((1 << 16) / g.patch_width + 1) {}

    __device__ __forceinline__ static int steps(const ConvGeometry& g) {
        return static_cast<int>(divide_up(g.channels, SLICE)) * TAPS;
    }
    // Depth of a step's weights: where it begins, and how many values count.
    __device__ __forceinline__ static int2 depth_of(const ConvGeometry& g, int step) {
        const int slice = step / TAPS * SLICE;
        return make_int2(step % TAPS * g.channels + slice, min(SLICE, g.channels - slice));
    }
    __device__ __forceinline__ Quad fetch(const float* x, const ConvGeometry& g, int step, int piece) const {
        const int i = (step % TAPS * PIECES + piece) * CONV_THREADS + static_cast<int>(threadIdx.x);
        const int position = i / QUADS, row = position * per_width >> 16, col = position - row * g.patch_width;
        if (position >= g.positions) return {{0, 0, 0, 0}, -1, 0, 0};
        return fetch_quad(x, g, position, first_row + row, first_col + col, (step / TAPS) * SLICE + i % QUADS * 4);
    }
    // The position of the tile's pixel (y, x) under the tap of a step.
    __device__ __forceinline__ int position(const ConvGeometry& g, int step, int y, int x) const {
        const int tap = step % TAPS;
        return ((y + tap / 3 + row_odd) >> g.doubled) * g.patch_width + ((x + tap % 3 + col_odd) >> g.doubled);
    }
    // Which of the two patches a step reads.
    __device__ __forceinline__ static int buffer(int step) { return step / TAPS % 2; }
    static constexpr int STEPS_AHEAD = TAPS;  // from the step that fetches to the one that reads
};

// The pixels under a tap, brought anew for every step.
template <class Tile>
struct WindowSource {
    static constexpr int QUADS = SLICE / 4;
    static constexpr int PIECES = static_cast<int>(divide_up(Tile::PIXELS * QUADS, CONV_THREADS));
    TilePlace at;

    __device__ __forceinline__ WindowSource(const ConvGeometry&, const TilePlace& place) : at(place) {}

    __device__ __forceinline__ static int steps(const ConvGeometry& g) {
        return static_cast<int>(divide_up(g.depth(), SLICE));
    }
    __device__ __forceinline__ static int2 depth_of(const ConvGeometry& g, int step) {
        return make_int2(step * SLICE, min(SLICE, g.depth() - step * SLICE));
    }
    __device__ __forceinline__ Quad fetch(const float* x, const ConvGeometry& g, int step, int piece) const {
        const int i = piece * CONV_THREADS + static_cast<int>(threadIdx.x), position = i / QUADS;
        const int depth = step * SLICE + i % QUADS * 4;
        const int y = (at.row + position / TILE_WIDTH) * g.stride, column = (at.col + position % TILE_WIDTH) * g.stride;
        Quad quad = {{0, 0, 0, 0}, position, depth % g.channels, 0};
        if (g.whole_rows) {
            if (depth >= g.depth()) return quad;
            const int tap = depth / g.channels;
            return fetch_quad(x, g, position, (y + tap / g.kernel - g.pad) >> g.doubled,
                              (column + tap % g.kernel - g.pad) >> g.doubled, quad.channel);
        }
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int tap = (depth + e) / g.channels, channel = (depth + e) % g.channels;
            const int row = (y + tap / g.kernel - g.pad) >> g.doubled;
            const int col = (column + tap % g.kernel - g.pad) >> g.doubled;
            if (depth + e >= g.depth() || row < 0 || col < 0 || row >= g.height || col >= g.width) continue;
            quad.value[e] = x[(static_cast<int64_t>(row) * g.width + col) * g.channels + channel];
            quad.inside |= 1u << e;
        }
        return quad;
    }
    __device__ __forceinline__ int position(const ConvGeometry&, int, int y, int x) const {
        return y * TILE_WIDTH + x;
    }
    __device__ __forceinline__ static int buffer(int step) {
        return step % 2;
    }
    static constexpr int STEPS_AHEAD = 1;
};

// --- the main loop -----------------------------------------------------------------------------------------------

// sums of a warp: [M lines of 16 pixels][8 N outputs], as mma leaves them.
template <class Products, class Tile, template <class> class Source>
__device__ __forceinline__ void convolve(float (&sums)[Tile::M][Tile::N][4], char* shared, const float* x,
                                         const typename Products::Weight* weight, const ChannelNorm& norm,
                                         const ConvGeometry& g) {
    const int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    const LaneRows rows = lane_rows(lane);
    const TilePlace at = tile_place<Tile>(g);
    const Source<Tile> source(g, at);
    const int first_line = warp / Tile::WARPS_ACROSS * Tile::M, first_weight = warp % Tile::WARPS_ACROSS * Tile::N * 8;
    const int plane_bytes = g.positions * Products::ROW, patch_bytes = Products::PLANES * plane_bytes;
    constexpr int STAGE_BYTES = Tile::COLUMNS * Products::WEIGHT_ROW, AHEAD = Source<Tile>::STEPS_AHEAD;
    constexpr int RING = STAGES<Products>;
    constexpr int QUADS = SLICE / 4;
    char* const stages = shared + 2 * patch_bytes;
    const int steps = source.steps(g), place = static_cast<int>(threadIdx.x) % QUADS;
    const bool busy = at.row + first_line < g.out_height && at.column + first_weight < g.out_channels;

    const auto weights_of = [&](int step) {
        if (step < steps) {
            const int2 depth = source.depth_of(g, step);
            fetch_weights<Tile, typename Products::Weight, Products::WEIGHT_ROW>(
                stages + step % RING * STAGE_BYTES, weight, g, at.column, depth.x, depth.y);
        }
        cp_async_commit();  // a group for every step, so that waiting counts steps
    };
    grid_dependency_launch();
    for (int step = 0; step < RING - 1; step++) weights_of(step);
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows; weights may come before
    constexpr int TOGETHER = Source<Tile>::PIECES * (AHEAD % 3 == 0 ? 3 : 1);  // loads that are under way at once
#pragma unroll 1
    for (int step = 0; step < AHEAD; step += TOGETHER / Source<Tile>::PIECES) {
        Quad quads[TOGETHER];
#pragma unroll
        for (int i = 0; i < TOGETHER; i++)
            quads[i] = source.fetch(x, g, step + i / Source<Tile>::PIECES, i % Source<Tile>::PIECES);
#pragma unroll
        for (int i = 0; i < TOGETHER; i++) put_quad<Products>(shared, plane_bytes, quads[i], place, g, norm);
    }

    for (int step = 0; step < steps; step++) {
        cp_async_wait<RING - 2>();
        // Orders this step's weights, and the patch if it is a new one, before all threads' reads; and the reads of the
        // step before, of the stage and the patch that are written next, before those writes.
        __syncthreads();
        weights_of(step + RING - 1);

        Quad quads[Source<Tile>::PIECES];  // behind the last channel: nothing
#pragma unroll
        for (int piece = 0; piece < Source<Tile>::PIECES; piece++)
            quads[piece] = source.fetch(x, g, step + AHEAD, piece);

        if (busy) {
            int row[Tile::M];
#pragma unroll
            for (int m = 0; m < Tile::M; m++) row[m] = source.position(g, step, first_line + m, rows.a_row);
            Products::template multiply<Tile::M, Tile::N>(sums, shared + source.buffer(step) * patch_bytes, plane_bytes,
                                                          row, stages + step % RING * STAGE_BYTES, first_weight, rows);
        }
        if (step + AHEAD < steps)
#pragma unroll
            for (int piece = 0; piece < Source<Tile>::PIECES; piece++)
                put_quad<Products>(shared + source.buffer(step + AHEAD) * patch_bytes, plane_bytes, quads[piece], place,
                                   g, norm);
    }
}

// each(pixel, column, pair of sums): the pixel is inside the output; the column, even, may be beyond it.
template <class Tile, class Each>
__device__ __forceinline__ void for_each_pair(const float (&sums)[Tile::M][Tile::N][4], const ConvGeometry& g,
                                              Each each) {
    const int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    const TilePlace at = tile_place<Tile>(g);
    const int first_row = at.row + warp / Tile::WARPS_ACROSS * Tile::M;
    const int first_column = at.column + warp % Tile::WARPS_ACROSS * Tile::N * 8 + lane % 4 * 2;
#pragma unroll
    for (int m = 0; m < Tile::M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = first_row + m, col = at.col + lane / 4 + 8 * half;
            if (row >= g.out_height || col >= g.out_width) continue;
            const int64_t pixel = static_cast<int64_t>(row) * g.out_width + col;
#pragma unroll
            for (int n = 0; n < Tile::N; n++)
                each(pixel, first_column + 8 * n, make_float2(sums[m][n][2 * half], sums[m][n][2 * half + 1]));
        }
}

}  // namespace leon::LEON_CUDA
