// Convolutions of a VQGAN's training on the matrix unit (AMX): bf16 operands, float32 sums.
//
// Maps are read where they lie. Sixteen pixels of a row times 32 channels are a tile, loaded with the distance of
// two pixels as its stride, whichever tap it is for; there is no im2col. A block of 32 pixels times 32 channels of the
// result takes four of the eight tiles, so that each step of four products loads four tiles:
//
//        W tile 0   W tile 1          x tiles: [16 pixels][32 channels in]       W tiles: packed, 1 KB each
//   x 0   sum 00     sum 01           sums: [16 pixels][16 channels out] f32
//   x 1   sum 10     sum 11
//
// The gradient of the weights sums over pixels: dy is turned into [channel][pixel] and x into pairs of pixels, a strip
// of about a thousand pixels at a time, which stays in L2. Sums are loaded from the gradient and stored back into it,
// so that
// += costs nothing.
//
// Grids whose width is no multiple of 16 go the way of the other instruction sets. Compiled with AMX and AVX-512 (F,
// BW, VL, DQ, BF16); see training/cpu/amx.h for who may run it.
#include "training/cpu/vqgan_isa.h"

#if (defined(__AMX_BF16__) || defined(__AMXBF16__)) && defined(__AVX512BF16__)
#include <immintrin.h>

#include "training/cpu/amx.h"
#include "training/cpu/vqgan_isa_kernels.h"

