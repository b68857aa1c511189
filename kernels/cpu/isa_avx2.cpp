// The kernels for x86-64 with AVX2 and FMA (2013 and later), and the 16-lane code on the same registers ("cpu-wide"),
// so that the logic of the AVX-512 kernels is tested on machines that lack it. The Makefile gives this file its flags.
#include "kernels/cpu/isa.h"

#if defined(__AVX2__) && defined(__FMA__)
#include "kernels/cpu/isa_kernels.h"

namespace leon {

static constexpr IsaKernels NARROW = isa_kernels<8>("cpu-avx2"), WIDE = isa_kernels<16>("cpu-wide");

const IsaKernels* avx2_kernels() {
    return &NARROW;
}
const IsaKernels* wide_kernels() {
    return &WIDE;
}

}  // namespace leon

#else

namespace leon {

const IsaKernels* avx2_kernels() {
    return nullptr;
}
const IsaKernels* wide_kernels() {
    return nullptr;
}

}  // namespace leon

#endif
