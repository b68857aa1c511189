// A ladder for norm_conv2d: out = bias + a 3x3 convolution of swish(group_norm(x)), channels last, x float32, weight
// bf16, products as exact as bytes need them (Exactness::Half).
//
// 18 channels outputs operations for each pixel, on 4 channels + 4 outputs bytes: hundreds of operations for a byte, so
// arithmetic bounds, if each pixel is fetched once and not once for each output and each of the nine taps. The tensor
// cores then wait for two things: for operands in their own form, and for the swish. Its exponential and division are
// two of 16 a clock, where an A100's tensor cores do 1,024 multiply-adds: one value's swish takes the time of 128 of
// them. Both should be done once a pixel.
//
// All rungs take the statistics of the norm from the shipped kernels. The first five read a map that was normalised
// before, by a launch of its own.
//
//   1. one thread an output     Neighbouring threads take neighbouring pixels, whose channels are rows apart: each
//                               4-byte load moves a sector of 32 bytes.
//   2. one warp an output       Lanes go along the channels, where neighbours are adjacent.
//   3. windows in shared memory The convolution as a product (implicit GEMM): 64 pixels are the rows, their windows of
//                               taps x channels the depth. 64 outputs share a window that was gathered once.
//   4. tensor cores             The gathered slice is rounded to f16 on its way to shared memory; ldmatrix and mma.
//   5. patches                  A window is the tile moved by a tap, so nine windows hold nearly the same pixels. The
//                               108 under the tile and around it come once for a slice of channels; each tap reads them
//                               from another place, which ldmatrix allows: its rows may stand anywhere.
//   6. normalised on the way    Now each pixel passes once, or 1.7 times, from global to shared memory: the place to
//                               normalise it, and no normalised map is ever written.
//   7. copies in the background The next tap's weights arrive by cp.async while this one's are multiplied.
//   8. the shipped launcher     The next patch, too, is fetched and transformed piece by piece under the nine taps,
//   into
//                               a second one: one barrier a tap, and none of them finds a processor idle.
//
// The rungs take sizes that are multiples of their tiles; edges, strides, enlargement and other types are the shipped
// kernel's business: kernels/cuda/convolution.h.
#include "kernels/cuda/convolution.h"
#include "kernels/cuda/group_statistics.h"
#include "kernels/cuda/reduce.h"
#include "kernels/ladder/ladder.h"

