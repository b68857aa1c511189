// A ladder for matmul with many rows: out = x * weight^T, x float32, weight bf16, the depth of both adjacent in memory.
//
// 2 rows n depth operations on 4 rows depth + 2 n depth + 4 rows n bytes: with thousands of rows there are a thousand
// operations for each byte, so arithmetic bounds, if only the operands come from near enough. The climb is one question
// asked again at each level of memory: how often is an element used once it has been fetched? And one of precision: the
// tensor cores multiply bf16, but x is float32.
//
//    1. one thread an element    Neighbouring threads take neighbouring rows, whose elements lie `depth` apart: each
//                                4-byte load of x moves a sector of 32 bytes.
//    2. one warp an element      Lanes go along the depth, where neighbours are adjacent. Whole sectors, but each
//                                serves one product, and a tree of shuffles ends every sum.
//    3. tiles in shared memory   16 x 16 elements share their operands: each is fetched once for 16 products. One load
//                                from shared memory per operand and product now bounds.
//    4. tiles in registers       A thread makes 4 x 4 elements from 4 + 4 operands: 16 products for 8 loads, not 32.
//    5. 16 bytes at a time       With the tiles turned, a thread's four rows are adjacent: one request, four words.
//    6. tensor cores             A warp multiplies 16 x 16 by 16 x 8 in one instruction. x is split into two bf16,
//                                high and low, both are multiplied: 16 bits of mantissa, at half the speed.
//    7. ldmatrix                 Fragments came word by word; one ldmatrix brings four 8 x 8 matrices.
//    8. swizzle                  Rows of 64 bytes put every second row into the same banks. The 16-byte chunks of a
//                                line change places by an exclusive or with its number: no conflicts, no padding.
//    9. copies in the background While a slice is multiplied, cp.async brings the next, in whole sectors. x arrives as
//                                float32, so each warp splits what it loads: twice what was done once before.
//   10. the shipped launcher     Larger tiles, four stages, x split in place by the threads that copied it, one stage
//                                ahead: kernels/cuda/mma_tile.h.
//
// The rungs take sizes that are multiples of their tiles; tails are the shipped kernel's business.
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/split.h"
#include "kernels/ladder/ladder.h"