namespace leon {
namespace {

typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint64_t Pairs __attribute__((vector_size(64)));

// --- convolution ------------------------------------------------------------------------------------------------

// The sums of PIXELS x CHANNELS tiles: pixels from x[i] on, channels from the tile `block` of the weights on.
template <int PIXELS, int CHANNELS>
[[gnu::always_inline]] inline void sum_taps(const ConvArguments& a, const ConvJob& job, const uint16_t* const* x,
                                            int64_t block, const float* bias) {
    const int64_t depth_blocks = a.depth / 32, blocks = (a.channels + 31) / 32 * 2, stride = job.in_col * a.depth * 2;
    if (bias) {
        _tile_loadd(0, bias, 0);
        if constexpr (PIXELS > 1) _tile_loadd(2, bias, 0);
        if constexpr (CHANNELS > 1) _tile_loadd(1, bias + 16, 0);
        if constexpr (PIXELS > 1 && CHANNELS > 1) _tile_loadd(3, bias + 16, 0);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int t = 0; t < job.taps; t++) {
        const uint16_t* x0 = x[0] + job.offset[t] * a.depth;
        const uint16_t* x1 = PIXELS > 1 ? x[1] + job.offset[t] * a.depth : x0;
        const uint16_t* w = a.weights + (job.matrix[t] * depth_blocks * blocks + block) * TILE_VALUES;
        for (int64_t k = 0; k < depth_blocks; k++) {
            _tile_loadd(4, x0 + k * 32, stride);
            _tile_loadd(6, w, 64);
            _tile_dpbf16ps(0, 4, 6);
            if constexpr (PIXELS > 1) {
                _tile_loadd(5, x1 + k * 32, stride);
                _tile_dpbf16ps(2, 5, 6);
            }
            if constexpr (CHANNELS > 1) {
                _tile_loadd(7, w + TILE_VALUES, 64);
                _tile_dpbf16ps(1, 4, 7);
                if constexpr (PIXELS > 1) _tile_dpbf16ps(3, 5, 7);
            }
            w += blocks * TILE_VALUES;
        }
    }
}

// Results as float32: whole tiles go straight to their place.
template <int PIXELS, int CHANNELS>
[[gnu::always_inline]] inline void store_plain(const ConvArguments& a, const ConvJob& job, const int64_t* out,
                                               int64_t block) {
    const int64_t step = job.out_col * a.channels * 4, first = block * 16;
    float* to[2] = {a.plain + out[0] * a.channels + first,
                    PIXELS > 1 ? a.plain + out[1] * a.channels + first : nullptr};
    if (first + CHANNELS * 16 <= a.channels) {
        _tile_stored(0, to[0], step);
        if constexpr (CHANNELS > 1) _tile_stored(1, to[0] + 16, step);
        if constexpr (PIXELS > 1) _tile_stored(2, to[1], step);
        if constexpr (PIXELS > 1 && CHANNELS > 1) _tile_stored(3, to[1] + 16, step);
        return;
    }
    alignas(64) float sums[2][2][16][16];
    _tile_stored(0, sums[0][0], 64);
    if constexpr (CHANNELS > 1) _tile_stored(1, sums[0][1], 64);
    if constexpr (PIXELS > 1) _tile_stored(2, sums[1][0], 64);
    if constexpr (PIXELS > 1 && CHANNELS > 1) _tile_stored(3, sums[1][1], 64);
    for (int c = 0; c < CHANNELS; c++) {
        const int64_t count = smaller(16, a.channels - first - c * 16);
        const __mmask16 mask = static_cast<__mmask16>((1u << count) - 1);
        for (int p = 0; p < PIXELS; p++)
            for (int64_t i = 0; i < 16; i++)
                _mm512_mask_storeu_ps(to[p] + i * job.out_col * a.channels + c * 16, mask,
                                      _mm512_load_ps(sums[p][c][i]));
    }
}

[[gnu::always_inline]] inline __m512 widen_half(const uint16_t* from) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return (__m512)((Words)_mm512_maskz_cvtepu16_epi32(0xffff, halves) << 16);
}

// Results as bf16, two tiles of channels at a time: a pixel's 32 channels are a line of the cache.
template <int PIXELS>
[[gnu::always_inline]] inline void store_framed(const ConvArguments& a, const ConvJob& job, const int64_t* out,
                                                int64_t block) {
    alignas(64) float sums[2][2][16][16];
    _tile_stored(0, sums[0][0], 64);
    _tile_stored(1, sums[0][1], 64);
    if constexpr (PIXELS > 1) {
        _tile_stored(2, sums[1][0], 64);
        _tile_stored(3, sums[1][1], 64);
    }
    for (int p = 0; p < PIXELS; p++)
#pragma GCC unroll 4
        for (int64_t i = 0; i < 16; i++) {
            const int64_t at = (out[p] + i * job.out_col) * a.channels + block * 16;
            __m512 low = _mm512_load_ps(sums[p][0][i]), high = _mm512_load_ps(sums[p][1][i]);
            if (a.residual) low += widen_half(a.residual + at), high += widen_half(a.residual + at + 16);
            _mm512_storeu_si512(a.framed + at, (__m512i)_mm512_cvtne2ps_pbh(high, low));
        }
}

// PIXELS is 2 but at an odd end, CHANNELS 2 but for the last 16.
template <int PIXELS, int CHANNELS>
void conv_block(const ConvArguments& a, const ConvJob& job, int64_t tile, int64_t block, const float* bias) {
    const int64_t tiles_a_row = job.cols / 16;
    const uint16_t* x[PIXELS];
    int64_t out[PIXELS];
    for (int p = 0; p < PIXELS; p++) {
        const int64_t y = (tile + p) / tiles_a_row, first = (tile + p) % tiles_a_row * 16;
        x[p] = a.x + (job.in_first + y * job.in_row + first * job.in_col) * a.depth;
        out[p] = job.out_first + y * job.out_row + first * job.out_col;
    }
    sum_taps<PIXELS, CHANNELS>(a, job, x, block, bias ? bias + block * 16 : nullptr);
    if (a.plain)
        store_plain<PIXELS, CHANNELS>(a, job, out, block);
    else if constexpr (CHANNELS == 2)
        store_framed<PIXELS>(a, job, out, block);
}

constexpr int64_t BAND_TILES = 64;  // of 16 pixels: 128 KB of the map at 64 channels, read for every block

void tile_conv(const ConvArguments& a) {
    if (a.job[0].cols % AMX_ROWS != 0) return conv(a);
    const Tiles tiles_are_mine;
    const int64_t blocks = (a.channels + 15) / 16;
    float* bias = nullptr;
    if (a.bias) {
        bias = scratch_floats(blocks * 16 + 16);
        for (int64_t c = 0; c < blocks * 16 + 16; c++) bias[c] = c < a.biases ? a.bias[c] : 0.0f;
    }
    for (int j = 0; j < a.jobs; j++) {
        const ConvJob& job = a.job[j];
        const int64_t tiles = job.rows * job.cols / 16;
        for (int64_t band = 0; band < tiles; band += BAND_TILES) {
            const int64_t end = smaller(tiles, band + BAND_TILES);
            for (int64_t block = 0; block < blocks; block += 2)
                for (int64_t tile = band; tile < end; tile += 2) {
                    const bool two = tile + 1 < end;
                    if (block + 1 < blocks)
                        two ? conv_block<2, 2>(a, job, tile, block, bias) : conv_block<1, 2>(a, job, tile, block, bias);
                    else
                        two ? conv_block<2, 1>(a, job, tile, block, bias) : conv_block<1, 1>(a, job, tile, block, bias);
                }
        }
    }
}

// --- gradient of the weights ------------------------------------------------------------------------------------

Words low_words(Words a, Words b) {
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
}
Words high_words(Words a, Words b) {
    return __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
}
Words low_pairs(Words a, Words b) {
    return (Words)__builtin_shufflevector((Pairs)a, (Pairs)b, 0, 8, 2, 10, 4, 12, 6, 14);
}
Words high_pairs(Words a, Words b) {
    return (Words)__builtin_shufflevector((Pairs)a, (Pairs)b, 1, 9, 3, 11, 5, 13, 7, 15);
}
Words even_quarters(Words a, Words b) {
    return (Words)__builtin_shufflevector((Pairs)a, (Pairs)b, 0, 1, 4, 5, 8, 9, 12, 13);
}
Words odd_quarters(Words a, Words b) {
    return (Words)__builtin_shufflevector((Pairs)a, (Pairs)b, 2, 3, 6, 7, 10, 11, 14, 15);
}

// Sixteen rows of sixteen words become their columns.
[[gnu::always_inline]] inline void transpose(Words (&r)[16]) {
    Words t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        t[2 * i] = low_words(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = high_words(r[2 * i], r[2 * i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        r[4 * i] = low_pairs(t[4 * i], t[4 * i + 2]);
        r[4 * i + 1] = high_pairs(t[4 * i], t[4 * i + 2]);
        r[4 * i + 2] = low_pairs(t[4 * i + 1], t[4 * i + 3]);
        r[4 * i + 3] = high_pairs(t[4 * i + 1], t[4 * i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[i] = even_quarters(r[i], r[4 + i]);
        t[4 + i] = odd_quarters(r[i], r[4 + i]);
        t[8 + i] = even_quarters(r[8 + i], r[12 + i]);
        t[12 + i] = odd_quarters(r[8 + i], r[12 + i]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        r[i] = even_quarters(t[i], t[8 + i]);
        r[4 + i] = even_quarters(t[4 + i], t[12 + i]);
        r[8 + i] = odd_quarters(t[i], t[8 + i]);
        r[12 + i] = odd_quarters(t[4 + i], t[12 + i]);
    }
}

// out[channel][pixel] of the strip, `pitch` pixels a channel.
void turn_strip(uint16_t* out, int64_t pitch, const ConvWeightArguments& a, const WeightJob& job, int64_t y0,
                int64_t rows) {
    const int64_t depth = a.dy_depth;
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < job.cols; x += 16) {
            const uint16_t* from = a.dy + (job.dy_first + (y0 + y) * job.dy_row + x * job.dy_col) * depth;
            uint16_t* to = out + y * job.cols + x;
            for (int64_t c = 0; c < depth; c += 32) {
                Words r[16];
#pragma GCC unroll 16
                for (int i = 0; i < 16; i++) r[i] = (Words)_mm512_loadu_si512(from + i * job.dy_col * depth + c);
                transpose(r);  // r[i]: channels c + 2i (low half of each word) and c + 2i + 1 of 16 pixels
#pragma GCC unroll 16
                for (int i = 0; i < 16; i++) {
                    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + (c + 2 * i) * pitch),
                                        _mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)r[i]));
                    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + (c + 2 * i + 1) * pitch),
                                        _mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)(r[i] >> 16)));
                }
            }
        }
}

