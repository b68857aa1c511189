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

// The lines of a result: where its pixels stand.
struct Lines {
    int64_t line, first;

    Lines(int64_t width, ResultKind kind)
        : line(kind == ResultKind::Framed ? width + 2 : width), first(kind == ResultKind::Framed ? line + 1 : 0) {}
    int64_t place(int64_t y, int64_t x) const { return first + y * line + x; }
};

}  // namespace

ConvJobs forward_jobs(const Convolution& shape, int64_t height, int64_t width, ResultKind kind) {
    const int64_t line = width + 2, kernel = shape.kernel, stride = shape.stride;
    const Lines out(width * shape.upsample / stride, kind);
    ConvJobs all;
    if (shape.upsample == 2) {
        for (int p = 0; p < 2; p++)
            for (int q = 0; q < 2; q++) {
                ConvJob& job = all.job[all.jobs++];
                job.rows = height, job.cols = width;
                job.out_first = out.place(p, q), job.out_row = 2 * out.line, job.out_col = 2;
                job.in_first = p * line + q, job.in_row = line, job.in_col = 1;
                for (int a = 0; a < 2; a++)
                    for (int b = 0; b < 2; b++) add_tap(job, a * line + b, double_matrix(p, q, a, b));
            }
        return all;
    }
    ConvJob& job = all.job[all.jobs++];
    job.rows = height / stride, job.cols = width / stride;
    job.out_first = out.place(0, 0), job.out_row = out.line, job.out_col = 1;
    job.in_first = kernel == 1 || stride == 2 ? line + 1 : 0;  // of result (0, 0), tap (0, 0)
    job.in_row = stride * line, job.in_col = stride;
    for (int i = 0; i < kernel; i++)
        for (int j = 0; j < kernel; j++) add_tap(job, i * line + j, static_cast<int>(i * kernel + j));
    return all;
}

ConvJobs backward_jobs(const Convolution& shape, int64_t height, int64_t width, ResultKind kind) {
    const int kernel = shape.kernel;
    const Lines out(width, kind);
    ConvJobs all;
    if (shape.stride == 2) {
        const int64_t line = width / 2 + 2;
        for (int p = 0; p < 2; p++)
            for (int q = 0; q < 2; q++) {
                ConvJob& job = all.job[all.jobs++];
                job.rows = height / 2, job.cols = width / 2;
                job.out_first = out.place(p, q), job.out_row = 2 * out.line, job.out_col = 2;
                job.in_first = line + 1, job.in_row = line, job.in_col = 1;
                for (int i = p; i < 3; i += 2)
                    for (int j = q; j < 3; j += 2) add_tap(job, -(i / 2) * line - j / 2, i * 3 + j);
            }
        return all;
    }
    ConvJob& job = all.job[all.jobs++];
    job.rows = height, job.cols = width;
    job.out_first = out.place(0, 0), job.out_row = out.line, job.out_col = 1;
    if (shape.upsample == 2) {
        const int64_t line = 2 * width + 2;
        job.in_first = 0, job.in_row = 2 * line, job.in_col = 2;
        for (int p = 0; p < 2; p++)
            for (int q = 0; q < 2; q++)
                for (int a = 0; a < 2; a++)
                    for (int b = 0; b < 2; b++)
                        add_tap(job, (3 - p - 2 * a) * line + 3 - q - 2 * b, double_matrix(p, q, a, b));
        return all;
    }
    const int64_t line = width + 2;
    job.in_first = kernel == 1 ? line + 1 : 2 * line + 2, job.in_row = line, job.in_col = 1;
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
