// The counter of traffic against cases counted by hand, in every schedule. Linked only into the program of
// `make test-races`, whose kernels are instrumented.
#include <algorithm>

#include "kernels/cuda/launchers.h"
#include "kernels/cuda/ptx.h"

#include "tests/testing.h"

namespace leon::LEON_CUDA {
namespace {

constexpr size_t FLOATS = 64 << 10;

struct DeviceArray {
    float* data = static_cast<float*>(allocate(FLOATS * sizeof(float), Reach::Device));
    ~DeviceArray() { release(data, Reach::Device); }
};

// What the launch counts; the same in every schedule.
template <class Kernel, class... Arguments>
emu::Counters count(Kernel kernel, dim3 grid, dim3 block, Arguments... arguments) {
    const emu::Schedule before = emu::schedule();
    emu::Counters first{};
    for (emu::Schedule schedule : {emu::Schedule{emu::Order::Forward, 1}, emu::Schedule{emu::Order::Reverse, 1},
                                   emu::Schedule{emu::Order::Random, 1}, emu::Schedule{emu::Order::Random, 2}}) {
        emu::set_schedule(schedule);
        emu::reset_counters();
        CUDA_CHECK(launch(kernel, grid, block, 16 << 10, arguments...));
        if (schedule.order == emu::Order::Forward) first = emu::counters;
        CAPTURE(static_cast<int>(schedule.order));
        CHECK(emu::counters == first);
    }
    emu::set_schedule(before);
    return first;
}

// --- global memory ----------------------------------------------------------------------------------------------

__global__ void load(float* out, const float* x, unsigned stride, unsigned offset) {
    const float value = x[threadIdx.x * stride + offset];
    if (value == 12345) *out = value;
}
__global__ void store(float* out, unsigned stride) {
    out[threadIdx.x * stride] = 1;
}
__global__ void load_fours(float* out, const float* x) {
    const float4 four = *reinterpret_cast<const float4*>(x + threadIdx.x * 4);
    if (four.x + four.w == 12345) *out = four.x;  // two members are enough
}
__global__ void store_fours(float* out) {
    reinterpret_cast<float4*>(out)[threadIdx.x] = make_float4(1, 2, 3, 4);
}

TEST_CASE("cuda traffic: sectors of a load follow the stride") {
    DeviceArray x;
    struct Expected {
        unsigned stride, offset;
        uint64_t sectors;
    };
    for (const Expected& e :
         {Expected{1, 0, 4}, {1, 1, 5}, {2, 0, 8}, {4, 0, 16}, {8, 0, 32}, {32, 0, 32}, {0, 0, 1}}) {
        CAPTURE(e.stride);
        const emu::Counters c = count(load, 1, 32, x.data, x.data, e.stride, e.offset);
        CHECK(c.global_requests == 1);
        CHECK(c.global_read_sectors == e.sectors);
        CHECK(c.footprint_sectors == e.sectors);
        CHECK(c.global_read_bytes == 128);
        CHECK(c.global_write_sectors == 0);
    }
}

TEST_CASE("cuda traffic: stores, and accesses of 16 bytes") {
    DeviceArray x;
    CHECK(count(store, 1, 32, x.data, 1u).global_write_sectors == 4);
    CHECK(count(store, 1, 32, x.data, 32u).global_write_sectors == 32);
    const emu::Counters wide = count(load_fours, 1, 32, x.data, x.data);
    CHECK(wide.global_requests == 1);
    CHECK(wide.global_read_bytes == 512);
    CHECK(wide.global_read_sectors == 16);
    CHECK(count(store_fours, 1, 32, x.data).global_write_sectors == 16);
    CHECK(count(store_fours, 1, 32, x.data).global_requests == 1);
}

__global__ void load_again(float* out, const float* x, int times) {  // 2 blocks of 40 threads, each all of x[0, 40)
    float sum = 0;
    for (int i = 0; i < times; i++) sum += x[(threadIdx.x + static_cast<unsigned>(i)) % 40];
    if (sum == 12345) *out = sum;
}

TEST_CASE("cuda traffic: what is loaded again counts again, but once in the footprint") {
    DeviceArray x;
    const emu::Counters c = count(load_again, 2, 40, x.data, x.data, 3);
    CHECK(c.global_requests == 2 * 2 * 3);  // two warps a block, of 32 and 8 lanes
    CHECK(c.longest_warp_requests == 3);
    CHECK(c.footprint_sectors == 5);
    // Lanes 0 to 31 at offset 0, 1, 2: 4, 5 and 5 sectors; lanes 32 to 39: 1, then 1 and 39 | 0: 2, 2.
    CHECK(c.global_read_sectors == 2 * (4 + 5 + 5 + 1 + 2 + 2));
}

__global__ void ragged(float* out, const float* x) {  // lane l loads l + 1 times, meets the others, loads once more
    float sum = 0;
    for (unsigned i = 0; i <= threadIdx.x; i++) sum += x[i * 32 + threadIdx.x];
    __syncwarp();
    sum += x[threadIdx.x];
    if (sum == 12345) *out = sum;
}

TEST_CASE("cuda traffic: lanes that part and meet again") {
    DeviceArray x;
    const emu::Counters c = count(ragged, 1, 32, x.data, x.data);
    uint64_t sectors = 4;
    for (unsigned i = 0; i < 32; i++) sectors += (32 - i / 8 * 8) / 8;  // the i-th load is made by lanes i to 31
    CHECK(c.global_requests == 33);
    CHECK(c.global_read_sectors == sectors);
}

__device__ __attribute__((noinline)) float helper(const float* p) {
    return *p;
}
__global__ void calls(float* out, const float* x) {  // one instruction, called from two places
    float sum = 0;
    if (threadIdx.x % 2)
        sum += helper(x + threadIdx.x);
    else
        sum += helper(x + 1024 + threadIdx.x);
    if (sum == 12345) *out = sum;
}

TEST_CASE("cuda traffic: lanes in different calls of a function make different requests") {
    DeviceArray x;
    const emu::Counters c = count(calls, 1, 32, x.data, x.data);
    CHECK(c.global_requests == 2);
    CHECK(c.global_read_sectors == 8);
}

// --- shared memory ----------------------------------------------------------------------------------------------

__global__ void shared_load(float* out, unsigned stride) {
    DYNAMIC_SHARED(float, shared);
    const float value = shared[threadIdx.x * stride];
    if (value == 12345) *out = value;
}
__global__ void shared_store(unsigned stride) {
    DYNAMIC_SHARED(float, shared);
    shared[threadIdx.x * stride] = 1;
}
template <class T>
__global__ void shared_wide(float* out, unsigned stride) {
    DYNAMIC_SHARED(T, shared);
    const T value = shared[threadIdx.x * stride];
    if (value.x == 12345) *out = value.y;
}
__global__ void shared_swizzled(float* out, unsigned column) {  // a column of [32][32], stored in column ^ row
    DYNAMIC_SHARED(float, shared);
    const float value = shared[threadIdx.x * 32 + (column ^ threadIdx.x)];
    if (value == 12345) *out = value;
}

TEST_CASE("cuda traffic: bank conflicts of single words") {
    DeviceArray x;
    struct Expected {
        unsigned stride;
        uint64_t wavefronts;
    };
    // Adjacent, one word for all, every second, every fourth, a column of 32, the same padded to 33.
    for (const Expected& e : {Expected{1, 1}, {0, 1}, {2, 2}, {4, 4}, {32, 32}, {33, 1}}) {
        CAPTURE(e.stride);
        const emu::Counters read = count(shared_load, 1, 32, x.data, e.stride);
        CHECK(read.shared_requests == 1);
        CHECK(read.shared_wavefronts == e.wavefronts);
        CHECK(read.bank_conflicts == e.wavefronts - 1);
        if (e.stride == 0) continue;  // all lanes would store to one word, a race
        CHECK(count(shared_store, 1, 32, e.stride).shared_wavefronts == e.wavefronts);
    }
    CHECK(count(shared_swizzled, 1, 32, x.data, 5u).bank_conflicts == 0);
    CHECK(count(shared_load, 1, 32, x.data, 1u).shared_read_bytes == 128);
    CHECK(count(shared_store, 1, 32, 1u).shared_write_bytes == 128);
}

TEST_CASE("cuda traffic: 8 bytes go by half warps, 16 by quarters") {
    DeviceArray x;
    CHECK(count(shared_wide<float2>, 1, 32, x.data, 1u).shared_wavefronts == 2);
    CHECK(count(shared_wide<float2>, 1, 32, x.data, 1u).bank_conflicts == 0);
    CHECK(count(shared_wide<float2>, 1, 32, x.data, 2u).shared_wavefronts == 4);
    CHECK(count(shared_wide<float4>, 1, 32, x.data, 1u).shared_wavefronts == 4);
    CHECK(count(shared_wide<float4>, 1, 32, x.data, 1u).bank_conflicts == 0);
    CHECK(count(shared_wide<float4>, 1, 32, x.data, 2u).shared_wavefronts == 8);
    CHECK(count(shared_wide<float4>, 1, 8, x.data, 1u).shared_wavefronts == 1);
}

// --- instructions of many accesses ------------------------------------------------------------------------------

__global__ void matrix_rows(float* out, unsigned row_bytes, bool swizzled) {  // four 8x8 matrices, below one another
    DYNAMIC_SHARED(char, shared);
    const unsigned chunk = swizzled ? threadIdx.x % 8 : 0;
    unsigned r[4];
    ldmatrix_x4(r, shared + threadIdx.x * row_bytes + chunk * 16);
    if (r[0] == 12345) *out = 1;
}

TEST_CASE("cuda traffic: ldmatrix is one request of rows of 16 bytes") {
    DeviceArray x;
    const emu::Counters dense = count(matrix_rows, 1, 32, x.data, 16u, false);
    CHECK(dense.shared_requests == 1);
    CHECK(dense.shared_read_bytes == 512);
    CHECK(dense.shared_wavefronts == 4);
    CHECK(dense.matrix_loads == 1);
    CHECK(count(matrix_rows, 1, 32, x.data, 128u, false).shared_wavefronts == 32);  // all rows in the same banks
    CHECK(count(matrix_rows, 1, 32, x.data, 128u, true).shared_wavefronts == 4);
    CHECK(count(matrix_rows, 1, 32, x.data, 144u, false).shared_wavefronts == 4);  // padded
}

__global__ void copy_in_background(const float* x, unsigned lanes) {
    DYNAMIC_SHARED(float, shared);
    cp_async<16>(shared + threadIdx.x * 4, x + threadIdx.x * 4, threadIdx.x < lanes);
    cp_async_commit();
    cp_async_wait<0>();
}

TEST_CASE("cuda traffic: cp.async reads once and writes once") {
    DeviceArray x;
    const emu::Counters all = count(copy_in_background, 1, 32, x.data, 32u);
    CHECK(all.async_bytes == 512);
    CHECK(all.global_requests == 1);
    CHECK(all.global_read_sectors == 16);
    CHECK(all.shared_requests == 1);
    CHECK(all.shared_write_bytes == 512);
    CHECK(all.shared_wavefronts == 4);
    CHECK(all.shared_read_bytes == 0);
    const emu::Counters some = count(copy_in_background, 1, 32, x.data, 10u);  // the rest is filled with zeros
    CHECK(some.async_bytes == 160);
    CHECK(some.global_read_sectors == 5);
    CHECK(some.shared_write_bytes == 512);
}

// A matrix of 32 x 32 transposed through shared memory: the textbook's case, with and without its two remedies.
__global__ void transpose(float* out, const float* x, unsigned pitch) {
    DYNAMIC_SHARED(float, tile);
    for (unsigned row = threadIdx.y; row < 32; row += 8) tile[row * pitch + threadIdx.x] = x[row * 32 + threadIdx.x];
    __syncthreads();
    for (unsigned row = threadIdx.y; row < 32; row += 8) out[row * 32 + threadIdx.x] = tile[threadIdx.x * pitch + row];
}
__global__ void transpose_directly(float* out, const float* x) {
    for (unsigned row = threadIdx.y; row < 32; row += 8) out[row * 32 + threadIdx.x] = x[threadIdx.x * 32 + row];
}

TEST_CASE("cuda traffic: a transposition, directly, through shared memory, and padded") {
    DeviceArray x, out;
    const emu::Counters direct = count(transpose_directly, 1, dim3(32, 8), out.data, x.data);
    CHECK(direct.global_read_sectors == 32 * 32);
    CHECK(direct.global_write_sectors == 32 * 4);
    const emu::Counters tiled = count(transpose, 1, dim3(32, 8), out.data, x.data, 32u);
    CHECK(tiled.global_read_sectors == 32 * 4);
    CHECK(tiled.global_write_sectors == 32 * 4);
    CHECK(tiled.bank_conflicts == 32 * 31);
    CHECK(tiled.barriers == 1);
    const emu::Counters padded = count(transpose, 1, dim3(32, 8), out.data, x.data, 33u);
    CHECK(padded.shared_wavefronts == 64);
    CHECK(padded.bank_conflicts == 0);
    CHECK(padded.longest_warp_requests == 4 * 4);
    CHECK(padded.footprint_sectors == 256);
}

}  // namespace
}  // namespace leon::LEON_CUDA
