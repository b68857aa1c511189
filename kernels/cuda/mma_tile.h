// The main loop of every product on the tensor cores: one block makes sums[row, col] = left[row, :] . right[col, :] for
// a tile of rows and columns, over all of the depth. matmul and the feed-forward branch are this loop with
// their own left side, right side and end:
//
//   using Shape = TileShape<64, 64, 2, 4, 1, 4>;
//   float sums[Shape::DOWN_TILES][Shape::ACROSS_TILES][4];
//   multiply_tile<T, Shape>(sums, left, right, first_row, first_col, depth, shared);     // all threads of the block
//   for_each_pair<Shape>(sums, first_row, first_col, [&](int64_t row, int64_t col, float first, float second) { ... });
//
// The left side is float32 and exact sums are wanted, so each element is multiplied as two numbers, high + low, that
// the tensor cores take; the right side has the type T:
//
//   T      right side as   left side as        products                    error of an element of the left side
//   bf16   bf16, exact     bf16 high + low     low, high                   2^-16 at most, 2^-18 typically
//   i8     bf16, exact     bf16 high + low     low, high                   the same; the caller multiplies by the scale
//   f8, i4 bf16, exact     bf16 high + low     low, high                   the same
//   f16    tf32, exact     tf32 high + low     low, high                   2^-23
//   f32    tf32 high+low   tf32 high + low     low high, high low, high    2^-22 of the product (low low is left out)
//
// A slice of the depth of both sides, a stage, is copied to shared memory in the background (cp.async) while earlier
// ones are multiplied. For bf16 and i8 the left side is split there, in place: 8 floats (32 bytes) become 8 high and 8
// low halves (16 bytes each), by the threads that have copied them, one stage ahead of the multiplication. So an
// element is split once for a block and not once for each warp that reads it, and fragments of both halves come by
// ldmatrix. For f16 and f32 it stays float32, a split costs four instructions and is done on the way from shared memory
// into the fragment. There is one barrier a stage.
//
//   a stage:  left panels, then right panels; a panel is [rows][32 elements of the depth], a row being 128 bytes on the
//             left and 128, 64 or 32 on the right, in chunks of 16 bytes
//
// The chunks of a 128-byte line are permuted by an exclusive or with bits of its number (swizzled(), below), so that
// copies, splitting and fragment loads all touch each bank once.
//
// Tails: rows and columns beyond the last repeat it, and their sums are dropped; the depth is filled up with zeros.
// Where rows do not start at multiples of 16 bytes, elements are copied one by one in place of cp.async.
//
// --- the two sides ------------------------------------------------------------------------------------------------
//
// Left:   struct Row            what a thread keeps in registers about a row that it copies
//         bool aligned          elements come in fours that start at multiples of 16 bytes, and depth % 4 == 0
//         static constexpr bool CHANGES      whether change() does anything
//         Row row(int64_t r)                 r may be beyond the last row; any valid row may stand for it
//         const float* quad(Row, int d)      where elements d to d + 3 stand, d < depth; null: they are zero
//         float element(Row, int d)          if not aligned; d < depth
//         void change(float (&v)[4], Row, int d)   applied to elements d to d + 3 in shared memory before they are
//         split:
//                                            a normalisation. Called for zeros, too, and for d beyond the depth
// Right:  bool aligned          as above, in chunks of 16 bytes
//         const T* row(int64_t c)            elements of column c; any valid column beyond the last
//          const uint8_t* groups(int64_t c)   of half bytes: factors of column c, one a panel
#pragma once

#include "kernels/cuda/element.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/split.h"

