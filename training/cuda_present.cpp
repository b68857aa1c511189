// Linked where nvcc has built training/cuda (make CUDA=1): the CUDA tables of gradients, if this machine has a device
// for them.
#include "training/grad_kernels.h"

namespace leon {
namespace cuda::grad {
const GradKernels& table();
const GradKernels& bf16_table();
}  // namespace cuda::grad

const GradKernels* cuda_grad_kernels() {
    return cuda_kernels() ? &cuda::grad::table() : nullptr;
}
const GradKernels* cuda_bf16_grad_kernels() {
    return cuda_kernels() ? &cuda::grad::bf16_table() : nullptr;
}

}  // namespace leon
