// A ladder for decoding's products: out = x * weight^T, [rows, depth] float32 times [n, depth] bf16, with 4 rows of x.
//
// A weight is used 4 times, so the bytes of the weight bound: 4.8 TB/s on an H200 are 21 bytes a clock for each
// multiprocessor. The climb: read each of them once, in large pieces, many of them at the same time, and keep what is
// done for each byte below what a multiprocessor can do meanwhile (100 instructions for 512 bytes).
//
//   1. one thread an output     Lanes read addresses a row apart, two bytes at a time: a sector of 32 for each.
//   2. one warp an output       Lanes read adjacent weights, and share the sum by shuffles.
//   3. 16 bytes a load          An eighth of the loads; 512 bytes for a warp, so that few loads keep memory busy.
//   4. all rows at once         Each weight that is read meets the 4 rows of x: the matrix moves once, not four times.
//   5. two outputs a warp       Each value of x that is loaded is used twice.
//   6. tensor cores             8 multiply-adds a weight for 16 bytes in a lane become 2 instructions for 32: what rows
//                               of x cost no longer grows until 8. The order of the depth is ours to choose, so a
//                               lane's 16 bytes are operands as they are. x is split in two bf16, high and low.
//   7. a block an output tile   16 outputs are many for one warp: its 8 warps take turns along the depth, and add up.
//                               The chain of loads gets 8 times shorter; a small matrix uses 8 times the warps.
//   8. copied in the background A ring in shared memory, written by cp.async, read by the lane that copied: bytes under
//                               way cost no registers, and need no barrier.
//   9. the shipped launcher     Blocks stay and walk over the tiles, their rings running on across the ends; they are
//                               filled before the kernel before this one has ended (programmatic dependent launch),
//                               which shows in time only. It also has norms in front, and q, k, v or gate and up in
//                               one.
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/split.h"
#include "kernels/ladder/ladder.h"

namespace leon::LEON_CUDA {
namespace {

using T = __nv_bfloat16;
constexpr int ROWS = 4;
constexpr int WARPS = 8;
constexpr unsigned THREADS = WARPS * WARP;
constexpr int COUNT = Pack<T>::COUNT;

__device__ __forceinline__ int warp_of_block() {
    return static_cast<int>(threadIdx.x) / WARP;
}
__device__ __forceinline__ int lane_of_warp() {
    return static_cast<int>(threadIdx.x) % WARP;
}

__global__ void __launch_bounds__(THREADS) thread_per_output(float* out,       // [ROWS, n]
                                                             const float* x,   // [ROWS, depth]
                                                             const T* weight,  // [n, depth]
                                                             int n, int depth) {
    const int col = static_cast<int>(blockIdx.x * THREADS + threadIdx.x), row = static_cast<int>(blockIdx.y);
    if (col >= n) return;
    float sum = 0;
    for (int d = 0; d < depth; d++) sum = fmaf(x[row * depth + d], widen(weight[col * depth + d]), sum);
    out[row * n + col] = sum;
}

__global__ void __launch_bounds__(THREADS)
    warp_per_output(float* out, const float* x, const T* weight, int n, int depth) {
    const int col = static_cast<int>(blockIdx.x) * WARPS + warp_of_block(), row = static_cast<int>(blockIdx.y);
    if (col >= n) return;
    float sum = 0;
    for (int d = lane_of_warp(); d < depth; d += WARP)
        sum = fmaf(x[row * depth + d], widen(weight[col * depth + d]), sum);
    sum = warp_sum(sum);
    if (lane_of_warp() == 0) out[row * n + col] = sum;
}

// A warp makes COLUMNS outputs of AT_ONCE rows, of which the grid's y counts the first. depth: a multiple of COUNT.
template <int COLUMNS, int AT_ONCE>
__global__ void __launch_bounds__(THREADS) packs(float* out, const float* x, const T* weight, int n, int depth) {
    const int first = (static_cast<int>(blockIdx.x) * WARPS + warp_of_block()) * COLUMNS;
    const int row = static_cast<int>(blockIdx.y) * AT_ONCE;
    if (first >= n) return;
    float sums[COLUMNS][AT_ONCE] = {};
    for (int d = lane_of_warp() * COUNT; d < depth; d += WARP * COUNT) {
        Pack<T> w[COLUMNS];
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) w[c] = unpack(load_streaming(weight + (first + c) * depth + d), T{});
#pragma unroll
        for (int r = 0; r < AT_ONCE; r++)
#pragma unroll
            for (int i = 0; i < COUNT; i += 4) {
                const float4 v = *reinterpret_cast<const float4*>(x + (row + r) * depth + d + i);
#pragma unroll
                for (int c = 0; c < COLUMNS; c++) {
                    sums[c][r] = fmaf(v.x, w[c].value[i], sums[c][r]);
                    sums[c][r] = fmaf(v.y, w[c].value[i + 1], sums[c][r]);
                    sums[c][r] = fmaf(v.z, w[c].value[i + 2], sums[c][r]);
                    sums[c][r] = fmaf(v.w, w[c].value[i + 3], sums[c][r]);
                }
            }
    }
#pragma unroll
    for (int c = 0; c < COLUMNS; c++)
#pragma unroll
        for (int r = 0; r < AT_ONCE; r++) {
            const float sum = warp_sum(sums[c][r]);
            if (lane_of_warp() == 0) out[(row + r) * n + first + c] = sum;
        }
}

// sums += 16 bytes each of two rows of the weight times 8 elements of x, whose order is the lanes'.
__device__ __forceinline__ void multiply(float (&sums)[4], uint4 upper, uint4 lower, const float* x) {
    const float4 u = *reinterpret_cast<const float4*>(x), v = *reinterpret_cast<const float4*>(x + 4);
    const Split split[4] = {split_bf16(u.x, u.y), split_bf16(u.z, u.w), split_bf16(v.x, v.y), split_bf16(v.z, v.w)};
    const unsigned a[2][4] = {{upper.x, lower.x, upper.y, lower.y}, {upper.z, lower.z, upper.w, lower.w}};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        mma_bf16(sums, a[i], split[2 * i].low, split[2 * i + 1].low);
        mma_bf16(sums, a[i], split[2 * i].high, split[2 * i + 1].high);
    }
}