namespace leon::LEON_CUDA {

constexpr int PANEL = 32;  // elements of the depth in a panel: a line of 128 bytes of floats, and two steps of 16

// A block of DOWN x ACROSS x DEEP warps. A warp makes WARP_ROWS x WARP_COLS sums from one panel of each stage; the
// warps that differ in DEEP only make the same sums from different panels, and the first of them adds these up at the
// end.
template <int WARP_ROWS_, int WARP_COLS_, int DOWN_, int ACROSS_, int DEEP_, int STAGES_>
struct TileShape {
    static constexpr int WARP_ROWS = WARP_ROWS_, WARP_COLS = WARP_COLS_;
    static constexpr int DOWN = DOWN_, ACROSS = ACROSS_, DEEP = DEEP_, STAGES = STAGES_;
    static constexpr int THREADS = DOWN * ACROSS * DEEP * WARP;
    static constexpr int ROWS = DOWN * WARP_ROWS, COLS = ACROSS * WARP_COLS;
    static constexpr int DEPTH = DEEP * PANEL;          // of a stage
    static constexpr int DOWN_TILES = WARP_ROWS / 16;   // m of mma
    static constexpr int ACROSS_TILES = WARP_COLS / 8;  // n of mma
    static_assert(WARP_ROWS % 16 == 0 && WARP_COLS % 32 == 0 && STAGES >= 3);
};

template <class T>
constexpr int RIGHT_CHUNKS = PANEL / CHUNK_ELEMENTS<T>;  // of a row of a panel: 8, 4, 2 or 1
constexpr int LEFT_CHUNKS = RIGHT_CHUNKS<float>;

// Whether every row of a panel of the right side has a factor.
template <class T>
constexpr bool HAS_GROUPS = false;
template <>
inline constexpr bool HAS_GROUPS<Nibbles> = true;

template <class T, class Shape>
constexpr int STAGE_BYTES = Shape::DEEP*(16 * (Shape::ROWS * LEFT_CHUNKS + Shape::COLS * RIGHT_CHUNKS<T>)+Shape::COLS *
                                         (HAS_GROUPS<T> ? 4 : 0));

template <class T, class Shape>
constexpr size_t TILE_SHARED_BYTES = size_t{Shape::STAGES} * STAGE_BYTES<T, Shape>;

// Whether the left side is split in shared memory.
template <class T>
constexpr bool SPLITS_AHEAD = sizeof(T) < 4;
template <>
inline constexpr bool SPLITS_AHEAD<__half> = false;

// Byte at which chunk `chunk` of row `row` of panel `panel` stands in the panel. A line holds 8 chunks, of 1, 2 or 4
// rows; chunks that are touched together must be in different places of their lines:
//   8 chunks a row   ldmatrix takes a chunk of 8 rows, copies 8 chunks of a row, loads of 8 bytes 2 chunks of 4 rows,
//                    splitting every second chunk of 2 rows or every fourth of 4, or the same of 2 or 4 panels: rows
//                    are turned by xor with 0 5 2 7 4 1 6 3, panels with their number
//   4, 2 or 1        ldmatrix takes a chunk of 8 rows, in 4, 2 or 1 lines, turned by the line's number; copies take
//                    8 chunks of all rows of a line, or of one or two rows in 2 or 4 panels, which take turns in the
//                    line
template <int CHUNKS>
__device__ __forceinline__ int swizzled(int panel, int row, int chunk) {
    const int at = row * CHUNKS + chunk, line = at / 8;
    if constexpr (CHUNKS == 8) return (at ^ ((line ^ line << 2 ^ panel) & 7)) * 16;
    return (at ^ (line % CHUNKS) ^ (panel * (CHUNKS == 1 ? 2 : CHUNKS) & 7)) * 16;
}

// --- one block ----------------------------------------------------------------------------------------------------

template <class T, class Shape, class Left, class Right>
class TileLoop {
public:
    __device__ __forceinline__ TileLoop(const Left& left, const Right& right, int64_t first_row, int64_t first_col,
                                        int depth, char* shared)
        : left_(left), right_(right), depth_(depth), shared_(shared) {
        const int thread = static_cast<int>(threadIdx.x), lane = thread % WARP;
        left_line_ = thread / LEFT_LINE;
        left_chunk_ = thread % LEFT_LINE;
        right_line_ = thread / RIGHT_LINE;
        right_chunk_ = thread % RIGHT_LINE;
        left_place_ = left_chunk_ / LEFT_CHUNKS * LEFT_PANEL +
                      swizzled<LEFT_CHUNKS>(left_chunk_ / LEFT_CHUNKS, left_line_, left_chunk_ % LEFT_CHUNKS);
        right_place_ =
            RIGHT_BEGIN + right_chunk_ / RIGHT_CHUNKS<T> * RIGHT_PANEL +
            swizzled<RIGHT_CHUNKS<T>>(right_chunk_ / RIGHT_CHUNKS<T>, right_line_, right_chunk_ % RIGHT_CHUNKS<T>);
#pragma unroll
        for (int i = 0; i < LEFT_COPIES; i++) left_rows_[i] = left.row(first_row + left_line_ + i * LEFT_STEP);
#pragma unroll
        for (int i = 0; i < RIGHT_COPIES; i++) right_rows_[i] = right.row(first_col + right_line_ + i * RIGHT_STEP);
        if constexpr (HAS_GROUPS<T>)
#pragma unroll
            for (int i = 0; i < RIGHT_COPIES; i++)
                right_groups_[i] = right.groups(first_col + right_line_ + i * RIGHT_STEP);

        const int warp = thread / WARP, tile = warp % (Shape::DOWN * Shape::ACROSS);
        const int row = tile / Shape::ACROSS * Shape::WARP_ROWS, col = tile % Shape::ACROSS * Shape::WARP_COLS;
        const int panel = warp / (Shape::DOWN * Shape::ACROSS);
        left_fragment_ = panel * LEFT_PANEL;
        right_fragment_ = RIGHT_BEGIN + panel * RIGHT_PANEL;
        if constexpr (HAS_GROUPS<T>) factors_ = FACTORS_BEGIN + ((col + lane / 4) * Shape::DEEP + panel) * 4;
        // Lane l of ldmatrix brings the address of row l % 8 of matrix l / 8.
        if constexpr (SPLITS_AHEAD<T>)  // matrices: rows 0-7, 8-15 of the first half of a step, then of the second
            left_fragment_ += swizzled<LEFT_CHUNKS>(panel, row + lane % 16, lane / 16 * 2);
        else  // lane l holds rows l / 4 and + 8, elements 2 (l % 4) and + 1 of each eight
            left_fragment_ += swizzled<LEFT_CHUNKS>(panel, row + lane / 4, lane % 4 / 2) + lane % 2 * 8;
        if constexpr (sizeof(T) == 4)
            right_fragment_ += swizzled<RIGHT_CHUNKS<T>>(panel, col + lane / 4, lane % 4 / 2) + lane % 2 * 8;
        else if constexpr (sizeof(T) == 2)  // columns 0-7 of both halves of a step, then columns 8-15
            right_fragment_ += swizzled<RIGHT_CHUNKS<T>>(panel, col + lane / 16 * 8 + lane % 8, lane / 8 % 2);
        else  // columns 0-7, 8-15, 16-23, 24-31 of a whole step, or of both
            right_fragment_ += swizzled<RIGHT_CHUNKS<T>>(panel, col + lane, 0);
    }

