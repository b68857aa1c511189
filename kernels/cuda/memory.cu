// Memory of the device, and the stream on which everything runs in the order of the calls.
//
// Weights take another way than the rest: adopt() copies them through two pinned buffers on a stream of their own.
// While one buffer is on its way to the device the processor fills the other, and with a mapped file that is where the
// file is read; so reading and uploading overlap, within a tensor and from one to the next.
//
//   processor  | fill A | fill B |   wait, fill A   |   wait, fill B   | ...
//   copies              | A to device      | B to device      | A to device      | ...
//   kernels    |                                           wait for the last buffer of what they may read |
//
// A copy is bound by the slowest of three: the disk (about 7 GB/s of a good one), one core's memcpy (about 10 GB/s) and
// PCIe (25 to 50 GB/s); done one after the other, their times would add up.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
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

namespace {

std::string bytes_text(size_t bytes) {
    return std::to_string(bytes) + " bytes";
}
[[noreturn]] void out_of_memory(const std::string& what) {
    cudaGetLastError();  // forgotten: the caller is told by the exception
    throw Error("cannot allocate " + what + " on the GPU", "memory",
                "use a smaller model, fewer candidates, or --backend cpu");
}

// At least one byte, so that every allocation has an address of its own.
void* allocate_on_device(size_t bytes) {
    void* memory = nullptr;
    if (cudaMalloc(&memory, std::max<size_t>(bytes, 1)) != cudaSuccess) out_of_memory(bytes_text(bytes));
    return memory;
}

// The way of the weights to the device. Kept from the first tensor on.
class Uploader {
public:
    Uploader() {
        CUDA_CHECK(cudaStreamCreateWithFlags(&copies_, cudaStreamNonBlocking));
        for (Buffer& buffer : buffers_) {
            if (cudaMallocHost(&buffer.memory, BUFFER_BYTES) != cudaSuccess) out_of_memory(bytes_text(BUFFER_BYTES));
            CUDA_CHECK(cudaEventCreateWithFlags(&buffer.copied, cudaEventDisableTiming));
        }
    }

    // Returns when `host` has been read; what is called on stream() afterwards finds it on the device.
    void upload(void* device, const void* host, size_t bytes) {
        ask_for_pages(host, bytes);
        for (size_t done = 0; done < bytes; done += BUFFER_BYTES) {
            const size_t count = std::min(BUFFER_BYTES, bytes - done);
            Buffer& buffer = buffers_[next_];
            next_ = (next_ + 1) % BUFFERS;
            CUDA_CHECK(cudaEventSynchronize(buffer.copied));  // its last copy was read before it is filled again
            std::memcpy(buffer.memory, static_cast<const char*>(host) + done, count);
            CUDA_CHECK(cudaMemcpyAsync(static_cast<char*>(device) + done, buffer.memory, count, cudaMemcpyHostToDevice,
                                       copies_));
            CUDA_CHECK(cudaEventRecord(buffer.copied, copies_));
            // The stream of the kernels goes on behind this copy, and so behind all before it.
            CUDA_CHECK(cudaStreamWaitEvent(stream(), buffer.copied, 0));
        }
    }

private:
    // Long enough that a copy's start does not count (8 MiB are 200 us on PCIe), short enough to cost no memory to
    // speak of and to let a small model's first kernel begin early.
    static constexpr size_t BUFFER_BYTES = 8 << 20;
    static constexpr int BUFFERS = 2;

    struct Buffer {
        void* memory = nullptr;
        cudaEvent_t copied = nullptr;
    };

    // Asks the system to read the whole range of a mapped file now: page faults alone read it in small pieces, one
    // after the other. It is only advice; memory that is no file's does not mind.
    static void ask_for_pages(const void* host, size_t bytes) {
        const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE)), begin = reinterpret_cast<uintptr_t>(host);
        const uintptr_t first = begin / page * page;
        madvise(reinterpret_cast<void*>(first), begin + bytes - first, MADV_WILLNEED);
    }

    cudaStream_t copies_ = nullptr;
    Buffer buffers_[BUFFERS];
    int next_ = 0;
};

}  // namespace

void* workspace() {
    static void* const memory = allocate_on_device(WORKSPACE_BYTES);
    return memory;
}

void* allocate(size_t bytes, Reach reach) {
    workspace();  // stands before there is anything to compute with
    const size_t at_least_one = std::max<size_t>(bytes, 1);
    if (reach == Reach::Shared) {
        void* memory = nullptr;
        if (cudaHostAlloc(&memory, at_least_one, cudaHostAllocMapped) != cudaSuccess) out_of_memory(bytes_text(bytes));
        std::memset(memory, 0, at_least_one);
        return memory;
    }
    void* memory = allocate_on_device(bytes);
    CUDA_CHECK(cudaMemsetAsync(memory, 0, at_least_one, stream()));
    return memory;
}

void release(void* memory, Reach reach) {
    finish();  // what still uses it
    CUDA_CHECK(reach == Reach::Device ? cudaFree(memory) : cudaFreeHost(memory));
}

const void* adopt(const void* host, size_t bytes) {
    static Uploader uploader;
    void* copy = allocate_on_device(bytes);
    uploader.upload(copy, host, bytes);
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
    const cudaError_t error = cudaGraphInstantiate(&executable, graph, 0);
    CUDA_CHECK(cudaGraphDestroy(graph));
    if (error == cudaErrorMemoryAllocation) out_of_memory("a graph");
    CUDA_CHECK(error);
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
bool idle() {
    const cudaError_t error = cudaStreamQuery(stream());
    if (error == cudaErrorNotReady) return false;
    CUDA_CHECK(error);
    return true;
}

}  // namespace leon::LEON_CUDA
