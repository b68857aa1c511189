// A VQGAN's training on x86-64 with AVX2. The Makefile gives this file its flags.
#include "training/cpu/vqgan_isa.h"

#if defined(__AVX2__)
#include "training/cpu/vqgan_isa_kernels.h"

namespace leon {

static constexpr VqganIsa TABLE = vqgan_isa<8>("cpu-avx2");

const VqganIsa* avx2_vqgan() {
    return &TABLE;
}

}  // namespace leon

#else

namespace leon {

const VqganIsa* avx2_vqgan() {
    return nullptr;
}

}  // namespace leon

#endif
