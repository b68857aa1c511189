// The launchers of the CUDA table: one per entry, named as it is. Contracts stand at the wrappers in kernels/kernels.h.
#pragma once

#include "kernels/cuda/gpu.h"
#include "kernels/kernels.h"

namespace leon::LEON_CUDA {

void* allocate(size_t bytes, Reach reach);
void release(void* memory, Reach reach);
const void* adopt(const void* host, size_t bytes);
void disown(const void* adopted);
void upload(void* device, const void* host, size_t bytes);
void download(void* host, const void* device, size_t bytes);
Recording* record(const std::function<void()>& operations);
void replay(Recording* recording);
void forget(Recording* recording);
void finish();
bool idle();

// Memory of the device for what an operation hands from one of its kernels to the next; the next operation may use it
// for something else. There from the first allocate() on, so that no launch allocates.
constexpr size_t WORKSPACE_BYTES = 16 << 20;
void* workspace();

void gather(Tensor out, Tensor table, Tensor ids);
void gather_add(Tensor x, Tensor table, Tensor ids, int offset);
void rmsnorm(Tensor out, Tensor x, Tensor weight, float eps);
void layernorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float eps);
void head_norm(Tensor x, Tensor weight, Tensor bias, float eps);
void rope(Tensor x, const Rotary& rotary);
void add(Tensor x, Tensor y, float scale);
void matmul(Tensor out, Tensor x, Tensor weight);
void matmul_add(Tensor out, Tensor x, Tensor weight);
void swiglu(Tensor out, Tensor gate, Tensor up);
void activate(Tensor x, Activation kind, Tensor slope);
void append(KvPages cache, Tensor k, Tensor v, Placement at);
void attention(Tensor out, Tensor q, KvPages cache, Placement at);
void project_qkv(Tensor q, Tensor k, Tensor v, Tensor x, const QkvWeights& weights, Tensor scratch);
void rotate_append(Tensor q, Tensor k, Tensor v, const HeadNorms& norms, float theta, KvPages cache, Placement at);
void feed_forward(Tensor out, Tensor x, const FeedForwardWeights& weights, Tensor scratch, Tensor gate_scratch);
void norm_add(Tensor x, Tensor y, const RowNorm& norm);
void sample(const Draws& draws, const SampleRule& rule);

void conv2d(Tensor out, Tensor x, Tensor weight, Tensor bias, Convolution shape);
void group_norm(Tensor out, Tensor x, Tensor weight, Tensor bias, int groups, float eps, Activation activation);
void spatial_attention(Tensor out, Tensor q, Tensor k, Tensor v);
void nearest_code(Tensor codes, Tensor z, Tensor codebook);
void norm_conv2d(Tensor out, Tensor x, const GroupNorm& norm, Tensor weight, Tensor bias, Convolution shape,
                 Tensor residual, Tensor scratch);
void to_u8(Tensor out, Tensor x);

// --- what launchers ask ------------------------------------------------------------------------------------------

// An attribute of the device, asked for once.
template <cudaDeviceAttr ATTRIBUTE>
int device_attribute() {
    static const int value = [] {
        int device = 0, answer = 0;
        CUDA_CHECK(cudaGetDevice(&device));
        CUDA_CHECK(cudaDeviceGetAttribute(&answer, ATTRIBUTE, device));
        return answer;
    }();
    return value;
}
inline int multiprocessors() {
    return device_attribute<cudaDevAttrMultiProcessorCount>();
}

// Whether 16-byte accesses may begin at `data`, and at each row of `t`.
inline bool is_aligned(const void* data) {
    return reinterpret_cast<uintptr_t>(data) % 16 == 0;
}
inline bool is_aligned(const Tensor& t) {
    return is_aligned(t.data) && t.cols() * bits_of(t.dtype) % 128 == 0;
}

// The filled table, whether or not there is a device.
const Kernels& table();

// Why no device can be used, in one line; null if one can.
const char* why_not();

}  // namespace leon::LEON_CUDA