    __device__ __forceinline__ void run(float (&sums)[Shape::DOWN_TILES][Shape::ACROSS_TILES][4]) {
        const int stages = (depth_ + Shape::DEPTH - 1) / Shape::DEPTH;
#pragma unroll
        for (int s = 0; s < Shape::STAGES - 1; s++) {
            if (s < stages) copy(s, s);
            if (s < stages && s < Shape::STAGES - 2) put_factors(s);
            cp_async_commit();  // empty beyond the last stage, so that waiting can count
        }
        if constexpr (PREPARES) {
            cp_async_wait<Shape::STAGES - 2>();  // stage 0 has come
            if (stages > 0) prepare(0, 0);
        }
        int slot = 0;
        for (int s = 0; s < stages; s++) {
            const int next = slot + 1 == Shape::STAGES ? 0 : slot + 1;
            const int before = slot == 0 ? Shape::STAGES - 1 : slot - 1;
            cp_async_wait<PREPARES ? Shape::STAGES - 3 : Shape::STAGES - 2>();  // stage s, or s + 1, too, has come
            // Of the stage that was copied last.
            if (s + Shape::STAGES - 2 < stages) put_factors(slot >= 2 ? slot - 2 : slot + Shape::STAGES - 2);
            // Orders the copies of stage s, and its splitting, before all threads' reads; and the reads of stage s - 1
            // before the copies that go into its slot.
            __syncthreads();
            if (s + Shape::STAGES - 1 < stages) copy(s + Shape::STAGES - 1, before);
            cp_async_commit();
            if constexpr (PREPARES)
                if (s + 1 < stages) prepare(s + 1, next);
            multiply(sums, shared_ + slot * STAGE);
            slot = next;
        }
        if constexpr (Shape::DEEP > 1) add_panels(sums);
    }

private:
    static constexpr int STAGE = STAGE_BYTES<T, Shape>;
    static constexpr int LEFT_PANEL = Shape::ROWS * LEFT_CHUNKS * 16, RIGHT_PANEL = Shape::COLS * RIGHT_CHUNKS<T> * 16;
    static constexpr int RIGHT_BEGIN = Shape::DEEP * LEFT_PANEL;
    // Threads copy chunk by chunk along the depth, then row by row, and again that many rows further down.
    static constexpr int LEFT_LINE = LEFT_CHUNKS * Shape::DEEP, RIGHT_LINE = RIGHT_CHUNKS<T> * Shape::DEEP;
    static constexpr int LEFT_STEP = Shape::THREADS / LEFT_LINE, RIGHT_STEP = Shape::THREADS / RIGHT_LINE;
    static constexpr int LEFT_COPIES = Shape::ROWS / LEFT_STEP, RIGHT_COPIES = Shape::COLS / RIGHT_STEP;
    static constexpr int PER_CHUNK = CHUNK_ELEMENTS<T>;
    // Factors of half bytes stand behind the panels, as pairs of bf16: [column][panel].
    static constexpr int FACTORS_BEGIN = RIGHT_BEGIN + Shape::DEEP * RIGHT_PANEL;
    static constexpr bool PREPARES = SPLITS_AHEAD<T> || Left::CHANGES;
    static_assert(Shape::THREADS % LEFT_LINE == 0 && Shape::THREADS % RIGHT_LINE == 0);
    static_assert(Shape::ROWS % LEFT_STEP == 0 && Shape::COLS % RIGHT_STEP == 0);
    static_assert(LEFT_STEP % 8 == 0 && RIGHT_STEP % 8 == 0);  // rows that far apart are permuted alike