namespace leon::LEON_CUDA {
namespace {

using Weight = __nv_bfloat16;
using Products = ProductsHalf<Weight>;

constexpr int TAPS = 9;
constexpr int GROUPS = 32;
constexpr float EPS = 1e-6f;

struct Problem {
    float* out;            // [height, width, outputs]
    const float* x;        // [height, width, channels]
    const Weight* weight;  // [outputs, 3, 3, channels]
    const float* bias;     // [outputs]
    int height, width, channels, outputs;
};

// Where the channels of the pixel under a tap begin; null outside the picture.
__device__ __forceinline__ const float* pixel_under(const Problem& p, int row, int col, int tap) {
    row += tap / 3 - 1, col += tap % 3 - 1;
    if (row < 0 || col < 0 || row >= p.height || col >= p.width) return nullptr;
    return p.x + (row * p.width + col) * p.channels;
}

__global__ void thread_per_output(Problem p) {  // blocks of 32 pixels x 4 outputs
    const int pixel = static_cast<int>(blockIdx.x * 32 + threadIdx.x),
              output = static_cast<int>(blockIdx.y * 4 + threadIdx.y);
    float sum = p.bias[output];
    for (int tap = 0; tap < TAPS; tap++) {
        const float* from = pixel_under(p, pixel / p.width, pixel % p.width, tap);
        const Weight* w = p.weight + (output * TAPS + tap) * p.channels;
        for (int c = 0; from && c < p.channels; c++) sum = fmaf(from[c], widen(w[c]), sum);
    }
    p.out[pixel * p.outputs + output] = sum;
}

__global__ void warp_per_output(Problem p) {  // blocks of 8 warps: 8 outputs of a pixel
    const int lane = static_cast<int>(threadIdx.x % 32), pixel = static_cast<int>(blockIdx.x);
    const int output = static_cast<int>(blockIdx.y * 8 + threadIdx.x / 32);
    float sum = 0;
    for (int tap = 0; tap < TAPS; tap++) {
        const float* from = pixel_under(p, pixel / p.width, pixel % p.width, tap);
        const Weight* w = p.weight + (output * TAPS + tap) * p.channels;
        for (int c = lane; from && c < p.channels; c += 32) sum = fmaf(from[c], widen(w[c]), sum);
    }
    sum = warp_sum(sum);
    if (lane == 0) p.out[pixel * p.outputs + output] = sum + p.bias[output];
}

// From here on a block makes 4 lines of 16 pixels, for 64 outputs.
constexpr int LINES = 4, PIXELS = LINES * TILE_WIDTH, OUTPUTS = 64;

struct Place {
    int row, col, output;
};
__device__ __forceinline__ Place place_of(const Problem& p) {
    const int tile = static_cast<int>(blockIdx.x), across = p.width / TILE_WIDTH;
    return {tile / across * LINES, tile % across * TILE_WIDTH, static_cast<int>(blockIdx.y) * OUTPUTS};
}

constexpr int DEEP = 16, PITCH = DEEP + 1;  // a column of a tile then lies in 16 banks

__global__ void windows_in_shared(Problem p) {  // 16 x 16 threads, pixels ty + 16 i, outputs tx + 16 j
    DYNAMIC_SHARED(float, x);
    float* w = x + PIXELS * PITCH;
    const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
    const Place at = place_of(p);
    float sums[4][4] = {};
    for (int depth = 0; depth < TAPS * p.channels; depth += DEEP) {
        const int tap = depth / p.channels, channel = depth % p.channels + tx;
        for (int i = ty; i < PIXELS; i += 16) {
            const float* from = pixel_under(p, at.row + i / TILE_WIDTH, at.col + i % TILE_WIDTH, tap);
            x[i * PITCH + tx] = from ? from[channel] : 0.0f;
            w[i * PITCH + tx] = widen(p.weight[(at.output + i) * TAPS * p.channels + depth + tx]);
        }
        __syncthreads();  // orders the writes of the slice before all threads' reads
        for (int d = 0; d < DEEP; d++)
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++)
                    sums[i][j] = fmaf(x[(ty + 16 * i) * PITCH + d], w[(tx + 16 * j) * PITCH + d], sums[i][j]);
        __syncthreads();  // orders these reads before the next slice's writes
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const int pixel = (at.row + i) * p.width + at.col + ty, output = at.output + tx + 16 * j;
            p.out[pixel * p.outputs + output] = sums[i][j] + p.bias[output];
        }
}

// --- tensor cores ------------------------------------------------------------------------------------------------
//
// 4 warps, each 2 lines x 32 outputs. Operands as tensor_products.h wants them: rows of SLICE f16, 64 bytes.
//
//   shared:  rows [64 windows, or 108 pixels of a patch][64 bytes] | weights [64][64 bytes], twice if in the background

enum class Copies { Waited, Background };

constexpr int THREADS = 128, ROW = Products::ROW, QUADS = SLICE / 4;
constexpr int PATCH_WIDTH = TILE_WIDTH + 2, PATCH = (LINES + 2) * PATCH_WIDTH;
constexpr size_t WEIGHTS = OUTPUTS * Products::WEIGHT_ROW;

// Rows of the tile under `tap`, or of the whole patch, for SLICE channels from `channel` on.
template <Gather GATHER>
__device__ __forceinline__ void fill_rows(char* rows, const Problem& p, const Place& at, int tap, int channel,
                                          const ChannelNorm& norm) {
    constexpr int POSITIONS = GATHER == Gather::Patch ? PATCH : PIXELS;
    constexpr int WIDTH = GATHER == Gather::Patch ? PATCH_WIDTH : TILE_WIDTH;
    for (int i = static_cast<int>(threadIdx.x); i < POSITIONS * QUADS; i += THREADS) {
        const int position = i / QUADS, c = channel + i % QUADS * 4;
        const int row = at.row + position / WIDTH, col = at.col + position % WIDTH;
        const float* from = pixel_under(p, row, col, GATHER == Gather::Patch ? 0 : tap);  // a patch begins at tap 0
        float v[4] = {};
        if (from) {
            const float4 four = *reinterpret_cast<const float4*>(from + c);
            v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
            for (int e = 0; norm.centre && e < 4; e++) v[e] = normed(v[e], norm, c + e);
        }
        Products::put(rows, 0, position, i % QUADS, v);
    }
}

template <Copies COPIES>
__device__ __forceinline__ void fill_weights(char* weights, const Problem& p, int output, int tap, int channel) {
    for (int i = static_cast<int>(threadIdx.x); i < OUTPUTS * 4; i += THREADS) {
        const Weight* from = p.weight + ((output + i / 4) * TAPS + tap) * p.channels + channel + i % 4 * 8;
        char* to = weights + chunk_place<Products::WEIGHT_ROW>(i / 4, i % 4);
        if constexpr (COPIES == Copies::Background)
            cp_async<16>(to, from, true);
        else
            *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from);
    }
}

