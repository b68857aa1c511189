// One tile of a product on one block: sums(i, j) = sum over d of a(i, d) * b(j, d), where both sides are float32 and
// either may stand in memory as [side, depth] or transposed, as [depth, side]. The three products of training are this
// loop: x w^T (neither transposed), dout w (b), and dout^T x (both, the depth being thousands of rows).
//
// The depth goes by in slices of 32, which are rounded, or kept, on their way into one half of shared memory while the
// slice in the other half is multiplied. There is one barrier a slice. How a slice comes from memory:
//
//   HeldTile      the next one through registers: small tiles, of which several share a multiprocessor; any alignment
//   StagedTile    the next three through shared memory, by cp.async: the large tile that has a multiprocessor for
//   itself
//
//   Bf16Products    operands rounded to bf16, sums in float32 on tensor cores
//   FloatProducts   float32 throughout, fused multiply-adds in the order of the depth: a tensor core truncates its
//                   sums, which over a long depth costs more than float32's own roundings
//
// How a slice of a side stands in shared memory:
//
//   bf16, [side, depth]   lines of 32 values, 64 bytes in four chunks of 16, chunk c of line r at c ^ r / 2 % 4
//   bf16, [depth, side]   lines of SIDE values, chunk c of line d at c ^ d % 8; fragments come by ldmatrix, transposed
//   float32               [32 of the depth][SIDE + 4], whatever the memory's order
//
// Any eight lines have a given chunk in different banks, for ldmatrix as for the writes. Beyond the ends of either side
// and of the depth stand zeros.
#pragma once

#include "kernels/cuda/tensor_products.h"

namespace leon::LEON_CUDA::grad {

// One side of a product in memory: [count, depth], or [depth, count] where it is transposed.
struct Side {
    const float* data;
    int count, depth;
    const __nv_bfloat16* rounded = nullptr;  // the same, if it has been made
};

// A slice of both sides, from `d` on.
struct SlicePair {
    Side a, b;
    int d;
};

// --- what a thread holds of the next slice of a side ---------------------------------------------------------------

// ALIGNED: lines begin at multiples of 16 bytes, and so their lengths are multiples of four.
template <int SIDE, int THREADS, bool TRANSPOSED, bool ALIGNED>
class HeldSlice {
public:
    __device__ __forceinline__ void read(const Side& side, int first, int d) {
        const int lines = TRANSPOSED ? side.depth : side.count, length = TRANSPOSED ? side.count : side.depth;
        int line = (TRANSPOSED ? d : first) + line_of(0);
        const int at = (TRANSPOSED ? first : d) + 4 * quad();
        compute_here(line);  // addresses of all quads, ready ahead of the loop, would not fit into the registers
        const float* from = side.data + static_cast<int64_t>(line) * length + at;
#pragma unroll
        for (int i = 0; i < QUADS; i++) {
            const bool valid = i * STEP < lines - line;
            const float* quad = from + static_cast<int64_t>(length) * (i * STEP);
            if constexpr (ALIGNED) {
                const float4 four =
                    valid && at < length ? *reinterpret_cast<const float4*>(quad) : make_float4(0, 0, 0, 0);
                held_[i][0] = four.x, held_[i][1] = four.y, held_[i][2] = four.z, held_[i][3] = four.w;
            } else {
#pragma unroll
                for (int j = 0; j < 4; j++) held_[i][j] = valid && at + j < length ? quad[j] : 0.0f;
            }
        }
    }

    // put(line, quad, values): four adjacent values of a line.
    template <class Put>
    __device__ __forceinline__ void for_quads(Put put) const {
#pragma unroll
        for (int i = 0; i < QUADS; i++) put(line_of(i), quad(), held_[i]);
    }

private:
    static constexpr int LINE = (TRANSPOSED ? SIDE : SLICE) / 4, STEP = THREADS / LINE;
    static constexpr int QUADS = SIDE * SLICE / 4 / THREADS;
    static_assert(SIDE * SLICE % (4 * THREADS) == 0 && THREADS % LINE == 0);

    __device__ __forceinline__ static int line_of(int i) {
        return static_cast<int>(threadIdx.x) / LINE + i * STEP;
    }
    __device__ __forceinline__ static int quad() {
        return static_cast<int>(threadIdx.x) % LINE;
    }

    float held_[QUADS][4];
};

// --- operands in bf16 ----------------------------------------------------------------------------------------------

template <int SIDE, bool TRANSPOSED>
struct Bf16Side {
    static constexpr int BYTES = SIDE * SLICE * 2;

