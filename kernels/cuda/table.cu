// The CUDA table, and the question whether this machine can use it.
#include <string>

#include "kernels/cuda/launchers.h"

namespace leon::LEON_CUDA {

const Kernels& table() {
    static const Kernels filled = {
        .name = "cuda",
        .allocate = allocate,
        .release = release,
        .adopt = adopt,
        .disown = disown,
        .upload = upload,
        .download = download,
        .record = record,
        .replay = replay,
        .forget = forget,
        .finish = finish,
        .idle = idle,
        .gather = gather,
        .gather_add = gather_add,
        .rmsnorm = rmsnorm,
        .layernorm = layernorm,
        .head_norm = head_norm,
        .rope = rope,
        .add = add,
        .matmul = matmul,
        .matmul_add = matmul_add,
        .swiglu = swiglu,
        .activate = activate,
        .append = append,
        .attention = attention,
        .project_qkv = project_qkv,
        .rotate_append = rotate_append,
        .feed_forward = feed_forward,
        .norm_add = norm_add,
        .sample = sample,
        .conv2d = conv2d,
        .group_norm = group_norm,
        .spatial_attention = spatial_attention,
        .nearest_code = nearest_code,
        .norm_conv2d = norm_conv2d,
        .to_u8 = to_u8,
    };
    return filled;
}

const char* why_not() {
    static const std::string reason = [] {
        int devices = 0;
        const cudaError_t error = cudaGetDeviceCount(&devices);
        if (error != cudaSuccess) {
            cudaGetLastError();
            return std::string(cudaGetErrorString(error));
        }
        return std::string(devices == 0 ? "there is no CUDA device" : "");
    }();
    return reason.empty() ? nullptr : reason.c_str();
}

}  // namespace leon::LEON_CUDA