    __device__ __forceinline__ char* left_chunk(int slot, int i) const {
        return shared_ + slot * STAGE + left_place_ + i * LEFT_STEP * LEFT_CHUNKS * 16;
    }
    __device__ __forceinline__ char* right_chunk(int slot, int i) const {
        return shared_ + slot * STAGE + right_place_ + i * RIGHT_STEP * RIGHT_CHUNKS<T> * 16;
    }

    // Starts the copies of a stage into a slot.
    __device__ __forceinline__ void copy(int stage, int slot) {
        const int left_d = stage * Shape::DEPTH + left_chunk_ * 4;
        const int right_d = stage * Shape::DEPTH + right_chunk_ * PER_CHUNK;
        if (left_.aligned) {
#pragma unroll
            for (int i = 0; i < LEFT_COPIES; i++) {
                const float* from = left_d < depth_ ? left_.quad(left_rows_[i], left_d) : nullptr;
                cp_async<16>(left_chunk(slot, i), from, from != nullptr);
            }
        } else {
#pragma unroll
            for (int i = 0; i < LEFT_COPIES; i++) {
                float* to = reinterpret_cast<float*>(left_chunk(slot, i));
#pragma unroll 1
                for (int j = 0; j < 4; j++) to[j] = left_d + j < depth_ ? left_.element(left_rows_[i], left_d + j) : 0;
            }
        }
        if (right_.aligned) {
#pragma unroll
            for (int i = 0; i < RIGHT_COPIES; i++)
                cp_async<16>(right_chunk(slot, i), element_at(right_rows_[i], right_d), right_d < depth_);
        } else {
#pragma unroll
            for (int i = 0; i < RIGHT_COPIES; i++) {
                T* to = reinterpret_cast<T*>(right_chunk(slot, i));
#pragma unroll 1
                for (int j = 0; j < PER_CHUNK; j += ELEMENTS<T>)
                    to[j / ELEMENTS<T>] = right_d + j < depth_ ? *element_at(right_rows_[i], right_d + j) : T{};
            }
        }
        if constexpr (HAS_GROUPS<T>)
#pragma unroll
            for (int i = 0; i < RIGHT_COPIES; i++)
                next_factors_[i] = right_d < depth_ ? right_groups_[i][right_d / PANEL] : uint8_t{0};
    }
    // Puts the factors of the stage that copy() was last called for where they belong: a stage later than that, when
    // they have come. cp.async cannot bring single bytes.
    __device__ __forceinline__ void put_factors(int slot) {
        if constexpr (HAS_GROUPS<T>)
#pragma unroll
            for (int i = 0; i < RIGHT_COPIES; i++) {
                const unsigned factor = __float_as_uint(widen(E4m3{next_factors_[i]})) >> 16;
                *reinterpret_cast<unsigned*>(shared_ + slot * STAGE + FACTORS_BEGIN +
                                             ((right_line_ + i * RIGHT_STEP) * Shape::DEEP + right_chunk_) * 4) =
                    factor | factor << 16;
            }
    }

