// few_rows: products with 1 to 16 rows of x (decoding): out = x * weight^T, plain, added to out, for q, k and v at
// once, or for gate and up at once with what makes one of them of both; with a normalisation of x in front.
//
// Bound by the bytes of the weight, which are read once, whatever the number of rows. On an H200 (132 multiprocessors)
// 4.8 TB/s are 21 bytes a clock for each, so 512 bytes may cost its four schedulers 100 instructions, of which 50 on
// the half-rate pipe of integers and conversions:
//
//   multiply-adds in float32   256 bf16 are 8 for each lane and row: 16 rows would take 128, and 32 for each row of
//                              int8. So the tensor cores multiply, 16 x 16 weights by 16 x 8 of x in an instruction:
//                              2 instructions (x is split in two, split.h), 4 beyond 8 rows, 4 and 8 for int8
//   x                          is split by each warp as it is used: 5 instructions an element, 20 for 512 bytes of a
//                              tile of 16 rows of the weight, as many for int8 because its tile has 32
//   int8                       to bf16: 1.75 instructions a weight, 28 for 512 bytes; e4m3 2 a weight
//   int4                       to bf16: 2.25 a weight, 72 for 512 bytes, which hold four times as many as of bf16
//
// With loads and addresses, the loop of bf16 is some 190 instructions for 2 KiB: half of what it may be. A norm in
// front adds 3 an element of x.
//
// Rows beyond the last repeat it in the instruction's 8 columns. All numbers of rows take the same order of sums, so a
// row's result does not depend on the rows beside it.
//
//   block   a tile of 8 * LINES rows of the weight at a time, then the next one, grid-wide apart
//   warp    every 8th unit (128 bytes) of the depth of all rows of the tile; the block adds up the warps' sums
//   lane    (row g = lane / 4, part t = lane % 4): 16-byte chunks t and t + 4 of a unit, of rows g, g + 8, ...
//
//              | unit 0, warp 0 | unit 1, warp 1 | ... | unit 8, warp 0 | ...
//      row g   | 0123 0123      |                      t: of chunks; the order of the depth inside an instruction is
//                                                      arbitrary, so a lane's 16 bytes are its own share of operands
//
// So a lane copies (cp.async, past the L1) just what it multiplies itself, into a ring of its own in shared memory that
// needs no barrier and runs on over the ends of tiles: 6 KiB a warp, 96 KiB on a multiprocessor with its two blocks,
// where Little's law asks for 4.8 TB/s * 0.7 us / 132 = 25 KiB in flight. What they leave of a multiprocessor, 3/8 of
// the registers and half of the shared memory, takes a block of the next kernel.
//
// The launch is a dependent one: rings are filled before the kernel before this one has ended, only then x is touched.
// Full rings are 12 MB, 2.6 us of reading, which go on under the end of the kernel before, the launch, the statistics
// of the norm (a round to the L2 and a barrier, each block for itself) and the first access to x.
#include "kernels/cuda/few_rows.h"

#include "kernels/cuda/element.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/multiply_quads.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/reduce.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int WARPS = 8;
constexpr int THREADS = WARPS * WARP;
constexpr int BLOCKS_AT_ONCE = 2;  // on a multiprocessor
constexpr int CHUNKS = 2;          // of 16 bytes, of a lane in a row of a unit: 4 lanes make a line of the cache

template <class T>
constexpr bool IS_I4 = false;
template <>
inline constexpr bool IS_I4<Nibbles> = true;

// What becomes of the sums. Swiglu: lines 0, 2 of a tile are rows of the gate, lines 1, 3 the same rows of the other.
enum class End { Assign, Accumulate, Relu, Swiglu };

// Units of the depth that a warp has in its ring: 6 KiB, but two at least.
template <int LINES>
constexpr int STAGES = LINES == 1   ? 6
                       : LINES == 2 ? 3
                                    : 2;
