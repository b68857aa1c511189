// norm_backward: a warp takes a row at a time, once for its statistics and once, from the cache, for dx.
//
//   RMS     s = 1 / sqrt(mean(x^2) + eps)      dx = s (dout weight - x s^2 mean(dout weight x))
//           dweight += sum over rows of dout x s
//   Layer   n = (x - mean) s                   dx = s (dout - mean(dout) - n mean(dout n))
//
// For dweight every warp adds its rows in shared memory, where a lane owns its columns; the rest is partial_sums.h.
// Bound by the bytes of three or four arrays of [rows, dim].
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/reduce.h"
#include "training/cuda/lanes.h"
#include "training/cuda/partial_sums.h"

namespace leon::LEON_CUDA::grad {
namespace {

constexpr int MOST_WARPS = 8;  // of a block; fewer where their sums of dweight would not fit
constexpr size_t MOST_SHARED_BYTES = 160 << 10;

struct Rows {
    float* dx;            // [rows, dim]
    const float* dout;    // [rows, dim]
    const float* x;       // [rows, dim]
    const float* weight;  // [dim], of RMS
    float* sums;          // [parts, dim] of dweight, of RMS
    float eps;
    int64_t rows, dim, rows_of_block;
    bool adds;  // dx += the result
};

template <RowNorm::Kind KIND, int WIDTH>
class RowBackward {
public:
    __device__ RowBackward(const Rows& r, int64_t row, float* sums)
        : r_(r), x_(r.x + row * r.dim), dout_(r.dout + row * r.dim), dx_(r.dx + row * r.dim), sums_(sums) {}

    __device__ void run() const {
        const float count = static_cast<float>(r_.dim);
        float mean = 0;
        if (KIND == RowNorm::Kind::Layer) {
            float sum = 0;
            for_each([&](float x, float, float) { sum += x; });
            mean = warp_sum(sum) / count;
        }
        // along: of the gradient, in the direction of the row
        float squares = 0, along = 0, total = 0;
        for_each([&](float x, float d, float weight) {
            const float centred = x - mean, gradient = d * weight;
            squares = fmaf(centred, centred, squares);
            along = fmaf(gradient, centred, along);
            total += gradient;
        });
        const float scale = 1.0f / sqrtf(warp_sum(squares) / count + r_.eps);
        const float pull = warp_sum(along) / count * scale * scale;
        const float shift = KIND == RowNorm::Kind::Layer ? warp_sum(total) / count : 0;
        for (int64_t d = first(); d < r_.dim; d += WARP * WIDTH) {
            const Lane<WIDTH> x = load_lane<WIDTH>(x_ + d), dout = load_lane<WIDTH>(dout_ + d), weight = gain(d);
            Lane<WIDTH> dx{};
            if (r_.adds) dx = load_lane<WIDTH>(dx_ + d);
#pragma unroll
            for (int i = 0; i < WIDTH; i++)
                dx.value[i] += scale * (dout.value[i] * weight.value[i] - shift - (x.value[i] - mean) * pull);
            store_lane(dx_ + d, dx);
            if (KIND == RowNorm::Kind::RMS) {
                Lane<WIDTH> sum = load_lane<WIDTH>(sums_ + d);
#pragma unroll
                for (int i = 0; i < WIDTH; i++) sum.value[i] += dout.value[i] * (x.value[i] * scale);
                store_lane(sums_ + d, sum);
            }
        }
    }

private:
    __device__ static int64_t first() {
        return threadIdx.x % WARP * WIDTH;
    }
    __device__ Lane<WIDTH> gain(int64_t d) const {
        Lane<WIDTH> gain;
#pragma unroll
        for (int i = 0; i < WIDTH; i++) gain.value[i] = 1;
        return KIND == RowNorm::Kind::RMS ? load_lane<WIDTH>(r_.weight + d) : gain;
    }
    // use(x, dout, weight) for each column of this lane
    template <class Use>
    __device__ void for_each(Use use) const {
        for (int64_t d = first(); d < r_.dim; d += WARP * WIDTH) {
            const Lane<WIDTH> x = load_lane<WIDTH>(x_ + d), dout = load_lane<WIDTH>(dout_ + d), weight = gain(d);
#pragma unroll
            for (int i = 0; i < WIDTH; i++) use(x.value[i], dout.value[i], weight.value[i]);
        }
    }

    const Rows& r_;
    const float *x_, *dout_;
    float *dx_, *sums_;
};

template <RowNorm::Kind KIND, int WIDTH>
__global__ void __launch_bounds__(MOST_WARPS* WARP) norm_backward_kernel(Rows r) {
    DYNAMIC_SHARED(float, sums);  // [warps, dim] of dweight, where there is one
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    const int warps = static_cast<int>(blockDim.x) / WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    float* own = KIND == RowNorm::Kind::RMS ? sums + warp * r.dim : nullptr;
    if (KIND == RowNorm::Kind::RMS)
        for (int64_t d = threadIdx.x % WARP * WIDTH; d < r.dim; d += WARP * WIDTH) store_lane(own + d, Lane<WIDTH>{});

    const int64_t begin = blockIdx.x * r.rows_of_block, end = min(begin + r.rows_of_block, r.rows);
    for (int64_t row = begin + warp; row < end; row += warps) RowBackward<KIND, WIDTH>(r, row, own).run();
    if (KIND == RowNorm::Kind::Layer) return;

    __syncthreads();  // orders the writes of each warp's sums before all threads' reads
    for (int64_t d = threadIdx.x; d < r.dim; d += blockDim.x) {
        float sum = 0;
        for (int w = 0; w < warps; w++) sum += sums[w * r.dim + d];
        r.sums[blockIdx.x * r.dim + d] = sum;
    }
}

}  // namespace

void norm_backward(Tensor dx, Tensor dweight, Tensor dout, Tensor x, const RowNorm& norm, Accumulate accumulate) {
    if (x.elements() == 0) return;
    const bool rms = norm.kind == RowNorm::Kind::RMS;
    Tensor weight = rms ? norm.weight : Tensor();
    const int64_t rows = x.rows(), dim = x.cols();
    const size_t row_bytes = static_cast<size_t>(dim) * sizeof(float);
    const int warps = rms ? static_cast<int>(std::min<size_t>(MOST_WARPS, MOST_SHARED_BYTES / row_bytes)) : MOST_WARPS;
    CHECK(warps > 0);
    const int64_t rows_of_block = rms ? rows_of_part(rows, warps, dim) : warps;
    const Rows r = {dx.f32(), dout.f32(), x.f32(), weight.f32(),  static_cast<float*>(workspace()),
                    norm.eps, rows,       dim,     rows_of_block, accumulate == Accumulate::Yes};
    const int parts = static_cast<int>(divide_up(rows, rows_of_block));
    const bool wide = is_aligned(dx) && is_aligned(dout) && is_aligned(x) && is_aligned(weight.data);
    const auto kernel =
        rms ? (wide ? norm_backward_kernel<RowNorm::Kind::RMS, 4> : norm_backward_kernel<RowNorm::Kind::RMS, 1>)
            : (wide ? norm_backward_kernel<RowNorm::Kind::Layer, 4> : norm_backward_kernel<RowNorm::Kind::Layer, 1>);
    const dim3 grid(static_cast<unsigned>(parts)), block(static_cast<unsigned>(warps * WARP));
    CUDA_CHECK(launch_dependent(kernel, grid, block, rms ? static_cast<size_t>(warps) * row_bytes : 0, r));
    if (rms) add_partial_sums(dweight.f32(), r.sums, parts, r.dim, r.dim);
}

}  // namespace leon::LEON_CUDA::grad
