// Linked where CUDA is not built (make CUDA=0); kernels/cuda_present.cpp is its counterpart.
#include "kernels/kernels.h"

namespace leon {

const Kernels* cuda_kernels() {
    return nullptr;
}

const char* why_no_cuda() {
    return "this leon was built without CUDA; build it with: make CUDA=1";
}

}  // namespace leon
