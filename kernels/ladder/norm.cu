// A ladder for rmsnorm: out = x / sqrt(mean(x^2) + eps) * weight, row by row, [rows, dim] float32.
//
// The least that can be done: read x and the weight once, write out once. Three operations an element: memory bounds.
// What there is to learn is how threads share a row.
//
//   1. one thread a row        Neighbouring threads read addresses a row apart. Each 4-byte load moves a sector of 32:
//                              eight times what is needed, three passes long.
//   2. one block a row         Threads read adjacent floats: a warp's load is 4 whole sectors. The sums meet in shared
//                              memory, in a tree whose step s pairs thread t with t + s for t = 0 mod 2 s: the active
//                              threads lie 2 s words apart, in ever fewer banks.
//   3. the other tree          Steps halve: thread t < s adds t + s. Active threads are adjacent, no conflicts.
//   4. shuffles                Within a warp, shuffles need neither shared memory nor barriers; only one value per warp
//                              goes through shared memory.
//   5. 16 bytes a load         A quarter of the loads and stores, for the same bytes.
//   6. a row in registers      Each thread keeps its part of the row from the sum to the result: it is read once.
//   7. the shipped launcher    Loads the weight before it waits for the kernel before it, which shows in time only;
//   takes
//                              any width, and has layernorm and the residual sum with it.
//
// The second table: x += norm(y), a norm and a sum, and both in one launch: y's norm is never in memory.
#include "kernels/cuda/reduce.h"
#include "kernels/ladder/ladder.h"

namespace leon::LEON_CUDA {
namespace {

constexpr float EPS = 1e-5f;
constexpr unsigned THREADS = 256;

__global__ void thread_per_row(float* out,           // [rows, dim]
                               const float* x,       // [rows, dim]
                               const float* weight,  // [dim]
                               int64_t rows, int64_t dim) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    float squares = 0;
    for (int64_t i = 0; i < dim; i++) squares = fmaf(x[row * dim + i], x[row * dim + i], squares);
    const float scale = 1.0f / sqrtf(squares / static_cast<float>(dim) + EPS);
    for (int64_t i = 0; i < dim; i++) out[row * dim + i] = x[row * dim + i] * scale * weight[i];
}

enum class Tree { Spreading, Halving };

template <Tree TREE>
__global__ void __launch_bounds__(THREADS) block_per_row(float* out,           // [rows, dim]
                                                         const float* x,       // [rows, dim]
                                                         const float* weight,  // [dim]
                                                         int64_t dim) {
    DYNAMIC_SHARED(float, sums);  // [THREADS]
    const unsigned t = threadIdx.x;
    const int64_t row = static_cast<int64_t>(blockIdx.x) * dim;
    float squares = 0;
    for (int64_t i = t; i < dim; i += THREADS) squares = fmaf(x[row + i], x[row + i], squares);
    sums[t] = squares;
    __syncthreads();  // orders each thread's sum before the first step's reads
    if (TREE == Tree::Spreading) {
        for (unsigned step = 1; step < THREADS; step *= 2) {
            const unsigned target = t * 2 * step;
            if (target < THREADS) sums[target] += sums[target + step];
            __syncthreads();  // orders this step's sums before the next one's reads
        }
    } else {
        for (unsigned step = THREADS / 2; step > 0; step /= 2) {
            if (t < step) sums[t] += sums[t + step];
            __syncthreads();  // orders this step's sums before the next one's reads
        }
    }
    const float scale = 1.0f / sqrtf(sums[0] / static_cast<float>(dim) + EPS);
    for (int64_t i = t; i < dim; i += THREADS) out[row + i] = x[row + i] * scale * weight[i];
}

__global__ void __launch_bounds__(THREADS) shuffles(float* out,           // [rows, dim]
                                                    const float* x,       // [rows, dim]
                                                    const float* weight,  // [dim]
                                                    int64_t dim) {
    DYNAMIC_SHARED(float, partial);  // [THREADS / WARP]
    const int64_t row = static_cast<int64_t>(blockIdx.x) * dim;
    float squares = 0;
    for (int64_t i = threadIdx.x; i < dim; i += THREADS) squares = fmaf(x[row + i], x[row + i], squares);
    squares = block_sum<THREADS / WARP>(squares, partial);
    const float scale = 1.0f / sqrtf(squares / static_cast<float>(dim) + EPS);
    for (int64_t i = threadIdx.x; i < dim; i += THREADS) out[row + i] = x[row + i] * scale * weight[i];
}

__device__ __forceinline__ float square_of(float4 v) {
    return v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
}
__device__ __forceinline__ float4 scaled(float4 v, float scale, float4 w) {
    return make_float4(v.x * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w);
}

// QUADS of four elements in each thread's registers, and dim = 4 * THREADS * QUADS; 0: they are read again.
template <int QUADS>
__global__ void __launch_bounds__(THREADS) wide_loads(float4* out,           // [rows, dim / 4]
                                                      const float4* x,       // [rows, dim / 4]
                                                      const float4* weight,  // [dim / 4]
                                                      int64_t quads) {
    DYNAMIC_SHARED(float, partial);  // [THREADS / WARP]
    const int64_t row = static_cast<int64_t>(blockIdx.x) * quads;
    float4 kept[QUADS ? QUADS : 1];
    float squares = 0;
    if constexpr (QUADS > 0) {
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
            kept[q] = x[row + q * THREADS + threadIdx.x];
            squares += square_of(kept[q]);
        }
    } else {
        for (int64_t i = threadIdx.x; i < quads; i += THREADS) squares += square_of(x[row + i]);
    }
    squares = block_sum<THREADS / WARP>(squares, partial);
    const float scale = 1.0f / sqrtf(squares / static_cast<float>(4 * quads) + EPS);
    if constexpr (QUADS > 0) {
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
            const int64_t i = q * THREADS + threadIdx.x;
            out[row + i] = scaled(kept[q], scale, weight[i]);
        }
    } else {
        for (int64_t i = threadIdx.x; i < quads; i += THREADS) out[row + i] = scaled(x[row + i], scale, weight[i]);
    }
}

