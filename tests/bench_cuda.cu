// How fast the CUDA kernels are on a real GPU: against the roofs of that GPU, against cuBLAS, and against what
// kernels/planning had said. Part of `make gpu`; without a GPU it says so and stops.
//
//   build/bench_cuda                     everything, on the machine at hand
//   build/bench_cuda --plan h200 -g conv    its plan's name; groups whose name contains "conv"
//
// First the roofs: reading memory, mma.sync, and the gap between the kernels of a graph. They are the assumptions of
// kernels/planning/machine.h, measured. Then each operation at the shapes of the 350M and the 7B model: a recording of
// several calls, on weights that together are larger than the L2, replayed; the best of many replays counts. cuBLAS
// is asked for the same exactness where arithmetic bounds (float32 activations, split in two for 16-bit weights); for
// up to 16 rows it multiplies activations that are rounded to 16 bits already.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cuda/cublas.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/ptx.h"
#include "kernels/planning/planning.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int CALLS = 24;             // in one recording
constexpr int REPLAYS = 12;           // the best counts
constexpr double COLD_BYTES = 400e6;  // of weights among which the calls of a recording rotate: larger than any L2
constexpr size_t READ_BYTES = size_t{2} << 30;

// Seconds of one replay: the best of several, each waited for.
double replayed(const std::function<void()>& operations) {
    Recording* recording = record(operations);
    double best = 1e9;
    for (int i = 0; i < REPLAYS; i++) {
        finish();
        const auto start = std::chrono::steady_clock::now();
        replay(recording);
        finish();
        best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    forget(recording);
    return best;
}

// --- roofs ------------------------------------------------------------------------------------------------------

__global__ void __launch_bounds__(256) read_kernel(const uint4* data, int64_t count, unsigned* out) {
    unsigned sum = 0;
    const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x * 4;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x * 4 + threadIdx.x; i < count; i += stride) {
        uint4 part[4];
#pragma unroll
        for (int j = 0; j < 4; j++)
            part[j] = i + j * blockDim.x < count ? load_streaming(data + i + j * blockDim.x) : uint4{};
#pragma unroll
        for (int j = 0; j < 4; j++) sum += part[j].x ^ part[j].y ^ part[j].z ^ part[j].w;
    }
    if (sum == 0x9e3779b9u) *out = sum;  // so that nothing can be left out
}

constexpr int MMA_STEPS = 4096, MMA_CHAINS = 8;  // products in flight per warp

template <bool TF32>
__global__ void __launch_bounds__(128) mma_kernel(float* out) {
    float sums[MMA_CHAINS][4] = {};
    const unsigned a[4] = {threadIdx.x, threadIdx.x + 1, threadIdx.x + 2, threadIdx.x + 3};
    for (int i = 0; i < MMA_STEPS; i++)
#pragma unroll
        for (int c = 0; c < MMA_CHAINS; c++) {
            if constexpr (TF32)
                mma_tf32(sums[c], a, a[0], a[1]);
            else
                mma_bf16(sums[c], a, a[0], a[1]);
        }
    float sum = 0;
    for (int c = 0; c < MMA_CHAINS; c++) sum += sums[c][0] + sums[c][1] + sums[c][2] + sums[c][3];
    if (sum == 12345.0f) *out = sum;
}

__global__ void nothing_kernel() {}

struct Roofs {
    double bandwidth, half, tf32, gap;
};

Roofs measure_roofs(int multiprocessors) {
    Roofs roofs{};
    void* data = allocate(READ_BYTES, Reach::Device);
    unsigned* out = static_cast<unsigned*>(allocate(sizeof(unsigned), Reach::Device));
    const int64_t count = static_cast<int64_t>(READ_BYTES / sizeof(uint4));
    const double read = replayed([&] {
        CUDA_CHECK(launch(read_kernel, dim3(static_cast<unsigned>(multiprocessors * 8)), dim3(256), 0,
                          static_cast<const uint4*>(data), count, out));
    });
    roofs.bandwidth = static_cast<double>(READ_BYTES) / read;
    const auto mma = [&](auto kernel, double flops) {
        const int blocks = multiprocessors * 8;
        const double seconds = replayed([&] {
            CUDA_CHECK(
                launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(128), 0, reinterpret_cast<float*>(out)));
        });
        return flops * MMA_STEPS * MMA_CHAINS * 4 * blocks / seconds;
    };
    roofs.half = mma(mma_kernel<false>, 2.0 * 16 * 8 * 16);
    roofs.tf32 = mma(mma_kernel<true>, 2.0 * 16 * 8 * 8);
    constexpr int LAUNCHES = 400;
    const auto gaps = [&](int launches) {
        return replayed([=] {
            for (int i = 0; i < launches; i++) CUDA_CHECK(launch(nothing_kernel, dim3(1), dim3(32), 0));
        });
    };
    roofs.gap = (gaps(LAUNCHES) - gaps(LAUNCHES / 2)) / (LAUNCHES / 2);
    release(data, Reach::Device);
    release(out, Reach::Device);
    return roofs;
}

