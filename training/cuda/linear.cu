// The three products of a linear layer, up to three weights at once, in float32 and with operands in bf16:
//
//   linear       out_i  (+)= x w_i^T              the columns of the outs side by side: one launch reads x once
//   linear_dx    dx     (+)= sum_i dout_i w_i     one sum over the joined depths
//   linear_dw    dw_i   +=   dout_i^T x           the depth is the rows of the batch, in parts that several blocks
//   share
//
// One block makes one tile (product_tile.h), or, of large ones, one after the other: then the first slices of the next
// tile come while the last one is written. Tiles of a row are made beside each other, so that an activation
// comes from memory once and out of the L2 cache for the other tiles of its row; weights stay in the L2 cache.
//
// Weights are small and batches long: dw has too few tiles for the multiprocessors. So the rows are cut into parts,
// whose sums go to the workspace and are added in the order of the rows: the same bits every time on a device.
//
// Bound by the L2 cache's bandwidth, about 24 bytes a clock for each of 132 multiprocessors: a slice of a 128 x 192
// tile asks for 40 KiB of float32 for 786,432 multiply-adds, which makes 210 Tflop/s. So weights that are read by many
// tiles are rounded to bf16 ahead of them: 28 KiB, 300 Tflop/s.
#include <algorithm>
#include <climits>
#include <type_traits>

#include "training/cuda/launchers.h"
#include "training/cuda/product_tile.h"