// out[pair of pixels][channel][2] of `rows` lines of the map that are `line` pixels apart.
void pair_up(uint16_t* out, const uint16_t* from, int64_t rows, int64_t line, int64_t cols, int64_t step,
             int64_t depth) {
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37,
                                         5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < cols; x += 2) {
            const uint16_t* pixel = from + (y * line + x * step) * depth;
            for (int64_t c = 0; c < depth; c += 32) {
                const __m512i a = _mm512_loadu_si512(pixel + c), b = _mm512_loadu_si512(pixel + step * depth + c);
                _mm512_storeu_si512(out, _mm512_permutex2var_epi16(a, low, b));
                _mm512_storeu_si512(out + 32, _mm512_permutex2var_epi16(a, high, b));
                out += 64;
            }
        }
}

// A tile of the gradient: where it is loaded from and stored to. One that hangs over the edge goes through a copy.
struct WeightTile {
    float* at;
    int64_t pitch;    // floats from row to row of the gradient
    int64_t out, in;  // rows and columns that exist
    alignas(64) float copy[16][16];

    bool whole() const { return out == 16 && in == 16; }
    __mmask16 mask() const { return static_cast<__mmask16>((1u << in) - 1); }
    float* place() { return whole() ? at : copy[0]; }
    int64_t stride() const { return whole() ? pitch * 4 : 64; }
    void fetch() {
        if (whole()) return;
        for (int64_t i = 0; i < 16; i++)
            _mm512_store_ps(copy[i], i < out ? _mm512_maskz_loadu_ps(mask(), at + i * pitch) : _mm512_setzero_ps());
    }
    void put_back() {
        if (whole()) return;
        for (int64_t i = 0; i < out; i++) _mm512_mask_storeu_ps(at + i * pitch, mask(), _mm512_load_ps(copy[i]));
    }
};