    // Changes and splits the chunks of the left side that this thread has copied. For ldmatrix, eight elements of the
    // same half must be adjacent, so chunks are exchanged with neighbouring lanes:
    //   bf16   two chunks      x0-3        x4-7         ->  high 0-7    low 0-7
    //   i8     four of a step  x0-3 x4-7 x8-11 x12-15   ->  high of the elements in the order in which lane c's word of
    //          the right side, bytes 4c to 4c + 3, falls apart: 4c and 4c + 2 for the first half of the step, 4c + 1
    //          and 4c + 3 for the second:   high first half, low first half, high second half, low second half
    __device__ __forceinline__ void prepare(int stage, int slot) {
        const int d = stage * Shape::DEPTH + left_chunk_ * 4;
        float v[LEFT_COPIES][4];
#pragma unroll
        for (int i = 0; i < LEFT_COPIES; i++) {
            const float4 four = *reinterpret_cast<const float4*>(left_chunk(slot, i));
            v[i][0] = four.x, v[i][1] = four.y, v[i][2] = four.z, v[i][3] = four.w;
            if constexpr (Left::CHANGES) left_.change(v[i], left_rows_[i], d);
        }
        if constexpr (SPLITS_AHEAD<T>) __syncwarp();  // orders these reads before other lanes' writes to the chunks
#pragma unroll
        for (int i = 0; i < LEFT_COPIES; i++) {
            char* mine = left_chunk(slot, i);
            const size_t at = static_cast<size_t>(mine - shared_);
            if constexpr (!SPLITS_AHEAD<T>) {
                *reinterpret_cast<float4*>(mine) = make_float4(v[i][0], v[i][1], v[i][2], v[i][3]);
            } else if constexpr (sizeof(T) == 2) {
                const Split first = split_bf16(v[i][0], v[i][1]), second = split_bf16(v[i][2], v[i][3]);
                const int odd = left_chunk_ % 2;
                const size_t high = (at ^ static_cast<size_t>(odd * 16)) + static_cast<size_t>(odd * 8);
                *reinterpret_cast<uint2*>(shared_ + high) = make_uint2(first.high, second.high);
                *reinterpret_cast<uint2*>(shared_ + (high ^ 16)) = make_uint2(first.low, second.low);
            } else {
                const Split first = split_bf16(v[i][0], v[i][2]), second = split_bf16(v[i][1], v[i][3]);
                const int c = left_chunk_ % 4;
                const size_t high = (at ^ static_cast<size_t>(c * 16)) + static_cast<size_t>(c * 4);
                *reinterpret_cast<unsigned*>(shared_ + high) = first.high;
                *reinterpret_cast<unsigned*>(shared_ + (high ^ 16)) = first.low;
                *reinterpret_cast<unsigned*>(shared_ + (high ^ 32)) = second.high;
                *reinterpret_cast<unsigned*>(shared_ + (high ^ 48)) = second.low;
            }
        }
    }