// --- operations -------------------------------------------------------------------------------------------------

// Arrays of a backend in small random values; on the planning table they are never touched.
class Arena {
public:
    explicit Arena(const Kernels& k) : kernels_(k), touches_(&k != &planning_kernels()) {}
    ~Arena() {
        for (void* block : blocks_) leon::release(kernels_, block);
    }
    Arena(const Arena&) = delete;

    Tensor make(std::vector<int64_t> shape, DType dtype = DType::F32) {
        Tensor t;
        t.dtype = dtype;
        t.rank = static_cast<int>(shape.size());
        std::copy(shape.begin(), shape.end(), t.shape);
        t.data = block(t.bytes(), dtype);
        if (dtype == DType::I4)
            t.groups = static_cast<const uint8_t*>(block(static_cast<size_t>(t.elements() / GROUP), DType::F8));
        if (has_row_scale(dtype)) t.scale = static_cast<const float*>(block(sizeof(float) * t.rows(), DType::F32));
        return t;
    }
    Tensor ints(const std::vector<int32_t>& values, std::vector<int64_t> shape) {
        Tensor t = make(std::move(shape), DType::I32);
        leon::upload(kernels_, t.data, values.data(), t.bytes());
        return t;
    }
    const Kernels& kernels() const { return kernels_; }

private:
    void* block(size_t bytes, DType dtype) {
        void* memory = leon::allocate(kernels_, bytes);
        blocks_.push_back(memory);
        if (!touches_ || dtype == DType::I32) return memory;
        std::vector<uint8_t> part(std::min<size_t>(bytes, size_t{4} << 20));
        const size_t step = static_cast<size_t>(std::max(bits_of(dtype), 8)) / 8;
        for (size_t i = 0; i < part.size(); i += step) {
            state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
            const float value = (static_cast<float>(state_ >> 40) * 0x1p-24f - 0.5f) * 0.1f;
            const uint16_t half = dtype == DType::F16 ? float_to_f16(value) : float_to_bf16(value);
            if (i + step > part.size()) break;
            if (dtype == DType::F32) std::memcpy(&part[i], &value, 4);
            if (dtype == DType::BF16 || dtype == DType::F16) std::memcpy(&part[i], &half, 2);
            if (step == 1) part[i] = static_cast<uint8_t>(state_ >> 33);
        }
        for (size_t done = 0; done < bytes; done += part.size())
            leon::upload(kernels_, static_cast<char*>(memory) + done, part.data(), std::min(part.size(), bytes - done));
        return memory;
    }

    const Kernels& kernels_;
    bool touches_;
    std::vector<void*> blocks_;
    uint64_t state_ = 1;
};

using Call = std::function<void(int nth)>;    // nth picks among copies of the weights
using Prepare = std::function<Call(Arena&)>;  // makes the arrays, returns the call

class Bench {
public:
    Bench(const Machine* planned, const Roofs& roofs) : planned_(planned), roofs_(roofs) {}

    void head(const char* group) const {
        std::printf("\n%-52s %9s %9s %7s %9s %7s %9s %7s\n", group, "us", "GB/s", "of read", "TFLOP/s", "of mma",
                    "planned", "cuBLAS");
    }

