// The gradient of a VQGAN's attention: the probabilities once more, then five small products in float32.
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/cpu/threads.h"

namespace leon {
namespace {

struct Strided {
    const float* at;
    int64_t row, col;
};

// out[i, n] = factor * sum_k a(i, k) b[k, n], ROWS rows of LANES columns at once.
template <int LANES, int ROWS>
[[gnu::always_inline]] inline void multiply_rows(float* out, const Strided& a, const float* b, int64_t i, int64_t cols,
                                                 int64_t depth, float factor) {
    for (int64_t n = 0; n < cols; n += 2 * LANES) {
        const int64_t first = smaller(LANES, cols - n), second = larger(0, smaller(LANES, cols - n - LANES));
        const bool whole = first + second == 2 * LANES;
        Vec<LANES> sum[ROWS][2];
        for (int r = 0; r < ROWS; r++) sum[r][0] = zeros<LANES>(), sum[r][1] = zeros<LANES>();
        for (int64_t k = 0; k < depth; k++) {
            const float* row = b + k * cols + n;
            const Vec<LANES> left = whole ? load<LANES>(row) : load_some<LANES>(row, first);
            const Vec<LANES> right = whole ? load<LANES>(row + LANES) : load_some<LANES>(row + first, second);
#pragma GCC unroll 8
            for (int r = 0; r < ROWS; r++) {
                const Vec<LANES> value = broadcast<LANES>(a.at[(i + r) * a.row + k * a.col]);
                sum[r][0] = fma(value, left, sum[r][0]), sum[r][1] = fma(value, right, sum[r][1]);
            }
        }
        for (int r = 0; r < ROWS; r++) {
            float* to = out + (i + r) * cols + n;
            store_some(to, sum[r][0] * broadcast<LANES>(factor), first);
            store_some(to + first, sum[r][1] * broadcast<LANES>(factor), second);
        }
    }
}
template <int LANES>
void multiply(float* out, const Strided& a, const float* b, int64_t rows, int64_t cols, int64_t depth, float factor) {
    int64_t i = 0;
    for (; i + 6 <= rows; i += 6) multiply_rows<LANES, 6>(out, a, b, i, cols, depth, factor);
    for (; i < rows; i++) multiply_rows<LANES, 1>(out, a, b, i, cols, depth, factor);
}

// out [cols, rows] = x [rows, cols] with its sides exchanged.
inline void turn(float* out, const float* x, int64_t rows, int64_t cols) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) out[c * rows + r] = x[r * cols + c];
}

template <int LANES>
void d_spatial_attention(float* dq, float* dk, float* dv, const float* dout, const float* q, const float* k,
                         const float* v, int64_t pixels, int64_t channels) {
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(channels));
    float* p = scratch_floats(2 * pixels * pixels + pixels * channels);  // probabilities
    float *ds = p + pixels * pixels, *turned = ds + pixels * pixels;
    turn(turned, k, pixels, channels);
    multiply<LANES>(p, {q, channels, 1}, turned, pixels, pixels, channels, scale);
    turn(turned, v, pixels, channels);
    multiply<LANES>(ds, {dout, channels, 1}, turned, pixels, pixels, channels, 1.0f);
    for (int64_t i = 0; i < pixels; i++) {
        float *row = p + i * pixels, *drow = ds + i * pixels, top = row[0];
        for (int64_t j = 1; j < pixels; j++) top = row[j] > top ? row[j] : top;
        int64_t j = 0;
        for (; j + LANES <= pixels; j += LANES) store(row + j, exp(load<LANES>(row + j) - broadcast<LANES>(top)));
        if (j < pixels)
            store_some(row + j, exp(load_some<LANES>(row + j, pixels - j) - broadcast<LANES>(top)), pixels - j);
        double total = 0, product = 0;
        for (int64_t n = 0; n < pixels; n++) total += row[n];
        const float share = static_cast<float>(1.0 / total);
        for (int64_t n = 0; n < pixels; n++) row[n] *= share, product += static_cast<double>(row[n]) * drow[n];
        const float mean = static_cast<float>(product);
        for (int64_t n = 0; n < pixels; n++) drow[n] = row[n] * (drow[n] - mean);
    }
    multiply<LANES>(dv, {p, 1, pixels}, dout, pixels, channels, pixels, 1.0f);
    multiply<LANES>(dq, {ds, pixels, 1}, k, pixels, channels, pixels, scale);
    multiply<LANES>(dk, {ds, 1, pixels}, q, pixels, channels, pixels, scale);
}

}  // namespace
}  // namespace leon
