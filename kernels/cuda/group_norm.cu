// group_norm, and the statistics that norm_conv2d applies itself.
//
//   out = activation((x - mean_g) / sqrt(variance_g + eps) * weight[c] + bias[c]),  group g = c / (channels/groups)
//
//   1. a block for each chunk of whole pixels: its mean of each group, then the squares about that mean, which find the
//      chunk in L1, where the mean left it
//   2. a block for each group: merges the chunks (Chan, Golub and LeVeque) in double, in an order that depends on the
//      sizes only, and leaves three factors for each channel
//   3. group_norm only: a thread for every four values of the result
//
// So memory is read once for the statistics and once for the result, nothing cancels, and every run gives the same
// bits. Bound by bytes.
#include "kernels/cuda/group_statistics.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/reduce.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int THREADS = 256;
constexpr int CHUNK_FLOATS = 8192;  // 32 KB: several blocks' chunks stay in L1 between their two readings
constexpr int WIDTH = 4;            // values of a 16-byte load

// Mean of a chunk's values of one group, and the sum of squares about it.
struct Moments {
    float mean, squares;
};

// Sums of the columns of a chunk stand [lines][pitch] in shared memory. Behind a line's channels there is room for one
// group more, so that a group's entries of all lines lie in different banks.
__host__ __device__ constexpr int pitch_of(int channels, int groups) {
    return channels + (channels / groups + WIDTH - 1) / WIDTH * WIDTH;
}

// columns[c] = sum over the chunk's pixels of f(x[p, c], c), by threads that own V channels each, and `lines` of them
// share a channel: their sums stand apart, for the caller to add.
template <int V, class F>
__device__ __forceinline__ void sum_columns(float* columns, const float* x, int pixels, int channels, int lines,
                                            int pitch, F f) {
    const int threads_across = channels / V;  // of one line, or more than there are threads
    const int thread = static_cast<int>(threadIdx.x);
    for (int t = thread; t < lines * threads_across; t += THREADS) {
        const int line = t / threads_across, c = t % threads_across * V;
        float sum[V] = {};
        for (int p = line; p < pixels; p += lines) {
            const float* from = x + static_cast<int64_t>(p) * channels + c;
            if constexpr (V == WIDTH) {
                const float4 four = *reinterpret_cast<const float4*>(from);
                sum[0] += f(four.x, c), sum[1] += f(four.y, c + 1);
                sum[2] += f(four.z, c + 2), sum[3] += f(four.w, c + 3);
            } else {
                sum[0] += f(from[0], c);
            }
        }
        float* to = columns + line * pitch + c;
        if constexpr (V == WIDTH)
            *reinterpret_cast<float4*>(to) = make_float4(sum[0], sum[1], sum[2], sum[3]);
        else
            to[0] = sum[0];
    }
}

// Sum of a group's entries, by one warp.
__device__ __forceinline__ float sum_group(const float* columns, int pitch, int lines, int first, int width) {
    float sum = 0;
    for (int i = static_cast<int>(threadIdx.x) % WARP; i < lines * width; i += WARP)
        sum += columns[i / width * pitch + first + i % width];
    return warp_sum(sum);
}

template <int V>
__global__ void __launch_bounds__(THREADS)
    chunk_moments_kernel(Moments* moments,  // [chunks][groups]
                         const float* x,    // [pixels, channels]
                         int64_t pixels, int channels, int groups, int chunk_pixels, int lines) {
    const int pitch = pitch_of(channels, groups);
    DYNAMIC_SHARED(float, columns);          // [lines][pitch]
    float* means = columns + lines * pitch;  // [groups]
    const int64_t first = static_cast<int64_t>(blockIdx.x) * chunk_pixels;
    const int count = static_cast<int>(min(static_cast<int64_t>(chunk_pixels), pixels - first));
    const int width = channels / groups, warp = static_cast<int>(threadIdx.x) / WARP;
    const float values = static_cast<float>(count) * static_cast<float>(width);
    x += first * channels;
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows

    sum_columns<V>(columns, x, count, channels, lines, pitch, [](float v, int) { return v; });
    __syncthreads();  // orders the writes of the columns' sums before the warps' reads
    for (int g = warp; g < groups; g += THREADS / WARP) {
        const float sum = sum_group(columns, pitch, lines, g * width, width);
        if (threadIdx.x % WARP == 0) means[g] = sum / values;
    }
    __syncthreads();  // orders the writes of the means before all reads, and the reads of the columns before new writes
    sum_columns<V>(columns, x, count, channels, lines, pitch, [=](float v, int c) {
        const float centred = v - means[c / width];
        return centred * centred;
    });
    __syncthreads();  // orders the writes of the columns' squares before the warps' reads
    for (int g = warp; g < groups; g += THREADS / WARP) {
        const float squares = sum_group(columns, pitch, lines, g * width, width);
        if (threadIdx.x % WARP == 0) moments[static_cast<int64_t>(blockIdx.x) * groups + g] = {means[g], squares};
    }
}

struct Merged {
    double count, mean, squares;
};
__device__ __forceinline__ Merged merge(const Merged& a, const Merged& b) {
    if (b.count == 0) return a;
    const double count = a.count + b.count, step = b.mean - a.mean;
    return {count, a.mean + step * (b.count / count),
            a.squares + b.squares + step * step * (a.count * b.count / count)};
}

constexpr int MERGE_THREADS = 128;

