// Products with many rows: out = x * weight^T, assigned, added or clipped at zero; gate and up of a feed-forward branch
// at once; q, k and v at once.
//
// One block makes one tile of out with the loop of mma_tile.h; blocks that run together share a column of tiles, so
// that a weight comes from memory once and goes to all row tiles out of the L2 cache. With a gate, the columns of the
// two weights alternate in eights within the tile: a thread then holds gate and up of the same elements and multiplies
// them in registers. Sums are added over the depth in one order, whatever the schedule.
//
// Bound by the tensor cores for hundreds of rows: two products (bf16, i8, f16) or three (f32) per multiply-add, since x
// is exact. For few rows by the bytes of the weight.
#include "kernels/cuda/gemm.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "kernels/cuda/mma_tile.h"

namespace leon::LEON_CUDA {
namespace {

// Large, 128 x 256: warps of 64 x 64, 128 sums a thread: of all shapes that fit into the registers, the one that reads
// least shared memory per product. Wider than high, since an element of x is 4 bytes and one of a weight 1 or 2. Four
// stages of 32 are at most 128 KiB, within the 163 KiB of sm_80. With tf32 the fragments take more registers and the
// products two or three times the time: 128 x 128 then. Half bytes want registers for their factors: 64 x 256.
template <class T>
using Large = TileShape<HAS_GROUPS<T> ? 32 : 64, SPLITS_AHEAD<T> ? 64 : 32, 2, 4, 1, 4>;
// Medium, 64 x 128: for outputs of which the large tile would leave multiprocessors idle. Two or three blocks share
// one.
template <class T>
using Medium = TileShape<32, 64, 2, 2, 1, 4>;
// Small, 32 x 64: up to about a hundred rows reading the weight bounds, and blocks are few. So a stage is 128 deep, for
// long reads and many bytes under way, and four warps each take a quarter of it.
template <class T>
using Small = TileShape<32, 32, 1, 2, 4, sizeof(T) == 4 ? 3 : 4>;

struct Part {               // one product of a launch
    float* out;             // [rows, n]
    const void* weight;     // [n, depth]
    const void* gate;       // [n, depth], or null
    const uint8_t* groups;  // of weight: [n, depth / GROUP], of half bytes
    const uint8_t* gate_groups;
    const float* scale;  // of weight: [n], or null
    const float* gate_scale;
    int64_t n;
    bool pairs;           // elements 2 i and 2 i + 1 of every row of out are one aligned word of 8 bytes
    unsigned first_tile;  // of the columns; unused parts begin beyond the last
};
constexpr int PARTS = 3;

struct Problem {
    const float* x;  // [rows, depth]
    int64_t rows;
    int depth;
    bool x_aligned, weight_aligned;
    Ending ending;
    Part parts[PARTS];
};

// The columns of a tile: those of the weight, or gate and up by turns in eights.
template <class T>
struct PartColumns {
    const T* weight;
    const T* gate;
    const uint8_t* weight_groups;
    const uint8_t* gate_groups;
    int64_t n, depth;
    bool aligned;