    // bytes, flops: the least there could be.
    void run(const std::string& name, double bytes, double flops, const Prepare& prepare,
             const std::function<double()>& yardstick = {}) const {
        double seconds;
        {
            Arena arena(table());
            const Call call = prepare(arena);
            seconds = replayed([&] {
                          for (int i = 0; i < CALLS; i++) call(i);
                      }) /
                      CALLS;
        }
        std::printf("%-52s %9.2f %9.0f %6.1f%% %9.1f %6.1f%%", name.c_str(), seconds * 1e6, bytes / seconds / 1e9,
                    100 * bytes / seconds / roofs_.bandwidth, flops / seconds / 1e12,
                    100 * flops / seconds / roofs_.half);
        if (planned_) {
            Arena arena(planning_kernels());
            const Call call = prepare(arena);
            const Work work = work_of(*planned_, [&] { call(0); });
            std::printf(" %9.2f", device_seconds(work, *planned_) * 1e6);
        } else {
            std::printf(" %9s", "");
        }
        if (yardstick) std::printf(" %6.2fx", yardstick() / seconds);
        std::printf("\n");
        std::fflush(stdout);
    }

private:
    const Machine* planned_;
    const Roofs& roofs_;
};

int copies_of(double bytes) {
    return std::clamp(static_cast<int>(COLD_BYTES / bytes) + 1, 1, CALLS);
}

std::vector<Tensor> copies(Arena& a, std::vector<int64_t> shape, DType dtype) {
    std::vector<Tensor> all = {a.make(shape, dtype)};
    while (static_cast<int>(all.size()) < copies_of(static_cast<double>(all[0].bytes())))
        all.push_back(a.make(shape, dtype));
    return all;
}

constexpr DType WEIGHTS[] = {DType::BF16, DType::I8, DType::I4, DType::F8, DType::F16, DType::F32};

std::string named(const char* what, int64_t rows, int64_t n, int64_t depth, DType dtype) {
    char text[128];
    std::snprintf(text, sizeof text, "%s %ld x [%ld, %ld] %s", what, static_cast<long>(rows), static_cast<long>(n),
                  static_cast<long>(depth), name_of(dtype));
    return text;
}

void product(const Bench& b, int64_t rows, int64_t n, int64_t depth, DType dtype) {
    const double weight = static_cast<double>(n * depth) * bits_of(dtype) / 8 * (dtype == DType::I4 ? 17.0 / 16 : 1);
    const auto yardstick = [=]() -> double {
        Arena a(table());
        const std::vector<Tensor> w = copies(a, {n, depth}, dtype);
        const bool exact = rows > 16 || dtype == DType::F32;
        Tensor x = a.make({rows, depth}, exact ? DType::F32 : dtype), out = a.make({rows, n});
        Tensor halves = exact ? a.make({2, rows, depth}, dtype) : Tensor();
        const auto call = [&](size_t nth) {
            exact ? cublas_matmul(out, x, w[nth % w.size()], halves) : cublas_matmul_rounded(out, x, w[nth % w.size()]);
        };
        call(0);  // once before: it allocates
        return replayed([&] {
                   for (size_t i = 0; i < CALLS; i++) call(i);
               }) /
               CALLS;
    };
    const bool comparable = !why_no_cublas() && !has_row_scale(dtype);
    b.run(
        named("matmul", rows, n, depth, dtype), weight + 4.0 * static_cast<double>(rows * (n + depth)),
        2.0 * static_cast<double>(rows * n) * static_cast<double>(depth),
        [=](Arena& a) -> Call {
            const std::vector<Tensor> w = copies(a, {n, depth}, dtype);
            Tensor x = a.make({rows, depth}), out = a.make({rows, n});
            const Kernels* k = &a.kernels();
            return [=](int nth) { leon::matmul(*k, out, x, w[static_cast<size_t>(nth) % w.size()]); };
        },
        comparable ? std::function<double()>(yardstick) : nullptr);
}

void few_rows(const Bench& b) {
    for (DType dtype : WEIGHTS)
        for (int64_t rows : {1, 2, 4, 16})
            for (auto [n, depth] : {std::pair<int64_t, int64_t>{1024, 1024},
                                    {4096, 1024},
                                    {1024, 4096},
                                    {4096, 4096},
                                    {11008, 4096},
                                    {4096, 11008},
                                    {8192, 4096},
                                    {65536, 4096}})
                product(b, rows, n, depth, dtype);
}

void many_rows(const Bench& b) {
    for (DType dtype : WEIGHTS)
        for (int64_t rows : {64, 256, 1024, 4096})
            for (auto [n, depth] :
                 {std::pair<int64_t, int64_t>{4096, 1024}, {4096, 4096}, {11008, 4096}, {4096, 11008}})
                product(b, rows, n, depth, dtype);
}