constexpr int TILE = 16;         // outputs of a block or a warp, by the instruction
constexpr int STEP = 4 * COUNT;  // of the depth: 4 lanes share a row of the weight

// SHARING warps of a block take turns along the depth of a tile; each block has WARPS / SHARING tiles. n: a multiple of
// TILE, depth of STEP.
template <int SHARING>
__global__ void __launch_bounds__(THREADS)
    on_tensor_cores(float* out, const float* x, const T* weight, int n, int depth) {
    DYNAMIC_SHARED(float, shared);  // [WARPS][4][WARP]
    const int warp = warp_of_block(), lane = lane_of_warp();
    const int first = (static_cast<int>(blockIdx.x) * (WARPS / SHARING) + warp / SHARING) * TILE;
    if (SHARING == 1 && first >= n) return;
    const T* line = weight + (first + lane / 4) * depth;
    const float* row = x + min(lane / 4, ROWS - 1) * depth;
    float sums[4] = {};
    for (int d = warp % SHARING * STEP + lane % 4 * COUNT; d < depth; d += SHARING * STEP)
        multiply(sums, load_streaming(line + d), load_streaming(line + 8 * depth + d), row + d);
    if (SHARING > 1) {
        for (int i = 0; i < 4; i++) shared[(warp * 4 + i) * WARP + lane] = sums[i];
        __syncthreads();  // orders all warps' sums before the first one's reads
        if (warp > 0) return;
        for (int i = 0; i < 4; i++)
            for (int w = 1; w < WARPS; w++) sums[i] += shared[(w * 4 + i) * WARP + lane];
    }
    for (int i = 0; i < 4; i++)
        if (const int r = lane % 4 * 2 + i % 2; r < ROWS) out[r * n + first + lane / 4 + i / 2 * 8] = sums[i];
}

constexpr int STAGES = 3;

