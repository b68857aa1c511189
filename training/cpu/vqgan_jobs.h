// The four convolutions of a VQGAN as grids of taps (training/cpu/vqgan_isa.h), each in its three directions.
//
// Maps have a frame of one pixel, so pixel (y, x) stands at (y + 1) * (width + 2) + x + 1.
//
//   SAME, POINTWISE   result (y, x) sees (y + i, x + j); backwards (y + 2 - i, x + 2 - j)
//   HALVE             result (y, x) sees (2y + i + 1, 2x + j + 1); backwards each parity of rows has its taps:
//                     even rows i = 0 and 2, odd ones i = 1, and columns likewise
//   DOUBLE            the rows 2y + p of the result see two rows of the input, a = 0, 1, at y + p + a - 1, with weights
//                     that are sums over the i with floor((p + i - 1) / 2) = p + a - 1; columns likewise. Sixteen
//                     matrices (p, q, a, b) instead of four times nine: 4/9 of the work.
#pragma once

#include "kernels/operands.h"
#include "training/cpu/vqgan_isa.h"

namespace leon {

struct ConvJobs {
    ConvJob job[MOST_JOBS] = {};
    int jobs = 0;
};
struct WeightJobs {
    WeightJob job[MOST_JOBS] = {};
    int jobs = 0;
};

// The matrix (p, q, a, b) of DOUBLE, and which of its two rows a = 0, 1 weight row i belongs to in parity p.
constexpr int double_matrix(int p, int q, int a, int b) {
    return ((p * 2 + q) * 2 + a) * 2 + b;
}
constexpr int double_row(int p, int i) {
    return (p + i + 1) / 2 - p;
}

// height and width are the input's, which is the result of backward jobs.
enum class ResultKind { Plain, Framed };
ConvJobs forward_jobs(const Convolution& shape, int64_t height, int64_t width, ResultKind kind);
ConvJobs backward_jobs(const Convolution& shape, int64_t height, int64_t width, ResultKind kind);
WeightJobs weight_jobs(const Convolution& shape, int64_t height, int64_t width);

}  // namespace leon