namespace leon::LEON_CUDA {
namespace {

using Weight = __nv_bfloat16;

struct Product {
    float* out;            // [rows, n]
    const float* x;        // [rows, depth]
    const Weight* weight;  // [n, depth]
    int rows, n, depth;
};

__global__ void thread_per_element(Product p) {  // blocks of 32 x 8 threads
    const unsigned row = blockIdx.x * 32 + threadIdx.x, col = blockIdx.y * 8 + threadIdx.y;
    float sum = 0;
    for (int d = 0; d < p.depth; d++) sum = fmaf(p.x[row * p.depth + d], widen(p.weight[col * p.depth + d]), sum);
    p.out[row * p.n + col] = sum;
}

__global__ void warp_per_element(Product p) {  // blocks of 8 warps, 8 neighbouring columns
    const int lane = static_cast<int>(threadIdx.x % 32);
    const unsigned row = blockIdx.x, col = blockIdx.y * 8 + threadIdx.x / 32;
    float sum = 0;
    for (int d = lane; d < p.depth; d += 32)
        sum = fmaf(p.x[row * p.depth + d], widen(p.weight[col * p.depth + d]), sum);
    sum = warp_sum(sum);
    if (lane == 0) p.out[row * p.n + col] = sum;
}

// --- tiles, multiplied by threads -------------------------------------------------------------------------------

constexpr int SLICE = 16;         // of the depth
constexpr int PITCH = SLICE + 1;  // a column of a tile then lies in 16 banks

__global__ void shared_tiles(Product p) {  // 16 x 16 threads, an element each
    DYNAMIC_SHARED(float, x);
    float* w = x + 16 * PITCH;
    const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
    const int row = static_cast<int>(blockIdx.x) * 16, col = static_cast<int>(blockIdx.y) * 16;
    float sum = 0;
    for (int first = 0; first < p.depth; first += SLICE) {
        x[ty * PITCH + tx] = p.x[(row + ty) * p.depth + first + tx];
        w[ty * PITCH + tx] = widen(p.weight[(col + ty) * p.depth + first + tx]);
        __syncthreads();  // orders the writes of the slice before all threads' reads
        for (int d = 0; d < SLICE; d++) sum = fmaf(x[ty * PITCH + d], w[tx * PITCH + d], sum);
        __syncthreads();  // orders these reads before the next slice's writes
    }
    p.out[(row + ty) * p.n + col + tx] = sum;
}

constexpr int SIDE = 64;  // of a tile, from here on

__global__ void register_tiles(Product p) {  // 16 x 16 threads, elements (ty + 16 i, tx + 16 j)
    DYNAMIC_SHARED(float, x);
    float* w = x + SIDE * PITCH;
    const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
    const int row = static_cast<int>(blockIdx.x) * SIDE, col = static_cast<int>(blockIdx.y) * SIDE;
    float sums[4][4] = {};
    for (int first = 0; first < p.depth; first += SLICE) {
        for (int line = ty; line < SIDE; line += 16) {
            x[line * PITCH + tx] = p.x[(row + line) * p.depth + first + tx];
            w[line * PITCH + tx] = widen(p.weight[(col + line) * p.depth + first + tx]);
        }
        __syncthreads();  // orders the writes of the slice before all threads' reads
        for (int d = 0; d < SLICE; d++) {
            float left[4], right[4];
            for (int i = 0; i < 4; i++) left[i] = x[(ty + 16 * i) * PITCH + d];
            for (int i = 0; i < 4; i++) right[i] = w[(tx + 16 * i) * PITCH + d];
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) sums[i][j] = fmaf(left[i], right[j], sums[i][j]);
        }
        __syncthreads();  // orders these reads before the next slice's writes
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) p.out[(row + ty + 16 * i) * p.n + col + tx + 16 * j] = sums[i][j];
}

constexpr int TURNED_PITCH = SIDE + 4;  // keeps 16-byte loads aligned

__global__ void vector_loads(Product p) {  // 16 x 16 threads, elements (4 ty + i, 4 tx + j)
    DYNAMIC_SHARED(float, x);              // [SLICE][TURNED_PITCH]
    float* w = x + SLICE * TURNED_PITCH;
    const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
    const int row = static_cast<int>(blockIdx.x) * SIDE, col = static_cast<int>(blockIdx.y) * SIDE;
    float sums[4][4] = {};
    for (int first = 0; first < p.depth; first += SLICE) {
        for (int line = ty; line < SIDE; line += 16) {
            x[tx * TURNED_PITCH + line] = p.x[(row + line) * p.depth + first + tx];
            w[tx * TURNED_PITCH + line] = widen(p.weight[(col + line) * p.depth + first + tx]);
        }
        __syncthreads();  // orders the writes of the slice before all threads' reads
        for (int d = 0; d < SLICE; d++) {
            const float4 l = *reinterpret_cast<const float4*>(x + d * TURNED_PITCH + 4 * ty);
            const float4 r = *reinterpret_cast<const float4*>(w + d * TURNED_PITCH + 4 * tx);
            const float left[4] = {l.x, l.y, l.z, l.w}, right[4] = {r.x, r.y, r.z, r.w};
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) sums[i][j] = fmaf(left[i], right[j], sums[i][j]);
        }
        __syncthreads();  // orders these reads before the next slice's writes
    }
    for (int i = 0; i < 4; i++)
        *reinterpret_cast<float4*>(p.out + (row + 4 * ty + i) * p.n + col + 4 * tx) =
            make_float4(sums[i][0], sums[i][1], sums[i][2], sums[i][3]);
}

// --- tiles, multiplied by tensor cores --------------------------------------------------------------------------
//
// 4 warps, each 32 x 32 of the tile: 2 x 4 products of 16 x 8. A slice is 32 deep, two steps of mma.

