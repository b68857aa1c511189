// The emulated GPU against CUDA's manuals: what each primitive must do, as kernels with known answers, in every
// schedule. Layouts of fragments are checked against the closed formulas that other libraries publish, not against the
// emulator's own. `make gpu` compiles the same file with nvcc: there it holds ptx.h to the hardware.
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cuda/launchers.h"
#include "kernels/cuda/ptx.h"

#include "tests/testing.h"

namespace leon::LEON_CUDA {
namespace {

template <class T>
class Device {  // an array in device memory
public:
    explicit Device(size_t count) : count_(count) { CUDA_CHECK(cudaMalloc(&memory_, count * sizeof(T))); }
    explicit Device(const std::vector<T>& values) : Device(values.size()) {
        upload(memory_, values.data(), count_ * sizeof(T));
    }
    ~Device() { cudaFree(memory_); }
    Device(const Device&) = delete;
    T* data() const { return static_cast<T*>(memory_); }
    std::vector<T> get() const {
        std::vector<T> values(count_);
        download(values.data(), memory_, count_ * sizeof(T));
        return values;
    }

private:
    void* memory_ = nullptr;
    size_t count_;
};

#ifdef __CUDACC__
// A GPU has its own schedule.
template <class Test>
void in_every_schedule(Test test) {
    test();
}
#else
// Calls `test` under each schedule.
template <class Test>
void in_every_schedule(Test test) {
    const emu::Schedule before = emu::schedule();
    for (emu::Schedule schedule : {emu::Schedule{emu::Order::Forward, 1}, emu::Schedule{emu::Order::Reverse, 1},
                                   emu::Schedule{emu::Order::Random, 1}, emu::Schedule{emu::Order::Random, 2}}) {
        CAPTURE(static_cast<int>(schedule.order));
        emu::set_schedule(schedule);
        test();
    }
    emu::set_schedule(before);
}
#endif

// The bits of a half.
template <class Half>
uint16_t bits_of(Half half) {
    uint16_t bits;
    std::memcpy(&bits, &half, sizeof bits);
    return bits;
}
template <class Half>
Half half_of(uint16_t bits) {
    Half half;
    std::memcpy(static_cast<void*>(&half), &bits, sizeof half);
    return half;
}

__global__ void shuffles(int* out) {
    const int l = static_cast<int>(threadIdx.x);
    int* o = out + l * 16;
    o[0] = __shfl_sync(~0u, l, 5);
    o[1] = __shfl_sync(~0u, l, 9, 8);  // 9 mod 8 in each group of 8
    o[2] = __shfl_up_sync(~0u, l, 3);
    o[3] = __shfl_up_sync(~0u, l, 3, 16);
    o[4] = __shfl_down_sync(~0u, l, 4);
    o[5] = __shfl_down_sync(~0u, l, 4, 8);
    o[6] = __shfl_xor_sync(~0u, l, 17);
    o[7] = __shfl_xor_sync(~0u, l, 9, 8);  // later groups give back one's own value, earlier ones are read
    o[8] = static_cast<int>(__ballot_sync(~0u, l % 3 == 0));
    o[9] = __any_sync(~0u, l == 7) + 2 * __all_sync(~0u, l < 32) + 4 * __all_sync(~0u, l < 31);
    o[10] = static_cast<int>(__reduce_add_sync(~0u, static_cast<unsigned>(l)));
    o[11] = __reduce_max_sync(~0u, l ^ 21);
    o[12] = static_cast<int>(__match_any_sync(~0u, l / 5));
    o[13] = l < 20 ? __shfl_xor_sync(0xfffffu, l, 1) : __reduce_min_sync(0xfff00000u, l);
    o[14] = __shfl_sync(~0u, static_cast<double>(l), 31 - l) == 31 - l;
    o[15] = static_cast<int>(__shfl_sync(~0u, static_cast<float>(l), l ^ 2));
}

TEST_CASE("cuda emulator: shuffles, votes and reductions") {
    in_every_schedule([] {
        Device<int> device(32 * 16);
        CUDA_CHECK(launch(shuffles, 1, 32, 0, device.data()));
        const auto out = device.get();
        for (int l = 0; l < 32; l++) {
            unsigned same = 0;
            for (int j = 0; j < 32; j++) same |= static_cast<unsigned>(j / 5 == l / 5) << j;
            const int want[16] = {5,
                                  l / 8 * 8 + 1,
                                  l < 3 ? l : l - 3,
                                  l % 16 < 3 ? l : l - 3,
                                  l + 4 > 31 ? l : l + 4,
                                  l % 8 + 4 > 7 ? l : l + 4,
                                  l ^ 17,
                                  (l ^ 9) > (l | 7) ? l : l ^ 9,
                                  0x49249249,
                                  3,
                                  496,
                                  31,
                                  static_cast<int>(same),
                                  l < 20 ? l ^ 1 : 20,
                                  1,
                                  l ^ 2};
            for (int i = 0; i < 16; i++) {
                CAPTURE(l);
                CAPTURE(i);
                CHECK(out[l * 16 + i] == want[i]);
            }
        }
    });
}

// --- tensor cores -----------------------------------------------------------------------------------------------

// Index of value v of lane t in a column-major matrix, as strides: the published layouts of the sm_80 instructions.
__host__ __device__ int index_a(int t, int v) {
    return t % 4 * 32 + t / 4 + v % 2 * 16 + v / 2 % 2 * 8 + v / 4 * 128;
}  // m + 16 k
__host__ __device__ int index_b(int t, int v) {
    return t % 4 * 16 + t / 4 + v % 2 * 8 + v / 2 * 64;
}  // n + 8 k
__host__ __device__ int index_d(int t, int v) {
    return t % 4 * 32 + t / 4 + v % 2 * 16 + v / 2 * 8;
}  // m + 16 n

enum class Halves { BF16, F16 };

__global__ void mma_16_bit(float* out, const uint16_t* a, const uint16_t* b, const float* d, Halves halves) {
    const int t = static_cast<int>(threadIdx.x);
    unsigned ra[4], rb[2];
    float rd[4];
    for (int i = 0; i < 4; i++) ra[i] = a[index_a(t, 2 * i)] | static_cast<unsigned>(a[index_a(t, 2 * i + 1)]) << 16;
    for (int i = 0; i < 2; i++) rb[i] = b[index_b(t, 2 * i)] | static_cast<unsigned>(b[index_b(t, 2 * i + 1)]) << 16;
    for (int v = 0; v < 4; v++) rd[v] = d[index_d(t, v)];
    if (halves == Halves::BF16)
        mma_bf16(rd, ra, rb[0], rb[1]);
    else
        mma_f16(rd, ra, rb[0], rb[1]);
    for (int v = 0; v < 4; v++) out[index_d(t, v)] = rd[v];
}

TEST_CASE("cuda emulator: mma of bf16 and f16 multiplies 16x16 by 16x8") {
    for (Halves halves : {Halves::BF16, Halves::F16})
        in_every_schedule([halves] {
            std::vector<uint16_t> a(256), b(128);
            std::vector<float> d(128);
            const auto half = [&](float x) {
                return halves == Halves::BF16 ? bits_of(__float2bfloat16_rn(x)) : bits_of(__float2half_rn(x));
            };
            for (int i = 0; i < 256; i++) a[i] = half(static_cast<float>(i * 7 % 23 - 11));
            for (int i = 0; i < 128; i++) b[i] = half(static_cast<float>(i * 5 % 17 - 8));
            for (int i = 0; i < 128; i++) d[i] = static_cast<float>(i);
            Device<uint16_t> da(a), db(b);
            Device<float> dd(d), result(128);
            CUDA_CHECK(launch(mma_16_bit, 1, 32, 0, result.data(), da.data(), db.data(), dd.data(), halves));
            const auto out = result.get();
            for (int m = 0; m < 16; m++)
                for (int n = 0; n < 8; n++) {
                    int want = m + 16 * n;
                    for (int k = 0; k < 16; k++) want += ((m + 16 * k) * 7 % 23 - 11) * ((n + 8 * k) * 5 % 17 - 8);
                    CHECK(out[m + 16 * n] == want);
                }
        });
}

// Three products that share a, against the same one by one.
__global__ void mma_rows(float* out, const unsigned* in) {
    const unsigned t = threadIdx.x;
    unsigned a[4], b[3][2];
    float together[3][3][4], alone[3][3][4];
    for (int i = 0; i < 4; i++) a[i] = in[t * 10 + i] & 0x3fff3fffu;  // no NaN of any type
    for (int i = 0; i < 6; i++) b[i / 2][i % 2] = in[t * 10 + 4 + i] & 0x3fff3fffu;
    for (int i = 0; i < 36; i++) together[i / 12][i / 4 % 3][i % 4] = alone[i / 12][i / 4 % 3][i % 4] = float(i);
    mma_bf16(together[0], a, b);
    mma_f16(together[1], a, b);
    mma_tf32(together[2], a, b);
    for (int i = 0; i < 3; i++) {
        mma_bf16(alone[0][i], a, b[i][0], b[i][1]);
        mma_f16(alone[1][i], a, b[i][0], b[i][1]);
        mma_tf32(alone[2][i], a, b[i][0], b[i][1]);
    }
    for (int i = 0; i < 36; i++) {
        out[t * 72 + i] = together[i / 12][i / 4 % 3][i % 4];
        out[t * 72 + 36 + i] = alone[i / 12][i / 4 % 3][i % 4];
    }
}

TEST_CASE("cuda emulator: mma of a row is as many products") {
    in_every_schedule([] {
        std::vector<unsigned> in(320);
        for (unsigned i = 0; i < in.size(); i++) in[i] = i * 2654435761u;
        Device<unsigned> source(in);
        Device<float> result(32 * 72);
#ifdef __CUDACC__
        CUDA_CHECK(launch(mma_rows, 1, 32, 0, result.data(), source.data()));
#else
        emu::reset_counters();
        CUDA_CHECK(launch(mma_rows, 1, 32, 0, result.data(), source.data()));
        CHECK(emu::counters.matrix_products == 18);
        CHECK(emu::counters.warp_collectives == 18);
#endif
        const auto out = result.get();
        for (size_t t = 0; t < 32; t++)
            for (size_t i = 0; i < 36; i++) CHECK(out[t * 72 + i] == out[t * 72 + 36 + i]);
    });
}

__global__ void mma_tf32_kernel(float* out, const float* a, const float* b) {
    const int t = static_cast<int>(threadIdx.x), group = t / 4, column = t % 4;
    unsigned ra[4], rb[2];
    for (int i = 0; i < 4; i++) ra[i] = __float_as_uint(a[(group + i % 2 * 8) * 8 + column + i / 2 * 4]);
    for (int i = 0; i < 2; i++) rb[i] = __float_as_uint(b[(column + i * 4) * 8 + group]);
    float d[4] = {};
    mma_tf32(d, ra, rb[0], rb[1]);
    for (int v = 0; v < 4; v++) out[index_d(t, v)] = d[v];
}

TEST_CASE("cuda emulator: mma of tf32 multiplies 16x8 by 8x8") {
    std::vector<float> a(128), b(64);
    for (int i = 0; i < 128; i++) a[i] = static_cast<float>(i * 7 % 23 - 11);
    for (int i = 0; i < 64; i++) b[i] = static_cast<float>(i * 5 % 17 - 8);
    Device<float> da(a), db(b), result(128);
    CUDA_CHECK(launch(mma_tf32_kernel, 1, 32, 0, result.data(), da.data(), db.data()));
    const auto out = result.get();
    for (int m = 0; m < 16; m++)
        for (int n = 0; n < 8; n++) {
            float want = 0;
            for (int k = 0; k < 8; k++) want += a[m * 8 + k] * b[k * 8 + n];
            CHECK(out[m + 16 * n] == want);
        }
}

__global__ void permuted_bytes(unsigned* out) {
    out[0] = __byte_perm(0x33221100u, 0x77665544u, 0x3210u);
    out[1] = __byte_perm(0x33221100u, 0x77665544u, 0x7531u);
    out[2] = __byte_perm(0x33221100u, 0x77665544u, 0x0476u);
}

TEST_CASE("cuda emulator: bytes are picked from two words") {
    Device<unsigned> device(3);
    CUDA_CHECK(launch(permuted_bytes, 1, 1, 0, device.data()));
    CHECK(device.get() == std::vector<unsigned>{0x33221100u, 0x77553311u, 0x00447766u});
}

__global__ void matrices(unsigned* out) {
    DYNAMIC_SHARED(uint16_t, rows);  // [32][8]
    const unsigned t = threadIdx.x;
    for (unsigned i = 0; i < 8; i++) rows[t * 8 + i] = static_cast<uint16_t>(t * 8 + i);
    __syncwarp();
    unsigned four[4], four_transposed[4], two[2], two_transposed[2];
    ldmatrix_x4(four, rows + t * 8);
    ldmatrix_x4<true>(four_transposed, rows + t * 8);
    ldmatrix_x2(two, rows + t * 8);
    ldmatrix_x2<true>(two_transposed, rows + t * 8);
    for (int i = 0; i < 4; i++) {
        out[t * 12 + i] = four[i];
        out[t * 12 + 4 + i] = four_transposed[i];
        out[t * 12 + 8 + i] = i < 2 ? two[i] : two_transposed[i - 2];
    }
}

TEST_CASE("cuda emulator: ldmatrix hands out rows and columns") {
    in_every_schedule([] {
        Device<unsigned> device(32 * 12);
        CUDA_CHECK(launch(matrices, 1, 32, 512, device.data()));
        const auto out = device.get();
        for (unsigned t = 0; t < 32; t++)
            for (unsigned r = 0; r < 4; r++) {
                const unsigned element = 2 * (t + 32 * r), row = element | (element + 1) << 16;
                const unsigned low = (t % 4 * 256 + t / 4 * 16 + r * 1024) / 16, column = low | (low + 8) << 16;
                CHECK(out[t * 12 + r] == row);
                CHECK(out[t * 12 + 4 + r] == column);
                if (r < 2) CHECK(out[t * 12 + 8 + r] == row);
                if (r < 2) CHECK(out[t * 12 + 10 + r] == column);
            }
    });
}

// --- copies in the background -----------------------------------------------------------------------------------

template <int BYTES>
__global__ void copies(unsigned* out, const unsigned* in) {  // 32 threads, BYTES each
    DYNAMIC_SHARED(unsigned, shared);
    constexpr unsigned WORDS = BYTES / 4;
    const unsigned t = threadIdx.x;
    cp_async<BYTES>(shared + t * WORDS, in + t * WORDS, true);
    cp_async_commit();
    cp_async<BYTES>(shared + (32 + t) * WORDS, in + t * WORDS, t % 2 == 1);
    cp_async_commit();
    out[128 + t] = shared[(32 + t) * WORDS];  // too early: all ones here, anything on a GPU
    cp_async_wait<1>();
    __syncthreads();
    out[t] = shared[(31 - t) * WORDS];
    cp_async_wait<0>();
    __syncthreads();
    out[32 + t] = shared[(32 + 31 - t) * WORDS + WORDS - 1];
}

template <int BYTES>
void check_copies() {
    in_every_schedule([] {
        constexpr unsigned WORDS = BYTES / 4;
        std::vector<unsigned> in(32 * WORDS);
        for (unsigned i = 0; i < in.size(); i++) in[i] = i + 100;
        Device<unsigned> source(in), device(160);
        CUDA_CHECK(launch(copies<BYTES>, 1, 32, 64 * BYTES, device.data(), source.data()));
        const auto out = device.get();
        for (unsigned t = 0; t < 32; t++) {
            const unsigned other = 31 - t;
            CHECK(out[t] == other * WORDS + 100);
            CHECK(out[32 + t] == (other % 2 ? other * WORDS + WORDS - 1 + 100 : 0));
#ifndef __CUDACC__
            CHECK(out[128 + t] == ~0u);  // a GPU may have copied it by then
#endif
        }
    });
}

TEST_CASE("cuda emulator: cp.async copies, fills with zeros, and is not there before it is waited for") {
    check_copies<4>();
    check_copies<8>();
    check_copies<16>();
}

// --- blocks and grids -------------------------------------------------------------------------------------------

__global__ void indices(int* out) {
    const unsigned t = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const unsigned b = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    out[b * 30 + t] = static_cast<int>(b * 30 + t + 1);
    const int votes =
        __syncthreads_count(t % 3 == 0) + 100 * __syncthreads_or(t == 29) + 1000 * __syncthreads_and(t < 30);
    if (b == 0 && t == 0) out[240] = votes;
}

TEST_CASE("cuda emulator: indices of threads and blocks, votes of a block") {
    in_every_schedule([] {
        Device<int> device(241);
        CUDA_CHECK(launch(indices, dim3(2, 2, 2), dim3(5, 3, 2), 0, device.data()));
        const auto out = device.get();
        for (int i = 0; i < 240; i++) CHECK(out[i] == i + 1);
        CHECK(out[240] == 1110);
    });
}

__global__ void producers(int* out) {  // warps 0 and 1 hand 64 values to warps 2 and 3, ten times
    DYNAMIC_SHARED(int, box);
    const int t = static_cast<int>(threadIdx.x % 64);
    int sum = 0;
    for (int i = 0; i < 10; i++) {
        if (threadIdx.x < 64) box[t] = t * i;
        bar_sync(1, 128);
        if (threadIdx.x >= 64) sum += box[63 - t];
        bar_sync(2, 128);
    }
    if (threadIdx.x >= 64) out[t] = sum;
}

TEST_CASE("cuda emulator: named barriers hand values from warp to warp") {
    in_every_schedule([] {
        Device<int> device(64);
        CUDA_CHECK(launch(producers, 1, 128, 64 * sizeof(int), device.data()));
        const auto out = device.get();
        for (int t = 0; t < 64; t++) CHECK(out[t] == (63 - t) * 45);
    });
}

__global__ void counting(float* out, int* lock, __half2* halves) {
    atomicAdd(&out[0], 1.0f);
    atomicAdd(halves, __floats2half2_rn(1, 0.5f));
    for (bool done = false; !done;) {
        if (atomicCAS(lock, 0, 1) != 0) continue;
        volatile float* guarded = out + 1;
        *guarded = *guarded + 1;
        __threadfence();
        atomicExch(lock, 0);
        done = true;
    }
}

TEST_CASE("cuda emulator: atomics, and a lock made of them") {
    in_every_schedule([] {
        Device<float> device(std::vector<float>{0, 0});
        Device<int> lock(std::vector<int>{0});
        Device<__half2> halves(std::vector<__half2>{__floats2half2_rn(0, 0)});
        CUDA_CHECK(launch(counting, 4, 64, 0, device.data(), lock.data(), halves.data()));
        CHECK(device.get() == std::vector<float>{256, 256});
        CHECK(__low2float(halves.get()[0]) == 256);
        CHECK(__high2float(halves.get()[0]) == 128);
    });
}

__global__ void last_block(int* out, int* partial, unsigned* arrived) {
    DYNAMIC_SHARED(int, is_last);
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = static_cast<int>(blockIdx.x + 1);
        __threadfence();
        *is_last = atomicAdd(arrived, 1u) == gridDim.x - 1;
        __threadfence();
    }
    __syncthreads();
    if (!*is_last || threadIdx.x != 0) return;
    int sum = 0;
    for (unsigned i = 0; i < gridDim.x; i++) sum += partial[i];
    *out = sum;
}

TEST_CASE("cuda emulator: the last block adds up what the others left") {
    in_every_schedule([] {
        Device<int> device(1), partial(20);
        Device<unsigned> arrived(std::vector<unsigned>{0});
        CUDA_CHECK(launch(last_block, 20, 64, sizeof(int), device.data(), partial.data(), arrived.data()));
        CHECK(device.get()[0] == 210);
    });
}

__global__ void handover(unsigned* out, unsigned* value, unsigned* flag) {  // block 0 to block 1
    if (blockIdx.x == 0) {
        *value = 42;
        st_release(flag, 1);
    } else {
        while (ld_acquire(flag) == 0) {
        }
        *out = *value;
    }
}

TEST_CASE("cuda emulator: a release is seen by the acquire that waits for it") {
    in_every_schedule([] {
        Device<unsigned> out(1), value(1), flag(std::vector<unsigned>{0});
        CUDA_CHECK(launch_cooperative(handover, 2, 1, 0, out.data(), value.data(), flag.data()));
        CHECK(out.get()[0] == 42);
    });
}

__global__ void rounds(int* data, int count) {  // in each, every block adds up what all wrote in the one before
    DYNAMIC_SHARED(int, shared);
    int* mine = shared;
    int* scratch = shared + 1;
    if (threadIdx.x == 0) *mine = static_cast<int>(blockIdx.x);  // must survive the barriers
    for (int r = 0; r < count; r++) {
        const int* from = data + static_cast<unsigned>(r % 2) * gridDim.x;
        int* to = data + static_cast<unsigned>((r + 1) % 2) * gridDim.x;
        if (threadIdx.x < gridDim.x) scratch[threadIdx.x] = from[threadIdx.x];
        __syncthreads();
        if (threadIdx.x == 0) {
            int sum = 0;
            for (unsigned b = 0; b < gridDim.x; b++) sum += scratch[b];
            to[blockIdx.x] = sum % 1000 + *mine;
        }
        grid_sync();
    }
}

TEST_CASE("cuda emulator: a barrier of the whole grid") {
    in_every_schedule([] {
        Device<int> device(std::vector<int>(16, 1));
        CUDA_CHECK(launch_cooperative(rounds, 8, 64, 65 * sizeof(int), device.data(), 5));
        std::vector<int> now(8, 1), next(8);
        for (int r = 0; r < 5; r++) {
            int sum = 0;
            for (int x : now) sum += x;
            for (int i = 0; i < 8; i++) next[i] = sum % 1000 + i;
            now = next;
        }
        const auto out = device.get();
        for (int i = 0; i < 8; i++) CHECK(out[8 + i] == now[i]);
    });
}

// --- the runtime ------------------------------------------------------------------------------------------------

__global__ void increment(int* x) {
    *x += 1;
}

TEST_CASE("cuda emulator: a captured graph runs when it is launched, as often as it is launched") {
    Device<int> device(std::vector<int>{7});
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    CUDA_CHECK(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal));
    CUDA_CHECK(launch(increment, 1, 1, 0, device.data()));
    CUDA_CHECK(launch(increment, 1, 1, 0, device.data()));
    CUDA_CHECK(cudaStreamEndCapture(stream(), &graph));
    CUDA_CHECK(cudaGraphInstantiate(&executable, graph, 0));
    CHECK(device.get()[0] == 7);
    for (int i = 0; i < 3; i++) CUDA_CHECK(cudaGraphLaunch(executable, stream()));
    CHECK(device.get()[0] == 13);
    CUDA_CHECK(cudaGraphExecDestroy(executable));
    CUDA_CHECK(cudaGraphDestroy(graph));
}