void layers(const Bench& b) {
    for (DType dtype : WEIGHTS)
        for (int64_t rows : {1, 2, 1024})
            for (auto [dim, ffn_dim] : {std::pair<int64_t, int64_t>{1024, 4096}, {4096, 11008}}) {
                const double element = bits_of(dtype) / 8.0, square = static_cast<double>(dim * dim);
                const double wide = static_cast<double>(dim * ffn_dim);
                const auto norm = [dim = dim](Arena& a) { return RowNorm{RowNorm::Kind::RMS, a.make({dim}), 1e-5f}; };
                b.run(
                    named("project_qkv", rows, dim, dim, dtype), 3 * square * element,
                    6 * square * static_cast<double>(rows), [=, dim = dim](Arena& a) -> Call {
                        const auto q = copies(a, {dim, dim}, dtype), k = copies(a, {dim, dim}, dtype),
                                   v = copies(a, {dim, dim}, dtype);
                        Tensor out[5];
                        for (Tensor& t : out) t = a.make({rows, dim});
                        const RowNorm n = norm(a);
                        const Kernels* kernels = &a.kernels();
                        return [=](int nth) {
                            const size_t i = static_cast<size_t>(nth) % q.size();
                            leon::project_qkv(*kernels, out[0], out[1], out[2], out[3], {n, q[i], k[i], v[i]}, out[4]);
                        };
                    });
                b.run(named("feed_forward", rows, ffn_dim, dim, dtype), 2 * wide * element,
                      4 * wide * static_cast<double>(rows), [=, dim = dim, ffn_dim = ffn_dim](Arena& a) -> Call {
                          const auto gate = copies(a, {ffn_dim, dim}, dtype), up = copies(a, {ffn_dim, dim}, dtype);
                          Tensor out = a.make({rows, ffn_dim}), x = a.make({rows, dim}), scratch = a.make({rows, dim});
                          Tensor second = a.make({rows, ffn_dim});
                          const RowNorm n = norm(a);
                          const Kernels* k = &a.kernels();
                          return [=](int nth) {
                              const size_t i = static_cast<size_t>(nth) % gate.size();
                              leon::feed_forward(*k, out, x, {n, gate[i], up[i]}, scratch, second);
                          };
                      });
            }
}

void attention_cases(const Bench& b) {
    struct Shape {
        int64_t streams, rows, length, heads, kv_heads, head_dim;
    };
    for (DType dtype : {DType::BF16, DType::F32})
        for (const Shape& s : {Shape{1, 1, 512, 16, 16, 64},
                               {1, 1, 512, 32, 32, 128},
                               {2, 1, 1024, 32, 32, 128},
                               {1, 1, 4096, 32, 32, 128},
                               {8, 1, 4096, 32, 32, 128},
                               {1, 1, 4096, 64, 8, 128},
                               {1, 256, 1024, 32, 32, 128},
                               {1, 1024, 1024, 16, 16, 64},
                               {1, 1024, 1024, 32, 32, 128}}) {
            const int64_t pages = (s.length + PAGE_TOKENS - 1) / PAGE_TOKENS, tokens = s.streams * s.rows;
            const auto prepare = [=](bool appends) {
                return [=](Arena& a) -> Call {
                    std::vector<int32_t> table, stream, position;
                    for (int64_t i = 0; i < s.streams * pages; i++) table.push_back(static_cast<int32_t>(i));
                    for (int64_t t = 0; t < tokens; t++) {
                        stream.push_back(static_cast<int32_t>(t / s.rows));
                        position.push_back(static_cast<int32_t>(s.length - s.rows + t % s.rows));
                    }
                    const auto keys = copies(a, {s.streams * pages, s.kv_heads, PAGE_TOKENS, s.head_dim}, dtype);
                    const auto values = copies(a, {s.streams * pages, s.kv_heads, PAGE_TOKENS, s.head_dim}, dtype);
                    const Tensor page_table = a.ints(table, {s.streams, pages});
                    const Placement at = {a.ints(stream, {tokens}), a.ints(position, {tokens})};
                    Tensor out = a.make({tokens, s.heads, s.head_dim}), q = a.make({tokens, s.heads, s.head_dim});
                    Tensor k = a.make({tokens, s.kv_heads, s.head_dim}), v = a.make({tokens, s.kv_heads, s.head_dim});
                    const Kernels* kernels = &a.kernels();
                    return [=](int nth) {
                        const size_t i = static_cast<size_t>(nth) % keys.size();
                        if (appends)
                            leon::rotate_append(*kernels, q, k, v, {}, 1e4f, {keys[i], values[i], page_table}, at);
                        else
                            leon::attention(*kernels, out, q, {keys[i], values[i], page_table}, at);
                    };
                };
            };
            char name[128];
            std::snprintf(name, sizeof name, "%ld streams, %ld rows of %ld, %ld heads on %ld of %ld, %s",
                          static_cast<long>(s.streams), static_cast<long>(s.rows), static_cast<long>(s.length),
                          static_cast<long>(s.heads), static_cast<long>(s.kv_heads), static_cast<long>(s.head_dim),
                          name_of(dtype));
            const double cache = 2.0 * static_cast<double>(s.streams * s.length * s.kv_heads * s.head_dim) *
                                 static_cast<double>(size_of(dtype));
            const double pairs = static_cast<double>(s.streams * s.rows) *
                                 (static_cast<double>(s.length) - static_cast<double>(s.rows) / 2);
            b.run(std::string("attention: ") + name, cache, 4 * pairs * static_cast<double>(s.heads * s.head_dim),
                  prepare(false));
            b.run(std::string("rotate_append: ") + name,
                  8.0 * static_cast<double>(tokens * (s.heads + 2 * s.kv_heads) * s.head_dim), 0, prepare(true));
        }
}