template <int LINES>
constexpr int RING = STAGES<LINES>* LINES* CHUNKS;  // chunks of a lane

template <class T>
struct Product {
    const T* weight = nullptr;        // [n, depth]
    const float* scale = nullptr;     // [n], or null
    const uint8_t* groups = nullptr;  // [n, depth / GROUP], of half bytes
    float* out = nullptr;             // [rows, n]
    int n = 0, tiles = 0;
};

// Up to three products of the same x side by side; with Swiglu, two that make one.
template <class T>
struct Work {
    Product<T> first, second, third;
    const float* x;     // [rows, depth]
    const float* gain;  // [depth], of an RMS norm
    float eps;
    int rows, depth;
    RowNorm::Kind norm;
    End end;
    bool aligned;  // rows of x and of the weights start at multiples of 16 bytes
};

// --- the weights ------------------------------------------------------------------------------------------------

// The rows of a lane in a tile, and where the tile's results go.
template <class T, int LINES>
struct Tile {
    static constexpr int COLUMNS = 8 * LINES;  // of a result, half as many with Swiglu
    Product<T> product;
    int first = 0;

    __device__ __forceinline__ Tile(const Work<T>& work, int tile) : product(work.first) {
        if (tile >= product.tiles && work.end != End::Swiglu) {
            tile -= product.tiles;
            product = work.second;
            if (tile >= product.tiles) {
                tile -= product.tiles;
                product = work.third;
            }
        }
        first = tile * (work.end == End::Swiglu ? COLUMNS / 2 : COLUMNS);
    }
    // Of the results, that row lane / 4 of line `line` makes.
    __device__ __forceinline__ int column(int line, int lane, End end) const {
        return first + (end == End::Swiglu ? line / 2 : line) * 8 + lane / 4;
    }
    // Of the groups that begin at element d of the depth, in this lane's rows; 0 beyond the last row and the depth.
    __device__ __forceinline__ void factors(__nv_bfloat162 (&factor)[LINES], const Work<T>& work, int d) const {
#pragma unroll
        for (int l = 0; l < LINES; l++) {
            const int at = column(l, static_cast<int>(threadIdx.x) % WARP, work.end);
            const uint8_t* groups = work.end == End::Swiglu && l % 2 == 1 ? work.second.groups : product.groups;
            const int64_t index = (static_cast<int64_t>(at) * work.depth + d) / GROUP;
            const bool is_there = at < product.n && d < work.depth;
            factor[l] = __float2bfloat162_rn(is_there ? widen(E4m3{groups[index]}) : 0.0f);
        }
    }
};

// Copies the units of this warp, in the order of their use, into its ring.
template <class T, int LINES>
class Supply {
public:
    static constexpr int COUNT = Pack<T>::COUNT;     // elements of a chunk
    static constexpr int UNIT = CHUNKS * 4 * COUNT;  // of the depth

    __device__ __forceinline__ Supply(const Work<T>& work, int tiles, uint4* ring)
        : work_(work), tiles_(tiles), units_((work.depth + UNIT - 1) / UNIT), unit_(warp()), tile_(blockIdx.x) {
        ring_ = ring + warp() * RING<LINES> * WARP + threadIdx.x % WARP;
        if (unit_ >= units_) tile_ = tiles;
        if (tile_ < tiles) aim();
    }
    static __device__ __forceinline__ int warp() { return static_cast<int>(threadIdx.x) / WARP; }
    static __device__ __forceinline__ int depth_of(int unit, int chunk) {
        return unit * UNIT + (chunk * 4 + static_cast<int>(threadIdx.x) % 4) * COUNT;
    }
    __device__ __forceinline__ int units() const { return units_; }
    // Of line l, in the unit that was copied `STAGES` calls of next() ago.
    __device__ __forceinline__ uint4 chunk(int line, int chunk) const {
        return ring_[(slot_ * LINES * CHUNKS + line * CHUNKS + chunk) * WARP];
    }

