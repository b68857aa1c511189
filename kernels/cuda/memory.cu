// Memory of the device, and the stream on which everything runs in the order of the calls.
#include <string>
#include <vector>

#include "kernels/cuda/launchers.h"

namespace leon::LEON_CUDA {

cudaStream_t stream() {
    static cudaStream_t only = [] {
        cudaStream_t created;
        CUDA_CHECK(cudaStreamCreateWithFlags(&created, cudaStreamNonBlocking));
        return created;
    }();
    return only;
}

void* allocate(size_t bytes) {
    void* memory = nullptr;
    const size_t at_least_one = bytes == 0 ? 1 : bytes;
    if (cudaMalloc(&memory, at_least_one) != cudaSuccess) {
        cudaGetLastError();  // forgotten: the caller is told by the exception
        throw Error("cannot allocate " + std::to_string(bytes) + " bytes on the GPU", "memory",
                    "use a smaller model, fewer candidates, or --backend cpu");
    }
    CUDA_CHECK(cudaMemsetAsync(memory, 0, at_least_one, stream()));
    return memory;
}

void release(void* memory) {
    CUDA_CHECK(cudaFree(memory));  // waits for what still uses it
}

// The table has no call that gives adopted memory back, so weights stay on the device until the program ends. They are
// remembered here, as what is owned: a program that opens one model after another needs such a call first.
const void* adopt(const void* host, size_t bytes) {
    static auto& adopted = *new std::vector<void*>;
    void* copy = allocate(bytes);
    adopted.push_back(copy);
    upload(copy, host, bytes);
    return copy;
}

// Both return when the host's memory may be changed again or read.
void upload(void* device, const void* host, size_t bytes) {
    CUDA_CHECK(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream()));
    CUDA_CHECK(cudaStreamSynchronize(stream()));
}
void download(void* host, const void* device, size_t bytes) {
    CUDA_CHECK(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream()));
    CUDA_CHECK(cudaStreamSynchronize(stream()));
}

}  // namespace leon::LEON_CUDA
