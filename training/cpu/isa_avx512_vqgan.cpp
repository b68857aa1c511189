// A VQGAN's training on x86-64 with AVX-512. The Makefile gives this file its flags.
#include "training/cpu/vqgan_isa.h"

#if defined(__AVX512F__)
#include "training/cpu/vqgan_isa_kernels.h"

namespace leon {

static constexpr VqganIsa TABLE = vqgan_isa<16>("cpu-avx512");

const VqganIsa* avx512_vqgan() {
    return &TABLE;
}

}  // namespace leon

#else

namespace leon {

const VqganIsa* avx512_vqgan() {
    return nullptr;
}

}  // namespace leon

#endif