    // sums += this warp's panel of a stage.
    __device__ __forceinline__ void multiply(float (&sums)[Shape::DOWN_TILES][Shape::ACROSS_TILES][4],
                                             const char* stage) const {
#pragma unroll
        for (int step = 0; step < PANEL / 16; step++) {
            if constexpr (sizeof(T) == 4) {
                multiply_f32(sums, stage, 2 * step);
                multiply_f32(sums, stage, 2 * step + 1);
            } else {
                unsigned right[Shape::ACROSS_TILES][2];
                load_right(right, stage, step);
                if constexpr (SPLITS_AHEAD<T>)
                    multiply_bf16(sums, stage, step, right);
                else
                    multiply_f16(sums, stage, step, right);
            }
        }
    }

    // Fragments of a step of 16 of the depth: elements 2c and 2c + 1, and those 8 further on, of column l / 4.
    __device__ __forceinline__ void load_right(unsigned (&right)[Shape::ACROSS_TILES][2], const char* stage,
                                               int step) const {
        if constexpr (sizeof(T) == 2) {
#pragma unroll
            for (int n = 0; n < Shape::ACROSS_TILES; n += 2) {
                unsigned four[4];
                ldmatrix_x4(four, stage + (right_fragment_ ^ step * 32) + n * 8 * RIGHT_CHUNKS<T> * 16);
                right[n][0] = four[0], right[n][1] = four[1], right[n + 1][0] = four[2], right[n + 1][1] = four[3];
            }
        } else {
#pragma unroll
            for (int n = 0; n < Shape::ACROSS_TILES; n += 4) {
                unsigned four[4];
                const int of_step = HAS_GROUPS<T> ? 0 : step * 16;  // half bytes: both steps are in the same chunk
                ldmatrix_x4(four, stage + (right_fragment_ ^ of_step) + n * 8 * RIGHT_CHUNKS<T> * 16);
#pragma unroll
                for (int i = 0; i < 4; i++) widen_right(right[n + i], four[i], stage, step, n + i);
            }
        }
    }
    // Four elements of a column in a word: the even ones and the odd ones.
    __device__ __forceinline__ void widen_right(unsigned (&pairs)[2], unsigned word, const char* stage, int step,
                                                int n) const {
        if constexpr (HAS_GROUPS<T>) {
            const __nv_bfloat162 factor =
                bf16_of_word(*reinterpret_cast<const unsigned*>(stage + factors_ + n * 32 * Shape::DEEP));
            even_and_odd(pairs, word, step, factor);
        } else {
            even_and_odd(pairs, word, T{});
        }
    }

    __device__ __forceinline__ void multiply_bf16(float (&sums)[Shape::DOWN_TILES][Shape::ACROSS_TILES][4],
                                                  const char* stage, int step,
                                                  const unsigned (&right)[Shape::ACROSS_TILES][2]) const {
#pragma unroll
        for (int m = 0; m < Shape::DOWN_TILES; m++) {
            unsigned high[4], low[4];
            const char* rows = stage + m * 16 * LEFT_CHUNKS * 16;
            ldmatrix_x4(high, rows + (left_fragment_ ^ step * 64));
            ldmatrix_x4(low, rows + (left_fragment_ ^ step * 64 ^ 16));
            mma_bf16(sums[m], low, right);
            mma_bf16(sums[m], high, right);
        }
    }

