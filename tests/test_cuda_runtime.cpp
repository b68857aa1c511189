// The emulated runtime against CUDA's manual, and the memory of kernels/cuda/memory.cu on it: what may happen later
// does happen later, so that code which relies on luck fails here.
#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/cuda/launchers.h"

#include "tests/testing.h"

namespace leon::LEON_CUDA {
namespace {

struct Pinned {  // an array that copies reach without being read first
    int* data = nullptr;
    explicit Pinned(size_t count, int value = 0) {
        CUDA_CHECK(cudaMallocHost(reinterpret_cast<void**>(&data), count * sizeof(int)));
        std::fill_n(data, count, value);
    }
    ~Pinned() { cudaFreeHost(data); }
    Pinned(const Pinned&) = delete;
};

struct OnDevice {  // full of -1
    int* data = nullptr;
    explicit OnDevice(size_t count) { CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&data), count * sizeof(int))); }
    ~OnDevice() { cudaFree(data); }
    OnDevice(const OnDevice&) = delete;
    int at(size_t i) const {
        int value;
        download(&value, data + i, sizeof value);
        return value;
    }
};

struct TwoStreams {
    cudaStream_t a, b;
    TwoStreams() {
        CUDA_CHECK(cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking));
        CUDA_CHECK(cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking));
    }
    ~TwoStreams() {
        cudaStreamDestroy(a);
        cudaStreamDestroy(b);
    }
};

struct Marker {
    cudaEvent_t event;
    Marker() { CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming)); }
    ~Marker() { cudaEventDestroy(event); }
};

__global__ void take(int* out, const int* in) {
    *out = *in;
}
__global__ void add_one(int* x) {
    *x += 1;
}
__global__ void tell(int* shared, const int* x) {
    *shared = *x;
}

// What the backend keeps for all operations is there already.
size_t free_bytes() {
    release(allocate(0, Reach::Device), Reach::Device);
    size_t available, all;
    CUDA_CHECK(cudaMemGetInfo(&available, &all));
    return available;
}

}  // namespace

TEST_CASE("cuda runtime: a copy reads pinned memory when its turn comes, other memory before the call returns") {
    const TwoStreams streams;
    const OnDevice device(2);
    const Pinned pinned(1, 7);
    int pageable = 7;
    CUDA_CHECK(cudaMemcpyAsync(device.data, pinned.data, 4, cudaMemcpyHostToDevice, streams.a));
    CUDA_CHECK(cudaMemcpyAsync(device.data + 1, &pageable, 4, cudaMemcpyHostToDevice, streams.a));
    *pinned.data = pageable = 8;
    CUDA_CHECK(cudaStreamSynchronize(streams.a));
    CHECK(device.at(0) == 8);
    CHECK(device.at(1) == 7);
}

TEST_CASE("cuda runtime: a copy to pinned memory arrives when it is waited for, to other memory at once") {
    const TwoStreams streams;
    const OnDevice device(1);
    const Pinned pinned(1, 5);
    int pageable = 5;
    CUDA_CHECK(cudaMemsetAsync(device.data, 0, 4, streams.a));
    CUDA_CHECK(cudaMemcpyAsync(pinned.data, device.data, 4, cudaMemcpyDeviceToHost, streams.a));
    CHECK(*pinned.data == 5);
    CUDA_CHECK(cudaMemcpyAsync(&pageable, device.data, 4, cudaMemcpyDeviceToHost, streams.a));
    CHECK(pageable == 0);
    CHECK(*pinned.data == 0);
}

TEST_CASE("cuda runtime: a stream waits for another only where it is told to") {
    const TwoStreams streams;
    const OnDevice from(1), to(2);
    const Pinned pinned(1, 7);
    const Marker copied;
    const auto launch_take = [&](int* out) {
        CUDA_CHECK(launch_kernel(Launch::Plain, take, 1, 1, 0, streams.b, out, static_cast<const int*>(from.data)));
    };
    CUDA_CHECK(cudaMemcpyAsync(from.data, pinned.data, 4, cudaMemcpyHostToDevice, streams.a));
    CUDA_CHECK(cudaEventRecord(copied.event, streams.a));
    launch_take(to.data);
    CUDA_CHECK(cudaStreamWaitEvent(streams.b, copied.event, 0));
    launch_take(to.data + 1);
    CUDA_CHECK(cudaStreamSynchronize(streams.b));
    CHECK(to.at(0) == -1);  // too early: the copy was still to come
    CHECK(to.at(1) == 7);
}

TEST_CASE("cuda runtime: an event stands for what came before it, and no more") {
    const TwoStreams streams;
    const OnDevice device(2);
    const Pinned pinned(1, 7);
    const Marker first;
    CUDA_CHECK(cudaEventSynchronize(first.event));  // never recorded: nothing to wait for
    CUDA_CHECK(cudaMemcpyAsync(device.data, pinned.data, 4, cudaMemcpyHostToDevice, streams.a));
    CUDA_CHECK(cudaEventRecord(first.event, streams.a));
    CUDA_CHECK(cudaMemcpyAsync(device.data + 1, pinned.data, 4, cudaMemcpyHostToDevice, streams.a));
    CUDA_CHECK(cudaEventSynchronize(first.event));
    *pinned.data = 8;
    CUDA_CHECK(cudaDeviceSynchronize());
    CHECK(device.at(0) == 7);
    CHECK(device.at(1) == 8);
}