void pictures(const Bench& b) {
    const Convolution one = {.kernel = 1, .stride = 1, .pad_before = 0, .pad_after = 0, .upsample = 1}, three;
    const Convolution twice = {.kernel = 3, .stride = 1, .pad_before = 1, .pad_after = 1, .upsample = 2};
    const Convolution half = {.kernel = 3, .stride = 2, .pad_before = 0, .pad_after = 1, .upsample = 1};
    struct Layer {
        int64_t side, in, out;
        Convolution shape;
        bool normed;
    };
    for (DType dtype : {DType::BF16, DType::F32})
        for (const Layer& l : {Layer{512, 128, 128, three, true},
                               {512, 128, 3, three, true},
                               {256, 128, 128, twice, false},
                               {256, 128, 128, three, true},
                               {256, 256, 128, three, true},
                               {128, 256, 256, three, true},
                               {64, 256, 256, three, true},
                               {32, 512, 512, three, true},
                               {32, 512, 512, one, false},
                               {512, 128, 128, half, false},
                               {512, 3, 128, three, false}}) {
            const int64_t side = convolved(l.side, l.shape),
                          window = static_cast<int64_t>(l.shape.kernel) * l.shape.kernel;
            char name[128];
            std::snprintf(name, sizeof name, "%snorm_conv2d %dx%d %ld to %ld at %ld %s", l.normed ? "" : "no ",
                          l.shape.kernel, l.shape.kernel, static_cast<long>(l.in), static_cast<long>(l.out),
                          static_cast<long>(l.side), name_of(dtype));
            b.run(name, 4.0 * static_cast<double>(l.side * l.side * l.in + side * side * l.out),
                  2.0 * static_cast<double>(side * side * l.out) * static_cast<double>(window * l.in),
                  [=](Arena& a) -> Call {
                      Tensor x = a.make({l.side, l.side, l.in}), out = a.make({side, side, l.out});
                      Tensor w = a.make({l.out, l.shape.kernel, l.shape.kernel, l.in}, dtype), bias = a.make({l.out});
                      GroupNorm norm;
                      Tensor scratch;
                      if (l.normed) {
                          norm.weight = a.make({l.in});
                          norm.bias = a.make({l.in});
                          norm.groups = 32;
                          norm.eps = 1e-6f;
                          norm.activation = Activation::Swish;
                          scratch = a.make({l.side, l.side, l.in});
                      }
                      const Kernels* k = &a.kernels();
                      return [=](int) { leon::norm_conv2d(*k, out, x, norm, w, bias, l.shape, {}, scratch); };
                  });
        }
    b.run("spatial_attention, 1024 pixels of 512", 0, 4.0 * 1024 * 1024 * 512, [](Arena& a) -> Call {
        Tensor t[4];
        for (Tensor& each : t) each = a.make({1024, 512});
        const Kernels* k = &a.kernels();
        return [=](int) { leon::spatial_attention(*k, t[0], t[1], t[2], t[3]); };
    });
    b.run("nearest_code, 1024 pixels in 8192 codes of 256", 0, 2.0 * 1024 * 8192 * 256, [](Arena& a) -> Call {
        Tensor codes = a.ints(std::vector<int32_t>(1024), {1024}), z = a.make({1024, 256}), book = a.make({8192, 256});
        const Kernels* k = &a.kernels();
        return [=](int) { leon::nearest_code(*k, codes, z, book); };
    });
}

