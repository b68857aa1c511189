// spatial_attention: every pixel attends to every pixel, one head as wide as the channels (512 in VQGAN's middle).
//
//   out[i] = sum_j softmax_j(q[i] . k[j] / sqrt(channels)) v[j]
//
// 32 rows of 512 sums are too many for a warp and just right for eight: each warp owns 64 channels, of the queries and
// of the sums, in registers. So an element of keys or values is needed by one warp only, which copies it for itself,
// the next keys while it works on the values and the other way round. What the warps must tell each other is small:
//
//   each warp       scores of its own channels, 32 rows x 16 keys      -> shared, one sheet per warp
//   8 lanes a row   sum of the sheets, the softmax's state and weights -> shared, one sheet
//   each warp       weights * values of its own channels
//
//   shared:  tile of keys | tile of values  per warp | 8 sheets | weights | of each row: factor, total
//
// The keys are cut into parts, so that the blocks fill a GPU even for 1,024 pixels; a second kernel joins the parts'
// states, which a block's own last one could not do in time: they are 8 MB. Bound by the tensor cores, three products
// each (split_mma.h): 6 * pixels^2 * channels multiply-adds.
//
// Channels that are no multiple of 4 take a block per row (softmax_row.h).
#include "kernels/cuda/attention_tile.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/softmax_row.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int WARPS = 8;
constexpr int THREADS = WARPS * WARP;
constexpr int ROWS = 2 * TILE_ROWS;  // 64 registers of queries and 64 of sums a lane
constexpr int OWN = 64;              // channels of a warp
using Tile = KeyTile<float, OWN>;
constexpr int KEYS = Tile::KEYS;
constexpr int SHEET_PITCH = KEYS + 8;  // a warp's 8-byte accesses meet different banks
constexpr int SHEET = ROWS * SHEET_PITCH;
constexpr int LANES = THREADS / ROWS;  // of a row, in the softmax
constexpr size_t SHARED_BYTES = sizeof(float) * (WARPS * 2 * Tile::ELEMENTS + (WARPS + 1) * SHEET + 2 * ROWS);
static_assert(SHARED_BYTES <= 99 << 10);  // what every generation since 8.0 has
static_assert(KEYS == 2 * LANES);         // a lane has two keys

// The states of all parts between the two kernels. One launch follows another on one stream.
constexpr int BLOCKS = 128;  // about as many as a GPU has multiprocessors: parts beyond do not help
__device__ float part_sums[BLOCKS * ROWS * WARPS * OWN];  // [parts, pixels, channels]
__device__ float2 part_states[BLOCKS * ROWS];             // [parts, pixels]

// Parts of the keys, of at least two tiles.
int parts_of(int pixels) {
    const int by_blocks = BLOCKS / static_cast<int>(divide_up(pixels, ROWS)), by_keys = pixels / (2 * KEYS);
    return max(1, min(by_blocks, by_keys));
}

