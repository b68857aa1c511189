// Linked where CUDA is not built (make CUDA=0); training/cuda_present.cpp is its counterpart.
#include "training/grad_kernels.h"

namespace leon {

const GradKernels* cuda_grad_kernels() {
    return nullptr;
}
const GradKernels* cuda_bf16_grad_kernels() {
    return nullptr;
}

}  // namespace leon
