// Fills the table of one instruction set. Included by isa_*_vqgan.cpp only, each of which is compiled with its own
// flags.
#pragma once

#include "training/cpu/vqgan_attention.h"
#include "training/cpu/vqgan_convolve.h"
#include "training/cpu/vqgan_isa.h"
#include "training/cpu/vqgan_maps.h"

namespace leon {
namespace {

template <int LANES>
constexpr VqganIsa vqgan_isa(const char* name) {
    return {
        .name = name,
        .frame = frame<LANES>,
        .clear_frame = clear_frame,
        .norm_map = norm_map<LANES>,
        .d_norm_map = d_norm_map<LANES>,
        .conv = conv,
        .conv_weight = conv_weight,
        .sum_pixels = sum_pixels<LANES>,
        .d_spatial_attention = d_spatial_attention<LANES>,
    };
}

}  // namespace
}  // namespace leon