constexpr int PANEL_DEPTH = 32;
constexpr int HALF_ROW = PANEL_DEPTH * 2;  // bytes of a row of bf16: 4 chunks of 16
constexpr int FLOAT_ROW = PANEL_DEPTH * 4;

__device__ __forceinline__ void put_tile(const Product& p, const float (&sums)[2][4][4], int row, int col, int lane) {
    for (int m = 0; m < 2; m++)
        for (int n = 0; n < 4; n++)
            for (int half = 0; half < 2; half++)
                *reinterpret_cast<float2*>(p.out + (row + m * 16 + half * 8 + lane / 4) * p.n + col + n * 8 +
                                           lane % 4 * 2) = make_float2(sums[m][n][2 * half], sums[m][n][2 * half + 1]);
}

enum class Layout { Plain, Swizzled };
enum class Fragments { Words, Matrices };

// Byte of chunk `chunk` of row `row` of a tile of bf16. Two rows make a line of 128 bytes.
template <Layout LAYOUT>
__device__ __forceinline__ int chunk_at(int row, int chunk) {
    return row * HALF_ROW + (LAYOUT == Layout::Swizzled ? chunk ^ (row / 2 & 3) : chunk) * 16;
}

template <Fragments FRAGMENTS, Layout LAYOUT>
__global__ void tensor_cores(Product p) {  // 128 threads
    DYNAMIC_SHARED(char, high);            // [SIDE][32] bf16, then the same of the low parts and of the weight
    char *low = high + SIDE * HALF_ROW, *w = low + SIDE * HALF_ROW;
    const int thread = static_cast<int>(threadIdx.x), lane = thread % WARP, warp = thread / WARP;
    const int row = static_cast<int>(blockIdx.x) * SIDE, col = static_cast<int>(blockIdx.y) * SIDE;
    const int my_row = warp / 2 * 32, my_col = warp % 2 * 32;
    float sums[2][4][4] = {};
    for (int first = 0; first < p.depth; first += PANEL_DEPTH) {
        for (int i = thread; i < SIDE * 4; i += 128) {  // chunks of 8 elements
            const int line = i / 4, chunk = i % 4, at = chunk_at<LAYOUT>(line, chunk);
            const float* from = p.x + (row + line) * p.depth + first + chunk * 8;
            const float4 a = *reinterpret_cast<const float4*>(from), b = *reinterpret_cast<const float4*>(from + 4);
            const Split s[4] = {split_bf16(a.x, a.y), split_bf16(a.z, a.w), split_bf16(b.x, b.y), split_bf16(b.z, b.w)};
            *reinterpret_cast<uint4*>(high + at) = make_uint4(s[0].high, s[1].high, s[2].high, s[3].high);
            *reinterpret_cast<uint4*>(low + at) = make_uint4(s[0].low, s[1].low, s[2].low, s[3].low);
            *reinterpret_cast<uint4*>(w + at) =
                *reinterpret_cast<const uint4*>(p.weight + (col + line) * p.depth + first + chunk * 8);
        }
        __syncthreads();  // orders the writes of the slice before all threads' reads
        for (int step = 0; step < 2; step++) {
            unsigned right[4][2];
            for (int n = 0; n < 4; n += 2)
                if constexpr (FRAGMENTS == Fragments::Matrices) {
                    unsigned r[4];
                    ldmatrix_x4(
                        r, w + chunk_at<LAYOUT>(my_col + n * 8 + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
                    right[n][0] = r[0], right[n][1] = r[1], right[n + 1][0] = r[2], right[n + 1][1] = r[3];
                } else {
                    for (int i = 0; i < 4; i++)
                        right[n + i / 2][i % 2] = *reinterpret_cast<const unsigned*>(
                            w + chunk_at<LAYOUT>(my_col + (n + i / 2) * 8 + lane / 4, 2 * step + i % 2) + lane % 4 * 4);
                }
            for (int m = 0; m < 2; m++)
                for (const char* part : {low, high}) {
                    unsigned left[4];
                    if constexpr (FRAGMENTS == Fragments::Matrices)
                        ldmatrix_x4(left, part + chunk_at<LAYOUT>(my_row + m * 16 + lane % 16, 2 * step + lane / 16));
                    else
                        for (int i = 0; i < 4; i++)
                            left[i] = *reinterpret_cast<const unsigned*>(
                                part + chunk_at<LAYOUT>(my_row + m * 16 + i % 2 * 8 + lane / 4, 2 * step + i / 2) +
                                lane % 4 * 4);
                    mma_bf16(sums[m], left, right);
                }
        }
        __syncthreads();  // orders these reads before the next slice's writes
    }
    put_tile(p, sums, row + my_row, col + my_col, lane);
}

constexpr int BUFFER = SIDE * (FLOAT_ROW + HALF_ROW);  // x as float32, then the weight

// x has rows of 128 bytes now: eight chunks, so that float pairs of 4 rows and 2 chunks meet in no bank.
__device__ __forceinline__ int float_chunk_at(int row, int chunk) {
    return row * FLOAT_ROW + (chunk ^ ((row ^ row << 2) & 7)) * 16;
}

__device__ __forceinline__ void copy_slice(char* to, const Product& p, int row, int col, int first) {
    for (int i = static_cast<int>(threadIdx.x); i < SIDE * 8; i += 128)
        cp_async<16>(to + float_chunk_at(i / 8, i % 8), p.x + (row + i / 8) * p.depth + first + i % 8 * 4, true);
    for (int i = static_cast<int>(threadIdx.x); i < SIDE * 4; i += 128)
        cp_async<16>(to + SIDE * FLOAT_ROW + chunk_at<Layout::Swizzled>(i / 4, i % 4),
                     p.weight + (col + i / 4) * p.depth + first + i % 4 * 8, true);
    cp_async_commit();
}

__global__ void double_buffer(Product p) {  // 128 threads
    DYNAMIC_SHARED(char, buffers);
    const int thread = static_cast<int>(threadIdx.x), lane = thread % WARP, warp = thread / WARP;
    const int row = static_cast<int>(blockIdx.x) * SIDE, col = static_cast<int>(blockIdx.y) * SIDE;
    const int my_row = warp / 2 * 32, my_col = warp % 2 * 32;
    float sums[2][4][4] = {};
    copy_slice(buffers, p, row, col, 0);
    for (int first = 0; first < p.depth; first += PANEL_DEPTH) {
        const char* x = buffers + first / PANEL_DEPTH % 2 * BUFFER;
        const char* w = x + SIDE * FLOAT_ROW;
        cp_async_wait<0>();
        // Orders the copies of this slice before all threads' reads, and their reads of the slice before it before the
        // copies that go there next.
        __syncthreads();
        if (first + PANEL_DEPTH < p.depth)
            copy_slice(buffers + (first / PANEL_DEPTH + 1) % 2 * BUFFER, p, row, col, first + PANEL_DEPTH);
        for (int step = 0; step < 2; step++) {
            unsigned right[4][2];
            for (int n = 0; n < 4; n += 2) {
                unsigned r[4];
                ldmatrix_x4(r, w + chunk_at<Layout::Swizzled>(my_col + n * 8 + lane / 16 * 8 + lane % 8,
                                                              2 * step + lane / 8 % 2));
                right[n][0] = r[0], right[n][1] = r[1], right[n + 1][0] = r[2], right[n + 1][1] = r[3];
            }
            for (int m = 0; m < 2; m++) {
                unsigned high[4], low[4];
                for (int i = 0; i < 4; i++) {
                    const float2 pair = *reinterpret_cast<const float2*>(
                        x +
                        float_chunk_at(my_row + m * 16 + i % 2 * 8 + lane / 4, 4 * step + i / 2 * 2 + lane % 4 / 2) +
                        lane % 2 * 8);
                    const Split split = split_bf16(pair.x, pair.y);
                    high[i] = split.high, low[i] = split.low;
                }
                mma_bf16(sums[m], low, right);
                mma_bf16(sums[m], high, right);
            }
        }
    }
    put_tile(p, sums, row + my_row, col + my_col, lane);
}

// --- the climb --------------------------------------------------------------------------------------------------

int study() {
    const int64_t rows = emulated_or_gpu(128, 4096), n = emulated_or_gpu(256, 4096), depth = emulated_or_gpu(128, 4096);
    Ladder ladder("matmul: " + std::to_string(rows) + " rows, n " + std::to_string(n) + ", depth " +
                      std::to_string(depth) + ", bf16 weight",
                  {.bytes = static_cast<double>(4 * rows * depth + 2 * n * depth + 4 * rows * n),
                   .flops = 2 * static_cast<double>(rows * n * depth),
                   .on_tensor_cores = true});
    const Operand x = ladder.random({rows, depth});
    const Operand weight = ladder.random({n, depth}, DType::BF16, 1 / std::sqrt(static_cast<float>(depth)));
    Operand out = ladder.result({rows, n});
    ladder.expect([&] { leon::matmul(reference_kernels(), out.host, x.host, weight.host); });

    const Product p = {out.device.f32(),       x.device.f32(),      data_of<Weight>(weight.device),
                       static_cast<int>(rows), static_cast<int>(n), static_cast<int>(depth)};
    const auto tiles = [&](int64_t down, int64_t across) {
        return dim3(static_cast<unsigned>(rows / down), static_cast<unsigned>(n / across));
    };
    constexpr dim3 SQUARE(16, 16);
    constexpr double SPLIT = 4 * 1.1e-5;  // as tests/test_kernels.cpp allows bf16 weights
    constexpr size_t FLOATS = 2 * SIDE * PITCH * sizeof(float), HALVES = 3 * SIDE * HALF_ROW;

    ladder.rung("one thread an element", Figure::None,
                [&] { CUDA_CHECK(launch(thread_per_element, tiles(32, 8), dim3(32, 8), 0, p)); });
    ladder.rung("one warp an element", Figure::Moved,
                [&] { CUDA_CHECK(launch(warp_per_element, tiles(1, 8), 256, 0, p)); });
    ladder.rung("tiles in shared memory", Figure::Moved,
                [&] { CUDA_CHECK(launch(shared_tiles, tiles(16, 16), SQUARE, 2 * 16 * PITCH * sizeof(float), p)); });
    ladder.rung("tiles in registers", Figure::SharedTraffic,
                [&] { CUDA_CHECK(launch(register_tiles, tiles(SIDE, SIDE), SQUARE, FLOATS, p)); });
    ladder.rung("16 bytes at a time", Figure::Requests, [&] {
        CUDA_CHECK(launch(vector_loads, tiles(SIDE, SIDE), SQUARE, 2 * SLICE * TURNED_PITCH * sizeof(float), p));
    });
    ladder.rung(
        "tensor cores", Figure::MatrixProducts,
        [&] { CUDA_CHECK(launch(tensor_cores<Fragments::Words, Layout::Plain>, tiles(SIDE, SIDE), 128, HALVES, p)); },
        SPLIT);
    ladder.rung(
        "ldmatrix", Figure::Requests,
        [&] {
            CUDA_CHECK(launch(tensor_cores<Fragments::Matrices, Layout::Plain>, tiles(SIDE, SIDE), 128, HALVES, p));
        },
        SPLIT);
    ladder.rung(
        "swizzle", Figure::BankConflicts,
        [&] {
            CUDA_CHECK(launch(tensor_cores<Fragments::Matrices, Layout::Swizzled>, tiles(SIDE, SIDE), 128, HALVES, p));
        },
        SPLIT);
    ladder.rung(
        "copies in the background", Figure::Async,
        [&] { CUDA_CHECK(launch(double_buffer, tiles(SIDE, SIDE), 128, 2 * BUFFER, p)); }, SPLIT);
    ladder.rung(
        "shipped", Figure::Moved, [&] { matmul(out.device, x.device, weight.device); }, SPLIT);
    return ladder.finish();
}

}  // namespace
}  // namespace leon::LEON_CUDA

int main() {
    return leon::LEON_CUDA::study();
}
