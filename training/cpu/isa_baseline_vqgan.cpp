// A VQGAN's training on every processor of the architecture.
#include "training/cpu/vqgan_isa_kernels.h"

namespace leon {

static constexpr VqganIsa TABLE = vqgan_isa<4>("cpu-baseline");

const VqganIsa* baseline_vqgan() {
    return &TABLE;
}

}  // namespace leon
