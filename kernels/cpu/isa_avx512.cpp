// The kernels for x86-64 with AVX-512 (F, BW, VL, DQ). The Makefile gives this file its flags.
#include "kernels/cpu/isa.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#include "kernels/cpu/isa_kernels.h"

namespace leon {

static constexpr IsaKernels TABLE = isa_kernels<16>("cpu-avx512");

const IsaKernels* avx512_kernels() {
    return &TABLE;
}

}  // namespace leon

#else

namespace leon {

const IsaKernels* avx512_kernels() {
    return nullptr;
}

}  // namespace leon

#endif
