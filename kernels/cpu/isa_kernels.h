// Fills the table of one instruction set. Included by isa_*.cpp only, each of which is compiled with its own flags.
#pragma once

#include "kernels/cpu/activate.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/conv2d.h"
#include "kernels/cpu/group_norm.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/matmul.h"
#include "kernels/cpu/nearest_code.h"
#include "kernels/cpu/norms.h"
#include "kernels/cpu/probes.h"
#include "kernels/cpu/spatial_attention.h"

namespace leon {
namespace {

template <int LANES>
constexpr IsaKernels isa_kernels(const char* name) {
    return {
        .name = name,
        .rmsnorm = rmsnorm<LANES>,
        .layernorm = layernorm<LANES>,
        .head_norm = head_norm<LANES>,
        .matmul = matmul<LANES>,
        .swiglu = swiglu<LANES>,
        .activate = activate<LANES>,
        .attention = attention<LANES>,
        .conv2d = conv2d<LANES>,
        .group_norm = group_norm<LANES>,
        .spatial_attention = spatial_attention<LANES>,
        .nearest_code = nearest_code<LANES>,
        .stream_sum = stream_sum<LANES>,
        .fma_rounds = fma_rounds<LANES>,
    };
}

}  // namespace
}  // namespace leon