TEST_CASE("cuda runtime: freeing memory waits for the whole device") {
    const TwoStreams streams;
    int* device;
    CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&device), 4));
    const Pinned pinned(1, 7), back(1);
    CUDA_CHECK(cudaMemcpyAsync(device, pinned.data, 4, cudaMemcpyHostToDevice, streams.a));
    CUDA_CHECK(cudaMemcpyAsync(back.data, device, 4, cudaMemcpyDeviceToHost, streams.a));
    CUDA_CHECK(cudaFree(device));
    CHECK(*back.data == 7);
    int host;
    CHECK(cudaFreeHost(&host) == cudaErrorInvalidValue);
    CHECK(cudaGetLastError() == cudaErrorInvalidValue);
}

TEST_CASE("cuda runtime: launches of a graph wait in the stream, and a query carries out one") {
    const OnDevice device(1);
    const int zero = 0;
    upload(device.data, &zero, sizeof zero);
    Pinned told(1);
    void* shared = allocate(sizeof(int), Reach::Shared);
    const int& seen = *static_cast<int*>(shared);
    Recording* recording = record([&] {
        CUDA_CHECK(launch(add_one, 1, 1, 0, device.data));
        CUDA_CHECK(launch(tell, 1, 1, 0, static_cast<int*>(shared), static_cast<const int*>(device.data)));
    });
    CHECK(idle());
    for (int i = 0; i < 3; i++) replay(recording);
    CHECK(seen == 0);
    CHECK_FALSE(idle());
    CHECK(seen == 1);
    CHECK(cudaGraphExecDestroy(reinterpret_cast<cudaGraphExec_t>(recording)) == cudaErrorInvalidValue);
    CHECK(cudaGetLastError() == cudaErrorInvalidValue);
    CHECK_FALSE(idle());
    CHECK_FALSE(idle());
    CHECK(idle());
    CHECK(seen == 3);
    replay(recording);
    forget(recording);  // waits
    CHECK(seen == 4);
    release(shared, Reach::Shared);
}

TEST_CASE("cuda runtime: a kernel that is launched comes after what waits in its stream") {
    const OnDevice device(1);
    const Pinned pinned(1, 7);
    CUDA_CHECK(cudaMemcpyAsync(device.data, pinned.data, 4, cudaMemcpyHostToDevice, stream()));
    CUDA_CHECK(launch(add_one, 1, 1, 0, device.data));
    *pinned.data = 0;
    CHECK(device.at(0) == 8);
}

TEST_CASE("cuda memory: fresh memory is zero, and all of it comes back") {
    const size_t before = free_bytes();
    for (size_t bytes : {size_t{0}, size_t{1}, size_t{4097}}) {
        std::vector<char> got(bytes, 1);
        void* device = allocate(bytes, Reach::Device);
        void* shared = allocate(bytes, Reach::Shared);
        download(got.data(), device, bytes);
        CHECK(std::count(got.begin(), got.end(), 0) == static_cast<int64_t>(bytes));
        CHECK(std::count(static_cast<char*>(shared), static_cast<char*>(shared) + bytes, 0) ==
              static_cast<int64_t>(bytes));
        release(device, Reach::Device);
        release(shared, Reach::Shared);
    }
    CHECK(free_bytes() == before);
    CHECK_THROWS_AS(allocate(size_t{1} << 60, Reach::Device), Error);
    CHECK_THROWS_AS(adopt(&before, size_t{1} << 60), Error);
}

// Longer than the upload's buffers, so that each is used again while the other is under way.
TEST_CASE("cuda memory: what is adopted arrives whole, whatever its size and however soon the next one follows") {
    std::vector<int> large((20 << 20) / sizeof(int) + 3), small = {1, 2, 3};
    std::iota(large.begin(), large.end(), 0);
    const std::vector<int> want = large;
    const size_t before = free_bytes();
    const void* first = adopt(large.data(), large.size() * sizeof(int));
    const void* second = adopt(small.data(), small.size() * sizeof(int));
    const void* third = adopt(large.data(), large.size() * sizeof(int));
    const void* none = adopt(nullptr, 0);
    std::fill(large.begin(), large.end(), -2);  // the caller's again

    // The first operation that reads them needs no waiting; free_bytes() would wait.
    const OnDevice out(3);
    CUDA_CHECK(launch(take, 1, 1, 0, out.data, static_cast<const int*>(third) + want.size() - 1));
    CUDA_CHECK(launch(take, 1, 1, 0, out.data + 1, static_cast<const int*>(first) + want.size() - 1));
    CUDA_CHECK(launch(take, 1, 1, 0, out.data + 2, static_cast<const int*>(second)));
    CHECK(out.at(0) == want.back());
    CHECK(out.at(1) == want.back());
    CHECK(out.at(2) == 1);
    CHECK(free_bytes() < before);

    for (const void* copy : {first, third}) {
        std::vector<int> got(want.size());
        download(got.data(), copy, got.size() * sizeof(int));
        CHECK(got == want);
    }
    for (const void* copy : {first, second, third, none}) disown(copy);
    CHECK(free_bytes() == before - 3 * sizeof(int));  // `out`
}

TEST_CASE("cuda memory: weights are given back as soon as nobody uses them") {
    const size_t before = free_bytes();
    const std::vector<int> ones(1 << 10, 1);
    for (int round = 0; round < 3; round++) {
        const void* weights = adopt(ones.data(), ones.size() * sizeof(int));
        disown(weights);  // while the copy may still be under way
        CHECK(free_bytes() == before);
    }
}

}  // namespace leon::LEON_CUDA
