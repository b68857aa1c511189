// The optimiser: clear, sum_of_squares, adamw, average_into. Bound by memory: an update reads four streams of floats
// and writes three.
//
// sum_of_squares: 64 blocks a part, each over a piece of it, in double; then one block adds their sums. Many parts go
// into one launch, since most parts of a model, its norms, are small.
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/reduce.h"
#include "training/cuda/lanes.h"
#include "training/cuda/launchers.h"

namespace leon::LEON_CUDA::grad {
namespace {

constexpr int WARPS = 8;
constexpr int THREADS = WARPS * WARP;
constexpr int BLOCKS_OF_PART = 64;
constexpr int PARTS = 64;  // of a launch

template <int WIDTH>
__global__ void __launch_bounds__(THREADS)
    adamw_kernel(float* values, const float* gradients, float* m, float* v, int64_t count, AdamWFactors f) {
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    const int64_t at = (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x) * WIDTH;
    if (at >= count) return;
    Lane<WIDTH> p = load_lane<WIDTH>(values + at), mean = load_lane<WIDTH>(m + at), square = load_lane<WIDTH>(v + at);
    const Lane<WIDTH> g = load_lane<WIDTH>(gradients + at);
#pragma unroll
    for (int i = 0; i < WIDTH; i++) {
        const float gradient = g.value[i] * f.scale;
        mean.value[i] = f.beta_1 * mean.value[i] + f.fresh_1 * gradient;
        square.value[i] = f.beta_2 * square.value[i] + f.fresh_2 * gradient * gradient;
        p.value[i] = p.value[i] * f.kept - f.rate * mean.value[i] / (sqrtf(square.value[i]) * f.root + f.epsilon);
    }
    store_lane(values + at, p);
    store_lane(m + at, mean);
    store_lane(v + at, square);
}

template <int WIDTH>
__global__ void __launch_bounds__(THREADS)
    average_kernel(float* average, const float* values, int64_t count, float old, float fresh) {
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    const int64_t at = (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x) * WIDTH;
    if (at >= count) return;
    Lane<WIDTH> a = load_lane<WIDTH>(average + at);
    const Lane<WIDTH> value = load_lane<WIDTH>(values + at);
#pragma unroll
    for (int i = 0; i < WIDTH; i++) a.value[i] = old * a.value[i] + fresh * value.value[i];
    store_lane(average + at, a);
}

__device__ double block_sum(double value, double* partial) {
    for (int distance = WARP / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(~0u, value, distance);
    if (threadIdx.x % WARP == 0) partial[threadIdx.x / WARP] = value;
    __syncthreads();  // orders the write of each warp's sum before all threads' reads
    double sum = 0;
    for (int i = 0; i < WARPS; i++) sum += partial[i];
    return sum;
}

struct Parts {
    const float* data[PARTS];
    int64_t count[PARTS];
};

// Block x of part y.
__global__ void __launch_bounds__(THREADS) squares_kernel(double* sums,  // [parts, BLOCKS_OF_PART]
                                                          Parts parts) {
    DYNAMIC_SHARED(double, partial);  // [WARPS]
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    const float* data = parts.data[blockIdx.y];
    const int64_t count = parts.count[blockIdx.y];
    double sum = 0;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x; i < count; i += BLOCKS_OF_PART * THREADS)
        sum += static_cast<double>(data[i]) * data[i];
    sum = block_sum(sum, partial);
    if (threadIdx.x == 0) sums[blockIdx.y * BLOCKS_OF_PART + blockIdx.x] = sum;
}

__global__ void __launch_bounds__(THREADS) sum_kernel(double* out, const double* sums, int64_t count) {
    DYNAMIC_SHARED(double, partial);  // [WARPS]
    grid_dependency_launch();
    grid_dependency_wait();  // orders the writes of the blocks' sums before all that follows
    double sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += THREADS) sum += sums[i];
    sum = block_sum(sum, partial);
    if (threadIdx.x == 0) *out = sum;
}

}  // namespace

void clear(Tensor x) {
    if (x.elements() > 0) CUDA_CHECK(cudaMemsetAsync(x.data, 0, x.bytes(), stream()));
}

double sum_of_squares(std::span<const Tensor> parts) {
    double* out = static_cast<double*>(workspace());
    double* sums = out + 1;
    const int64_t count = static_cast<int64_t>(parts.size()) * BLOCKS_OF_PART;
    CHECK(static_cast<size_t>(count + 1) * sizeof(double) <= WORKSPACE_BYTES);
    for (size_t from = 0; from < parts.size(); from += PARTS) {
        const std::span<const Tensor> some = parts.subspan(from, std::min<size_t>(PARTS, parts.size() - from));
        Parts p{};
        for (size_t i = 0; i < some.size(); i++) p.data[i] = some[i].f32(), p.count[i] = some[i].elements();
        const dim3 grid(BLOCKS_OF_PART, static_cast<unsigned>(some.size()));
        CUDA_CHECK(launch_dependent(squares_kernel, grid, dim3(THREADS), WARPS * sizeof(double),
                                    sums + from * BLOCKS_OF_PART, p));
    }
    CUDA_CHECK(launch_dependent(sum_kernel, dim3(1), dim3(THREADS), WARPS * sizeof(double), out, sums, count));
    double sum = 0;
    download(&sum, out, sizeof sum);
    return sum;
}

void adamw(Tensor values, Tensor gradients, Tensor m, Tensor v, const AdamWStep& rule) {
    const int64_t count = values.elements();
    if (count == 0) return;
    const bool wide = count % 4 == 0 && is_aligned(values.data) && is_aligned(gradients.data) && is_aligned(m.data) &&
                      is_aligned(v.data);
    CUDA_CHECK(launch_dependent(wide ? adamw_kernel<4> : adamw_kernel<1>, blocks_of(count, wide ? 4 : 1, THREADS),
                                dim3(THREADS), 0, values.f32(), gradients.f32(), m.f32(), v.f32(), count,
                                AdamWFactors(rule)));
}

void average_into(Tensor average, Tensor values, double decay) {
    const int64_t count = values.elements();
    if (count == 0) return;
    const bool wide = count % 4 == 0 && is_aligned(average.data) && is_aligned(values.data);
    CUDA_CHECK(launch_dependent(wide ? average_kernel<4> : average_kernel<1>, blocks_of(count, wide ? 4 : 1, THREADS),
                                dim3(THREADS), 0, average.f32(), values.f32(), count, static_cast<float>(decay),
                                static_cast<float>(1 - decay)));
}

}  // namespace leon::LEON_CUDA::grad
