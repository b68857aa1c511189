// codes[i] = argmin_n |z[i] - e[n]|^2, exactly, at the speed of a matrix product.
//
// |e|^2 / 2 - z . e orders the entries like the distance does, up to rounding. A blocked product in float gives it for
// every entry; those within the worst possible rounding error of the smallest are then compared by their true distance
// in double precision, in rising index, so that ties go to the first. Bound by arithmetic: 2 pixels codes width.
// 2026-11-23, one core of an AMD EPYC (Zen 5), 1024 pixels in 8192 codes of 256: 176 GFLOP/s (AVX-512: 71% of the roof)
// and 88 (AVX2: 73%). docs/kernels.md
#pragma once

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/threads.h"

namespace leon {
namespace {

constexpr int64_t CODE_ROWS = 24;  // scores [24, 8192]: 768 KB, one pass over the packed codebook per task
constexpr int64_t NORM_ROWS = 512;

inline double squared_distance(const float* a, const float* b, int64_t width) {
    double distance = 0;
    for (int64_t i = 0; i < width; i++) {
        const double d = static_cast<double>(a[i]) - b[i];
        distance += d * d;
    }
    return distance;
}

// `scores` [entries] hold z . e; half_norms |e|^2 / 2; longest is the largest |e|.
template <int LANES>
inline int32_t best_code(float* scores, const float* half_norms, const float* z, const float* codebook, int64_t entries,
                         int64_t width, double longest) {
    double z_norm = 0;
    for (int64_t i = 0; i < width; i++) z_norm += static_cast<double>(z[i]) * z[i];
    // Each score errs by at most width + 2 roundings of terms that add up to |z||e| + |e|^2 / 2; two scores, twice
    // that.
    const double size = __builtin_sqrt(z_norm) * longest + 0.5 * longest * longest;
    const float margin = static_cast<float>(2 * (static_cast<double>(width) + 2) * 0x1p-23 * size);

    const int64_t whole = entries - entries % LANES;
    Vec<LANES> lowest = broadcast<LANES>(__builtin_inff());
    for (int64_t n = 0; n < whole; n += LANES) {
        const Vec<LANES> score = load<LANES>(half_norms + n) - load<LANES>(scores + n);
        store(scores + n, score);
        lowest = min(score, lowest);
    }
    float best = -largest(zeros<LANES>() - lowest);
    for (int64_t n = whole; n < entries; n++) {
        scores[n] = half_norms[n] - scores[n];
        best = scores[n] < best ? scores[n] : best;
    }

    const float limit = best + margin;
    double nearest = static_cast<double>(__builtin_inff());
    int32_t code = 0;
    auto compare = [&](int64_t n) {
        if (!(scores[n] <= limit)) return;
        const double distance = squared_distance(z, codebook + n * width, width);
        if (distance < nearest) nearest = distance, code = static_cast<int32_t>(n);
    };
    for (int64_t n = 0; n < whole; n += LANES) {  // few vectors hold a candidate
        if (largest(zeros<LANES>() - load<LANES>(scores + n)) < -limit) continue;
        for (int64_t i = n; i < n + LANES; i++) compare(i);
    }
    for (int64_t n = whole; n < entries; n++) compare(n);
    return code;
}

template <int LANES>
void nearest_code(int32_t* codes, const float* z, const float* codebook, int64_t pixels, int64_t entries,
                  int64_t width) {
    const int workers = cpu_workers();
    const int64_t columns = round_up(entries, PANEL<LANES>),
                  rows = task_size(pixels, CODE_ROWS, TILE<LANES>, 1, workers);
    const int64_t norms_floats = round_up(entries, 16), worker_floats = CODE_ROWS * (BLOCK_K + columns);
    float* packed = scratch_floats(columns * width + norms_floats + workers * worker_floats);
    float *half_norms = packed + columns * width, *memory = half_norms + norms_floats;

    parallel(ceil_div(width, BLOCK_K), [=](int64_t block, int) {
        const int64_t k = block * BLOCK_K;
        pack_weights<LANES>(packed + k * columns, codebook + k, width, entries, smaller(BLOCK_K, width - k));
    });
    parallel(ceil_div(entries, NORM_ROWS), [=](int64_t task, int) {
        for (int64_t n = task * NORM_ROWS; n < smaller(entries, (task + 1) * NORM_ROWS); n++) {
            double norm = 0;
            for (int64_t i = 0; i < width; i++)
                norm += static_cast<double>(codebook[n * width + i]) * codebook[n * width + i];
            half_norms[n] = static_cast<float>(0.5 * norm);
        }
    });
    float largest_half = 0.0f;
    for (int64_t n = 0; n < entries; n++) largest_half = half_norms[n] > largest_half ? half_norms[n] : largest_half;
    const double longest = __builtin_sqrt(2.0 * static_cast<double>(largest_half)) * (1.0 + 0x1p-20);

    parallel(ceil_div(pixels, rows), [=](int64_t task, int worker) {
        float *a = memory + worker * worker_floats, *scores = a + CODE_ROWS * BLOCK_K;
        const int64_t first = task * rows, count = smaller(rows, pixels - first);
        for (int64_t k = 0; k < width; k += BLOCK_K) {
            const int64_t depth = smaller(BLOCK_K, width - k);
            copy_rows<LANES>(a, z + first * width + k, width, count, depth);
            gemm_block<LANES>(scores, columns, a, BLOCK_K, packed + k * columns, count, entries, depth,
                              k == 0 ? Start::Fresh : Start::Continue);
        }
        for (int64_t r = 0; r < count; r++)
            codes[first + r] = best_code<LANES>(scores + r * columns, half_norms, z + (first + r) * width, codebook,
                                                entries, width, longest);
    });
}

}  // namespace
}  // namespace leon