__global__ void __launch_bounds__(THREADS) spatial_attention_kernel(float* out,      // [pixels, channels]
                                                                    const float* q,  // [pixels, channels]
                                                                    const float* k,  // [pixels, channels]
                                                                    const float* v,  // [pixels, channels]
                                                                    int pixels, int channels, float scale) {
    DYNAMIC_SHARED(float, shared);
    const int thread = static_cast<int>(threadIdx.x), lane = thread % WARP, warp = thread / WARP;
    const int group = lane / 4, column = lane % 4;  // see Left in split_mma.h
    float* key_tile = shared + warp * 2 * Tile::ELEMENTS;
    float* value_tile = key_tile + Tile::ELEMENTS;
    float* sheets = shared + WARPS * 2 * Tile::ELEMENTS;
    float* weights = sheets + WARPS * SHEET;
    float* shrinks = weights + SHEET;
    float* totals = shrinks + ROWS;

    const int first_row = static_cast<int>(blockIdx.x) * ROWS, first_channel = warp * OWN;
    const int width = min(OWN, channels - first_channel);  // none if not positive
    const int owners = static_cast<int>(divide_up(channels, OWN));
    const int parts = static_cast<int>(gridDim.y), part = static_cast<int>(blockIdx.y);
    const int part_keys = static_cast<int>(divide_up(divide_up(pixels, KEYS), parts)) * KEYS;
    const int first_key = part * part_keys, end = min(pixels, first_key + part_keys);

    Left<float> queries[2][OWN / 8];
    float sums[2][OWN / 16][2][4] = {};
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int d = 0; d < OWN / 8; d++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int row = first_row + m * TILE_ROWS + group + i % 2 * 8, channel = d * 8 + column + i / 2 * 4;
                queries[m][d].value[i] = row < pixels && channel < width
                                             ? q[static_cast<int64_t>(row) * channels + first_channel + channel]
                                             : 0.0f;
            }

    const auto copy = [&](float* tile, const float* from, int key) {
        if (key < end && width > 0)
            Tile::copy<WARP>(tile, from + static_cast<int64_t>(key) * channels + first_channel, min(KEYS, end - key),
                             width, channels, lane);
        cp_async_commit();  // empty at the end, so that the waits below always mean the same copies
    };
    const int row = thread / LANES, pair = thread % LANES * 2;  // of this thread in the softmax
    SoftmaxState state;                                         // of that row; total: of this lane's keys

    copy(key_tile, k, first_key);
    copy(value_tile, v, first_key);
    for (int key = first_key; key < end; key += KEYS) {
        cp_async_wait<1>();
        __syncwarp();  // orders all lanes' copies of the keys before the reads
        if (width > 0) {
            const float* line = key_tile + (lane / 16 * 8 + lane % 8) * Tile::PITCH + lane / 8 % 2 * Tile::CHUNK;
            float scores[2][2][4] = {};
#pragma unroll
            for (int d = 0; d < OWN / 8; d++) {
                unsigned two[4], right[2][2];
                ldmatrix_x4(two, line + d * 8);
                load_two(right[0], right[1], two);
#pragma unroll
                for (int m = 0; m < 2; m++) multiply(scores[m], queries[m][d].inside_a_loop(), right);
            }
#pragma unroll
            for (int i = 0; i < 8; i++) {  // row tile i / 4, rows + 8 if i / 2 is odd, keys + 8 if i is odd
                float* to = sheets + warp * SHEET + (i / 4 * TILE_ROWS + group + i / 2 % 2 * 8) * SHEET_PITCH;
                const float* two = scores[i / 4][i % 2] + i / 2 % 2 * 2;
                *reinterpret_cast<float2*>(to + i % 2 * 8 + column * 2) = make_float2(two[0], two[1]);
            }
        }
        __syncthreads();  // orders the writes of all sheets before the reads of their sum
        copy(key_tile, k, key + KEYS);

        float2 score = make_float2(0, 0);
        for (int w = 0; w < owners; w++) {
            const float2 own = *reinterpret_cast<const float2*>(sheets + w * SHEET + row * SHEET_PITCH + pair);
            score.x += own.x;
            score.y += own.y;
        }
        score.x = key + pair < end ? score.x * scale : -INFINITY;
        score.y = key + pair + 1 < end ? score.y * scale : -INFINITY;
        float top = fmaxf(score.x, score.y);
#pragma unroll
        for (int distance = 1; distance < LANES; distance *= 2) top = fmaxf(top, __shfl_xor_sync(~0u, top, distance));
        const float shrink = state.raise(top);
        const float2 weight = make_float2(softmax_weight(score.x, state.top), softmax_weight(score.y, state.top));
        state.total += weight.x + weight.y;
        *reinterpret_cast<float2*>(weights + row * SHEET_PITCH + pair) = weight;
        if (pair == 0) shrinks[row] = shrink;
        cp_async_wait<1>();
        __syncthreads();  // orders the writes of the weights, and each warp's copies of its values, before the reads;
                          // and the reads of the sheets before the next tile's writes

        if (width > 0) {
#pragma unroll
            for (int m = 0; m < 2; m++) {
                const float shrink_up = shrinks[m * TILE_ROWS + group],
                            shrink_down = shrinks[m * TILE_ROWS + group + 8];
#pragma unroll
                for (int n = 0; n < OWN / 8; n++)
#pragma unroll
                    for (int i = 0; i < 4; i++) sums[m][n / 2][n % 2][i] *= i < 2 ? shrink_up : shrink_down;
            }
#pragma unroll 1  // both at once would not fit into the registers
            for (int d = 0; d < KEYS / 8; d++) {
                Left<float> left[2];
#pragma unroll
                for (int m = 0; m < 2; m++)
#pragma unroll
                    for (int i = 0; i < 2; i++) {  // columns c and c + 4 are keys 2c and 2c + 1, as in attention_tile.h
                        const float2 two = *reinterpret_cast<const float2*>(
                            weights + (m * TILE_ROWS + group + i * 8) * SHEET_PITCH + d * 8 + column * 2);
                        left[m].value[i] = two.x;
                        left[m].value[i + 2] = two.y;
                    }
                const float* line = value_tile + (d * 8 + column * 2) * Tile::PITCH + group;
#pragma unroll
                for (int n = 0; n < OWN / 16; n++) {
                    unsigned right[2][2];
#pragma unroll
                    for (int i = 0; i < 4; i++)
                        right[i / 2][i % 2] = __float_as_uint(line[i % 2 * Tile::PITCH + n * 16 + i / 2 * 8]);
#pragma unroll
                    for (int m = 0; m < 2; m++) multiply(sums[m][n], left[m], right);
                }
            }
        }
        __syncwarp();  // orders the reads of the values before the next ones' copies
        copy(value_tile, v, key + KEYS);
    }