    __device__ __forceinline__ static int place(int line, int chunk) {
        return TRANSPOSED ? line * 2 * SIDE + ((chunk ^ (line & 7)) << 4) : chunk_place<2 * SLICE>(line, chunk);
    }
    __device__ __forceinline__ static void put(char* stage, int line, int quad, const float (&v)[4]) {
        *reinterpret_cast<uint2*>(stage + place(line, quad / 2) + quad % 2 * 8) =
            make_uint2(bf16_pair(v[0], v[1]), bf16_pair(v[2], v[3]));
    }

    // This lane's line of the 16 x 16 values that ldmatrix_x4 takes: its four matrices are either the registers of the
    // left side of an mma, or those of the right sides of two. `first` is a multiple of 16.
    struct Lane {
        int base, chunk, turn;
        __device__ __forceinline__ Lane(bool left, int first, int lane) {
            const bool rows_first = left != TRANSPOSED;  // matrices 0 and 1 differ in the line, not in the chunk
            const int line = rows_first ? lane % 16 : lane / 16 * 8 + lane % 8;
            const int half = rows_first ? lane / 16 : lane / 8 % 2;
            base = TRANSPOSED ? line * 2 * SIDE : chunk_place<2 * SLICE>(first + line, half);
            chunk = first / 8 + half;
            turn = lane & 7;
        }
        // Of the `tile`th 16 of the side, and the `step`th 16 of the depth.
        __device__ __forceinline__ int at(int tile, int step) const {
            return TRANSPOSED ? base + step * 16 * 2 * SIDE + (((chunk + 2 * tile) ^ turn) << 4)
                              : (base ^ (step << 5)) + tile * 16 * 2 * SLICE;
        }
    };
};

// DOWN x ACROSS warps, each with WARP_ROWS x WARP_COLS sums.
template <int WARP_ROWS, int WARP_COLS, int DOWN, int ACROSS, int BLOCKS_>
class Bf16Products {
public:
    static constexpr int ROWS = DOWN * WARP_ROWS, COLS = ACROSS * WARP_COLS, THREADS = DOWN * ACROSS * WARP;
    static constexpr int BLOCKS = BLOCKS_;  // at once on a multiprocessor
    template <int SIDE, bool TRANSPOSED>
    using Stage = Bf16Side<SIDE, TRANSPOSED>;

    template <bool A_TRANSPOSED, bool B_TRANSPOSED>
    __device__ __forceinline__ void multiply(const char* a, const char* b, int step) {
        const int lane = static_cast<int>(threadIdx.x) % WARP;
        const typename Stage<ROWS, A_TRANSPOSED>::Lane left(true, first_row(), lane);
        const typename Stage<COLS, B_TRANSPOSED>::Lane right(false, first_col(), lane);
        unsigned w[N][2];
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            unsigned four[4];
            ldmatrix_x4<B_TRANSPOSED>(four, b + right.at(n / 2, step));
            w[n][0] = four[0], w[n][1] = four[1], w[n + 1][0] = four[2], w[n + 1][1] = four[3];
        }
#pragma unroll
        for (int m = 0; m < M; m++) {
            unsigned x[4];
            ldmatrix_x4<A_TRANSPOSED>(x, a + left.at(m, step));
            mma_bf16(sums_[m], x, w);
        }
    }

    // use(row, col, first, second): sums of the tile at col and col + 1, col being even.
    template <class Use>
    __device__ __forceinline__ void for_pairs(Use use) const {
        const int lane = static_cast<int>(threadIdx.x) % WARP;
#pragma unroll
        for (int i = 0; i < 2 * M; i++)
#pragma unroll
            for (int n = 0; n < N; n++)
                use(first_row() + i * 8 + lane / 4, first_col() + n * 8 + lane % 4 * 2, sums_[i / 2][n][i % 2 * 2],
                    sums_[i / 2][n][i % 2 * 2 + 1]);
    }

private:
    static constexpr int M = WARP_ROWS / 16, N = WARP_COLS / 8;
    __device__ __forceinline__ static int first_row() {
        return static_cast<int>(threadIdx.x) / WARP / ACROSS * WARP_ROWS;
    }
    __device__ __forceinline__ static int first_col() {
        return static_cast<int>(threadIdx.x) / WARP % ACROSS * WARP_COLS;
    }

    float sums_[M][N][4] = {};
};

// --- operands in float32 -------------------------------------------------------------------------------------------