int study_of_the_sum() {
    const int64_t rows = emulated_or_gpu(64, 8192), dim = emulated_or_gpu(1024, 4096);
    Ladder ladder(
        "norm_add: " + std::to_string(rows) + " rows of " + std::to_string(dim) + ", float32",
        {.bytes = static_cast<double>((3 * rows + 1) * dim * 4), .flops = static_cast<double>(4 * rows * dim)});
    const Operand y = ladder.random({rows, dim}), weight = ladder.random({dim});
    Operand x = ladder.changed(ladder.random({rows, dim})), scratch = ladder.random({rows, dim});
    const auto norm = [&](const Tensor& w) { return RowNorm{RowNorm::Kind::RMS, w, EPS}; };
    ladder.expect([&] { leon::norm_add(reference_kernels(), x.host, y.host, norm(weight.host)); });
    ladder.rung("a norm, then a sum", Figure::None, [&] {
        rmsnorm(scratch.device, y.device, weight.device, EPS);
        add(x.device, scratch.device, 1);
    });
    ladder.rung("shipped: both in one launch", Figure::Moved,
                [&] { norm_add(x.device, y.device, norm(weight.device)); });
    return ladder.finish();
}

int study() {
    const int64_t rows = emulated_or_gpu(64, 8192), dim = emulated_or_gpu(1024, 4096);
    Ladder ladder(
        "rmsnorm: " + std::to_string(rows) + " rows of " + std::to_string(dim) + ", float32",
        {.bytes = static_cast<double>((2 * rows + 1) * dim * 4), .flops = static_cast<double>(3 * rows * dim)});
    const Operand x = ladder.random({rows, dim}), weight = ladder.random({dim});
    Operand out = ladder.result({rows, dim});
    ladder.expect([&] { leon::rmsnorm(reference_kernels(), out.host, x.host, weight.host, EPS); });

    const auto grid = static_cast<unsigned>(rows);
    const float *px = x.device.f32(), *pw = weight.device.f32();
    float* po = out.device.f32();
    ladder.rung("one thread a row", Figure::None,
                [&] { CUDA_CHECK(launch(thread_per_row, divide_up(rows, 64), 64, 0, po, px, pw, rows, dim)); });
    ladder.rung("one block a row, spreading tree", Figure::Moved, [&] {
        CUDA_CHECK(launch(block_per_row<Tree::Spreading>, grid, THREADS, THREADS * sizeof(float), po, px, pw, dim));
    });
    ladder.rung("halving tree", Figure::BankConflicts, [&] {
        CUDA_CHECK(launch(block_per_row<Tree::Halving>, grid, THREADS, THREADS * sizeof(float), po, px, pw, dim));
    });
    constexpr size_t PARTIAL_BYTES = THREADS / WARP * sizeof(float);
    ladder.rung("shuffles", Figure::Barriers,
                [&] { CUDA_CHECK(launch(shuffles, grid, THREADS, PARTIAL_BYTES, po, px, pw, dim)); });
    const auto *qx = reinterpret_cast<const float4*>(px), *qw = reinterpret_cast<const float4*>(pw);
    auto* qo = reinterpret_cast<float4*>(po);
    constexpr int QUADS = static_cast<int>(emulated_or_gpu(1, 4));  // dim / 4 / THREADS
    ladder.rung("16 bytes a load", Figure::Requests,
                [&] { CUDA_CHECK(launch(wide_loads<0>, grid, THREADS, PARTIAL_BYTES, qo, qx, qw, dim / 4)); });
    ladder.rung("a row in registers", Figure::Moved,
                [&] { CUDA_CHECK(launch(wide_loads<QUADS>, grid, THREADS, PARTIAL_BYTES, qo, qx, qw, dim / 4)); });
    ladder.rung("shipped: the weight before the wait", Figure::Time,
                [&] { rmsnorm(out.device, x.device, weight.device, EPS); });
    return ladder.finish();
}

}  // namespace
}  // namespace leon::LEON_CUDA

int main() {
    const int faults = leon::LEON_CUDA::study();
    return leon::LEON_CUDA::study_of_the_sum() || faults;
}
