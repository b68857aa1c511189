// The gradients for every processor of the architecture: SSE2 on x86-64, NEON on aarch64, four lanes elsewhere.
#include "training/cpu/grad_isa_kernels.h"

namespace leon {

static constexpr GradTables<4> TABLES("cpu-baseline", "cpu-bf16-baseline");

GradIsa baseline_gradients() {
    return {&TABLES.f32, &TABLES.bf16, &TABLES.rows};
}

}  // namespace leon
