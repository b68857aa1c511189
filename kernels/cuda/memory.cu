// Memory of the device, and the stream on which everything runs in the order of the calls.
#include <cstring>
#include <string>

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

void* allocate(size_t bytes, Reach reach) {
    void* memory = nullptr;
    const size_t at_least_one = bytes == 0 ? 1 : bytes;
    const cudaError_t error = reach == Reach::Device ? cudaMalloc(&memory, at_least_one)
                                                     : cudaHostAlloc(&memory, at_least_one, cudaHostAllocMapped);
    if (error != cudaSuccess) {
        cudaGetLastError();  // forgotten: the caller is told by the exception
        throw Error("cannot allocate " + std::to_string(bytes) + " bytes on the GPU", "memory",
                    "use a smaller model, fewer candidates, or --backend cpu");
    }
    if (reach == Reach::Shared)
        std::memset(memory, 0, at_least_one);
    else
        CUDA_CHECK(cudaMemsetAsync(memory, 0, at_least_one, stream()));
    return memory;
}

void release(void* memory, Reach reach) {
    finish();  // what still uses it
    CUDA_CHECK(reach == Reach::Device ? cudaFree(memory) : cudaFreeHost(memory));
}

const void* adopt(const void* host, size_t bytes) {
    void* copy = allocate(bytes, Reach::Device);
    upload(copy, host, bytes);
    return copy;
}
void disown(const void* adopted) {
    release(const_cast<void*>(adopted), Reach::Device);
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

// A recording is a graph that the stream has captured.
Recording* record(const std::function<void()>& operations) {
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    CUDA_CHECK(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal));
    operations();
    CUDA_CHECK(cudaStreamEndCapture(stream(), &graph));
    CUDA_CHECK(cudaGraphInstantiate(&executable, graph, 0));
    CUDA_CHECK(cudaGraphDestroy(graph));
    return reinterpret_cast<Recording*>(executable);
}
void replay(Recording* recording) {
    CUDA_CHECK(cudaGraphLaunch(reinterpret_cast<cudaGraphExec_t>(recording), stream()));
}
void forget(Recording* recording) {
    finish();
    CUDA_CHECK(cudaGraphExecDestroy(reinterpret_cast<cudaGraphExec_t>(recording)));
}
void finish() {
    CUDA_CHECK(cudaStreamSynchronize(stream()));
}

}  // namespace leon::LEON_CUDA