    // Whether all elements of the unit are there, each chunk at a multiple of 16 bytes.
    __device__ __forceinline__ bool is_full(int unit) const {
        return work_.aligned && (unit + 1) * UNIT <= work_.depth;
    }

    // Starts to copy one unit more, in place of the oldest. Closes a group of copies in any case, so that they can be
    // counted.
    __device__ __forceinline__ void next() {
        if (tile_ < tiles_) {
            const int d = depth_of(unit_, 0);
            uint4* to = ring_ + slot_ * LINES * CHUNKS * WARP;
            if (work_.aligned) {
#pragma unroll
                for (int l = 0; l < LINES; l++)
#pragma unroll
                    for (int c = 0; c < CHUNKS; c++)
                        cp_async_streaming(to + (l * CHUNKS + c) * WARP, element_at(line_[l], d + c * 4 * COUNT),
                                           line_[l] && d + c * 4 * COUNT < work_.depth);
            } else {
                copy_elements(to, d);
            }
            unit_ += WARPS;
            if (unit_ >= units_) {
                unit_ = warp();
                tile_ += static_cast<int>(gridDim.x);
                if (tile_ < tiles_) aim();
            }
        }
        cp_async_commit();
        slot_ = slot_ + 1 == STAGES<LINES> ? 0 : slot_ + 1;
    }

private:
    __device__ __forceinline__ void aim() {
        const Tile<T, LINES> tile(work_, tile_);
#pragma unroll
        for (int l = 0; l < LINES; l++) {
            const int column = tile.column(l, static_cast<int>(threadIdx.x) % WARP, work_.end);
            const T* weight = work_.end == End::Swiglu && l % 2 == 1 ? work_.second.weight : tile.product.weight;
            line_[l] =
                column < tile.product.n ? element_at(weight, static_cast<int64_t>(column) * work_.depth) : nullptr;
        }
    }
    __device__ __forceinline__ void copy_elements(uint4* to, int d) {
#pragma unroll
        for (int l = 0; l < LINES; l++)
#pragma unroll 1
            for (int c = 0; c < CHUNKS; c++) {
                T* elements = reinterpret_cast<T*>(to + (l * CHUNKS + c) * WARP);
                const int first = d + c * 4 * COUNT;
                to[(l * CHUNKS + c) * WARP] = make_uint4(0, 0, 0, 0);
#pragma unroll 1
                for (int i = 0; line_[l] && i < COUNT && first + i < work_.depth; i += ELEMENTS<T>)
                    *const_cast<T*>(element_at(elements, i)) = *element_at(line_[l], first + i);
            }
    }

    const Work<T>& work_;
    const int tiles_, units_;
    int unit_, tile_, slot_ = 0;
    const T* line_[LINES];
    uint4* ring_;
};

// --- x ----------------------------------------------------------------------------------------------------------

// The rows of x that this lane multiplies, normalised: (x - mean) * factor * gain.
template <class T, int HALVES>
class Rows {
public:
    // shared: SHARED_FLOATS, free again when this returns.
    static constexpr int SHARED_FLOATS = 2 * WARPS * FEW_ROWS;
    __device__ __forceinline__ Rows(const Work<T>& work, float* shared) : work_(work) {
#pragma unroll
        for (int h = 0; h < HALVES; h++) row_[h] = work.x + static_cast<int64_t>(row_of(h)) * work.depth;
        if (work.norm != RowNorm::Kind::None) measure(shared);
    }