template <Gather GATHER, Copies COPIES>
__global__ void __launch_bounds__(THREADS) tensor_cores(Problem p, ChannelNorm norm) {
    DYNAMIC_SHARED(char, shared);
    char* const weights = shared + (GATHER == Gather::Patch ? PATCH : PIXELS) * ROW;
    const int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    const int first_line = warp / 2 * 2, first_output = warp % 2 * 32, steps = p.channels / SLICE * TAPS;
    const LaneRows rows = lane_rows(lane);
    const Place at = place_of(p);
    constexpr bool WAITED = COPIES == Copies::Waited;

    float sums[2][4][4] = {};
    if (!WAITED) {
        fill_weights<COPIES>(weights, p, at.output, 0, 0);
        cp_async_commit();
    }
    for (int step = 0; step < steps; step++) {
        const int tap = step % TAPS, channel = step / TAPS * SLICE;
        const bool new_rows = GATHER == Gather::Windows || tap == 0;
        if (new_rows || WAITED) __syncthreads();  // orders the reads of the step before before what is written now
        if (new_rows) fill_rows<GATHER>(shared, p, at, tap, channel, norm);
        if (WAITED)
            fill_weights<COPIES>(weights, p, at.output, tap, channel);
        else
            cp_async_wait<0>();
        __syncthreads();  // orders these writes before all reads, and the reads of the other weights before the next
                          // copy
        if (!WAITED && step + 1 < steps) {
            fill_weights<COPIES>(weights + (step + 1) % 2 * WEIGHTS, p, at.output, (step + 1) % TAPS,
                                 (step + 1) / TAPS * SLICE);
            cp_async_commit();
        }
        int row[2];
        for (int m = 0; m < 2; m++)
            row[m] = GATHER == Gather::Patch ? (first_line + m + tap / 3) * PATCH_WIDTH + rows.a_row + tap % 3
                                             : (first_line + m) * TILE_WIDTH + rows.a_row;
        Products::multiply<2, 4>(sums, shared, 0, row, weights + (WAITED ? 0 : step % 2 * WEIGHTS), first_output, rows);
    }
    for (int m = 0; m < 2; m++)
        for (int n = 0; n < 4; n++)
            for (int half = 0; half < 2; half++) {
                const int pixel = (at.row + first_line + m) * p.width + at.col + lane / 4 + 8 * half;
                const int output = at.output + first_output + 8 * n + lane % 4 * 2;
                *reinterpret_cast<float2*>(p.out + pixel * p.outputs + output) =
                    make_float2(sums[m][n][2 * half] + p.bias[output], sums[m][n][2 * half + 1] + p.bias[output + 1]);
            }
}

// --- the climb ---------------------------------------------------------------------------------------------------