namespace leon::LEON_CUDA::grad {
namespace {

enum class Role { Forward, Inputs, Weights };

constexpr int PARTS = MOST_LINEAR;

struct Problem {
    Side a[PARTS], b[PARTS];  // of each part; the side that all parts share stands in each
    float* out[PARTS];
    bool pairs[PARTS];             // elements 2 i and 2 i + 1 of every row of out are one aligned word
    int rows[PARTS], cols[PARTS];  // of out
    int first[PARTS];              // tile of the part, or slice (dx); INT_MAX where there is none
    int slices;                    // of the whole depth
    int slices_at_once;            // of them that are added in one go
    int64_t stride;                // from the sums of one go to those of the next one, of the same tile
    int across, down, tiles;       // tiles: of all goes
    bool adds;
    bool aligned;  // every line of every side begins at a multiple of 16 bytes
};

// How a block goes about its tile; lines that are not aligned are taken value by value. A block that LASTS makes one
// tile after the other.
template <class Products, bool ALIGNED>
struct Held {
    using Sums = Products;
    static constexpr bool LASTS = false;
    template <bool A_TRANSPOSED, bool B_TRANSPOSED>
    using Tile = HeldTile<Products, A_TRANSPOSED, B_TRANSPOSED, ALIGNED>;
};
template <class Products, bool WEIGHTS_ROUNDED>
struct Staged {
    using Sums = Products;
    static constexpr bool LASTS = true;
    template <bool A_TRANSPOSED, bool B_TRANSPOSED>
    using Tile = StagedTile<Products, A_TRANSPOSED, B_TRANSPOSED, WEIGHTS_ROUNDED>;
};

// Large for batches of thousands of rows. In bf16 a tile is 128 x 192, warps of 64 x 48, 96 sums a thread: of what the
// L2 cache brings each value meets 128 or 192 others; and a layer of a small model, 384 columns, is two tiles across.
// Small, 64 x 64: where there would be too few large ones.
struct InBf16 {
    using Large = Staged<Bf16Products<64, 48, 2, 4, 1>, false>;
    using LargeRounded = Staged<Bf16Products<64, 48, 2, 4, 1>, true>;
    using Small = Held<Bf16Products<32, 32, 2, 2, 4>, true>;
    using Ragged = Held<Bf16Products<32, 32, 2, 2, 4>, false>;
};
struct InFloat {
    using Large = Held<FloatProducts<16, 16, 8, 8>, true>;
    using LargeRounded = Large;  // nothing to round
    using Small = Held<FloatProducts<8, 16, 8, 4>, true>;
    using Ragged = Held<FloatProducts<8, 16, 8, 4>, false>;
};

template <class Way, Role ROLE>
using TileOf = typename Way::template Tile<ROLE == Role::Weights, ROLE != Role::Forward>;

// Where a tile begins, and the slices of the depth that are added to it.
struct Place {
    int part, go, first_row, first_col, begin, end;
};
template <Role ROLE>
__device__ __forceinline__ Place place_of(const Problem& problem, int tile, int tile_rows, int tile_cols) {
    int col = tile % problem.across, row = tile / problem.across % problem.down, part = 0;
    const int go = tile / problem.across / problem.down, begin = go * problem.slices_at_once;
    if constexpr (ROLE != Role::Inputs) {
        int& along = ROLE == Role::Forward ? col : row;
        part = (along >= problem.first[1]) + (along >= problem.first[2]);
        along -= problem.first[part];
    }
    return {part, go, row * tile_rows, col * tile_cols, begin, min(begin + problem.slices_at_once, problem.slices)};
}

template <class Products>
__device__ __forceinline__ void write(const Problem& problem, const Place& place, const Products& products) {
    const int rows = problem.rows[place.part], cols = problem.cols[place.part];
    const bool adds = problem.adds, pairs = problem.pairs[place.part];
    float* out = problem.out[place.part] + place.go * problem.stride;
    products.for_pairs([&](int row, int col, float x, float y) {
        row += place.first_row, col += place.first_col;
        if (row >= rows || col >= cols) return;
        float* at = out + static_cast<int64_t>(row) * cols + col;
        if (pairs) {
            const float2 before = adds ? *reinterpret_cast<float2*>(at) : make_float2(0, 0);
            *reinterpret_cast<float2*>(at) = make_float2(before.x + x, before.y + y);
            return;
        }
        at[0] = adds ? at[0] + x : x;
        if (col + 1 < cols) at[1] = adds ? at[1] + y : y;
    });
}

template <class Way, Role ROLE>
__global__ void __launch_bounds__(Way::Sums::THREADS, Way::Sums::BLOCKS)
    product_kernel(const __grid_constant__ Problem problem) {
    using Products = typename Way::Sums;
    using Tile = TileOf<Way, ROLE>;
    DYNAMIC_SHARED(char, shared);
    const auto slice_of = [&](const Place& place) {
        return [&problem, part = place.part](int s) {
            if constexpr (ROLE == Role::Inputs) {
                const int p = (s >= problem.first[1]) + (s >= problem.first[2]);
                return SlicePair{problem.a[p], problem.b[p], (s - problem.first[p]) * SLICE};
            }
            return SlicePair{problem.a[part], problem.b[part], s * SLICE};
        };
    };
    const auto start = [&](const Place& place) {
        Tile::start(slice_of(place), place.first_row, place.first_col, place.begin, place.end, shared);
    };

    int tile = static_cast<int>(blockIdx.x);
    Place place = place_of<ROLE>(problem, tile, Products::ROWS, Products::COLS);
    start(place);
    while (true) {
        Products products;
        Tile::multiply(products, slice_of(place), place.first_row, place.first_col, place.begin, place.end, shared);
        // The first slices of the next tile come while this one is written.
        const Place done = place;
        tile += static_cast<int>(gridDim.x);
        if (tile < problem.tiles) {
            place = place_of<ROLE>(problem, tile, Products::ROWS, Products::COLS);
            start(place);
        }
        write(problem, done, products);
        if (tile >= problem.tiles) break;
    }
}

// --- the sums of a tile's blocks -----------------------------------------------------------------------------------

struct Parts {
    float* out[PARTS];
    int64_t first[PARTS + 1];  // element of the sums, and their number in all
    int count;                 // of sums
    const float* sums;         // [count, first[PARTS]]
};

constexpr int THREADS = 256;  // threads of a block that goes through weights

template <class Word>
__global__ void __launch_bounds__(THREADS) add_sums_kernel(const __grid_constant__ Parts parts) {
    constexpr int WIDTH = static_cast<int>(sizeof(Word) / sizeof(float));
    const int64_t all = parts.first[PARTS];
    const int64_t i = (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x) * WIDTH;
    if (i >= all) return;
    const int part = (i >= parts.first[1]) + (i >= parts.first[2]);
    float total[WIDTH] = {};
#pragma unroll 4
    for (int s = 0; s < parts.count; s++) {
        const Word sum = *reinterpret_cast<const Word*>(parts.sums + s * all + i);
#pragma unroll
        for (int j = 0; j < WIDTH; j++) total[j] += reinterpret_cast<const float*>(&sum)[j];
    }
    Word* out = reinterpret_cast<Word*>(parts.out[part] + (i - parts.first[part]));
    Word now = *out;
#pragma unroll
    for (int j = 0; j < WIDTH; j++) reinterpret_cast<float*>(&now)[j] += total[j];
    *out = now;
}

// --- weights in bf16 -----------------------------------------------------------------------------------------------

struct ToRound {
    const float* from[PARTS];
    int64_t first[PARTS];  // element of the result
};

// The weights one behind the other, four elements a thread.
__global__ void __launch_bounds__(THREADS)
    round_kernel(__nv_bfloat16* to, const __grid_constant__ ToRound weights, int64_t elements) {
    const int64_t i = (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x) * 4;
    if (i >= elements) return;
    const int part = (i >= weights.first[1]) + (i >= weights.first[2]);
    const float4 v = *reinterpret_cast<const float4*>(weights.from[part] + (i - weights.first[part]));
    *reinterpret_cast<uint2*>(to + i) = make_uint2(bf16_pair(v.x, v.y), bf16_pair(v.z, v.w));
}

// --- launchers -----------------------------------------------------------------------------------------------------

Side side_of(const Tensor& t, bool transposed) {
    const int lines = static_cast<int>(t.rows()), length = static_cast<int>(t.cols());
    return {t.f32(), transposed ? length : lines, transposed ? lines : length};
}
bool in_pairs(const float* data, int64_t cols) {
    return cols % 2 == 0 && reinterpret_cast<uintptr_t>(data) % 8 == 0;
}

Problem empty_problem() {
    Problem problem = {};
    std::fill(std::begin(problem.first), std::end(problem.first), INT_MAX);
    problem.first[0] = 0;
    problem.aligned = true;
    return problem;
}
void set_sides(Problem& problem, size_t part, const Tensor& a, bool a_transposed, const Tensor& b, bool b_transposed) {
    problem.a[part] = side_of(a, a_transposed);
    problem.b[part] = side_of(b, b_transposed);
    problem.aligned = problem.aligned && is_aligned(a) && is_aligned(b);
}
void set_out(Problem& problem, size_t part, Tensor out) {
    problem.out[part] = out.f32();
    problem.rows[part] = static_cast<int>(out.rows());
    problem.cols[part] = static_cast<int>(out.cols());
    problem.pairs[part] = in_pairs(out.f32(), out.cols());
}

// Tiles of all parts, which stand side by side (linear) or one above the other (dw); sets their first ones.
template <class Products, Role ROLE>
dim3 lay_out(Problem& problem, size_t parts) {
    const auto down = [&](size_t p) { return static_cast<int>(divide_up(problem.rows[p], Products::ROWS)); };
    const auto across = [&](size_t p) { return static_cast<int>(divide_up(problem.cols[p], Products::COLS)); };
    dim3 grid(static_cast<unsigned>(across(0)), static_cast<unsigned>(down(0)));
    if (ROLE == Role::Inputs) return grid;
    unsigned& along = ROLE == Role::Forward ? grid.x : grid.y;
    for (size_t p = 1; p < parts; p++) {
        problem.first[p] = static_cast<int>(along);
        along += static_cast<unsigned>(ROLE == Role::Forward ? across(p) : down(p));
    }
    return grid;
}

// Elements of all tiles, and of those that one multiprocessor makes.
template <class Products>
double area(dim3 grid) {
    return static_cast<double>(int64_t{grid.x} * grid.y * Products::ROWS * Products::COLS);
}
template <class Products>
double share(dim3 grid) {
    return static_cast<double>(divide_up(int64_t{grid.x} * grid.y, multiprocessors()) * Products::ROWS *
                               Products::COLS);
}

// Rounds the weights into the workspace, where tiles for all multiprocessors will read them: a launch more, and a third
// of the bytes that the tiles ask of the L2 cache less.
template <Role ROLE>
bool round_weights(Problem& problem, size_t parts, int64_t tiles) {
    ToRound to_round = {};
    int64_t elements = 0;
    bool whole = true;  // lines are whole chunks of 8 values
    for (size_t p = 0; p < PARTS; p++) {
        to_round.first[p] = p < parts ? elements : INT64_MAX;
        if (p >= parts) continue;
        const Side& side = problem.b[p];
        whole = whole && (ROLE == Role::Forward ? side.depth : side.count) % 8 == 0;
        to_round.from[p] = side.data;
        elements += int64_t{side.count} * side.depth;
    }
    if (!whole || tiles < multiprocessors() || elements * 2 > int64_t{WORKSPACE_BYTES}) return false;
    __nv_bfloat16* rounded = static_cast<__nv_bfloat16*>(workspace());
    CUDA_CHECK(launch(round_kernel, static_cast<unsigned>(divide_up(elements, THREADS * 4)), THREADS, 0, rounded,
                      to_round, elements));
    for (size_t p = 0; p < parts; p++) problem.b[p].rounded = rounded + to_round.first[p];
    return true;
}

// run(way, problem, grid): the way that should take less time. A small tile reads more than twice as much for each
// product. Where the depth is cut until all multiprocessors are busy, what counts is how much lies beyond the edges.
template <class In, Role ROLE, class Run>
void choose(const Problem& problem, size_t parts, Run run) {
    using Large = typename In::Large;
    using Small = typename In::Small;
    constexpr double SMALL_PRICE = 2;
    Problem large = problem, small = problem;
    const dim3 large_grid = lay_out<typename Large::Sums, ROLE>(large, parts);
    const dim3 small_grid = lay_out<typename Small::Sums, ROLE>(small, parts);
    if (!problem.aligned) return run(typename In::Ragged{}, small, small_grid);
    const double large_work =
        ROLE == Role::Weights ? area<typename Large::Sums>(large_grid) : share<typename Large::Sums>(large_grid);
    const double small_work =
        ROLE == Role::Weights ? area<typename Small::Sums>(small_grid) : share<typename Small::Sums>(small_grid);
    if (large_work > SMALL_PRICE * small_work) return run(Small{}, small, small_grid);
    if constexpr (ROLE != Role::Weights && !std::is_same_v<Large, typename In::LargeRounded>)
        if (round_weights<ROLE>(large, parts, int64_t{large_grid.x} * large_grid.y))
            return run(typename In::LargeRounded{}, large, large_grid);
    run(Large{}, large, large_grid);
}

template <class Way, Role ROLE>
void launch_product(Problem problem, dim3 grid) {
    problem.across = static_cast<int>(grid.x);
    problem.down = static_cast<int>(grid.y);
    problem.tiles = static_cast<int>(int64_t{grid.x} * grid.y * grid.z);
    const int blocks = Way::LASTS ? std::min(problem.tiles, Way::Sums::BLOCKS * multiprocessors()) : problem.tiles;
    CUDA_CHECK(launch(product_kernel<Way, ROLE>, static_cast<unsigned>(blocks), Way::Sums::THREADS,
                      TileOf<Way, ROLE>::SHARED_BYTES, problem));
}

template <class In>
void run_linear(std::span<const Tensor> outs, Tensor x, std::span<const Tensor> weights, Accumulate accumulate) {
    if (x.rows() == 0) return;
    Problem problem = empty_problem();
    for (size_t p = 0; p < outs.size(); p++) {
        set_sides(problem, p, x, false, weights[p], false);
        set_out(problem, p, outs[p]);
    }
    problem.slices = problem.slices_at_once = static_cast<int>(divide_up(x.cols(), SLICE));
    problem.adds = accumulate == Accumulate::Yes;
    choose<In, Role::Forward>(problem, outs.size(), [](auto way, const Problem& chosen, dim3 grid) {
        launch_product<decltype(way), Role::Forward>(chosen, grid);
    });
}

template <class In>
void run_linear_dx(Tensor dx, std::span<const Tensor> douts, std::span<const Tensor> weights, Accumulate accumulate) {
    if (dx.rows() == 0) return;
    Problem problem = empty_problem();
    set_out(problem, 0, dx);
    for (size_t p = 0; p < douts.size(); p++) {
        set_sides(problem, p, douts[p], false, weights[p], true);
        problem.first[p] = problem.slices;
        problem.slices += static_cast<int>(divide_up(douts[p].cols(), SLICE));
    }
    problem.slices_at_once = problem.slices;
    problem.adds = accumulate == Accumulate::Yes;
    choose<In, Role::Inputs>(problem, douts.size(), [](auto way, const Problem& chosen, dim3 grid) {
        launch_product<decltype(way), Role::Inputs>(chosen, grid);
    });
}

// Goes of a tile, each by a block of its own: enough to fill the multiprocessors with `blocks` each, as far as the
// workspace holds their sums and each has a few slices to add.
int sharers(int blocks, int64_t tiles, int64_t elements, int slices) {
    constexpr int LEAST_SLICES = 4;
    const int64_t wanted = int64_t{blocks} * multiprocessors() / tiles;
    const int64_t fit = static_cast<int64_t>(WORKSPACE_BYTES) / (elements * int64_t{sizeof(float)});
    return static_cast<int>(std::max<int64_t>(1, std::min({wanted, fit, int64_t{slices / LEAST_SLICES}})));
}

void add_sums(const Parts& parts, bool aligned) {
    const auto run = [&](auto kernel, int width) {
        const int64_t blocks = divide_up(parts.first[PARTS], int64_t{THREADS} * width);
        CUDA_CHECK(launch(kernel, static_cast<unsigned>(blocks), THREADS, 0, parts));
    };
    aligned ? run(add_sums_kernel<float4>, 4) : run(add_sums_kernel<float>, 1);
}

template <class In>
void run_linear_dw(std::span<const Tensor> dweights, Tensor x, std::span<const Tensor> douts) {
    if (x.rows() == 0) return;
    Problem problem = empty_problem();
    Parts parts = {};
    bool aligned = true;
    int64_t elements = 0;
    for (size_t p = 0; p < PARTS; p++) {
        parts.first[p] = p < dweights.size() ? elements : INT64_MAX;
        if (p >= dweights.size()) continue;
        set_sides(problem, p, douts[p], true, x, true);
        set_out(problem, p, dweights[p]);
        parts.out[p] = problem.out[p];
        elements += dweights[p].elements();
        aligned = aligned && is_aligned(dweights[p].data) && dweights[p].elements() % 4 == 0;
    }
    parts.first[PARTS] = elements;
    problem.slices = static_cast<int>(divide_up(x.rows(), SLICE));
    problem.adds = true;
    choose<In, Role::Weights>(problem, douts.size(), [&](auto way, Problem chosen, dim3 grid) {
        const int shared_by = sharers(decltype(way)::Sums::BLOCKS, int64_t{grid.x} * grid.y, elements, chosen.slices);
        chosen.slices_at_once = static_cast<int>(divide_up(chosen.slices, shared_by));
        grid.z = static_cast<unsigned>(divide_up(chosen.slices, chosen.slices_at_once));
        if (grid.z > 1) {
            float* sums = static_cast<float*>(workspace());
            for (size_t p = 0; p < dweights.size(); p++) {
                chosen.out[p] = sums + parts.first[p];
                chosen.pairs[p] = in_pairs(chosen.out[p], chosen.cols[p]) && elements % 2 == 0;
            }
            chosen.stride = elements;
            chosen.adds = false;
            parts.sums = sums;
            parts.count = static_cast<int>(grid.z);
        }
        launch_product<decltype(way), Role::Weights>(chosen, grid);
        if (grid.z > 1) add_sums(parts, aligned);
    });
}

}  // namespace

void linear(std::span<const Tensor> outs, Tensor x, std::span<const Tensor> weights, Accumulate accumulate) {
    run_linear<InFloat>(outs, x, weights, accumulate);
}
void linear_dx(Tensor dx, std::span<const Tensor> douts, std::span<const Tensor> weights, Accumulate accumulate) {
    run_linear_dx<InFloat>(dx, douts, weights, accumulate);
}
void linear_dw(std::span<const Tensor> dweights, Tensor x, std::span<const Tensor> douts) {
    run_linear_dw<InFloat>(dweights, x, douts);
}
void linear_bf16(std::span<const Tensor> outs, Tensor x, std::span<const Tensor> weights, Accumulate accumulate) {
    run_linear<InBf16>(outs, x, weights, accumulate);
}
void linear_dx_bf16(Tensor dx, std::span<const Tensor> douts, std::span<const Tensor> weights, Accumulate accumulate) {
    run_linear_dx<InBf16>(dx, douts, weights, accumulate);
}
void linear_dw_bf16(std::span<const Tensor> dweights, Tensor x, std::span<const Tensor> douts) {
    run_linear_dw<InBf16>(dweights, x, douts);
}

}  // namespace leon::LEON_CUDA::grad