    // The quads of a chunk that begins at element d of the depth, of rows lane / 4 and + 8; zeros beyond the depth.
    template <int QUADS>
    __device__ __forceinline__ void read(float4 (&x)[QUADS][HALVES], int d, bool full) const {
        if (full) {
#pragma unroll
            for (int q = 0; q < QUADS; q++)
#pragma unroll
                for (int h = 0; h < HALVES; h++) x[q][h] = whole_quad(row_[h] + d + 4 * q);
        } else {
#pragma unroll
            for (int q = 0; q < QUADS; q++)
#pragma unroll
                for (int h = 0; h < HALVES; h++) x[q][h] = quad(row_[h], d + 4 * q);
        }
        if (work_.norm == RowNorm::Kind::None) return;
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
            float4 gain = make_float4(1, 1, 1, 1);
            if (work_.norm == RowNorm::Kind::RMS)
                gain = full ? whole_quad(work_.gain + d + 4 * q) : quad(work_.gain, d + 4 * q);
#pragma unroll
            for (int h = 0; h < HALVES; h++)
                x[q][h] = make_float4(
                    (x[q][h].x - mean_[h]) * factor_[h] * gain.x, (x[q][h].y - mean_[h]) * factor_[h] * gain.y,
                    (x[q][h].z - mean_[h]) * factor_[h] * gain.z, (x[q][h].w - mean_[h]) * factor_[h] * gain.w);
        }
    }

private:
    static __device__ __forceinline__ float4 whole_quad(const float* at) {
        return *reinterpret_cast<const float4*>(at);
    }
    __device__ __forceinline__ float4 quad(const float* row, int d) const {
        const auto element = [&](int i) { return d + i < work_.depth ? row[d + i] : 0.0f; };
        return make_float4(element(0), element(1), element(2), element(3));
    }
    // This lane's, in half h; rows beyond the last repeat it, and are not stored.
    __device__ __forceinline__ int row_of(int h) const {
        return min(static_cast<int>(threadIdx.x) % WARP / 4 + 8 * h, work_.rows - 1);
    }

    // Sums over a row, of the elements or of their squares around the mean; a thread takes the same elements of each
    // row, of four rows at a time, so that enough loads are under way.
    //   sums, means [WARPS][FEW_ROWS]: shared memory; means: sums of the elements, or null for 0
    __device__ __forceinline__ void sum_rows(float* sums, const float* means, bool squares) const {
        constexpr int AT_ONCE = 4;
        const int warp = static_cast<int>(threadIdx.x) / WARP, lane = static_cast<int>(threadIdx.x) % WARP;
        for (int first = 0; first < work_.rows; first += AT_ONCE) {
            float sum[AT_ONCE] = {}, mean[AT_ONCE] = {};
            for (int j = 0; means && j < AT_ONCE && first + j < work_.rows; j++)
                mean[j] = total(means, first + j) / static_cast<float>(work_.depth);
            for (int d = static_cast<int>(threadIdx.x) * 4; d < work_.depth; d += THREADS * 4)
#pragma unroll
                for (int j = 0; j < AT_ONCE; j++) {
                    if (first + j >= work_.rows) continue;
                    const float* row = work_.x + static_cast<int64_t>(first + j) * work_.depth;
                    const float4 four = work_.aligned ? whole_quad(row + d) : quad(row, d);
                    const float v[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        if (d + i >= work_.depth) continue;
                        const float around = v[i] - mean[j];
                        sum[j] = squares ? fmaf(around, around, sum[j]) : sum[j] + around;
                    }
                }
#pragma unroll
            for (int j = 0; j < AT_ONCE; j++) {
                if (first + j >= work_.rows) continue;
                const float whole = warp_sum(sum[j]);
                if (lane == 0) sums[warp * FEW_ROWS + first + j] = whole;
            }
        }
        __syncthreads();  // orders the writes of each warp's sums before all threads' reads
    }
    static __device__ __forceinline__ float total(const float* sums, int row) {
        float sum = 0;
        for (int w = 0; w < WARPS; w++) sum += sums[w * FEW_ROWS + row];
        return sum;
    }

    // The mean first and the squares around it second, from the cache: one pass over both sums would cancel.
    __device__ __forceinline__ void measure(float* shared) {
        const float count = static_cast<float>(work_.depth);
        const bool layer = work_.norm == RowNorm::Kind::Layer;
        float* squares = shared + WARPS * FEW_ROWS;
        if (layer) sum_rows(shared, nullptr, false);
        sum_rows(squares, layer ? shared : nullptr, true);
#pragma unroll
        for (int h = 0; h < HALVES; h++) {
            if (layer) mean_[h] = total(shared, row_of(h)) / count;
            factor_[h] = 1.0f / sqrtf(total(squares, row_of(h)) / count + work_.eps);
        }
        __syncthreads();  // orders these reads before whatever is written to this memory next
    }

    const Work<T>& work_;
    const float* row_[HALVES];
    float mean_[HALVES] = {}, factor_[HALVES] = {};
};