void rows(const Bench& b) {
    for (int64_t rows : {1, 2, 1024}) {
        const int64_t dim = 4096;
        const double bytes = 8.0 * static_cast<double>(rows * dim);
        const auto two = [=](auto operation) {
            return [=](Arena& a) -> Call {
                Tensor x = a.make({rows, dim}), y = a.make({rows, dim}), weight = a.make({dim});
                const Kernels* k = &a.kernels();
                return [=](int) { operation(*k, x, y, weight); };
            };
        };
        const std::string shape = " [" + std::to_string(rows) + ", 4096]";
        b.run("rmsnorm" + shape, bytes, 0,
              two([](const Kernels& k, Tensor x, Tensor y, Tensor w) { leon::rmsnorm(k, x, y, w, 1e-5f); }));
        b.run("layernorm" + shape, bytes, 0,
              two([](const Kernels& k, Tensor x, Tensor y, Tensor) { leon::layernorm(k, x, y, {}, {}, 1e-5f); }));
        b.run("norm_add" + shape, 1.5 * bytes, 0, two([](const Kernels& k, Tensor x, Tensor y, Tensor w) {
                  leon::norm_add(k, x, y, {RowNorm::Kind::RMS, w, 1e-5f});
              }));
        b.run("add" + shape, 1.5 * bytes, 0,
              two([](const Kernels& k, Tensor x, Tensor y, Tensor) { leon::add(k, x, y); }));
    }
}

constexpr std::pair<const char*, void (*)(const Bench&)> GROUPS[] = {
    {"matmul, few rows", few_rows}, {"matmul, many rows", many_rows}, {"fused projections", layers},
    {"attention", attention_cases}, {"pictures", pictures},           {"rows", rows},
};

int run(int count, char** arguments) {
    std::string wanted;
    const Machine* planned = nullptr;
    for (int i = 1; i + 1 < count; i += 2) {
        const std::string option = arguments[i];
        if (option == "-g") wanted = arguments[i + 1];
        if (option == "--plan") planned = &machine(arguments[i + 1]);
    }
    if (const char* reason = why_not()) {
        std::fprintf(stderr, "bench_cuda: %s\n", reason);
        return 2;
    }
    cudaDeviceProp properties;
    CUDA_CHECK(cudaGetDeviceProperties(&properties, 0));
    const Roofs roofs = measure_roofs(properties.multiProcessorCount);
    std::printf("%s, %d multiprocessors; cuBLAS is %s\n", properties.name, properties.multiProcessorCount,
                why_no_cublas() ? why_no_cublas() : "there");
    std::printf(
        "measured: reads %.0f GB/s, mma.sync %.0f TFLOP/s in bf16 and %.0f in tf32, %.2f us a launch in a graph\n",
        roofs.bandwidth / 1e9, roofs.half / 1e12, roofs.tf32 / 1e12, roofs.gap * 1e6);
    if (planned)
        std::printf("the plan assumes for %s: %.0f GB/s, %.0f and %.0f TFLOP/s, %.2f us\n", planned->name,
                    planned->memory_bandwidth * READABLE_SHARE / 1e9, planned->half_peak / 1e12,
                    planned->tf32_peak / 1e12, GRAPH_GAP_SECONDS * 1e6);
    const Bench bench(planned, roofs);
    for (auto [name, group] : GROUPS) {
        if (std::string(name).find(wanted) == std::string::npos) continue;
        bench.head(name);
        group(bench);
    }
    return 0;
}

}  // namespace
}  // namespace leon::LEON_CUDA

int main(int count, char** arguments) {
    try {
        return leon::LEON_CUDA::run(count, arguments);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_cuda: %s\n", error.what());
        return 2;
    }
}
