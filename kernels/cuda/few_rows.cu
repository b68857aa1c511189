// few_rows: out = x * weight^T, or out += it, for 1 to 16 rows of x (decoding).
//
// A warp makes two columns of the result for all rows, reading its two rows of the weight once in 16-byte loads that do
// not stay in the cache. Bound by the bytes of the weight. A result is summed in the same order whatever the number of
// rows.
#include "kernels/cuda/few_rows.h"

#include "kernels/cuda/element.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/reduce.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int WARPS = 4;    // of a block
constexpr int COLUMNS = 2;  // of the result per warp: each value of x that is loaded is used twice

__device__ __forceinline__ void put(float& target, float sum, Store store) {
    target = store == Store::Assign ? sum : target + sum;
}

// ROWS at least as many as `rows`; rows beyond repeat the last one and are not stored. aligned: all rows of x and
// weight start at multiples of 16 bytes.
template <class T, int ROWS>
__global__ void __launch_bounds__(WARPS* WARP)
    few_rows_kernel(float* out,          // [rows, n]
                    const float* x,      // [rows, depth]
                    const T* weight,     // [n, depth]
                    const float* scale,  // [n], or null
                    int rows, int64_t n, int64_t depth, bool aligned, Store store) {
    const int warp = static_cast<int>(threadIdx.x) / WARP, lane = static_cast<int>(threadIdx.x) % WARP;
    const int64_t first = (static_cast<int64_t>(blockIdx.x) * WARPS + warp) * COLUMNS;
    if (first >= n) return;

    const T* line[COLUMNS];
#pragma unroll
    for (int c = 0; c < COLUMNS; c++) line[c] = weight + (first + c < n ? first + c : n - 1) * depth;
    float sums[COLUMNS][ROWS] = {};

    constexpr int COUNT = Pack<T>::COUNT;
    const int64_t packed = aligned ? depth / COUNT * COUNT : 0;
    for (int64_t d = static_cast<int64_t>(lane) * COUNT; d < packed; d += WARP * COUNT) {
        Pack<T> w[COLUMNS];
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) w[c] = unpack(load_streaming(line[c] + d), T{});
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const float* row = x + (r < rows ? r : rows - 1) * depth + d;
#pragma unroll
            for (int i = 0; i < COUNT; i += 4) {
                const float4 four = *reinterpret_cast<const float4*>(row + i);
#pragma unroll
                for (int c = 0; c < COLUMNS; c++) {
                    sums[c][r] = fmaf(four.x, w[c].value[i], sums[c][r]);
                    sums[c][r] = fmaf(four.y, w[c].value[i + 1], sums[c][r]);
                    sums[c][r] = fmaf(four.z, w[c].value[i + 2], sums[c][r]);
                    sums[c][r] = fmaf(four.w, w[c].value[i + 3], sums[c][r]);
                }
            }
        }
    }
    for (int64_t d = packed + lane; d < depth; d += WARP)  // the tail, or all of it
#pragma unroll
        for (int c = 0; c < COLUMNS; c++)
#pragma unroll
            for (int r = 0; r < ROWS; r++)
                sums[c][r] = fmaf(x[(r < rows ? r : rows - 1) * depth + d], widen(line[c][d]), sums[c][r]);

#pragma unroll
    for (int c = 0; c < COLUMNS; c++)
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const float sum = warp_sum(sums[c][r]);
            if (lane == 0 && r < rows && first + c < n)
                put(out[r * n + first + c], scale ? sum * scale[first + c] : sum, store);
        }
}

bool is_aligned(const Tensor& t) {
    return reinterpret_cast<uintptr_t>(t.data) % 16 == 0 && t.cols() * static_cast<int64_t>(size_of(t.dtype)) % 16 == 0;
}

template <class T, int ROWS>
void launch_few_rows(Tensor out, Tensor x, Tensor weight, Store store) {
    const dim3 grid(static_cast<unsigned>(divide_up(weight.rows(), WARPS * COLUMNS))), block(WARPS * WARP);
    CUDA_CHECK(launch(few_rows_kernel<T, ROWS>, grid, block, 0, out.f32(), x.f32(), data_of<T>(weight), weight.scale,
                      static_cast<int>(x.rows()), weight.rows(), weight.cols(), is_aligned(x) && is_aligned(weight),
                      store));
}

}  // namespace

void few_rows(Tensor out, Tensor x, Tensor weight, Store store) {
    const int64_t rows = x.rows();
    if (out.elements() == 0) return;
    with_weight(weight.dtype, [&](auto element) {
        using T = decltype(element);
        if (rows <= 1) return launch_few_rows<T, 1>(out, x, weight, store);
        if (rows <= 2) return launch_few_rows<T, 2>(out, x, weight, store);
        if (rows <= 4) return launch_few_rows<T, 4>(out, x, weight, store);
        if (rows <= 8) return launch_few_rows<T, 8>(out, x, weight, store);
        launch_few_rows<T, FEW_ROWS>(out, x, weight, store);
    });
}

}  // namespace leon::LEON_CUDA