__global__ void __launch_bounds__(MERGE_THREADS)
    channel_factors_kernel(float* factors,          // [3][channels]: centre, scale, offset
                           const Moments* moments,  // [chunks][groups]
                           const float* weight, const float* bias, int64_t pixels, int channels, int chunk_pixels,
                           int chunks, float eps) {
    DYNAMIC_SHARED(Merged, warps);  // [MERGE_THREADS / WARP]
    const int groups = static_cast<int>(gridDim.x), group = static_cast<int>(blockIdx.x), width = channels / groups;
    const int thread = static_cast<int>(threadIdx.x);
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    Merged all = {0, 0, 0};
    for (int chunk = thread; chunk < chunks; chunk += MERGE_THREADS) {
        const Moments m = moments[static_cast<int64_t>(chunk) * groups + group];
        const int64_t count =
            min(static_cast<int64_t>(chunk_pixels), pixels - static_cast<int64_t>(chunk) * chunk_pixels);
        all = merge(all, {static_cast<double>(count * width), m.mean, m.squares});
    }
    for (int apart = 1; apart < WARP; apart *= 2) {  // the first lane ends with the parts of all, in their order
        const Merged other = {__shfl_down_sync(~0u, all.count, apart), __shfl_down_sync(~0u, all.mean, apart),
                              __shfl_down_sync(~0u, all.squares, apart)};
        all = merge(all, other);
    }
    if (thread % WARP == 0) warps[thread / WARP] = all;
    __syncthreads();  // orders the writes of the warps' parts before all threads' reads
    all = warps[0];
    for (int i = 1; i < MERGE_THREADS / WARP; i++) all = merge(all, warps[i]);

    const double deviation = 1.0 / sqrt(all.squares / all.count + static_cast<double>(eps));
    const float centre = static_cast<float>(all.mean);
    for (int c = group * width + thread; c < (group + 1) * width; c += MERGE_THREADS) {
        factors[c] = centre;
        factors[channels + c] = static_cast<float>(deviation * weight[c]);
        // The mean was rounded to float: what that takes from the values is put back.
        factors[2 * channels + c] = static_cast<float>(bias[c] + (centre - all.mean) * deviation * weight[c]);
    }
}

// V values a thread; 4 where the channels are a multiple of four and everything is aligned.
template <int V>
__global__ void __launch_bounds__(THREADS) apply_kernel(float* out,      // [pixels, channels]
                                                        const float* x,  // the same, may be out
                                                        ChannelNorm norm, int64_t count, int channels) {
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    const int64_t i = (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x) * V;
    if (i >= count) return;
    const int channel = static_cast<int>(i % channels);
    if constexpr (V == WIDTH) {
        const float4 v = *reinterpret_cast<const float4*>(x + i);
        *reinterpret_cast<float4*>(out + i) =
            make_float4(normed(v.x, norm, channel), normed(v.y, norm, channel + 1), normed(v.z, norm, channel + 2),
                        normed(v.w, norm, channel + 3));
    } else {
        out[i] = normed(x[i], norm, channel);
    }
}

bool in_vectors(const Tensor& t) {
    return t.cols() % WIDTH == 0 && reinterpret_cast<uintptr_t>(t.data) % 16 == 0;
}

}  // namespace

ChannelNorm group_statistics(const Tensor& x, const GroupNorm& norm) {
    const int channels = static_cast<int>(x.cols()), groups = norm.groups;
    const int64_t pixels = x.rows();
    // The workspace holds the factors, then the moments of as many chunks as there is room for.
    float* factors = static_cast<float*>(workspace());
    Moments* moments = reinterpret_cast<Moments*>(factors + divide_up(3 * channels, 2) * 2);
    const int64_t room = (static_cast<int64_t>(WORKSPACE_BYTES) - static_cast<int64_t>(3 * channels + 1) * 4) /
                         (groups * static_cast<int64_t>(sizeof(Moments)));
    CHECK(room > 0);
    const int64_t chunk_pixels = std::max(divide_up(CHUNK_FLOATS, channels), divide_up(pixels, room));
    const int chunks = static_cast<int>(divide_up(pixels, chunk_pixels));

    const auto launch_chunks = [&](auto kernel, int v) {
        const int lines = std::max(1, THREADS * v / channels);
        const size_t shared_bytes = static_cast<size_t>(lines * pitch_of(channels, groups) + groups) * sizeof(float);
        CUDA_CHECK(launch_dependent(kernel, dim3(static_cast<unsigned>(chunks)), THREADS, shared_bytes, moments,
                                    x.f32(), pixels, channels, groups, static_cast<int>(chunk_pixels), lines));
    };
    if (in_vectors(x))
        launch_chunks(chunk_moments_kernel<WIDTH>, WIDTH);
    else
        launch_chunks(chunk_moments_kernel<1>, 1);
    CUDA_CHECK(launch_dependent(channel_factors_kernel, dim3(static_cast<unsigned>(groups)), MERGE_THREADS,
                                MERGE_THREADS / WARP * sizeof(Merged), factors, moments, norm.weight.f32(),
                                norm.bias.f32(), pixels, channels, static_cast<int>(chunk_pixels), chunks, norm.eps));
    return {factors, factors + channels, factors + 2 * channels, norm.activation};
}

void group_norm(Tensor out, Tensor x, Tensor weight, Tensor bias, int groups, float eps, Activation activation) {
    const int64_t count = x.elements();
    if (count == 0) return;
    const ChannelNorm norm = group_statistics(x, {weight, bias, groups, eps, activation});
    const auto apply = [&](auto kernel, int v) {
        CUDA_CHECK(launch_dependent(kernel, dim3(static_cast<unsigned>(divide_up(count, THREADS * v))), THREADS, 0,
                                    out.f32(), x.f32(), norm, count, static_cast<int>(x.cols())));
    };
    if (in_vectors(x) && in_vectors(out))
        apply(apply_kernel<WIDTH>, WIDTH);
    else
        apply(apply_kernel<1>, 1);
}

}  // namespace leon::LEON_CUDA