// --- results ----------------------------------------------------------------------------------------------------

// One result of a tile, which this thread makes of all warps' sums. What it needs besides is read when the tile begins.
template <class T, int LINES, int HALVES>
class Result {
public:
    static constexpr int SUMS = LINES * HALVES * 2;                           // of a lane that mean something
    static constexpr int PER_THREAD = (SUMS * WARP + THREADS - 1) / THREADS;  // results of a tile, at most
    static constexpr int SHARED_FLOATS = WARPS * SUMS * WARP;                 // [warp][line][half][odd][lane]
    static constexpr int LINE_FLOATS = HALVES * 2 * WARP;

    Result() = default;
    __device__ __forceinline__ void begin(const Work<T>& work, const Tile<T, LINES>& tile, int number) {
        const bool pairs = work.end == End::Swiglu;
        const int lane = number % WARP, odd = number / WARP % 2, half = number / (2 * WARP) % HALVES;
        const int line = number / LINE_FLOATS * (pairs ? 2 : 1);
        const int row = half * 8 + lane % 4 * 2 + odd, column = tile.column(line, lane, work.end);
        at_ = line * LINE_FLOATS + number % LINE_FLOATS;
        out_ = nullptr;
        if (line >= LINES || row >= work.rows || column >= tile.product.n) return;
        out_ = tile.product.out + static_cast<int64_t>(row) * tile.product.n + column;
        if (tile.product.scale) scale_ = tile.product.scale[column];
        if (pairs && work.second.scale) other_scale_ = work.second.scale[column];
        if (work.end == End::Accumulate) before_ = *out_;
    }
    __device__ __forceinline__ void end(const float* sums, End end) const {
        if (!out_) return;
        const float sum = total(sums, at_) * scale_;
        float value = before_ + sum;
        if (end == End::Relu) value = sum < 0 ? 0.0f : sum;  // a NaN stays
        if (end == End::Swiglu) value = sum / (1.0f + expf(-sum)) * (total(sums, at_ + LINE_FLOATS) * other_scale_);
        *out_ = value;
    }

private:
    static __device__ __forceinline__ float total(const float* sums, int at) {
        float sum = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) sum += sums[w * SUMS * WARP + at];
        return sum;
    }

    float* out_ = nullptr;
    int at_ = 0;
    float before_ = 0, scale_ = 1, other_scale_ = 1;
};

// Bytes of shared memory: the rings, and the sums of two tiles, where the statistics stand first.
template <class T, int LINES, int HALVES>
constexpr size_t SHARED_BYTES = sizeof(uint4) * WARPS* RING<LINES>* WARP +
                                2 * sizeof(float) * Result<T, LINES, HALVES>::SHARED_FLOATS;

