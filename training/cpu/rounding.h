// float32 values rounded to bf16, still as float32: as tensor.h rounds, for units that do not see that header.
#pragma once

#include "kernels/cpu/simd.h"

namespace leon {
namespace {

// Nearest, ties to even; NaN stays NaN.
[[gnu::always_inline]] inline Native rounded_to_bf16(Native x) {
    const NativeBits bits = (NativeBits)x;
    const NativeBits nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u;
    const NativeBits is_nan = (NativeBits)((bits & 0x7fffffffu) > 0x7f800000u);
    return (Native)((is_nan & (bits | 0x400000u)) | (~is_nan & nearest));
}
inline void round_to_bf16(float* x, int64_t count) {
    int64_t i = 0;
    for (; i + NATIVE_LANES <= count; i += NATIVE_LANES)
        *reinterpret_cast<NativeAt*>(x + i) = rounded_to_bf16(load_native(x + i));
    for (; i < count; i++) x[i] = rounded_to_bf16(Native{} + x[i])[0];
}

}  // namespace
}  // namespace leon
