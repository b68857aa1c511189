// rotate and its way back: the norm of each head of q or k, and rotary positions.
//
// A warp takes all heads of a row, one after the other, and row after row: the frequencies (double precision) are
// computed once a warp, the angle's sine and cosine once a row. A lane holds pairs of channels (i, i + half) that turn
// together. Sums of dweight and dbias stand in shared memory, where a lane owns its channels; the rest is
// partial_sums.h. Bound by the bytes of two or three arrays of [rows, heads, head_dim].
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/reduce.h"
#include "training/cuda/partial_sums.h"

namespace leon::LEON_CUDA::grad {
namespace {

constexpr int MOST_WARPS = 8;
constexpr size_t MOST_SHARED_BYTES = 160 << 10;
constexpr int MOST_BLOCKS = 1056;                   // where there are no sums: eight for each multiprocessor of an H100
constexpr double ONE_RADIAN = 0.15915494309189535;  // 1 / (2 pi), in turns

struct Rotation {
    float* out;                     // or dx [rows, heads, head_dim]
    const float* in;                // x, or dout
    const float* x;                 // of the way back with a norm: what the forward call read
    const float *weight, *bias;     // [heads, head_dim], or null: no norm; on the way back there is no bias
    const int *position, *segment;  // [rows]: what even and odd pairs turn by
    float* sums;                    // [parts, 2, heads * head_dim] of dweight and dbias
    double log2_theta;
    float eps;
    bool turns;
    int64_t rows, rows_of_block;
    int heads, head_dim;
};

// The pairs of channels of a lane: (i, i + half) for i = step * 32 + lane.
template <int STEPS>
struct Pairs {
    float low[STEPS] = {}, high[STEPS] = {};
};

template <int STEPS>
class HeadLane {
public:
    __device__ __forceinline__ explicit HeadLane(const Rotation& r) : dim_(r.head_dim), half_((r.head_dim + 1) / 2) {
        if (!r.turns) return;
#pragma unroll
        for (int s = 0; s < STEPS; s++) frequency_[s] = exp2(-r.log2_theta * index(s) / half_) * ONE_RADIAN;
    }

    // In turns, and reduced to half a turn in double: at position 100,000 a float angle would be off by 0.004.
    __device__ __forceinline__ void set_position(int position, int segment) {
#pragma unroll
        for (int s = 0; s < STEPS; s++) {
            const double turns = (index(s) % 2 == 0 ? position : segment) * frequency_[s];
            const float half_turns = static_cast<float>(2 * (turns - rint(turns)));
            cosine_[s] = cospif(half_turns);
            sine_[s] = sinpif(half_turns);
        }
    }

    template <class Use>
    __device__ __forceinline__ void for_each(Use use) const {
#pragma unroll
        for (int s = 0; s < STEPS; s++) {
            if (index(s) < half_)
                use(
                    index(s), [s](auto& pairs) -> auto& { return pairs.low[s]; });
            if (index(s) + half_ < dim_)
                use(
                    index(s) + half_, [s](auto& pairs) -> auto& { return pairs.high[s]; });
        }
    }
    __device__ __forceinline__ Pairs<STEPS> read(const float* head) const {
        Pairs<STEPS> pairs;
        for_each([&](int channel, auto of) { of(pairs) = head[channel]; });
        return pairs;
    }
    __device__ __forceinline__ void write(float* head, const Pairs<STEPS>& pairs) const {
        for_each([&](int channel, auto of) { head[channel] = of(pairs); });
    }
    __device__ __forceinline__ void add_to(float* head, const Pairs<STEPS>& pairs) const {
        for_each([&](int channel, auto of) { head[channel] += of(pairs); });
    }
    // By the angle times `sign`.
    __device__ __forceinline__ void turn(Pairs<STEPS>& pairs, float sign) const {
#pragma unroll
        for (int s = 0; s < STEPS; s++) {
            const float u = pairs.low[s], v = pairs.high[s], sine = sign * sine_[s];
            pairs.low[s] = u * cosine_[s] - v * sine;
            pairs.high[s] = u * sine + v * cosine_[s];
        }
    }
    // term(channels' accessor), summed over the head, over its number of channels
    template <class Term>
    __device__ __forceinline__ float mean_of(Term term) const {
        float sum = 0;
        for_each([&](int, auto of) { sum += term(of); });
        return warp_sum(sum) / static_cast<float>(dim_);
    }
    // x becomes (x - mean) / sqrt(variance + eps); returns 1 / sqrt(variance + eps). The mean first and the squares
    // around it second: one pass over both sums would cancel.
    __device__ __forceinline__ float normalise(Pairs<STEPS>& x, float eps) const {
        const float mean = mean_of([&](auto of) { return of(x); });
        for_each([&](int, auto of) { of(x) -= mean; });
        const float scale = 1.0f / sqrtf(mean_of([&](auto of) { return of(x) * of(x); }) + eps);
        for_each([&](int, auto of) { of(x) *= scale; });
        return scale;
    }

private:
    __device__ static __forceinline__ int index(int step) {
        return step * WARP + static_cast<int>(threadIdx.x) % WARP;
    }

