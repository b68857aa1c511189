// What lets the host and a GPU share the arithmetic of one header: HOST_DEVICE marks a function that both may call.
#pragma once

#ifdef __CUDACC__
#define HOST_DEVICE __host__ __device__
#else
#define HOST_DEVICE
#endif

namespace leon {

// a * b, which no compiler may fuse with an addition: the host's are told so (-ffp-contract=off), nvcc is not.
HOST_DEVICE inline float product(float a, float b) {
#ifdef __CUDA_ARCH__
    return __fmul_rn(a, b);
#else
    return a * b;
#endif
}

}  // namespace leon