template <int SIDE, bool TRANSPOSED>
struct FloatSide {
    static constexpr int PITCH = SIDE + 4;  // quads stay aligned, and the four lines of a quad's column part ways
    static constexpr int BYTES = SLICE * PITCH * 4;

    __device__ __forceinline__ static void put(char* stage, int line, int quad, const float (&v)[4]) {
        float* values = reinterpret_cast<float*>(stage);
        if constexpr (TRANSPOSED) {
            *reinterpret_cast<float4*>(values + line * PITCH + 4 * quad) = make_float4(v[0], v[1], v[2], v[3]);
        } else {
#pragma unroll
            for (int j = 0; j < 4; j++) values[(4 * quad + j) * PITCH + line] = v[j];
        }
    }
};

// DOWN x ACROSS threads, each with M x N sums in quads: rows 4 y + 0..3 of each 4 DOWN, and columns in the same manner.
template <int DOWN, int ACROSS, int M, int N>
class FloatProducts {
public:
    static constexpr int ROWS = DOWN * M, COLS = ACROSS * N, THREADS = DOWN * ACROSS, BLOCKS = 1;
    template <int SIDE, bool TRANSPOSED>
    using Stage = FloatSide<SIDE, TRANSPOSED>;

    template <bool, bool>
    __device__ __forceinline__ void multiply(const char* a, const char* b, int step) {
        const float* x = reinterpret_cast<const float*>(a) + 4 * down();
        const float* w = reinterpret_cast<const float*>(b) + 4 * across();
#pragma unroll 4
        for (int d = step * SLICE / 2; d < (step + 1) * SLICE / 2; d++) {
            float left[M], right[N];
            load(left, x + d * Stage<ROWS, false>::PITCH, 4 * DOWN);
            load(right, w + d * Stage<COLS, false>::PITCH, 4 * ACROSS);
#pragma unroll
            for (int m = 0; m < M; m++)
#pragma unroll
                for (int n = 0; n < N; n++) sums_[m][n] = fmaf(left[m], right[n], sums_[m][n]);
        }
    }

    template <class Use>
    __device__ __forceinline__ void for_pairs(Use use) const {
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int n = 0; n < N; n += 2)
                use(m / 4 * 4 * DOWN + 4 * down() + m % 4, n / 4 * 4 * ACROSS + 4 * across() + n % 4, sums_[m][n],
                    sums_[m][n + 1]);
    }

private:
    static_assert(M % 4 == 0 && N % 4 == 0);
    __device__ __forceinline__ static int down() {
        return static_cast<int>(threadIdx.x) / ACROSS;
    }
    __device__ __forceinline__ static int across() {
        return static_cast<int>(threadIdx.x) % ACROSS;
    }

    template <int COUNT>
    __device__ __forceinline__ static void load(float (&v)[COUNT], const float* from, int step) {
#pragma unroll
        for (int i = 0; i < COUNT; i += 4) {
            const float4 four = *reinterpret_cast<const float4*>(from + i / 4 * step);
            v[i] = four.x, v[i + 1] = four.y, v[i + 2] = four.z, v[i + 3] = four.w;
        }
    }

    float sums_[M][N] = {};
};

// --- the loop ------------------------------------------------------------------------------------------------------

template <class Products, bool A_TRANSPOSED, bool B_TRANSPOSED, bool ALIGNED>
class HeldTile {
    using A = typename Products::template Stage<Products::ROWS, A_TRANSPOSED>;
    using B = typename Products::template Stage<Products::COLS, B_TRANSPOSED>;

public:
    static constexpr size_t SHARED_BYTES = 2 * (A::BYTES + B::BYTES);

    template <class SliceAt>
    __device__ __forceinline__ static void start(SliceAt, int, int, int, int, char*) {}  // nothing to send for