    int dim_, half_;
    double frequency_[STEPS] = {};  // turns per position
    float cosine_[STEPS] = {}, sine_[STEPS] = {};
};

template <int STEPS>
__global__ void __launch_bounds__(MOST_WARPS* WARP) rotate_kernel(Rotation r) {
    HeadLane<STEPS> lane(r);
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    const int64_t begin = blockIdx.x * r.rows_of_block, end = min(begin + r.rows_of_block, r.rows);
    for (int64_t row = begin + threadIdx.x / WARP; row < end; row += MOST_WARPS) {
        if (r.turns) lane.set_position(r.position[row], r.segment[row]);
        for (int h = 0; h < r.heads; h++) {
            const int64_t at = (row * r.heads + h) * r.head_dim;
            Pairs<STEPS> x = lane.read(r.in + at);
            if (r.weight) {
                lane.normalise(x, r.eps);
                const Pairs<STEPS> gain = lane.read(r.weight + h * r.head_dim),
                                   shift = lane.read(r.bias + h * r.head_dim);
                lane.for_each([&](int, auto of) { of(x) = of(x) * of(gain) + of(shift); });
            }
            if (r.turns) lane.turn(x, 1);
            lane.write(r.out + at, x);
        }
    }
}

template <int STEPS>
__global__ void __launch_bounds__(MOST_WARPS* WARP) rotate_backward_kernel(Rotation r) {
    DYNAMIC_SHARED(float, sums);  // [warps, 2, heads * head_dim] of dweight and dbias, with a norm
    HeadLane<STEPS> lane(r);
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    const int warps = static_cast<int>(blockDim.x) / WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    const int64_t width = static_cast<int64_t>(r.heads) * r.head_dim;
    float* of_weight = r.weight ? sums + 2 * warp * width : nullptr;
    float* of_bias = r.weight ? of_weight + width : nullptr;
    if (r.weight)
        for (int h = 0; h < r.heads; h++) {
            lane.write(of_weight + h * r.head_dim, {});
            lane.write(of_bias + h * r.head_dim, {});
        }

    const int64_t begin = blockIdx.x * r.rows_of_block, end = min(begin + r.rows_of_block, r.rows);
    for (int64_t row = begin + warp; row < end; row += warps) {
        if (r.turns) lane.set_position(r.position[row], r.segment[row]);
        for (int h = 0; h < r.heads; h++) {
            const int64_t at = row * width + h * r.head_dim;
            Pairs<STEPS> d = lane.read(r.in + at);
            if (r.turns) lane.turn(d, -1);
            if (r.weight) {
                Pairs<STEPS> n = lane.read(r.x + at), gain = lane.read(r.weight + h * r.head_dim);
                const float scale = lane.normalise(n, r.eps);
                Pairs<STEPS> along = d;
                lane.for_each([&](int, auto of) { of(along) *= of(n); });
                lane.add_to(of_weight + h * r.head_dim, along);
                lane.add_to(of_bias + h * r.head_dim, d);
                lane.for_each([&](int, auto of) { of(d) *= of(gain); });
                const float mean = lane.mean_of([&](auto of) { return of(d); });
                const float pull = lane.mean_of([&](auto of) { return of(d) * of(n); });
                lane.for_each([&](int, auto of) { of(d) = scale * (of(d) - mean - of(n) * pull); });
            }
            lane.write(r.out + at, d);
        }
    }
    if (!r.weight) return;

    __syncthreads();  // orders the writes of each warp's sums before all threads' reads
    for (int64_t i = threadIdx.x; i < 2 * width; i += blockDim.x) {
        float sum = 0;
        for (int w = 0; w < warps; w++) sum += sums[2 * w * width + i];
        r.sums[2 * blockIdx.x * width + i] = sum;
    }
}

Rotation rotation_of(Tensor out, Tensor in, Tensor x, const HeadNorm& norm, const Rotary& rotary) {
    HeadNorm n = norm;
    Tensor position = rotary.position, segment = rotary.segment ? rotary.segment : position;
    const bool turns = rotary.theta > 0;
    return {out.f32(),
            in.f32(),
            x.f32(),
            n.weight.f32(),
            n.bias.f32(),
            turns ? position.i32() : nullptr,
            turns ? segment.i32() : nullptr,
            static_cast<float*>(workspace()),
            turns ? log2(static_cast<double>(rotary.theta)) : 0,
            norm.eps,
            turns,
            out.shape[0],
            std::max<int64_t>(MOST_WARPS, divide_up(out.shape[0], MOST_BLOCKS)),
            static_cast<int>(out.shape[1]),
            static_cast<int>(out.shape[2])};
}

// Calls use(steps), a constant, with as many steps as a head's pairs need.
template <class Use>
void with_steps(int head_dim, Use use) {
    CHECK(head_dim <= 512);
    if (head_dim <= 64) return use(std::integral_constant<int, 1>());
    if (head_dim <= 128) return use(std::integral_constant<int, 2>());
    use(std::integral_constant<int, 8>());
}

}  // namespace

void rotate(Tensor out, Tensor x, const HeadNorm& norm, const Rotary& rotary) {
    if (x.elements() == 0) return;
    const Rotation r = rotation_of(out, x, {}, norm, rotary);
    const dim3 grid(static_cast<unsigned>(divide_up(r.rows, r.rows_of_block)));
    with_steps(r.head_dim, [&](auto steps) {
        CUDA_CHECK(launch_dependent(rotate_kernel<steps()>, grid, dim3(MOST_WARPS * WARP), 0, r));
    });
}

void rotate_backward(Tensor dx, Tensor dweight, Tensor dbias, Tensor dout, Tensor x, const HeadNorm& norm,
                     const Rotary& rotary) {
    if (dx.elements() == 0) return;
    Rotation r = rotation_of(dx, dout, norm.weight ? x : Tensor(), norm, rotary);
    const int64_t width = static_cast<int64_t>(r.heads) * r.head_dim;
    const size_t warp_bytes = norm.weight ? 2 * static_cast<size_t>(width) * sizeof(float) : 0;
    const int warps =
        warp_bytes > 0 ? static_cast<int>(std::min<size_t>(MOST_WARPS, MOST_SHARED_BYTES / warp_bytes)) : MOST_WARPS;
    CHECK(warps > 0);
    if (norm.weight) r.rows_of_block = rows_of_part(r.rows, warps, 2 * width);
    const int parts = static_cast<int>(divide_up(r.rows, r.rows_of_block));
    const dim3 grid(static_cast<unsigned>(parts)), block(static_cast<unsigned>(warps * WARP));
    with_steps(r.head_dim, [&](auto steps) {
        CUDA_CHECK(
            launch_dependent(rotate_backward_kernel<steps()>, grid, block, static_cast<size_t>(warps) * warp_bytes, r));
    });
    if (!norm.weight) return;
    add_partial_sums(dweight.f32(), r.sums, parts, 2 * width, width);
    add_partial_sums(dbias.f32(), r.sums + width, parts, 2 * width, width);
}

}  // namespace leon::LEON_CUDA::grad
