// spatial_attention: one block per query pixel; its four warps share the pixels in tiles of 32.
//
//   out[i] = sum_j softmax_j(q[i] . k[j] / sqrt(channels)) v[j]
//
// One head as wide as the channels (512): bound by reading k and v from L2 once per query.
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/online_softmax.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int THREADS = SOFTMAX_WARPS * WARP;

template <int CHANNELS>
__global__ void __launch_bounds__(THREADS) spatial_attention_kernel(float* out,      // [pixels, channels]
                                                                    const float* q,  // [pixels, channels]
                                                                    const float* k,  // [pixels, channels]
                                                                    const float* v,  // [pixels, channels]
                                                                    int pixels, int channels, float scale) {
    DYNAMIC_SHARED(float, query);  // [channels], then the weights, then the states
    const int warp = static_cast<int>(threadIdx.x) / WARP;
    float* weights = query + channels + warp * TILE_KEYS;
    float* states = query + channels + SOFTMAX_WARPS * TILE_KEYS;
    const int64_t row = static_cast<int64_t>(blockIdx.x) * channels;

    for (int i = static_cast<int>(threadIdx.x); i < channels; i += THREADS) query[i] = q[row + i];
    __syncthreads();  // orders the writes of query before all warps' reads

    SoftmaxState<CHANNELS> state;
    for (int first = warp * TILE_KEYS; first < pixels; first += SOFTMAX_WARPS * TILE_KEYS) {
        const int64_t start = static_cast<int64_t>(first) * channels;
        add_tile(state, query, k + start, v + start, min(TILE_KEYS, pixels - first), channels, scale, weights);
    }
    merge(out + row, state, channels, states);
}

}  // namespace

void spatial_attention(Tensor out, Tensor q, Tensor k, Tensor v) {
    const int pixels = static_cast<int>(q.rows()), channels = static_cast<int>(q.cols());
    const dim3 grid(static_cast<unsigned>(pixels)), block(THREADS);
    const size_t shared_bytes = softmax_shared_floats(channels) * sizeof(float);
    const float scale = 1.0f / sqrtf(static_cast<float>(channels));
    if (q.elements() == 0) return;
    with_channels(channels, [&](auto per_lane) {
        CUDA_CHECK(launch(spatial_attention_kernel<decltype(per_lane)::PER_LANE>, grid, block, shared_bytes, out.f32(),
                          q.f32(), k.f32(), v.f32(), pixels, channels, scale));
    });
}

}  // namespace leon::LEON_CUDA