// Each passes 32 values on, by one further; what it needs of nobody comes before the wait.
__global__ void passes_on(int* to, const int* from, const int* constants) {
    DYNAMIC_SHARED(uint4, box);
    grid_dependency_launch();
    cp_async_streaming(box + threadIdx.x, constants + 4 * threadIdx.x, threadIdx.x < 31);
    cp_async_commit();
    grid_dependency_wait();
    cp_async_wait<0>();
    to[(threadIdx.x + 1) % 32] = from[threadIdx.x] + static_cast<int>(box[threadIdx.x].y);
}

TEST_CASE("cuda emulator: dependent launches pass values on, in a graph too") {
    in_every_schedule([] {
        std::vector<int> constants(128);
        for (int i = 0; i < 128; i++) constants[static_cast<size_t>(i)] = i;
        Device<int> fixed(constants), first(std::vector<int>(32, 7)), second(32);
        const auto round = [&] {
            for (int i = 0; i < 8; i++) {
                CUDA_CHECK(launch_dependent(passes_on, 1, 32, 512, second.data(), first.data(), fixed.data()));
                CUDA_CHECK(launch_dependent(passes_on, 1, 32, 512, first.data(), second.data(), fixed.data()));
            }
        };
        Recording* recording = record(round);
        round();
        replay(recording);
        forget(recording);
        // 32 launches carry each value once around, past every lane but the last one's nothing.
        int sum = 7;
        for (int lane = 0; lane < 31; lane++) sum += 4 * lane + 1;
        for (int value : first.get()) CHECK(value == sum);
    });
}