__global__ void __launch_bounds__(THREADS)
    in_background(float* out, const float* x, const T* weight, int n, int depth) {
    DYNAMIC_SHARED(uint4, ring);  // [WARPS][STAGES][2][WARP]; then sums, in its place
    const int warp = warp_of_block(), lane = lane_of_warp(), first = static_cast<int>(blockIdx.x) * TILE;
    const T* line = weight + (first + lane / 4) * depth;
    const float* row = x + min(lane / 4, ROWS - 1) * depth;
    uint4* mine = ring + warp * STAGES * 2 * WARP + lane;
    const int begin = warp * STEP + lane % 4 * COUNT;
    const auto copy = [&](int d, int stage) {
        for (int half = 0; half < 2 && d < depth; half++)
            cp_async_streaming(mine + (stage * 2 + half) * WARP, line + half * 8 * depth + d, true);
        cp_async_commit();
    };
    for (int s = 0; s < STAGES; s++) copy(begin + s * WARPS * STEP, s);
    float sums[4] = {};
    int stage = 0;
    for (int d = begin; d < depth; d += WARPS * STEP, stage = (stage + 1) % STAGES) {
        cp_async_wait<STAGES - 1>();
        multiply(sums, mine[stage * 2 * WARP], mine[(stage * 2 + 1) * WARP], row + d);
        copy(d + STAGES * WARPS * STEP, stage);
    }
    float* shared = reinterpret_cast<float*>(ring);
    __syncthreads();  // orders all warps' reads of their rings before the sums' writes in their place
    for (int i = 0; i < 4; i++) shared[(warp * 4 + i) * WARP + lane] = sums[i];
    __syncthreads();  // orders all warps' sums before the first one's reads
    if (warp > 0) return;
    for (int i = 0; i < 4; i++) {
        for (int w = 1; w < WARPS; w++) sums[i] += shared[(w * 4 + i) * WARP + lane];
        if (const int r = lane % 4 * 2 + i % 2; r < ROWS) out[r * n + first + lane / 4 + i / 2 * 8] = sums[i];
    }
}

int study() {
    constexpr double SPLIT = 6e-5;  // x has 16 bits of mantissa on the tensor cores
    const int n = static_cast<int>(emulated_or_gpu(128, 4096)), depth = static_cast<int>(emulated_or_gpu(1024, 4096));
    const double elements = static_cast<double>(n) * depth;
    Ladder ladder(
        "matvec: " + std::to_string(ROWS) + " rows, " + std::to_string(n) + " x " + std::to_string(depth) + " bf16",
        {.bytes = 2 * elements + 4.0 * ROWS * (n + depth), .flops = 2 * ROWS * elements});
    const Operand x = ladder.random({ROWS, depth});
    const Operand weight = ladder.random({n, depth}, DType::BF16, 1 / std::sqrt(static_cast<float>(depth)));
    Operand out = ladder.result({ROWS, n});
    ladder.expect([&] { leon::matmul(reference_kernels(), out.host, x.host, weight.host); });

    float* o = out.device.f32();
    const float* px = x.device.f32();
    const T* w = data_of<T>(weight.device);
    const auto blocks = [&](int outputs) { return static_cast<unsigned>(divide_up(n, outputs)); };
    const size_t sums_bytes = WARPS * 4 * WARP * sizeof(float);
    const size_t ring_bytes = WARPS * STAGES * 2 * WARP * sizeof(uint4);
    ladder.rung("one thread an output", Figure::None, [&] {
        CUDA_CHECK(launch(thread_per_output, dim3(blocks(THREADS), ROWS), THREADS, 0, o, px, w, n, depth));
    });
    ladder.rung("one warp an output", Figure::Moved, [&] {
        CUDA_CHECK(launch(warp_per_output, dim3(blocks(WARPS), ROWS), THREADS, 0, o, px, w, n, depth));
    });
    ladder.rung("16 bytes a load", Figure::Requests,
                [&] { CUDA_CHECK(launch(packs<1, 1>, dim3(blocks(WARPS), ROWS), THREADS, 0, o, px, w, n, depth)); });
    ladder.rung("all rows at once", Figure::Moved,
                [&] { CUDA_CHECK(launch(packs<1, ROWS>, blocks(WARPS), THREADS, 0, o, px, w, n, depth)); });
    ladder.rung("two outputs a warp", Figure::Requests,
                [&] { CUDA_CHECK(launch(packs<2, ROWS>, blocks(2 * WARPS), THREADS, 0, o, px, w, n, depth)); });
    ladder.rung(
        "tensor cores", Figure::MatrixProducts,
        [&] { CUDA_CHECK(launch(on_tensor_cores<1>, blocks(TILE * WARPS), THREADS, sums_bytes, o, px, w, n, depth)); },
        SPLIT);
    ladder.rung(
        "a block an output tile", Figure::BusiestWarp,
        [&] { CUDA_CHECK(launch(on_tensor_cores<WARPS>, blocks(TILE), THREADS, sums_bytes, o, px, w, n, depth)); },
        SPLIT);
    ladder.rung(
        "copied in the background", Figure::Async,
        [&] { CUDA_CHECK(launch(in_background, blocks(TILE), THREADS, ring_bytes, o, px, w, n, depth)); }, SPLIT);
    ladder.rung(
        "shipped: rings across tiles and kernels", Figure::Time, [&] { matmul(out.device, x.device, weight.device); },
        SPLIT);
    return ladder.finish();
}

}  // namespace
}  // namespace leon::LEON_CUDA

int main() {
    return leon::LEON_CUDA::study();
}