    // Adds slices `begin` to `end` to the tile at (first_row, first_col). slice(s) says where the sth one stands. All
    // threads of the block call it.
    template <class SliceAt>
    __device__ __forceinline__ static void multiply(Products& products, SliceAt slice_at, int first_row, int first_col,
                                                    int begin, int end, char* shared) {
        HeldSlice<Products::ROWS, Products::THREADS, A_TRANSPOSED, ALIGNED> a;
        HeldSlice<Products::COLS, Products::THREADS, B_TRANSPOSED, ALIGNED> b;
        const auto stage = [&](int s) { return shared + s % 2 * (A::BYTES + B::BYTES); };
        const auto put_a = [&](int s) {
            a.for_quads([&](int line, int quad, const float(&v)[4]) { A::put(stage(s), line, quad, v); });
        };
        const auto put_b = [&](int s) {
            b.for_quads([&](int line, int quad, const float(&v)[4]) { B::put(stage(s) + A::BYTES, line, quad, v); });
        };
        if (begin >= end) return;
        const SlicePair first = slice_at(begin);
        a.read(first.a, first_row, first.d);
        b.read(first.b, first_col, first.d);
        put_a(begin);
        put_b(begin);
        __syncthreads();  // orders the first slice before its reads
        for (int s = begin; s < end; s++) {
            const bool more = s + 1 < end;
            const SlicePair next = slice_at(more ? s + 1 : s);
            // One side travels under each half of the slice: half of the registers.
            if (more) a.read(next.a, first_row, next.d);
            products.template multiply<A_TRANSPOSED, B_TRANSPOSED>(stage(s), stage(s) + A::BYTES, 0);
            if (more) put_a(s + 1);
            if (more) b.read(next.b, first_col, next.d);
            products.template multiply<A_TRANSPOSED, B_TRANSPOSED>(stage(s), stage(s) + A::BYTES, 1);
            if (more) put_b(s + 1);
            __syncthreads();  // orders slice s + 1 before its reads, and the reads of slice s before s + 2 in its place
        }
    }
};

// Threads copy in the background what they themselves round later, so a slice needs no barrier between the two; it lies
// meanwhile quad by quad as the threads stand.
template <int SIDE, int THREADS, bool TRANSPOSED>
struct StagedSlice {
    static constexpr int BYTES = SIDE * SLICE * 4;

    __device__ __forceinline__ static void copy(char* staging, const Side& side, int first, int d) {
        const int lines = TRANSPOSED ? side.depth : side.count, length = TRANSPOSED ? side.count : side.depth;
        const int first_line = TRANSPOSED ? d : first, begin = TRANSPOSED ? first : d;
#pragma unroll
        for (int i = 0; i < QUADS; i++) {
            const int line = first_line + line_of(i), at = begin + 4 * quad_of(i);
            const bool valid = line < lines && at < length;
            cp_async<16>(staging + place(i), side.data + (valid ? static_cast<int64_t>(line) * length + at : 0), valid);
        }
    }

    template <class Put>
    __device__ __forceinline__ static void for_quads(const char* staging, Put put) {
#pragma unroll
        for (int i = 0; i < QUADS; i++) {
            const float4 four = *reinterpret_cast<const float4*>(staging + place(i));
            const float v[4] = {four.x, four.y, four.z, four.w};
            put(line_of(i), quad_of(i), v);
        }
    }

private:
    static constexpr int LINE = (TRANSPOSED ? SIDE : SLICE) / 4, QUADS = SIDE * SLICE / 4 / THREADS;
    static_assert(SIDE * SLICE % (4 * THREADS) == 0);

    __device__ __forceinline__ static int number(int i) {
        return i * THREADS + static_cast<int>(threadIdx.x);
    }
    __device__ __forceinline__ static int line_of(int i) {
        return number(i) / LINE;
    }
    __device__ __forceinline__ static int quad_of(int i) {
        return number(i) % LINE;
    }
    __device__ __forceinline__ static int place(int i) {
        return number(i) * 16;
    }
};

// A side that is rounded already goes straight to its place. Its lines' lengths are multiples of eight.
template <int SIDE, int THREADS, bool TRANSPOSED>
struct RoundedSlice {
    __device__ __forceinline__ static void copy(char* stage, const Side& side, int first, int d) {
        constexpr int LINE = (TRANSPOSED ? SIDE : SLICE) / 8, CHUNKS = SIDE * SLICE / 8 / THREADS;
        static_assert(SIDE * SLICE % (8 * THREADS) == 0);
        const int lines = TRANSPOSED ? side.depth : side.count, length = TRANSPOSED ? side.count : side.depth;
        const int first_line = TRANSPOSED ? d : first, begin = TRANSPOSED ? first : d;
#pragma unroll
        for (int i = 0; i < CHUNKS; i++) {
            const int number = i * THREADS + static_cast<int>(threadIdx.x), chunk = number % LINE;
            const int line = first_line + number / LINE, at = begin + 8 * chunk;
            const bool valid = line < lines && at < length;
            cp_async<16>(stage + Bf16Side<SIDE, TRANSPOSED>::place(number / LINE, chunk),
                         side.rounded + (valid ? static_cast<int64_t>(line) * length + at : 0), valid);
        }
    }
};