    // Elements 2c and 2c + 1 of each eight stand where the instruction has c and c + 4: on both sides, so the sum is
    // the same.
    __device__ __forceinline__ void load_left(Split (&left)[4], const char* stage, int m, int eight) const {
        const char* rows = stage + (left_fragment_ ^ eight * 32) + m * 16 * LEFT_CHUNKS * 16;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float2 pair = *reinterpret_cast<const float2*>(rows + half * 8 * LEFT_CHUNKS * 16);
            left[half] = split_tf32(pair.x);
            left[half + 2] = split_tf32(pair.y);
        }
    }
    __device__ __forceinline__ void multiply_f16(float (&sums)[Shape::DOWN_TILES][Shape::ACROSS_TILES][4],
                                                 const char* stage, int step,
                                                 const unsigned (&right)[Shape::ACROSS_TILES][2]) const {
#pragma unroll
        for (int e = 0; e < 2; e++) {
            unsigned wide[Shape::ACROSS_TILES][2];
#pragma unroll
            for (int n = 0; n < Shape::ACROSS_TILES; n++) {
                const float2 pair = __half22float2(half2_of(right[n][e]));
                wide[n][0] = __float_as_uint(pair.x), wide[n][1] = __float_as_uint(pair.y);
            }
#pragma unroll
            for (int m = 0; m < Shape::DOWN_TILES; m++) {
                Split left[4];
                load_left(left, stage, m, 2 * step + e);
                const unsigned high[4] = {left[0].high, left[1].high, left[2].high, left[3].high};
                const unsigned low[4] = {left[0].low, left[1].low, left[2].low, left[3].low};
                mma_tf32(sums[m], low, wide);
                mma_tf32(sums[m], high, wide);
            }
        }
    }
    __device__ __forceinline__ void multiply_f32(float (&sums)[Shape::DOWN_TILES][Shape::ACROSS_TILES][4],
                                                 const char* stage, int eight) const {
        unsigned right_high[Shape::ACROSS_TILES][2], right_low[Shape::ACROSS_TILES][2];
#pragma unroll
        for (int n = 0; n < Shape::ACROSS_TILES; n++) {
            const float2 pair =
                *reinterpret_cast<const float2*>(stage + (right_fragment_ ^ eight * 32) + n * 8 * RIGHT_CHUNKS<T> * 16);
            const Split first = split_tf32(pair.x), second = split_tf32(pair.y);
            right_high[n][0] = first.high, right_high[n][1] = second.high;
            right_low[n][0] = first.low, right_low[n][1] = second.low;
        }
#pragma unroll
        for (int m = 0; m < Shape::DOWN_TILES; m++) {
            Split left[4];
            load_left(left, stage, m, eight);
            const unsigned high[4] = {left[0].high, left[1].high, left[2].high, left[3].high};
            const unsigned low[4] = {left[0].low, left[1].low, left[2].low, left[3].low};
            mma_tf32(sums[m], low, right_high);
            mma_tf32(sums[m], high, right_low);
            mma_tf32(sums[m], high, right_high);
        }
    }

    // The warps of panel 0 add the sums that those of the other panels leave in shared memory, in the order of the
    // panels.
    __device__ __forceinline__ void add_panels(float (&sums)[Shape::DOWN_TILES][Shape::ACROSS_TILES][4]) const {
        constexpr int TILES = Shape::DOWN * Shape::ACROSS, EACH = Shape::DOWN_TILES * Shape::ACROSS_TILES * 4;
        static_assert((Shape::DEEP - 1) * TILES * EACH * WARP * 4 <= Shape::STAGES * STAGE);
        const int warp = static_cast<int>(threadIdx.x) / WARP, lane = static_cast<int>(threadIdx.x) % WARP;
        float* partial = reinterpret_cast<float*>(shared_);  // [panel - 1][tile][element][lane]
        __syncthreads();                                     // orders the last reads of the stages before these writes
        if (warp >= TILES) {
#pragma unroll
            for (int i = 0; i < EACH; i++)
                partial[((warp - TILES) * EACH + i) * WARP + lane] =
                    sums[i / 4 / Shape::ACROSS_TILES][i / 4 % Shape::ACROSS_TILES][i % 4];
        }
        __syncthreads();  // orders the partial sums before the reads of the warps of panel 0
        if (warp < TILES) {
#pragma unroll
            for (int i = 0; i < EACH; i++)
#pragma unroll
                for (int p = 1; p < Shape::DEEP; p++)
                    sums[i / 4 / Shape::ACROSS_TILES][i / 4 % Shape::ACROSS_TILES][i % 4] +=
                        partial[(((p - 1) * TILES + warp) * EACH + i) * WARP + lane];
        }
    }

