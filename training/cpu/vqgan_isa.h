// What one instruction set offers to the training of a VQGAN: its kernels over plain pointers and sizes (the reasons
// are kernels/cpu/isa.h's), and the shape in which convolutions reach them.
//
// Every convolution, forward or backward, of any stride or enlargement, is at most four ConvJobs: a grid of results
// whose pixel (y, x) is a sum over taps, each a pixel of the map at a fixed offset times a matrix:
//
//   out[out_first + y out_row + x out_col] = sum_t map[in_first + y in_row + x in_col + offset[t]] * W[matrix[t]]
//
// all in pixels. The four are the parities of rows and columns, of the result (DOUBLE, and HALVE backward).
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace leon {

constexpr int MOST_JOBS = 4, MOST_TAPS = 16;

struct ConvJob {
    int64_t rows, cols;
    int64_t out_first, out_row, out_col;
    int64_t in_first, in_row, in_col;
    int taps;
    int64_t offset[MOST_TAPS];
    int matrix[MOST_TAPS];
};

// Packed weights: [matrix][block of 32 channels in][block of 16 channels out][pair of channels in, 16][out, 16][2]
// bf16, the order of the matrix unit's second operand: 1 KB a tile. Both counts of channels are filled up to multiples
// of 32.
constexpr int64_t TILE_VALUES = 512;

struct ConvArguments {
    float* plain;       // the result as float32, or null:
    uint16_t* framed;   // as bf16; its frame is the caller's
    const uint16_t* x;  // framed, `depth` channels a pixel
    const uint16_t* weights;
    const float* bias;         // [biases], zero for the channels behind; or null
    const uint16_t* residual;  // of framed's layout, or null
    int64_t depth;             // a multiple of 32
    int64_t channels, biases;  // of the result; of a framed one a multiple of 32
    const ConvJob* job;
    int jobs;
};

// dweight[o, matrix[t], c] += sum over the grid of dy[dy_first + y dy_row + x dy_col, o] *
//                             x[x_first + (y + row[t]) x_row + x x_col + offset[t], c]
// Taps of the same offset share what is made of the map: they are the same lines, `row` lines of the grid apart.
struct WeightJob {
    int64_t rows, cols;
    int64_t dy_first, dy_row, dy_col;
    int64_t x_first, x_row, x_col;
    int taps;
    int64_t row[MOST_TAPS], offset[MOST_TAPS];
    int matrix[MOST_TAPS];
};

struct ConvWeightArguments {
    float* dweight;  // [out, matrices, in]
    const uint16_t *dy, *x;
    int64_t dy_depth, x_depth;  // channels of the maps
    int64_t out, in;            // and how many of them count
    int matrices;
    const WeightJob* job;
    int jobs;
};

struct VqganNormArguments {
    uint16_t* out;  // the result, or dx
    const uint16_t *x, *dy, *residual;
    float *dweight, *dbias;  // or null
    float* statistics;       // [groups, 2]
    const float *weight, *bias;
    int64_t height, width, channels, depth, groups;
    float eps;
    bool swish;
};

struct VqganIsa {
    const char* name;
    void (*frame)(uint16_t* out, const float* x, int64_t height, int64_t width, int64_t channels, int64_t depth);
    void (*clear_frame)(uint16_t* map, int64_t height, int64_t width, int64_t depth);
    void (*norm_map)(const VqganNormArguments& arguments);
    void (*d_norm_map)(const VqganNormArguments& arguments);
    void (*conv)(const ConvArguments& arguments);
    void (*conv_weight)(const ConvWeightArguments& arguments);
    void (*sum_pixels)(float* sums, const uint16_t* map, int64_t height, int64_t width, int64_t channels,
                       int64_t depth);
    void (*d_spatial_attention)(float* dq, float* dk, float* dv, const float* dout, const float* q, const float* k,
                                const float* v, int64_t pixels, int64_t channels);
};

// Null if not compiled for this architecture; whether the processor can run them is for the caller to ask.
const VqganIsa* amx_vqgan();
const VqganIsa* avx512_vqgan();
const VqganIsa* avx2_vqgan();
const VqganIsa* baseline_vqgan();

}  // namespace leon
