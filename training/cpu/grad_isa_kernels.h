// Fills the tables of one instruction set. Included by isa_*_grad.cpp only, each compiled with its own flags.
#pragma once

#include "training/cpu/attention.h"
#include "training/cpu/float_products.h"
#include "training/cpu/linear.h"
#include "training/cpu/rotate.h"
#include "training/cpu/rows.h"

namespace leon {
namespace {

template <class P>
constexpr GradProducts grad_products(const char* name) {
    return {
        .name = name,
        .linear = linear<P>,
        .linear_dx = linear_dx<P>,
        .linear_dw = linear_dw<P>,
        .attention = attention<P>,
        .attention_backward = attention_backward<P>,
    };
}

template <int LANES>
constexpr GradRows grad_rows() {
    return {
        .rms_backward = rms_backward<LANES>,
        .layer_backward = layer_backward<LANES>,
        .rotate = rotate<LANES>,
        .rotate_backward = rotate_backward<LANES>,
        .swiglu_backward = swiglu_backward<LANES>,
        .cross_entropy = cross_entropy<LANES>,
    };
}

// All tables of one width of vectors.
template <int LANES>
struct GradTables {
    GradProducts f32, bf16;
    GradRows rows;

    constexpr GradTables(const char* f32_name, const char* bf16_name)
        : f32(grad_products<FloatProducts<LANES, false>>(f32_name)),
          bf16(grad_products<FloatProducts<LANES, true>>(bf16_name)),
          rows(grad_rows<LANES>()) {}
};

}  // namespace
}  // namespace leon
