// cross_entropy: one block per row of logits, which is read three times, from the cache but for the first: the largest,
// the sum of exponentials, and the gradients in its place. Bound by the bytes of the logits, once to read and once to
// write.
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/reduce.h"
#include "training/cuda/lanes.h"
#include "training/cuda/launchers.h"

namespace leon::LEON_CUDA::grad {
namespace {

constexpr int WARPS = 8;
constexpr int THREADS = WARPS * WARP;

__device__ float block_max(float value, float* partial) {
    value = warp_max(value);
    if (threadIdx.x % WARP == 0) partial[threadIdx.x / WARP] = value;
    __syncthreads();  // orders the write of each warp's largest before all threads' reads
    float most = partial[0];
    for (int i = 1; i < WARPS; i++) most = fmaxf(most, partial[i]);
    __syncthreads();  // orders these reads before the next caller's writes
    return most;
}

template <int WIDTH>
__global__ void __launch_bounds__(THREADS) cross_entropy_kernel(float* losses,         // [rows]
                                                                float* logits,         // [rows, vocab]
                                                                const int* targets,    // [rows]
                                                                const float* weights,  // [rows]
                                                                int64_t vocab, CrossEntropy rule) {
    DYNAMIC_SHARED(float, partial);  // [WARPS]
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    float* row = logits + blockIdx.x * vocab;
    const int target = targets[blockIdx.x];
    const int64_t first = threadIdx.x * int64_t{WIDTH};
    if (target == NO_TARGET) {
        for (int64_t i = first; i < vocab; i += THREADS * WIDTH) store_lane(row + i, Lane<WIDTH>{});
        if (threadIdx.x == 0) losses[blockIdx.x] = 0;
        return;
    }
    float most = -INFINITY;
    for (int64_t i = first; i < vocab; i += THREADS * WIDTH) {
        const Lane<WIDTH> x = load_lane<WIDTH>(row + i);
#pragma unroll
        for (int w = 0; w < WIDTH; w++) most = fmaxf(most, x.value[w]);
    }
    most = block_max(most, partial);
    float total = 0;
    for (int64_t i = first; i < vocab; i += THREADS * WIDTH) {
        const Lane<WIDTH> x = load_lane<WIDTH>(row + i);
#pragma unroll
        for (int w = 0; w < WIDTH; w++) total += expf(x.value[w] - most);
    }
    const float logit = row[target];  // before the barriers of the sum, and so before it is overwritten
    total = block_sum<WARPS>(total, partial);
    const float log_z = most + logf(total);
    if (threadIdx.x == 0) losses[blockIdx.x] = log_z - logit + rule.z_loss * log_z * log_z;
    const float scale = rule.scale * weights[blockIdx.x], pull = (1.0f + 2.0f * rule.z_loss * log_z) / total;
    for (int64_t i = first; i < vocab; i += THREADS * WIDTH) {
        Lane<WIDTH> x = load_lane<WIDTH>(row + i);
#pragma unroll
        for (int w = 0; w < WIDTH; w++)
            x.value[w] = scale * (expf(x.value[w] - most) * pull - (i + w == target ? 1.0f : 0.0f));
        store_lane(row + i, x);
    }
}

}  // namespace

void cross_entropy(Tensor losses, Tensor logits, Tensor targets, Tensor weights, const CrossEntropy& rule) {
    if (logits.elements() == 0) return;
    const dim3 grid(static_cast<unsigned>(logits.rows())), block(THREADS);
    CUDA_CHECK(launch_dependent(is_aligned(logits) ? cross_entropy_kernel<4> : cross_entropy_kernel<1>, grid, block,
                                WARPS * sizeof(float), losses.f32(), logits.f32(), targets.i32(), weights.f32(),
                                logits.cols(), rule));
}

}  // namespace leon::LEON_CUDA::grad