    __device__ __forceinline__ const T* row(int64_t c) const {
        return element_at(is_gate(c) ? gate : weight, row_of(c) * depth);
    }
    __device__ __forceinline__ const uint8_t* groups(int64_t c) const {
        return (is_gate(c) ? gate_groups : weight_groups) + row_of(c) * depth / GROUP;
    }

private:
    __device__ __forceinline__ bool is_gate(int64_t c) const { return gate && c / 8 % 2 == 0; }
    __device__ __forceinline__ int64_t row_of(int64_t c) const {
        if (gate) c = c / 16 * 8 + c % 8;
        return c < n ? c : n - 1;
    }
};

__device__ __forceinline__ float scaled(float sum, const float* scale, int64_t col) {
    return scale ? sum * scale[col] : sum;
}

__device__ __forceinline__ float stored(float before, float sum, Ending ending) {
    if (ending == Ending::Accumulate) return before + sum;
    return ending == Ending::Relu && sum < 0 ? 0.0f : sum;  // a NaN stays
}

// Elements `col` and `col + 1` of a row of a part's out; the second one may be beyond the end.
__device__ __forceinline__ void put(const Part& part, int64_t row, int64_t col, float first, float second,
                                    Ending ending) {
    float* at = part.out + row * part.n + col;
    const bool adds = ending == Ending::Accumulate;
    if (part.pairs) {
        const float2 before = adds ? *reinterpret_cast<float2*>(at) : make_float2(0, 0);
        *reinterpret_cast<float2*>(at) = make_float2(stored(before.x, first, ending), stored(before.y, second, ending));
        return;
    }
    at[0] = stored(adds ? at[0] : 0.0f, first, ending);
    if (col + 1 < part.n) at[1] = stored(adds ? at[1] : 0.0f, second, ending);
}

__device__ __forceinline__ float swish(float x) {
    return x / (1.0f + expf(-x));
}

template <class T, class Shape>
__global__ void __launch_bounds__(Shape::THREADS, 1) gemm_kernel(Problem problem) {
    DYNAMIC_SHARED(char, shared);
    Part part = problem.parts[0];
#pragma unroll
    for (int i = 1; i < PARTS; i++)
        if (blockIdx.y >= problem.parts[i].first_tile) part = problem.parts[i];

    const int64_t first_row = static_cast<int64_t>(blockIdx.x) * Shape::ROWS;
    const int64_t first_col = static_cast<int64_t>(blockIdx.y - part.first_tile) * Shape::COLS;
    const MatrixRows left = {problem.x, problem.rows, problem.depth, problem.x_aligned};
    const PartColumns<T> right = {static_cast<const T*>(part.weight),
                                  static_cast<const T*>(part.gate),
                                  part.groups,
                                  part.gate_groups,
                                  part.n,
                                  problem.depth,
                                  problem.weight_aligned};
    float sums[Shape::DOWN_TILES][Shape::ACROSS_TILES][4];
    multiply_tile<T, Shape>(sums, left, right, first_row, first_col, problem.depth, shared);
    if (!owns_sums<Shape>()) return;

    if (part.gate) {
#pragma unroll
        for (int n = 0; n < Shape::ACROSS_TILES; n += 2) {
            const int64_t at = first_col + col_of<Shape>(n), col = at / 16 * 8 + at % 8;
            if (col >= part.n) continue;
            const int64_t second = col + 1 < part.n ? col + 1 : col;
#pragma unroll
            for (int i = 0; i < 2 * Shape::DOWN_TILES; i++) {
                const int64_t row = first_row + row_of<Shape>(i / 2, i % 2);
                if (row >= problem.rows) continue;
                const float* gate = &sums[i / 2][n][i % 2 * 2];
                const float* up = &sums[i / 2][n + 1][i % 2 * 2];
                put(part, row, col, swish(scaled(gate[0], part.gate_scale, col)) * scaled(up[0], part.scale, col),
                    swish(scaled(gate[1], part.gate_scale, second)) * scaled(up[1], part.scale, second),
                    problem.ending);
            }
        }
        return;
    }
#pragma unroll
    for (int n = 0; n < Shape::ACROSS_TILES; n++) {
        const int64_t col = first_col + col_of<Shape>(n);
        if (col >= part.n) continue;
        const int64_t second = col + 1 < part.n ? col + 1 : col;
#pragma unroll
        for (int i = 0; i < 2 * Shape::DOWN_TILES; i++) {
            const int64_t row = first_row + row_of<Shape>(i / 2, i % 2);
            if (row >= problem.rows) continue;
            put(part, row, col, scaled(sums[i / 2][n][i % 2 * 2], part.scale, col),
                scaled(sums[i / 2][n][i % 2 * 2 + 1], part.scale, second), problem.ending);
        }
    }
}

// --- launchers ----------------------------------------------------------------------------------------------------

Part part_of(Tensor out, Tensor weight, Tensor gate) {
    const bool pairs = weight.rows() % 2 == 0 && reinterpret_cast<uintptr_t>(out.data) % 8 == 0;
    return {out.f32(),    weight.data, gate.data,     weight.groups, gate.groups,
            weight.scale, gate.scale,  weight.rows(), pairs,         0};
}

template <class T, class Shape>
void launch_gemm(Problem problem) {
    int64_t tiles = 0;
    for (Part& part : problem.parts) {
        part.first_tile = static_cast<unsigned>(tiles);
        tiles += divide_up(part.gate ? 2 * divide_up(part.n, 8) * 8 : part.n, Shape::COLS);
    }
    const dim3 grid(static_cast<unsigned>(divide_up(problem.rows, Shape::ROWS)), static_cast<unsigned>(tiles));
    CUDA_CHECK(launch(gemm_kernel<T, Shape>, grid, Shape::THREADS, TILE_SHARED_BYTES<T, Shape>, problem));
}

void run(Tensor x, DType dtype, bool weight_aligned, Ending ending, GemmShape shape,
         std::initializer_list<Part> parts) {
    Problem problem = {x.f32(), x.rows(), static_cast<int>(x.cols()), is_aligned(x), weight_aligned, ending, {}};
    std::copy(parts.begin(), parts.end(), problem.parts);
    if (x.rows() == 0) return;
    with_weight(dtype, [&](auto element) {
        using T = decltype(element);
        if (shape == GemmShape::Large) return launch_gemm<T, Large<T>>(problem);
        if (shape == GemmShape::Medium) return launch_gemm<T, Medium<T>>(problem);
        launch_gemm<T, Small<T>>(problem);
    });
}

}  // namespace

// Estimated time: every multiprocessor makes its share of the tiles one after the other, at a price per element. The
// large tile is the unit; the smaller ones cost more by what they ask of shared memory for each product
// (docs/kernels.md has the counts). So Large wins where its tiles fill the multiprocessors (for n = 4096 in bf16 from
// about 900 rows on an H100), and Small up to about a hundred rows.
GemmShape choose_gemm_shape(DType weight, int64_t rows, int64_t n) {
    GemmShape best{};
    double least = INFINITY;
    const auto consider = [&](GemmShape shape, int64_t tile_rows, int64_t tile_cols, double price) {
        const int64_t tiles = divide_up(rows, tile_rows) * divide_up(n, tile_cols);
        const int64_t share = divide_up(tiles, multiprocessors());
        const double time = static_cast<double>(share * tile_rows * tile_cols) * price;
        if (time < least) best = shape, least = time;
    };
    with_weight(weight, [&](auto element) {
        using T = decltype(element);
        consider(GemmShape::Large, Large<T>::ROWS, Large<T>::COLS, 1);
        consider(GemmShape::Medium, Medium<T>::ROWS, Medium<T>::COLS, 1.3);
        consider(GemmShape::Small, Small<T>::ROWS, Small<T>::COLS, 2.6);
    });
    return best;
}

void gemm(Tensor out, Tensor x, Tensor weight, Ending ending, GemmShape shape) {
    run(x, weight.dtype, is_aligned(weight), ending, shape, {part_of(out, weight, {})});
}
void gemm(Tensor out, Tensor x, Tensor weight, Ending ending) {
    gemm(out, x, weight, ending, choose_gemm_shape(weight.dtype, x.rows(), weight.rows()));
}

void gemm_swiglu(Tensor out, Tensor x, Tensor gate, Tensor up, GemmShape shape) {
    run(x, up.dtype, is_aligned(gate) && is_aligned(up), Ending::Assign, shape, {part_of(out, up, gate)});
}
void gemm_swiglu(Tensor out, Tensor x, Tensor gate, Tensor up) {
    gemm_swiglu(out, x, gate, up, choose_gemm_shape(up.dtype, x.rows(), 2 * up.rows()));
}

void gemm_qkv(Tensor q, Tensor k, Tensor v, Tensor x, Tensor wq, Tensor wk, Tensor wv, GemmShape shape) {
    run(x, wq.dtype, is_aligned(wq) && is_aligned(wk) && is_aligned(wv), Ending::Assign, shape,
        {part_of(q, wq, {}), part_of(k, wk, {}), part_of(v, wv, {})});
}
void gemm_qkv(Tensor q, Tensor k, Tensor v, Tensor x, Tensor wq, Tensor wk, Tensor wv) {
    gemm_qkv(q, k, v, x, wq, wk, wv, choose_gemm_shape(wq.dtype, x.rows(), wq.rows() + wk.rows() + wv.rows()));
}

}  // namespace leon::LEON_CUDA
