// The CUDA runtime's stand-in; see runtime.h.
#include "tests/cuda_on_cpu/runtime.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/cuda_on_cpu/core.h"

namespace leon::cuda_emulated {

using Operation = std::function<void()>;
using Time = std::chrono::steady_clock::time_point;

struct Graph {
    std::vector<Operation> operations;
    int launches_under_way = 0;
};
struct Stream {
    bool capturing = false;
    Graph graph;
    std::deque<Operation> waiting;  // operations called - done
    uint64_t called = 0, done = 0;
};
struct Event {
    Stream* stream = nullptr;  // of the last record
    uint64_t position = 0;     // operations of the stream that come before it, itself included
    std::shared_ptr<Time> time = std::make_shared<Time>();
};

namespace {

std::map<uintptr_t, size_t> allocations;  // that kernels reach: begin -> bytes
std::map<uintptr_t, size_t> pinned;       // of the host
std::set<Stream*> streams;
Stream legacy;  // the default stream, which the others do not wait for
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

Stream& stream_of(cudaStream_t stream) {
    return stream ? *stream : legacy;
}

void do_oldest(Stream& stream) {
    const Operation operation = std::move(stream.waiting.front());
    stream.waiting.pop_front();
    operation();
    stream.done++;
}
void catch_up(Stream& stream, uint64_t position) {
    while (stream.done < position) do_oldest(stream);
}
void catch_up(Stream& stream) {
    catch_up(stream, stream.called);
}
void catch_up_all() {
    catch_up(legacy);
    for (Stream* stream : streams) catch_up(*stream);
}

// A stream may have gone before the event that was recorded in it; it had done its work then.
void wait_for(Stream* stream, uint64_t position) {
    if (stream == &legacy || streams.count(stream)) catch_up(*stream, position);
}

cudaError_t enqueue(cudaStream_t stream, Operation operation) {
    Operation alone = [operation = std::move(operation)] {
        emu::stand_still();
        operation();
        emu::stand_still();
    };
    if (emu::is_capturing(stream)) {
        emu::record(stream, std::move(alone));
    } else {
        stream_of(stream).waiting.push_back(std::move(alone));
        stream_of(stream).called++;
    }
    return cudaSuccess;
}

bool is_pinned(const void* memory) {
    const uintptr_t begin = reinterpret_cast<uintptr_t>(memory);
    const auto after = pinned.upper_bound(begin);
    return after != pinned.begin() && begin - std::prev(after)->first < std::prev(after)->second;
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
RuntimeCounters runtime_counters;
void catch_up(Stream* stream) {
    runtime_counters.kernel_launches++;
    cuda_emulated::catch_up(stream_of(stream));
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
    *value = attribute == cudaDevAttrMultiProcessorCount            ? 4
             : attribute == cudaDevAttrMaxSharedMemoryPerBlockOptin ? 227 << 10
                                                                    : 1;
    return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
    catch_up_all();
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
        case cudaErrorNotReady:
            return "device not ready";
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
    catch_up_all();
    recent_bytes = 0;
    const uintptr_t begin = reinterpret_cast<uintptr_t>(memory);
    if (memory && (pinned.count(begin) || !allocations.erase(begin))) return report(cudaErrorInvalidValue);
    std::free(memory);
    return cudaSuccess;
}
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
    return cudaHostAlloc(memory, bytes, cudaHostAllocDefault);
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned flags) {
    *memory = nullptr;
    if (posix_memalign(memory, 256, bytes ? bytes : 1)) return report(cudaErrorMemoryAllocation);
    std::memset(*memory, 0xff, bytes);
    pinned[reinterpret_cast<uintptr_t>(*memory)] = bytes;
    if (flags & cudaHostAllocMapped) allocations[reinterpret_cast<uintptr_t>(*memory)] = bytes;
    return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
    catch_up_all();
    recent_bytes = 0;
    if (memory && !pinned.erase(reinterpret_cast<uintptr_t>(memory))) return report(cudaErrorInvalidValue);
    allocations.erase(reinterpret_cast<uintptr_t>(memory));
    std::free(memory);
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
    *total_bytes = *free_bytes = size_t{80} << 30;
    for (const auto& [begin, bytes] : allocations)
        if (!pinned.count(begin)) *free_bytes -= bytes;
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
    catch_up(legacy);
    return error;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    if (!sides_match(to, from, bytes, kind)) return report(cudaErrorInvalidValue);
    const bool to_device = emu::is_device_memory(to), from_device = emu::is_device_memory(from);
    emu::runtime_counters.copies_to_device += to_device && !from_device;
    emu::runtime_counters.copies_to_host += from_device && !to_device;
    if (!emu::is_capturing(stream) && !from_device && !is_pinned(from)) {  // it is read before the call returns
        const auto* first = static_cast<const char*>(from);
        return enqueue(stream, [to, read = std::vector<char>(first, first + bytes)] {
            if (!read.empty()) std::memcpy(to, read.data(), read.size());
        });
    }
    enqueue(stream, [=] { std::memmove(to, from, bytes); });
    if (!emu::is_capturing(stream) && !to_device && !is_pinned(to)) catch_up(stream_of(stream));
    return cudaSuccess;
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
    streams.insert(*stream);
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    if (!streams.count(stream)) return report(cudaErrorInvalidValue);
    catch_up(*stream);
    streams.erase(stream);
    delete stream;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (emu::is_capturing(stream)) return report(cudaErrorStreamCaptureUnsupported);
    catch_up(stream_of(stream));
    emu::stand_still();
    return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
    if (emu::is_capturing(stream)) return report(cudaErrorStreamCaptureUnsupported);
    if (stream_of(stream).waiting.empty()) {
        emu::stand_still();
        return cudaSuccess;
    }
    do_oldest(stream_of(stream));
    return cudaErrorNotReady;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    return enqueue(stream, [other = event->stream, position = event->position] { wait_for(other, position); });
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
    enqueue(stream, [time = event->time] { *time = std::chrono::steady_clock::now(); });
    event->stream = &stream_of(stream);
    event->position = stream_of(stream).called;
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    wait_for(event->stream, event->position);
    return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
    *milliseconds = std::chrono::duration<float, std::milli>(*to->time - *from->time).count();
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
    *executable = new Graph(*graph);
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    emu::runtime_counters.graph_launches++;
    executable->launches_under_way++;
    return enqueue(stream, [executable] {
        for (const Operation& operation : executable->operations) operation();
        executable->launches_under_way--;
    });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    if (executable->launches_under_way) return report(cudaErrorInvalidValue);
    delete executable;
    return cudaSuccess;
}

}  // namespace leon::cuda_emulated