template <class T, int LINES, int HALVES>
__global__ void __launch_bounds__(THREADS, BLOCKS_AT_ONCE) few_rows_kernel(const __grid_constant__ Work<T> work) {
    using Mine = Result<T, LINES, HALVES>;
    static_assert(2 * Mine::SHARED_FLOATS >= Rows<T, HALVES>::SHARED_FLOATS);
    DYNAMIC_SHARED(uint4, ring);  // [WARPS][RING][WARP], then sums [2][SHARED_FLOATS]
    float* sums_of_warps = reinterpret_cast<float*>(ring + WARPS * RING<LINES> * WARP);
    const int warp = static_cast<int>(threadIdx.x) / WARP, lane = static_cast<int>(threadIdx.x) % WARP;
    const int tiles = work.first.tiles + work.second.tiles + work.third.tiles;

    Supply<T, LINES> supply(work, tiles, ring);
    grid_dependency_launch();
#pragma unroll
    for (int s = 0; s < STAGES<LINES>; s++) supply.next();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows: so far, weights only

    const Rows<T, HALVES> rows(work, sums_of_warps);
    for (int number = static_cast<int>(blockIdx.x); number < tiles; number += static_cast<int>(gridDim.x)) {
        const Tile<T, LINES> tile(work, number);
        Mine mine[Mine::PER_THREAD];
#pragma unroll
        for (int i = 0; i < Mine::PER_THREAD; i++)
            mine[i].begin(work, tile, i * THREADS + static_cast<int>(threadIdx.x));

        Sums<LINES, HALVES> sums = {};
        for (int unit = warp; unit < supply.units(); unit += WARPS) {
#pragma unroll
            for (int c = 0; c < CHUNKS; c++) {
                const int d = supply.depth_of(unit, c);
                if constexpr (IS_I4<T>) {
                    __nv_bfloat162 factor[LINES];
                    tile.factors(factor, work, d);
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        float4 x[4][HALVES];
                        rows.read(x, d + 16 * half, supply.is_full(unit));
                        if (c == 0 && half == 0) cp_async_wait<STAGES<LINES> - 1>();  // the oldest unit has come
                        uint4 chunk[LINES];
#pragma unroll
                        for (int l = 0; l < LINES; l++) chunk[l] = supply.chunk(l, c);
#pragma unroll
                        for (int q = 0; q < 4; q++) multiply_nibbles<LINES, HALVES>(sums, chunk, q, half, factor, x[q]);
                    }
                } else {
                    constexpr int QUADS = Pack<T>::COUNT / 4;
                    float4 x[QUADS][HALVES];
                    rows.read(x, d, supply.is_full(unit));
                    if (c == 0) cp_async_wait<STAGES<LINES> - 1>();  // the oldest unit has come
                    uint4 chunk[LINES];
#pragma unroll
                    for (int l = 0; l < LINES; l++) chunk[l] = supply.chunk(l, c);
#pragma unroll
                    for (int q = 0; q < QUADS; q++) multiply_quad<LINES, HALVES>(sums, chunk, q, x[q], T{});
                }
            }
            supply.next();
        }

#pragma unroll
        for (int l = 0; l < LINES; l++)
#pragma unroll
            for (int h = 0; h < HALVES; h++)
#pragma unroll
                for (int odd = 0; odd < 2; odd++)
                    sums_of_warps[((warp * LINES + l) * HALVES + h) * 2 * WARP + odd * WARP + lane] =
                        sums[l / 2][h][l % 2 * 2 + odd];
        __syncthreads();  // orders the writes of all warps' sums before the reads below; those of the tile before last,
                          // in the same memory, came before the last barrier
#pragma unroll
        for (int i = 0; i < Mine::PER_THREAD; i++) mine[i].end(sums_of_warps, work.end);
        sums_of_warps += (number / static_cast<int>(gridDim.x)) % 2 == 0 ? Mine::SHARED_FLOATS : -Mine::SHARED_FLOATS;
    }
}

// --- launches ---------------------------------------------------------------------------------------------------

template <class T, int LINES, int HALVES>
void launch_tiles(Work<T> work) {
    const int columns = work.end == End::Swiglu ? LINES * 4 : LINES * 8;
    int tiles = 0;
    for (Product<T>* p : {&work.first, &work.second, &work.third}) {
        const bool is_other_half = p == &work.second && work.end == End::Swiglu;
        p->tiles = is_other_half ? 0 : static_cast<int>(divide_up(p->n, columns));
        tiles += p->tiles;
    }
    const dim3 grid(static_cast<unsigned>(min(tiles, BLOCKS_AT_ONCE * multiprocessors()))), block(THREADS);
    CUDA_CHECK(launch_dependent(few_rows_kernel<T, LINES, HALVES>, grid, block, SHARED_BYTES<T, LINES, HALVES>, work));
}

