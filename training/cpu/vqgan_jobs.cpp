// Grids of taps for every convolution; the formulas stand in vqgan_jobs.h.
#include "training/cpu/vqgan_jobs.h"

namespace leon {
namespace {

void add_tap(ConvJob& job, int64_t offset, int matrix) {
    job.offset[job.taps] = offset;
    job.matrix[job.taps++] = matrix;
}
void add_tap(WeightJob& job, int64_t row, int64_t offset, int matrix) {
    job.row[job.taps] = row;
    job.offset[job.taps] = offset;
    job.matrix[job.taps++] = matrix;
}

}  // namespace

ConvJobs forward_jobs(const Convolution& shape, int64_t height, int64_t width) {
    const int64_t line = width + 2, kernel = shape.kernel, stride = shape.stride;
    ConvJobs all;
    if (shape.upsample == 2) {
        for (int p = 0; p < 2; p++)
            for (int q = 0; q < 2; q++) {
                ConvJob& job = all.job[all.jobs++];
                job = {.rows = height,
                       .cols = width,
                       .out_first = p * 2 * width + q,
                       .out_row = 4 * width,
                       .out_col = 2,
                       .in_first = p * line + q,
                       .in_row = line,
                       .in_col = 1,
                       .taps = 0,
                       .offset = {},
                       .matrix = {}};
                for (int a = 0; a < 2; a++)
                    for (int b = 0; b < 2; b++) add_tap(job, a * line + b, double_matrix(p, q, a, b));
            }
        return all;
    }
    const int64_t start = kernel == 1 || stride == 2 ? line + 1 : 0;  // operand pixel of result (0, 0), tap (0, 0)
    ConvJob& job = all.job[all.jobs++];
    job = {.rows = height / stride,
           .cols = width / stride,
           .out_first = 0,
           .out_row = width / stride,
           .out_col = 1,
           .in_first = start,
           .in_row = stride * line,
           .in_col = stride,
           .taps = 0,
           .offset = {},
           .matrix = {}};
    for (int i = 0; i < kernel; i++)
        for (int j = 0; j < kernel; j++) add_tap(job, i * line + j, static_cast<int>(i * kernel + j));
    return all;
}

ConvJobs backward_jobs(const Convolution& shape, int64_t height, int64_t width) {
    const int kernel = shape.kernel;
    ConvJobs all;
    if (shape.upsample == 2) {
        const int64_t line = 2 * width + 2;
        ConvJob& job = all.job[all.jobs++];
        job = {.rows = height,
               .cols = width,
               .out_first = 0,
               .out_row = width,
               .out_col = 1,
               .in_first = 0,
               .in_row = 2 * line,
               .in_col = 2,
               .taps = 0,
               .offset = {},
               .matrix = {}};
        for (int p = 0; p < 2; p++)
            for (int q = 0; q < 2; q++)
                for (int a = 0; a < 2; a++)
                    for (int b = 0; b < 2; b++)
                        add_tap(job, (3 - p - 2 * a) * line + 3 - q - 2 * b, double_matrix(p, q, a, b));
        return all;
    }
    if (shape.stride == 2) {
        const int64_t line = width / 2 + 2;
        for (int p = 0; p < 2; p++)
            for (int q = 0; q < 2; q++) {
                ConvJob& job = all.job[all.jobs++];
                job = {.rows = height / 2,
                       .cols = width / 2,
                       .out_first = p * width + q,
                       .out_row = 2 * width,
                       .out_col = 2,
                       .in_first = line + 1,
                       .in_row = line,
                       .in_col = 1,
                       .taps = 0,
                       .offset = {},
                       .matrix = {}};
                for (int i = p; i < 3; i += 2)
                    for (int j = q; j < 3; j += 2) add_tap(job, -(i / 2) * line - j / 2, i * 3 + j);
            }
        return all;
    }
    const int64_t line = width + 2;
    ConvJob& job = all.job[all.jobs++];
    job = {.rows = height,
           .cols = width,
           .out_first = 0,
           .out_row = width,
           .out_col = 1,
           .in_first = kernel == 1 ? line + 1 : 2 * line + 2,
           .in_row = line,
           .in_col = 1,
           .taps = 0,
           .offset = {},
           .matrix = {}};
    for (int i = 0; i < kernel; i++)
        for (int j = 0; j < kernel; j++) add_tap(job, -i * line - j, i * kernel + j);
    return all;
}

WeightJobs weight_jobs(const Convolution& shape, int64_t height, int64_t width) {
    const int64_t line = width + 2;
    const int kernel = shape.kernel;
    WeightJobs all;
    if (shape.upsample == 2) {
        const int64_t out_line = 2 * width + 2;
        for (int p = 0; p < 2; p++)
            for (int q = 0; q < 2; q++) {
                WeightJob& job = all.job[all.jobs++];
                job = {.rows = height,
                       .cols = width,
                       .dy_first = (p + 1) * out_line + q + 1,
                       .dy_row = 2 * out_line,
                       .dy_col = 2,
                       .x_first = p * line + q,
                       .x_row = line,
                       .x_col = 1,
                       .taps = 0,
                       .row = {},
                       .offset = {},
                       .matrix = {}};
                for (int a = 0; a < 2; a++)
                    for (int b = 0; b < 2; b++) add_tap(job, a, b, double_matrix(p, q, a, b));
            }
        return all;
    }
    const int64_t out_line = width / shape.stride + 2;
    WeightJob& job = all.job[all.jobs++];
    job = {.rows = height / shape.stride,
           .cols = width / shape.stride,
           .dy_first = out_line + 1,
           .dy_row = out_line,
           .dy_col = 1,
           .x_first = kernel == 1 || shape.stride == 2 ? line + 1 : 0,
           .x_row = shape.stride * line,
           .x_col = shape.stride,
           .taps = 0,
           .row = {},
           .offset = {},
           .matrix = {}};
    for (int i = 0; i < kernel; i++)
        for (int j = 0; j < kernel; j++) {
            if (shape.stride == 1)
                add_tap(job, i, j, i * kernel + j);
            else
                add_tap(job, 0, i * line + j, i * kernel + j);
        }
    return all;
}

}  // namespace leon