TEST_CASE("cuda emulator: impossible launches and copies are refused") {
    Device<int> device(4);
    int host[8] = {};
    CHECK(launch(increment, 1, 1025, 0, device.data()) == cudaErrorInvalidConfiguration);
    CHECK(launch(increment, 1, 32, 300 << 10, device.data()) == cudaErrorInvalidConfiguration);
    CHECK(launch(increment, 0, 32, 0, device.data()) == cudaErrorInvalidConfiguration);
    CHECK(cudaMemcpy(device.data(), host, 5 * sizeof(int), cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    CHECK(cudaMemcpy(host, host + 4, 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
    CHECK(cudaGetLastError() == cudaErrorInvalidValue);
    CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("cuda emulator: 16-bit floats round to nearest, ties to even") {
    for (uint32_t bits = 0; bits < 65536; bits++) {  // every half survives the way to float and back
        const float f = __half2float(half_of<__half>(static_cast<uint16_t>(bits))),
                    b = __bfloat162float(half_of<__nv_bfloat16>(static_cast<uint16_t>(bits)));
        if (!std::isnan(f)) REQUIRE(bits_of(__float2half_rn(f)) == bits);
        if (!std::isnan(b)) REQUIRE(bits_of(__float2bfloat16_rn(b)) == bits);
        if (std::isfinite(f) && f > 0) {  // the middle between neighbours goes to the even one, a hair more goes up
            const float next = __half2float(half_of<__half>(static_cast<uint16_t>(bits + 1)));
            const float middle = bits == 0x7bff ? 65520.0f : (f + next) / 2;
            REQUIRE(bits_of(__float2half_rn(middle)) == bits + bits % 2);
            REQUIRE(bits_of(__float2half_rn(std::nextafter(middle, 1e9f))) == bits + 1);
            REQUIRE(bits_of(__float2half_rn(std::nextafter(middle, 0.0f))) == bits);
        }
    }
    CHECK(std::isnan(__half2float(__float2half_rn(NAN))));
    CHECK(std::isnan(__bfloat162float(__float2bfloat16_rn(NAN))));
    CHECK(bits_of(__float2bfloat16_rn(1.00390625f)) == 0x3f80);  // 1 + 2^-8, the tie: down to even
    CHECK(bits_of(__float2bfloat16_rn(1.01171875f)) == 0x3f82);  // 1 + 3 * 2^-8, the tie: up to even
}

#ifndef __CUDACC__
TEST_CASE("cuda emulator: the counters count") {
    Device<int> device(241);
    emu::reset_counters();
    CUDA_CHECK(launch(indices, dim3(2, 2, 2), dim3(5, 3, 2), 0, device.data()));
    CHECK(emu::counters.launches == 1);
    CHECK(emu::counters.blocks == 8);
    CHECK(emu::counters.threads == 240);
    CHECK(emu::counters.barriers == 24);
}
#endif

}  // namespace
}  // namespace leon::LEON_CUDA
