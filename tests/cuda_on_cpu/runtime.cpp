// The CUDA runtime's stand-in; see runtime.h.
#include "tests/cuda_on_cpu/runtime.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/cuda_on_cpu/core.h"

namespace leon::cuda_emulated {

struct Graph {
    std::vector<std::function<void()>> operations;
};
struct Stream {
    bool capturing = false;
    Graph graph;
};
struct Event {
    std::chrono::steady_clock::time_point time;
};

namespace {

std::map<uintptr_t, size_t> allocations;  // begin -> bytes
cudaError_t last_error = cudaSuccess;

cudaError_t report(cudaError_t error) {
    if (error != cudaSuccess) last_error = error;
    return error;
}

// The allocation that was asked for last: the race detector asks at every access.
uintptr_t recent_begin;
size_t recent_bytes;

// Whether `bytes` from `memory` on lie in one live allocation.
bool is_inside_one(const void* memory, size_t bytes) {
    const uintptr_t begin = reinterpret_cast<uintptr_t>(memory);
    if (begin - recent_begin >= recent_bytes) {
        auto after = allocations.upper_bound(begin);
        if (after == allocations.begin()) return false;
        std::tie(recent_begin, recent_bytes) = *std::prev(after);
    }
    return begin - recent_begin <= recent_bytes && bytes <= recent_bytes - (begin - recent_begin);
}

cudaError_t enqueue(Stream* stream, std::function<void()> operation) {
    const auto alone = [operation = std::move(operation)] {
        emu::stand_still();
        operation();
        emu::stand_still();
    };
    if (emu::is_capturing(stream))
        emu::record(stream, alone);
    else
        alone();
    return cudaSuccess;
}

bool sides_match(const void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    if (kind == cudaMemcpyDefault) return true;
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    return (to_device ? is_inside_one(to, bytes) : !emu::is_device_memory(to)) &&
           (from_device ? is_inside_one(from, bytes) : !emu::is_device_memory(from));
}

}  // namespace

namespace emu {

bool is_capturing(Stream* stream) {
    return stream && stream->capturing;
}
void record(Stream* stream, std::function<void()> operation) {
    stream->graph.operations.push_back(std::move(operation));
}
bool is_device_memory(const void* pointer) {
    return is_inside_one(pointer, 0);
}

}  // namespace emu

cudaError_t cudaGetDeviceCount(int* count) {
    *count = 1;
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
    *device = 0;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int) {
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
    *properties = {"this processor", size_t{80} << 30, size_t{227} << 10, 9, 0, 4};
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    *value = attribute == cudaDevAttrMultiProcessorCount ? 4 : 1;
    return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
    emu::stand_still();
    return cudaSuccess;
}
cudaError_t cudaGetLastError() {
    return std::exchange(last_error, cudaSuccess);
}
cudaError_t cudaPeekAtLastError() {
    return last_error;
}
const char* cudaGetErrorString(cudaError_t error) {
    switch (error) {
        case cudaSuccess:
            return "no error";
        case cudaErrorInvalidValue:
            return "invalid argument";
        case cudaErrorMemoryAllocation:
            return "out of memory";
        case cudaErrorInvalidConfiguration:
            return "invalid configuration argument";
        case cudaErrorNoDevice:
            return "no CUDA-capable device is detected";
        case cudaErrorStreamCaptureUnsupported:
            return "operation not permitted when stream is capturing";
    }
    return "an error";
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
    *memory = nullptr;
    if (bytes > size_t{80} << 30) return report(cudaErrorMemoryAllocation);
    if (posix_memalign(memory, 256, bytes ? bytes : 1)) return report(cudaErrorMemoryAllocation);
    std::memset(*memory, 0xff, bytes);
    allocations[reinterpret_cast<uintptr_t>(*memory)] = bytes;
    return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
    recent_bytes = 0;
    if (memory && !allocations.erase(reinterpret_cast<uintptr_t>(memory))) return report(cudaErrorInvalidValue);
    std::free(memory);
    return cudaSuccess;
}
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
    return posix_memalign(memory, 256, bytes ? bytes : 1) ? report(cudaErrorMemoryAllocation) : cudaSuccess;
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned flags) {
    const cudaError_t error = cudaMallocHost(memory, bytes);
    if (error == cudaSuccess && flags & cudaHostAllocMapped) allocations[reinterpret_cast<uintptr_t>(*memory)] = bytes;
    return error;
}
cudaError_t cudaFreeHost(void* memory) {
    recent_bytes = 0;
    allocations.erase(reinterpret_cast<uintptr_t>(memory));
    std::free(memory);
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
    *total_bytes = *free_bytes = size_t{80} << 30;
    for (const auto& [begin, bytes] : allocations) *free_bytes -= bytes;
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    if (!sides_match(to, from, bytes, kind)) return report(cudaErrorInvalidValue);
    return enqueue(stream, [=] { std::memmove(to, from, bytes); });
}
cudaError_t cudaMemset(void* memory, int value, size_t bytes) {
    return cudaMemsetAsync(memory, value, bytes, nullptr);
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
    if (!is_inside_one(memory, bytes)) return report(cudaErrorInvalidValue);
    return enqueue(stream, [=] { std::memset(memory, value, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
    *stream = new Stream;
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    delete stream;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (emu::is_capturing(stream)) return report(cudaErrorStreamCaptureUnsupported);
    emu::stand_still();
    return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) {
    return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    if (!stream || stream->capturing) return report(cudaErrorInvalidValue);
    stream->capturing = true;
    stream->graph = {};
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    if (!emu::is_capturing(stream)) return report(cudaErrorInvalidValue);
    stream->capturing = false;
    *graph = new Graph(std::move(stream->graph));
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
    *event = new Event;
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete event;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    return enqueue(stream, [=] { event->time = std::chrono::steady_clock::now(); });
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
    return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
    *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
    *executable = new Graph(*graph);
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    return enqueue(stream, [=] {
        for (const auto& operation : executable->operations) operation();
    });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    delete executable;
    return cudaSuccess;
}

}  // namespace leon::cuda_emulated
