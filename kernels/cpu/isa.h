// What one instruction set offers to the CPU backend: its kernels over plain pointers and sizes.
//
// Each isa_*.cpp fills one of these from the kernel headers. Tensors are taken apart in cpu_kernels.cpp, which is
// compiled for the baseline: an inline function of tensor.h compiled with AVX-512 flags could be picked by the linker
// for the whole program, so the instruction-set units do not see that header at all.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/activation.h"

namespace leon {

// PAGE_TOKENS of kernels.h, which the instruction-set units do not see; cpu_kernels.cpp asserts that they agree.
constexpr int64_t CACHE_PAGE = 32;

enum class Element : uint8_t { F32, BF16, F16, I8, F8, I4 };
enum class Into : uint8_t { Overwrite, Add };

// out [rows, n] (+)= x [rows, depth] * weight [n, depth]^T
struct MatmulArguments {
    float* out;
    const float* x;
    const void* weight;
    const float* scale;     // [n], or null: of elements of 8 and 4 bits
    const uint8_t* groups;  // [n, depth / 32], of I4; see tensor.h
    Element element;
    Into into;
    int64_t rows, n, depth;
};

struct Conv2dArguments {
    float* out;
    const float* x;
    const void* weight;
    const float* bias;
    Element element;
    int64_t height, width, channels;
    int64_t out_height, out_width, out_channels;
    int64_t kernel, stride, pad_before, upsample;
};

struct AttentionArguments {
    float* out;
    const float* q;
    const void *keys, *values;
    const float *key_scales, *value_scales;  // [pages * kv_heads * CACHE_PAGE] of I8, else null
    Element element;
    const int32_t *page_table, *stream, *position;
    int64_t max_pages, tokens, heads, kv_heads, head_dim;
};

struct GroupNormArguments {
    float* out;
    const float *x, *weight, *bias;
    int64_t pixels, channels, groups;
    float eps;
    bool swish;
};

struct IsaKernels {
    const char* name;  // of the backend: "cpu-avx2"

    void (*rmsnorm)(float* out, const float* x, const float* weight, float eps, int64_t rows, int64_t dim);
    void (*layernorm)(float* out, const float* x, const float* weight, const float* bias, float eps, int64_t rows,
                      int64_t dim);
    void (*head_norm)(float* x, const float* weight, const float* bias, float eps, int64_t rows, int64_t heads,
                      int64_t head_dim);
    void (*matmul)(const MatmulArguments& arguments);
    void (*swiglu)(float* out, const float* gate, const float* up, int64_t count);
    void (*activate)(float* x, Activation kind, const float* slope, int64_t rows, int64_t cols);
    void (*attention)(const AttentionArguments& arguments);

    void (*conv2d)(const Conv2dArguments& arguments);
    void (*group_norm)(const GroupNormArguments& arguments);
    void (*spatial_attention)(float* out, const float* q, const float* k, const float* v, int64_t pixels,
                              int64_t channels);
    void (*nearest_code)(int32_t* codes, const float* z, const float* codebook, int64_t pixels, int64_t entries,
                         int64_t width);

    // For kernels/roof.cpp: the sum of `count` floats at memory speed, and `steps` rounds of multiply-add in registers
    // by one thread. fma_rounds returns the number of floating-point operations; *sink keeps the work alive.
    float (*stream_sum)(const float* x, int64_t count);
    double (*fma_rounds)(int64_t steps, float* sink);
};

// Null on other architectures. Whether this processor can run them is for the caller to ask: the units themselves are
// compiled with the instructions in question.
const IsaKernels* avx512_kernels();
const IsaKernels* avx2_kernels();
const IsaKernels* wide_kernels();
const IsaKernels* baseline_kernels();

}  // namespace leon