int study() {
    const int64_t height = emulated_or_gpu(8, 256), width = emulated_or_gpu(32, 256);
    const int64_t channels = emulated_or_gpu(64, 128), outputs = emulated_or_gpu(64, 128), pixels = height * width;
    Ladder ladder("norm_conv2d: " + std::to_string(height) + " x " + std::to_string(width) + ", " +
                      std::to_string(channels) + " -> " + std::to_string(outputs) + " channels, 3x3, bf16 weight",
                  {.bytes = static_cast<double>(4 * pixels * (2 * channels + outputs) + 2 * TAPS * channels * outputs),
                   .flops = 2 * static_cast<double>(pixels * outputs * TAPS * channels),
                   .on_tensor_cores = true});
    const Operand x = ladder.random({height, width, channels}), scratch = ladder.random({height, width, channels});
    const Operand gain = ladder.random({channels}), offset = ladder.random({channels}), bias = ladder.random({outputs});
    const Operand weight =
        ladder.random({outputs, 3, 3, channels}, DType::BF16, 1 / std::sqrt(static_cast<float>(TAPS * channels)));
    Operand out = ladder.result({height, width, outputs});
    const GroupNorm norm = {gain.device, offset.device, GROUPS, EPS, Activation::Swish};
    const Convolution shape = {.exactness = Exactness::Half};
    ladder.expect([&] {
        const GroupNorm host = {gain.host, offset.host, GROUPS, EPS, Activation::Swish};
        leon::norm_conv2d(reference_kernels(), out.host, x.host, host, weight.host, bias.host, shape, {}, scratch.host);
    });

    Tensor map = scratch.device;
    const Problem raw = {out.device.f32(),           x.device.f32(),           data_of<Weight>(weight.device),
                         bias.device.f32(),          static_cast<int>(height), static_cast<int>(width),
                         static_cast<int>(channels), static_cast<int>(outputs)};
    Problem before = raw;
    before.x = map.f32();
    const auto normalise = [&] { group_norm(map, x.device, norm.weight, norm.bias, GROUPS, EPS, norm.activation); };
    const auto grid = [&](int64_t each_pixels, int64_t each_outputs) {
        return dim3(static_cast<unsigned>(pixels / each_pixels), static_cast<unsigned>(outputs / each_outputs));
    };
    const dim3 tiles = grid(PIXELS, OUTPUTS);
    constexpr double EXACT = 4 * 4.1e-6, HALF = 4 * 9.0e-4;  // as tests/test_kernels.cpp allows
    constexpr size_t FLOATS = 2 * PIXELS * PITCH * sizeof(float);

    ladder.rung(
        "one thread an output", Figure::None,
        [&] {
            normalise();
            CUDA_CHECK(launch(thread_per_output, grid(32, 4), dim3(32, 4), 0, before));
        },
        EXACT);
    ladder.rung(
        "one warp an output", Figure::Moved,
        [&] {
            normalise();
            CUDA_CHECK(launch(warp_per_output, grid(1, 8), 256, 0, before));
        },
        EXACT);
    ladder.rung(
        "windows in shared memory", Figure::Moved,
        [&] {
            normalise();
            CUDA_CHECK(launch(windows_in_shared, tiles, dim3(16, 16), FLOATS, before));
        },
        EXACT);
    ladder.rung(
        "tensor cores", Figure::MatrixProducts,
        [&] {
            normalise();
            CUDA_CHECK(launch(tensor_cores<Gather::Windows, Copies::Waited>, tiles, THREADS, PIXELS * ROW + WEIGHTS,
                              before, ChannelNorm{}));
        },
        HALF);
    ladder.rung(
        "patches", Figure::Moved,
        [&] {
            normalise();
            CUDA_CHECK(launch(tensor_cores<Gather::Patch, Copies::Waited>, tiles, THREADS, PATCH * ROW + WEIGHTS,
                              before, ChannelNorm{}));
        },
        HALF);
    ladder.rung(
        "normalised on the way", Figure::Moved,
        [&] {
            CUDA_CHECK(launch(tensor_cores<Gather::Patch, Copies::Waited>, tiles, THREADS, PATCH * ROW + WEIGHTS, raw,
                              group_statistics(x.device, norm)));
        },
        HALF);
    ladder.rung(
        "copies in the background", Figure::Async,
        [&] {
            CUDA_CHECK(launch(tensor_cores<Gather::Patch, Copies::Background>, tiles, THREADS,
                              PATCH * ROW + 2 * WEIGHTS, raw, group_statistics(x.device, norm)));
        },
        HALF);
    ladder.rung(
        "shipped", Figure::Barriers,
        [&] { norm_conv2d(out.device, x.device, norm, weight.device, bias.device, shape, {}, {}); }, HALF);
    return ladder.finish();
}

}  // namespace
}  // namespace leon::LEON_CUDA

int main() {
    return leon::LEON_CUDA::study();
}