template <class Products, bool A_TRANSPOSED, bool B_TRANSPOSED, bool B_ROUNDED>
class StagedTile {
    using A = typename Products::template Stage<Products::ROWS, A_TRANSPOSED>;
    using B = typename Products::template Stage<Products::COLS, B_TRANSPOSED>;
    using StagedA = StagedSlice<Products::ROWS, Products::THREADS, A_TRANSPOSED>;
    using StagedB = StagedSlice<Products::COLS, Products::THREADS, B_TRANSPOSED>;
    using RoundedB = RoundedSlice<Products::COLS, Products::THREADS, B_TRANSPOSED>;
    static constexpr int STAGES = 3;
    static constexpr int B_SLOTS =
        B_ROUNDED ? STAGES + 2 : 2;  // from the slice that is read to the last one on its way
    // Shared memory: slices under way | slices of a | slices of b
    static constexpr int STAGING = StagedA::BYTES + (B_ROUNDED ? 0 : StagedB::BYTES);
    static constexpr int A_BEGIN = STAGES * STAGING, B_BEGIN = A_BEGIN + 2 * A::BYTES;

public:
    static constexpr size_t SHARED_BYTES = B_BEGIN + B_SLOTS * B::BYTES;
    static_assert(SHARED_BYTES <= 163 * 1024);  // what a block may have on sm_80

    // Sends for the first slices of a tile, which multiply() needs. Other tiles' multiply() is over.
    template <class SliceAt>
    __device__ __forceinline__ static void start(SliceAt slice_at, int first_row, int first_col, int begin, int end,
                                                 char* shared) {
        for (int s = begin; s < begin + STAGES; s++) copy(slice_at, first_row, first_col, s, end, shared);
    }

    template <class SliceAt>
    __device__ __forceinline__ static void multiply(Products& products, SliceAt slice_at, int first_row, int first_col,
                                                    int begin, int end, char* shared) {
        const auto a = [&](int s) { return place_a(shared, s); };
        const auto b = [&](int s) { return place_b(shared, s); };
        const auto prepare = [&](int s) {
            cp_async_wait<STAGES - 1>();  // this thread's part of slice s has come
            if (s < end) {
                StagedA::for_quads(staging(shared, s),
                                   [&](int line, int quad, const float(&v)[4]) { A::put(a(s), line, quad, v); });
                if constexpr (!B_ROUNDED)
                    StagedB::for_quads(staging(shared, s) + StagedA::BYTES,
                                       [&](int line, int quad, const float(&v)[4]) { B::put(b(s), line, quad, v); });
            }
            copy(slice_at, first_row, first_col, s + STAGES, end, shared);
        };
        const auto multiply_slice = [&](int s) {
#pragma unroll
            for (int step = 0; step < 2; step++)
                products.template multiply<A_TRANSPOSED, B_TRANSPOSED>(a(s), b(s), step);
        };
        prepare(begin);
        __syncthreads();  // orders the first slice before its reads
        // Half of the warps round the next slice first and half multiply first: so neither the tensor cores nor what
        // feeds them wait for the others.
        const bool prepares_first = threadIdx.x < Products::THREADS / 2;
        for (int s = begin; s < end; s++) {
            if (prepares_first) prepare(s + 1);
            multiply_slice(s);
            if (!prepares_first) prepare(s + 1);
            __syncthreads();  // orders slice s + 1 before its reads, and the reads of slice s before their place's next
        }
    }

private:
    __device__ __forceinline__ static char* staging(char* shared, int s) {
        return shared + s % STAGES * STAGING;
    }
    __device__ __forceinline__ static char* place_a(char* shared, int s) {
        return shared + A_BEGIN + s % 2 * A::BYTES;
    }
    __device__ __forceinline__ static char* place_b(char* shared, int s) {
        return shared + B_BEGIN + s % B_SLOTS * B::BYTES;
    }

    template <class SliceAt>
    __device__ __forceinline__ static void copy(SliceAt slice_at, int first_row, int first_col, int s, int end,
                                                char* shared) {
        if (s < end) {
            const SlicePair slice = slice_at(s);
            StagedA::copy(staging(shared, s), slice.a, first_row, slice.d);
            if constexpr (B_ROUNDED)
                RoundedB::copy(place_b(shared, s), slice.b, first_col, slice.d);
            else
                StagedB::copy(staging(shared, s) + StagedA::BYTES, slice.b, first_col, slice.d);
        }
        cp_async_commit();  // empty beyond the last slice, so that waiting can count
    }
};

}  // namespace leon::LEON_CUDA::grad
