// The kernels for every processor of the architecture: SSE2 on x86-64, NEON on aarch64, four lanes elsewhere.
#include "kernels/cpu/isa_kernels.h"

namespace leon {

static constexpr IsaKernels TABLE = isa_kernels<4>("cpu-baseline");

const IsaKernels* baseline_kernels() {
    return &TABLE;
}

}  // namespace leon
