// The emulated table under a name of its own; see emulated_kernels.h.
#include "tests/cuda_on_cpu/emulated_kernels.h"

namespace leon {
namespace cuda_emulated {
const Kernels& table();
}  // namespace cuda_emulated

const Kernels& emulated_cuda_kernels() {
    static const Kernels renamed = [] {
        Kernels k = cuda_emulated::table();
        k.name = "cuda-emulated";
        return k;
    }();
    return renamed;
}

}  // namespace leon