// dweight[16 OUT channels][16 IN channels] of one tap += turned dy * pairs of x, over `pixels`, a multiple of 32.
template <int OUT, int IN>
[[gnu::always_inline]] inline void sum_tiles(WeightTile (&tile)[2][2], const uint16_t* dy, int64_t dy_pitch,
                                             const uint16_t* x, int64_t x_depth, int64_t pixels) {
    for (int i = 0; i < OUT; i++)
        for (int j = 0; j < IN; j++) tile[i][j].fetch();
    _tile_loadd(0, tile[0][0].place(), tile[0][0].stride());
    if constexpr (IN > 1) _tile_loadd(1, tile[0][1].place(), tile[0][1].stride());
    if constexpr (OUT > 1) _tile_loadd(2, tile[1][0].place(), tile[1][0].stride());
    if constexpr (OUT > 1 && IN > 1) _tile_loadd(3, tile[1][1].place(), tile[1][1].stride());
    for (int64_t p = 0; p < pixels; p += 32) {
        _tile_loadd(4, dy + p, dy_pitch * 2);
        _tile_loadd(6, x + p * x_depth, x_depth * 4);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (OUT > 1) {
            _tile_loadd(5, dy + 16 * dy_pitch + p, dy_pitch * 2);
            _tile_dpbf16ps(2, 5, 6);
        }
        if constexpr (IN > 1) {
            _tile_loadd(7, x + p * x_depth + 32, x_depth * 4);
            _tile_dpbf16ps(1, 4, 7);
            if constexpr (OUT > 1) _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, tile[0][0].place(), tile[0][0].stride());
    if constexpr (IN > 1) _tile_stored(1, tile[0][1].place(), tile[0][1].stride());
    if constexpr (OUT > 1) _tile_stored(2, tile[1][0].place(), tile[1][0].stride());
    if constexpr (OUT > 1 && IN > 1) _tile_stored(3, tile[1][1].place(), tile[1][1].stride());
    for (int i = 0; i < OUT; i++)
        for (int j = 0; j < IN; j++) tile[i][j].put_back();
}

// The same for any count of channels, from (o, c) on: the tiles that exist.
void sum_block(const ConvWeightArguments& a, int matrix, int64_t o, int64_t c, const uint16_t* dy, int64_t dy_pitch,
               const uint16_t* x, int64_t pixels) {
    const int64_t pitch = a.matrices * a.in;
    WeightTile tile[2][2];
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            tile[i][j].at = a.dweight + (o + 16 * i) * pitch + matrix * a.in + c + 16 * j;
            tile[i][j].pitch = pitch;
            tile[i][j].out = larger(0, smaller(16, a.out - o - 16 * i));
            tile[i][j].in = larger(0, smaller(16, a.in - c - 16 * j));
        }
    const bool two_out = tile[1][0].out > 0, two_in = tile[0][1].in > 0;
    if (two_out && two_in)
        sum_tiles<2, 2>(tile, dy, dy_pitch, x, a.x_depth, pixels);
    else if (two_out)
        sum_tiles<2, 1>(tile, dy, dy_pitch, x, a.x_depth, pixels);
    else if (two_in)
        sum_tiles<1, 2>(tile, dy, dy_pitch, x, a.x_depth, pixels);
    else
        sum_tiles<1, 1>(tile, dy, dy_pitch, x, a.x_depth, pixels);
}