#pragma unroll
    for (int distance = 1; distance < LANES; distance *= 2) state.total += __shfl_xor_sync(~0u, state.total, distance);
    if (pair == 0) {
        totals[row] = state.total;
        if (parts > 1 && first_row + row < pixels) part_states[part * pixels + first_row + row] = stored(state);
    }
    __syncthreads();  // orders the writes of the totals before all warps' reads

    float* to = parts > 1 ? part_sums + static_cast<int64_t>(part) * pixels * channels : out;
#pragma unroll
    for (int i = 0; i < 4; i++) {  // row tile i / 2, rows + 8 if i is odd
        const int line = i / 2 * TILE_ROWS + group + i % 2 * 8;
        if (first_row + line >= pixels) continue;
        const float divisor = parts > 1 ? 1.0f : totals[line];
#pragma unroll
        for (int n = 0; n < OWN / 8; n++) {
            const int channel = n * 8 + column * 2;
            if (channel >= width) continue;
            const float* two = sums[i / 2][n / 2][n % 2] + i % 2 * 2;
            *reinterpret_cast<float2*>(to + static_cast<int64_t>(first_row + line) * channels + first_channel +
                                       channel) = make_float2(two[0] / divisor, two[1] / divisor);
        }
    }
}

// One block per pixel, one channel per thread at a time.
__global__ void __launch_bounds__(THREADS) join_parts_kernel(float* out,  // [pixels, channels]
                                                             int parts, int pixels, int channels) {
    const int pixel = static_cast<int>(blockIdx.x);
    for (int channel = static_cast<int>(threadIdx.x); channel < channels; channel += THREADS)
        out[static_cast<int64_t>(pixel) * channels + channel] =
            join(
                parts, [&](int part) { return restored(part_states[part * pixels + pixel]); },
                [&](int part) { return part_sums[static_cast<int64_t>(part * pixels + pixel) * channels + channel]; })
                .result();
}

template <int CHANNELS>
__global__ void __launch_bounds__(ROW_THREADS, row_blocks_at_once(CHANNELS))
    spatial_attention_rows_kernel(float* out,      // [pixels, channels]
                                  const float* q,  // [pixels, channels]
                                  const float* k,  // [pixels, channels]
                                  const float* v,  // [pixels, channels]
                                  int pixels, int channels, float scale) {
    DYNAMIC_SHARED(float, shared);
    const int64_t at = static_cast<int64_t>(blockIdx.x) * channels;
    SoftmaxRow<CHANNELS> row(shared, q + at, channels, scale);
    for (int first = row.warp() * ROW_KEYS; first < pixels; first += ROW_WARPS * ROW_KEYS) {
        const int64_t start = static_cast<int64_t>(first) * channels;
        row.add_tile(k + start, v + start, min(ROW_KEYS, pixels - first));
    }
    row.finish(out + at);
}

}  // namespace

void spatial_attention(Tensor out, Tensor q, Tensor k, Tensor v) {
    const int pixels = static_cast<int>(q.rows()), channels = static_cast<int>(q.cols());
    const float scale = LOG2_E / sqrtf(static_cast<float>(channels));
    if (q.elements() == 0) return;
    if (channels > WARPS * OWN || !is_aligned(out) || !is_aligned(k) || !is_aligned(v))
        return with_row_channels(channels, [&](auto per_lane) {
            CUDA_CHECK(launch(spatial_attention_rows_kernel<decltype(per_lane)::value>, static_cast<unsigned>(pixels),
                              ROW_THREADS, row_shared_bytes(channels), out.f32(), q.f32(), k.f32(), v.f32(), pixels,
                              channels, scale));
        });
    const int parts = parts_of(pixels);
    const dim3 grid(static_cast<unsigned>(divide_up(pixels, ROWS)), static_cast<unsigned>(parts));
    CUDA_CHECK(launch(spatial_attention_kernel, grid, THREADS, SHARED_BYTES, out.f32(), q.f32(), k.f32(), v.f32(),
                      pixels, channels, scale));
    if (parts > 1)
        CUDA_CHECK(
            launch(join_parts_kernel, static_cast<unsigned>(pixels), THREADS, 0, out.f32(), parts, pixels, channels));
}

}  // namespace leon::LEON_CUDA
