// The second half of a sum over many rows; see partial_sums.h. A block owns 32 columns: a thread adds every 32nd part,
// then the first warp adds the threads' sums in their order. Bound by latency: a few hundred kilobytes from the L2.
#include "training/cuda/partial_sums.h"

#include "kernels/cuda/ptx.h"

namespace leon::LEON_CUDA::grad {
namespace {

constexpr int GROUPS = 32;  // threads a column

__global__ void __launch_bounds__(WARP* GROUPS) partial_sums_kernel(float* out,         // [count]
                                                                    const float* sums,  // [parts, stride]
                                                                    int parts, int64_t stride, int64_t count) {
    DYNAMIC_SHARED(float, of_groups);  // [GROUPS, WARP]
    grid_dependency_launch();
    grid_dependency_wait();  // orders the writes of the sums before all that follows
    const int lane = static_cast<int>(threadIdx.x) % WARP, group = static_cast<int>(threadIdx.x) / WARP;
    const int64_t column = static_cast<int64_t>(blockIdx.x) * WARP + lane;
    float sum = 0;
    if (column < count)
        for (int p = group; p < parts; p += GROUPS) sum += sums[p * stride + column];
    of_groups[group * WARP + lane] = sum;
    __syncthreads();  // orders the writes of the groups' sums before the first warp's reads
    if (group > 0 || column >= count) return;
    float total = 0;
    for (int g = 0; g < GROUPS; g++) total += of_groups[g * WARP + lane];
    out[column] += total;
}

}  // namespace

void add_partial_sums(float* out, const float* sums, int parts, int64_t stride, int64_t count) {
    const dim3 grid(static_cast<unsigned>(divide_up(count, WARP))), block(WARP * GROUPS);
    CUDA_CHECK(launch_dependent(partial_sums_kernel, grid, block, GROUPS * WARP * sizeof(float), out, sums, parts,
                                stride, count));
}

}  // namespace leon::LEON_CUDA::grad