constexpr int64_t STRIP_PIXELS = 1024;  // turned dy and three shifts of x, 64 channels: 620 KB, in L2

struct ShiftedPairs {
    int64_t offset;
    const uint16_t* pairs;
};

void conv_weight_job(const ConvWeightArguments& a, const WeightJob& job) {
    const int64_t strip = larger(1, smaller(job.rows, STRIP_PIXELS / job.cols));
    const int64_t pitch = (strip * job.cols + 31) / 32 * 32 + 32;  // + 32: channels on different sets of the cache
    int64_t span = 0;
    for (int t = 0; t < job.taps; t++) span = larger(span, job.row[t]);
    const int64_t lines = strip + span;
    // One past the end: a strip of an odd number of half tiles is filled up with pairs that meet zeros of dy.
    const int64_t shift_values = (lines * job.cols + 32) * a.x_depth;

    ShiftedPairs shift[MOST_TAPS];
    int shifts = 0, shift_of[MOST_TAPS];
    for (int t = 0; t < job.taps; t++) {
        int s = 0;
        while (s < shifts && shift[s].offset != job.offset[t]) s++;
        if (s == shifts) shift[shifts++] = {job.offset[t], nullptr};
        shift_of[t] = s;
    }
    uint16_t* dy = static_cast<uint16_t*>(scratch((pitch * a.dy_depth + shifts * shift_values) * sizeof(uint16_t)));
    uint16_t* x = dy + pitch * a.dy_depth;
    for (int s = 0; s < shifts; s++) shift[s].pairs = x + s * shift_values;
    for (int64_t i = 0; i < shifts * shift_values; i++) x[i] = 0;

    for (int64_t y = 0; y < job.rows; y += strip) {
        const int64_t rows = smaller(strip, job.rows - y), pixels = (rows * job.cols + 31) / 32 * 32;
        turn_strip(dy, pitch, a, job, y, rows);
        for (int64_t c = 0; c < a.dy_depth; c++)
            for (int64_t p = rows * job.cols; p < pixels; p++) dy[c * pitch + p] = 0;
        for (int s = 0; s < shifts; s++) {
            const int64_t first = job.x_first + y * job.x_row + shift[s].offset;
            pair_up(x + s * shift_values, a.x + first * a.x_depth, rows + span, job.x_row, job.cols, job.x_col,
                    a.x_depth);
        }
        for (int t = 0; t < job.taps; t++) {
            const uint16_t* pairs = shift[shift_of[t]].pairs + job.row[t] * job.cols * a.x_depth;
            for (int64_t o = 0; o < a.out; o += 32)
                for (int64_t c = 0; c < a.in; c += 32)
                    sum_block(a, job.matrix[t], o, c, dy + o * pitch, pitch, pairs + c * 2, pixels);
        }
    }
}

void tile_conv_weight(const ConvWeightArguments& a) {
    if (a.job[0].cols % AMX_ROWS != 0) return conv_weight(a);
    const Tiles tiles_are_mine;
    for (int j = 0; j < a.jobs; j++) conv_weight_job(a, a.job[j]);
}

constexpr VqganIsa with_tiles() {
    VqganIsa table = vqgan_isa<16>("cpu-amx");
    table.conv = tile_conv;
    table.conv_weight = tile_conv_weight;
    return table;
}
constexpr VqganIsa TABLE = with_tiles();

}  // namespace

const VqganIsa* amx_vqgan() {
    return &TABLE;
}

}  // namespace leon

#else

namespace leon {

const VqganIsa* amx_vqgan() {
    return nullptr;
}

}  // namespace leon

#endif
