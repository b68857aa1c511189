// The gradients for x86-64 with AVX2 and FMA, and the 16-lane code on the same registers ("wide"), so that the logic of
// the AVX-512 kernels is tested on machines that lack it. The Makefile gives this file its flags.
#include "training/cpu/grad_isa.h"

#if defined(__AVX2__) && defined(__FMA__)
#include "training/cpu/grad_isa_kernels.h"

namespace leon {

static constexpr GradTables<8> NARROW("cpu-avx2", "cpu-bf16-avx2");
static constexpr GradTables<16> WIDE("cpu-wide", "cpu-bf16-wide");

GradIsa avx2_gradients() {
    return {&NARROW.f32, &NARROW.bf16, &NARROW.rows};
}
GradIsa wide_gradients() {
    return {&WIDE.f32, &WIDE.bf16, &WIDE.rows};
}

}  // namespace leon

#else

namespace leon {

GradIsa avx2_gradients() {
    return {};
}
GradIsa wide_gradients() {
    return {};
}

}  // namespace leon

#endif
