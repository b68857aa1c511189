// The products of gradients for x86-64 with AMX and AVX-512 (F, BW, VL, DQ, BF16). The Makefile gives this file its
// flags.
#include "training/cpu/grad_isa.h"

#if (defined(__AMX_BF16__) || defined(__AMXBF16__)) && defined(__AVX512BF16__)
#include "training/cpu/grad_isa_kernels.h"
#include "training/cpu/tile_attention.h"

namespace leon {

static constexpr GradProducts PRODUCTS = grad_products<TileProducts>("cpu-bf16-amx");

const GradProducts* amx_gradients() {
    return &PRODUCTS;
}

}  // namespace leon

#else

namespace leon {

const GradProducts* amx_gradients() {
    return nullptr;
}

}  // namespace leon

#endif
