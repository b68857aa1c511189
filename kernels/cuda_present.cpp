// Linked where nvcc has built kernels/cuda (make CUDA=1): the CUDA table, if this machine has a device for it.
#include "kernels/kernels.h"

namespace leon {
namespace cuda {
const Kernels& table();
const char* why_not();
}  // namespace cuda

const Kernels* cuda_kernels() {
    return cuda::why_not() ? nullptr : &cuda::table();
}

const char* why_no_cuda() {
    return cuda::why_not();
}

}  // namespace leon