    const Left& left_;
    const Right& right_;
    const int depth_;
    char* const shared_;
    int left_line_, left_chunk_, right_line_, right_chunk_;  // where this thread's first copies belong
    int left_place_, right_place_;                           // and where in a stage, in bytes
    int left_fragment_, right_fragment_;                     // its part of the first fragments of a stage
    typename Left::Row left_rows_[LEFT_COPIES];
    const T* right_rows_[RIGHT_COPIES];
    const uint8_t* right_groups_[RIGHT_COPIES];  // of half bytes
    uint8_t next_factors_[RIGHT_COPIES];
    int factors_ = 0;  // where this lane's first column has them, in a stage
};

// sums = the tile that begins at (first_row, first_col). All threads of the block call it; those of which
// owns_sums() is false have none afterwards. shared: TILE_SHARED_BYTES<T, Shape>.
template <class T, class Shape, class Left, class Right>
__device__ __forceinline__ void multiply_tile(float (&sums)[Shape::DOWN_TILES][Shape::ACROSS_TILES][4],
                                              const Left& left, const Right& right, int64_t first_row,
                                              int64_t first_col, int depth, char* shared) {
#pragma unroll
    for (int m = 0; m < Shape::DOWN_TILES; m++)
#pragma unroll
        for (int n = 0; n < Shape::ACROSS_TILES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) sums[m][n][i] = 0;
    TileLoop<T, Shape, Left, Right>(left, right, first_row, first_col, depth, shared).run(sums);
}

template <class Shape>
__device__ __forceinline__ bool owns_sums() {
    return threadIdx.x < Shape::DOWN * Shape::ACROSS * WARP;
}

// Where the thread's sums stand in the tile: sums[m][n][i] in row row_of(m, i / 2) and column col_of(n) + i % 2.
template <class Shape>
__device__ __forceinline__ int row_of(int m, int half) {
    const int warp = static_cast<int>(threadIdx.x) / WARP, lane = static_cast<int>(threadIdx.x) % WARP;
    return warp % (Shape::DOWN * Shape::ACROSS) / Shape::ACROSS * Shape::WARP_ROWS + m * 16 + half * 8 + lane / 4;
}
template <class Shape>
__device__ __forceinline__ int col_of(int n) {
    const int warp = static_cast<int>(threadIdx.x) / WARP, lane = static_cast<int>(threadIdx.x) % WARP;
    return warp % Shape::ACROSS * Shape::WARP_COLS + n * 8 + lane % 4 * 2;
}

// The left side that is a matrix in memory.
struct MatrixRows {
    struct Row {
        const float* data;
    };
    static constexpr bool CHANGES = false;
    const float* x;  // [rows, depth]
    int64_t rows, depth;
    bool aligned;

    __device__ __forceinline__ Row row(int64_t r) const { return {x + (r < rows ? r : rows - 1) * depth}; }
    __device__ __forceinline__ const float* quad(Row row, int d) const { return row.data + d; }
    __device__ __forceinline__ float element(Row row, int d) const { return row.data[d]; }
};

// The right side that is a weight.
template <class T>
struct WeightRows {
    const T* weight;  // [cols, depth]
    int64_t cols, depth;
    bool aligned;

    __device__ __forceinline__ const T* row(int64_t c) const { return weight + (c < cols ? c : cols - 1) * depth; }
};

}  // namespace leon::LEON_CUDA
