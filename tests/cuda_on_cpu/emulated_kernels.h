// The CUDA table, its kernels executed on this processor; see core.h.
#pragma once

#include <vector>

#include "kernels/kernels.h"

namespace leon {

const Kernels& emulated_cuda_kernels();

// The emulated GPU and, where nvcc has built the kernels and there is one, the real one.
inline std::vector<const Kernels*> gpus() {
    std::vector<const Kernels*> all = {&emulated_cuda_kernels()};
    if (const Kernels* real = cuda_kernels()) all.push_back(real);
    return all;
}

}  // namespace leon