template <class T, int LINES>
void launch_halves(const Work<T>& work) {
    if (work.rows <= 8) return launch_tiles<T, LINES, 1>(work);
    launch_tiles<T, LINES, 2>(work);
}

// Large tiles share the work on x among more rows of the weight, which int8 needs most; small ones keep all
// multiprocessors busy. The sums are the same.
template <class T>
void launch_products(const Work<T>& work) {
    const int64_t lines = int64_t{work.first.n} + work.second.n + work.third.n;
    const auto is_enough = [&](int lines_of_tile) {
        return lines * 10 >= int64_t{8} * lines_of_tile * multiprocessors() * 9;
    };
    if constexpr (sizeof(T) == 1 && !IS_I4<T>)  // half bytes, and more than 8 rows: the registers do not suffice
        if (is_enough(4) && work.rows <= 8) return launch_tiles<T, 4, 1>(work);
    if (is_enough(2) || work.end == End::Swiglu) return launch_halves<T, 2>(work);
    launch_halves<T, 1>(work);
}

template <class T>
Product<T> product_of(Tensor out, const Tensor& weight) {
    return {data_of<T>(weight), weight.scale, weight.groups, out.f32(), static_cast<int>(weight.rows()), 0};
}

template <class T>
Work<T> work_on(Tensor x, const RowNorm& norm, End end) {
    Work<T> work{};
    work.x = x.f32();
    work.gain = norm.kind == RowNorm::Kind::RMS ? norm.weight.f32() : nullptr;
    work.eps = norm.eps;
    work.rows = static_cast<int>(x.rows());
    work.depth = static_cast<int>(x.cols());
    work.norm = norm.kind;
    work.end = end;
    return work;
}

template <class T>
void run(Work<T> work) {
    CHECK(work.rows <= FEW_ROWS);
    if (work.rows == 0 || work.first.n + work.second.n + work.third.n == 0) return;
    work.aligned = work.depth % CHUNK_ELEMENTS<T> == 0 && is_aligned(work.x) && is_aligned(work.gain) &&
                   is_aligned(work.first.weight) && is_aligned(work.second.weight) && is_aligned(work.third.weight);
    launch_products(work);
}

}  // namespace

void few_rows(Tensor out, Tensor x, Tensor weight, Store store) {
    with_weight(weight.dtype, [&](auto element) {
        using T = decltype(element);
        Work<T> work = work_on<T>(x, {}, store == Store::Assign ? End::Assign : End::Accumulate);
        work.first = product_of<T>(out, weight);
        run(work);
    });
}

void few_rows_qkv(Tensor q, Tensor k, Tensor v, Tensor x, const QkvWeights& w) {
    with_weight(w.q.dtype, [&](auto element) {
        using T = decltype(element);
        Work<T> work = work_on<T>(x, w.norm, End::Assign);
        work.first = product_of<T>(q, w.q);
        work.second = product_of<T>(k, w.k);
        work.third = product_of<T>(v, w.v);
        run(work);
    });
}

void few_rows_feed_forward(Tensor out, Tensor x, const FeedForwardWeights& w) {
    with_weight(w.up.dtype, [&](auto element) {
        using T = decltype(element);
        Work<T> work = work_on<T>(x, w.norm, w.gate ? End::Swiglu : End::Relu);
        work.first = product_of<T>(out, w.gate ? w.gate : w.up);
        if (w.gate) work.second = product_of<T>(out, w.up);
        run(work);
    });
}

}  // namespace leon::LEON_CUDA
