// The gradients for x86-64 with AVX-512 (F, BW, VL, DQ). The Makefile gives this file its flags.
#include "training/cpu/grad_isa.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#include "training/cpu/grad_isa_kernels.h"

namespace leon {

static constexpr GradTables<16> TABLES("cpu-avx512", "cpu-bf16-avx512");

GradIsa avx512_gradients() {
    return {&TABLES.f32, &TABLES.bf16, &TABLES.rows};
}

}  // namespace leon

#else

namespace leon {

GradIsa avx512_gradients() {
    return {};
}

}  // namespace leon

#endif
