// How fast each operation of the CPU backend is, as a part of what this machine could do: the figures of
// docs/kernels.md. A tool for whoever changes a kernel, not a test.
//
//   make bench-kernels                                     every operation, on the widest variant
//   build/bench_kernels cpu-avx512 cpu-avx2 -g conv        some variants, the groups whose name contains "conv"
//   build/bench_kernels -t 1 -c "1 row over 4096"          threads; cases whose name contains a text
//
// An operation is bound by the bytes that it must move or the multiply-adds that it must do, whichever takes longer at
// the roofs of kernels/roof.h. Roof and operation are measured in turn, because the neighbours on a machine take memory
// bandwidth from both; the best of each counts. Data that a decode step streams is larger than the caches.
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "kernels/roof.h"
#include "tests/kernel_harness.h"
#include "tests/temporary_folder.h"
#include "tokenizer/upscaler.h"
#include "weights_converter/random_model.h"

namespace leon {
namespace {

constexpr int LEAST_ROUNDS = 3;
constexpr int PROBES = 4;                                    // of memory in one round
constexpr double CASE_SECONDS = 0.7, ROUND_SECONDS = 0.005;  // of calls in one round, at least one call

struct Bench {
    std::string name;
    double bytes, flops;  // of one call, the least there could be
    std::function<void()> call;
    int operations = 0;  // if it is a chain of small ones: their time each is told
};

// With one thread its own processor time counts, so that other processes do not.
double seconds_of(const std::function<void()>& call) {
    const clockid_t clock = cpu_threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    timespec start, end;
    clock_gettime(clock, &start);
    call();
    clock_gettime(clock, &end);
    return static_cast<double>(end.tv_sec - start.tv_sec) + static_cast<double>(end.tv_nsec - start.tv_nsec) * 1e-9;
}

std::string wanted_case;

void measure(const Bench& b, const Kernels& k) {
    if (b.name.find(wanted_case) == std::string::npos) return;
    static ReadProbe probe(Effort::Quick);
    double seconds = 1e9, bandwidth = 0, peak = 0, spent = 0;
    b.call();
    for (int round = 0; round < LEAST_ROUNDS || spent < CASE_SECONDS; round++) {
        // Once one roof is clearly the lower, the other is not measured again.
        const double ratio = round == 0 ? 1 : b.bytes / bandwidth / (b.flops / peak);
        spent += seconds_of([&] {
            for (int i = 0; i < PROBES && ratio > 0.3; i++) bandwidth = std::max(bandwidth, probe.pass() * 1e9);
            if (ratio < 3) peak = std::max(peak, fma_peak(Effort::Quick, k) * 1e9);
            for (double passed = 0; passed < ROUND_SECONDS;) {
                const double once = seconds_of(b.call);
                seconds = std::min(seconds, once);
                passed += once;
            }
        });
    }
    const double at_memory = b.bytes / bandwidth, at_arithmetic = b.flops / peak;
    const bool memory = at_memory > at_arithmetic;
    std::printf("  %-58s %9.1f us  %7.1f %s %4.0f%% of %.0f", b.name.c_str(), seconds * 1e6,
                (memory ? b.bytes : b.flops) / seconds / 1e9, memory ? "GB/s  " : "GFLOP/s",
                100 * std::max(at_memory, at_arithmetic) / seconds, (memory ? bandwidth : peak) / 1e9);
    if (b.operations > 0) std::printf("  %.2f us an operation", seconds * 1e6 / b.operations);
    std::printf("\n");
    std::fflush(stdout);
}

// --- data -------------------------------------------------------------------------------------------------------

// Memory of the backend in small random values, rounded to the type.
class Arena {
public:
    ~Arena() {
        for (void* block : blocks_) release(cpu_kernels(), block);
    }
    Tensor make(std::initializer_list<int64_t> shape, DType dtype = DType::F32) {
        Tensor t(nullptr, dtype, shape);
        t.data = allocate(cpu_kernels(), t.bytes());
        blocks_.push_back(t.data);
        for (int64_t i = 0; i < t.elements(); i++) {
            state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
            const float value = (static_cast<float>(state_ >> 40) * 0x1p-24f - 0.5f) * 0.1f;
            if (dtype == DType::F32) static_cast<float*>(t.data)[i] = value;
            if (dtype == DType::BF16) static_cast<uint16_t*>(t.data)[i] = float_to_bf16(value);
            if (dtype == DType::F16) static_cast<uint16_t*>(t.data)[i] = float_to_f16(value);
            if (dtype == DType::I8) static_cast<int8_t*>(t.data)[i] = static_cast<int8_t>(value * 2540);
            if (dtype == DType::F8 || dtype == DType::U8) static_cast<uint8_t*>(t.data)[i] = float_to_e4m3(value * 20);
            if (dtype == DType::I4) static_cast<uint8_t*>(t.data)[i / 2] = static_cast<uint8_t>(state_ >> 40);
        }
        if (has_row_scale(dtype)) t.scale = make({t.rows()}).f32();
        if (dtype == DType::I4)
            t.groups = static_cast<const uint8_t*>(make({t.rows(), t.cols() / GROUP}, DType::U8).data);
        return t;
    }
    Tensor ints(const std::vector<int32_t>& values, std::initializer_list<int64_t> shape) {
        Tensor t(nullptr, DType::I32, shape);
        t.data = allocate(cpu_kernels(), t.bytes());
        blocks_.push_back(t.data);
        std::memcpy(t.data, values.data(), t.bytes());
        return t;
    }

private:
    std::vector<void*> blocks_;
    uint64_t state_ = 1;
};

using Group = void (*)(const Kernels& k);

// --- the transformer --------------------------------------------------------------------------------------------

// The projections of a layer of 1024, each call those of the next of 24: what a decode step of a 350M model streams.
void few_rows(const Kernels& k) {
    constexpr int64_t DIM = 1024, FFN = 4096, LAYERS = 24;
    for (DType dtype : WEIGHT_DTYPES) {
        Arena arena;
        std::vector<std::vector<Tensor>> layers(LAYERS);
        for (std::vector<Tensor>& weights : layers) {
            for (int i = 0; i < 4; i++) weights.push_back(arena.make({DIM, DIM}, dtype));
            weights.push_back(arena.make({FFN, DIM}, dtype));
            weights.push_back(arena.make({DIM, FFN}, dtype));
        }
        double bytes = 0;
        double elements = 0;
        for (const Tensor& w : layers[0]) {
            bytes += static_cast<double>(w.bytes() + w.group_bytes());
            elements += static_cast<double>(w.elements());
        }
        size_t layer = 0;
        for (int64_t rows : {1, 2, 3, 4, 6, 8, 12, 16}) {
            Tensor x = arena.make({rows, FFN}), out = arena.make({rows, FFN});
            measure({text(rows, " rows, ", name_of(dtype), ", a layer of 1024 / 4096"), bytes,
                     elements * 2 * static_cast<double>(rows),
                     [&] {
                         for (const Tensor& w : layers[layer++ % LAYERS])
                             matmul(k, Tensor(out.data, DType::F32, {rows, w.rows()}),
                                    Tensor(x.data, DType::F32, {rows, w.cols()}), w);
                     }},
                    k);
        }
    }
}

void many_rows(const Kernels& k) {
    for (DType dtype : {DType::BF16, DType::F32})
        for (auto [n, depth] : {std::pair<int64_t, int64_t>{1024, 1024},
                                {4096, 1024},
                                {1024, 4096},
                                {1024, 256},
                                {256, 1024},
                                {256, 256}})
            for (int64_t rows : {24, 64, 128, 256, 512}) {
                Arena arena;
                Tensor x = arena.make({rows, depth}), out = arena.make({rows, n}), w = arena.make({n, depth}, dtype);
                measure(
                    {text(rows, " rows, ", name_of(dtype), " [", n, ", ", depth, "]"), static_cast<double>(w.bytes()),
                     2.0 * static_cast<double>(rows * n * depth), [&] { matmul(k, out, x, w); }},
                    k);
            }
}

// A decode step of a small model (CM3Leon's layer, 7M parameters): the work is microseconds an operation, so this
// measures what calling operations costs.
void small_steps(const Kernels& k) {
    constexpr int64_t DIM = 256, FFN = 1024, HEADS = 4, LAYERS = 8, POSITION = 200;
    for (DType dtype : WEIGHT_DTYPES)
        for (int32_t rows : {1, 2}) {
            Arena arena;
            struct Layer {
                Tensor q, k, v, o, up, down;
                KvPages cache;
            };
            std::vector<int32_t> pages, stream, position(static_cast<size_t>(rows), POSITION);
            for (int32_t i = 0; i < rows * 8; i++) pages.push_back(i);
            for (int32_t i = 0; i < rows; i++) stream.push_back(i);
            std::vector<Layer> layers;
            double bytes = 0;
            for (int i = 0; i < LAYERS; i++) {
                auto weight = [&](int64_t n, int64_t depth) {
                    Tensor w = arena.make({n, depth}, dtype);
                    bytes += static_cast<double>(w.bytes());
                    return w;
                };
                Layer l = {weight(DIM, DIM),
                           weight(DIM, DIM),
                           weight(DIM, DIM),
                           weight(DIM, DIM),
                           weight(FFN, DIM),
                           weight(DIM, FFN),
                           {}};
                l.cache.keys = arena.make({rows * 8, HEADS, PAGE_TOKENS, DIM / HEADS});
                l.cache.values = arena.make({rows * 8, HEADS, PAGE_TOKENS, DIM / HEADS});
                l.cache.page_table = arena.ints(pages, {rows, 8});
                layers.push_back(l);
            }
            Placement at = {arena.ints(stream, {rows}), arena.ints(position, {rows})};
            Tensor x = arena.make({rows, DIM}), normed = arena.make({rows, DIM}), up = arena.make({rows, FFN});
            Tensor q = arena.make({rows, HEADS, DIM / HEADS}), key = arena.make({rows, HEADS, DIM / HEADS});
            Tensor v = arena.make({rows, HEADS, DIM / HEADS}), mixed = arena.make({rows, HEADS, DIM / HEADS});
            auto flat = [&](const Tensor& t) { return t.as({rows, DIM}); };
            auto step = [&] {
                for (Layer& l : layers) {
                    layernorm(k, normed, x, {}, {}, 1e-5f);
                    matmul(k, flat(q), normed, l.q);
                    matmul(k, flat(key), normed, l.k);
                    matmul(k, flat(v), normed, l.v);
                    append(k, l.cache, key, v, at);
                    attention(k, mixed, q, l.cache, at);
                    matmul_add(k, x, flat(mixed), l.o);
                    layernorm(k, normed, x, {}, {}, 1e-5f);
                    matmul(k, up, normed, l.up);
                    activate(k, up, Activation::ReLU);
                    matmul_add(k, x, up, l.down);
                }
                layernorm(k, x, x, {}, {}, 1e-5f);  // keeps the numbers finite over many steps
            };
            measure({text("decode step, ", rows, " rows, ", name_of(dtype), ", 8 layers of 256 / 1024"), bytes, 0, step,
                     LAYERS * 11 + 1},
                    k);
        }
}

struct CacheShape {
    int64_t heads, kv_heads, head_dim;
};

// Each call reads the cache of the next layer; together they are beyond the last-level cache.
void attention_benches(const Kernels& k) {
    for (DType dtype : FLOAT_DTYPES)
        for (CacheShape s : {CacheShape{16, 16, 64}, {32, 32, 128}, {32, 8, 128}})
            for (int32_t seq : {1024, 4096}) {
                const int64_t position_bytes = 2 * s.kv_heads * s.head_dim * static_cast<int64_t>(size_of(dtype));
                const int64_t layers = std::max<int64_t>(2, (int64_t(200) << 20) / (seq * position_bytes));
                const int32_t pages = seq / PAGE_TOKENS;
                Arena arena;
                std::vector<KvPages> caches;
                std::vector<int32_t> table;
                for (int32_t i = 0; i < pages; i++) table.push_back(i * 7 % pages);
                for (int64_t i = 0; i < layers; i++)
                    caches.push_back({arena.make({pages, s.kv_heads, PAGE_TOKENS, s.head_dim}, dtype),
                                      arena.make({pages, s.kv_heads, PAGE_TOKENS, s.head_dim}, dtype),
                                      arena.ints(table, {1, pages})});
                const std::string what = text(name_of(dtype), ", ", s.heads, "/", s.kv_heads, " heads of ", s.head_dim);
                Tensor q = arena.make({1, s.heads, s.head_dim}), out = arena.make({1, s.heads, s.head_dim});
                Placement at = {arena.ints({0}, {1}), arena.ints({seq - 1}, {1})};
                size_t next = 0;
                measure({text("1 row over ", seq, ", ", what), static_cast<double>(seq * position_bytes),
                         4.0 * static_cast<double>(seq * s.heads * s.head_dim),
                         [&] { attention(k, out, q, caches[next++ % caches.size()], at); }},
                        k);

                const int32_t rows = 256;
                std::vector<int32_t> positions;
                for (int32_t i = 0; i < rows; i++) positions.push_back(seq - rows + i);
                q = arena.make({rows, s.heads, s.head_dim}), out = arena.make({rows, s.heads, s.head_dim});
                at = {arena.ints(std::vector<int32_t>(rows, 0), {rows}), arena.ints(positions, {rows})};
                measure({text("last ", rows, " rows of ", seq, ", ", what), static_cast<double>(seq * position_bytes),
                         4.0 * static_cast<double>((seq - rows / 2) * rows * s.heads * s.head_dim),
                         [&] { attention(k, out, q, caches[0], at); }},
                        k);
            }
}

// Rows of norms and element-wise operations at prefill sizes.
void rows_benches(const Kernels& k) {
    constexpr int64_t ROWS = 4096, DIM = 4096;
    Arena arena;
    Tensor x = arena.make({ROWS, DIM}), y = arena.make({ROWS, DIM}), out = arena.make({ROWS, DIM});
    Tensor weight = arena.make({DIM}), bias = arena.make({DIM});
    std::vector<int32_t> positions;
    for (int32_t i = 0; i < ROWS; i++) positions.push_back(i);
    Tensor position = arena.ints(positions, {ROWS}), heads = x.as({ROWS, 32, 128});
    const double bytes = static_cast<double>(x.bytes());
    const std::string what = text(" [", ROWS, ", ", DIM, "]");
    measure({"rmsnorm" + what, 2 * bytes, 0, [&] { rmsnorm(k, out, x, weight, 1e-5f); }}, k);
    measure({"layernorm" + what, 2 * bytes, 0, [&] { layernorm(k, out, x, {}, {}, 1e-5f); }}, k);
    measure({"head_norm" + what, 2 * bytes, 0, [&] { head_norm(k, heads, weight, bias, 1e-5f); }}, k);
    measure({"rope" + what, 2 * bytes, 0, [&] { rope(k, heads, {position, {}, 1e4f}); }}, k);
    measure({"add" + what, 3 * bytes, 0, [&] { add(k, out, y); }}, k);
    measure({"swiglu" + what, 3 * bytes, 0, [&] { swiglu(k, out, x, y); }}, k);
    measure({"relu" + what, 2 * bytes, 0, [&] { activate(k, out, Activation::ReLU); }}, k);
    measure({"gelu" + what, 2 * bytes, 0, [&] { activate(k, out, Activation::GELU); }}, k);
}

// --- pictures ---------------------------------------------------------------------------------------------------

struct Layer {
    int64_t side, in, out;
    Convolution shape;
};

void convolutions(const Kernels& k) {
    const Convolution one = {.kernel = 1, .pad_before = 0, .pad_after = 0}, three, twice = {.upsample = 2};
    const Convolution half = {.stride = 2, .pad_before = 0, .pad_after = 1};
    for (Layer l : {Layer{128, 32, 32, three}, {128, 64, 64, three},   {128, 64, 32, three},   {128, 192, 64, three},
                    {64, 64, 64, twice},       {64, 128, 128, three},  {16, 256, 256, three},  {128, 32, 3, three},
                    {128, 64, 32, one},        {16, 256, 256, one},    {512, 128, 128, three}, {256, 128, 128, twice},
                    {256, 256, 128, three},    {256, 256, 256, three}, {128, 256, 256, three}, {32, 512, 512, three},
                    {32, 512, 512, one},       {256, 256, 128, one},   {512, 128, 3, three},   {512, 3, 128, three},
                    {512, 128, 128, half}}) {
        Arena arena;
        const int64_t side = convolved(l.side, l.shape), kernel = l.shape.kernel;
        Tensor x = arena.make({l.side, l.side, l.in}), out = arena.make({side, side, l.out});
        Tensor w = arena.make({l.out, kernel, kernel, l.in}), bias = arena.make({l.out});
        const char* extra = l.shape.upsample == 2 ? ", upsampled" : l.shape.stride == 2 ? ", stride 2" : "";
        measure({text(kernel, "x", kernel, " ", l.in, " -> ", l.out, " at ", l.side, "x", l.side, extra),
                 static_cast<double>(x.bytes() + out.bytes()),
                 2.0 * static_cast<double>(side * side * kernel * kernel * l.in * l.out),
                 [&] { conv2d(k, out, x, w, bias, l.shape); }},
                k);
    }
}

void pictures(const Kernels& k) {
    for (auto [side, channels] : {std::pair<int64_t, int64_t>{512, 128}, {256, 256}, {128, 64}, {32, 512}})
        for (Activation activation : {Activation::None, Activation::Swish}) {
            Arena arena;
            Tensor x = arena.make({side, side, channels}), out = arena.make({side, side, channels});
            Tensor weight = arena.make({channels}), bias = arena.make({channels});
            measure({text("group_norm", activation == Activation::Swish ? " + swish" : "", ", ", channels, " at ", side,
                          "x", side),
                     3 * static_cast<double>(x.bytes()), 0,
                     [&] { group_norm(k, out, x, weight, bias, 32, 1e-6f, activation); }},
                    k);
        }
    for (auto [pixels, channels] : {std::pair<int64_t, int64_t>{1024, 512}, {1024, 256}, {256, 256}, {256, 128}}) {
        Arena arena;
        Tensor q = arena.make({pixels, channels}), key = arena.make({pixels, channels});
        Tensor v = arena.make({pixels, channels}), out = arena.make({pixels, channels});
        measure({text("spatial_attention, ", pixels, " pixels of ", channels), 0,
                 4.0 * static_cast<double>(pixels * pixels * channels), [&] { spatial_attention(k, out, q, key, v); }},
                k);
    }
    for (auto [pixels, codes, width] : {std::array<int64_t, 3>{1024, 8192, 256}, {256, 8192, 256}, {256, 1024, 64}}) {
        Arena arena;
        Tensor z = arena.make({pixels, width}), book = arena.make({codes, width});
        Tensor nearest = arena.ints(std::vector<int32_t>(static_cast<size_t>(pixels)), {pixels});
        measure({text("nearest_code, ", pixels, " pixels in ", codes, " codes of ", width), 0,
                 2.0 * static_cast<double>(pixels * codes * width), [&] { nearest_code(k, nearest, z, book); }},
                k);
    }
}

// Whole networks with random weights, a picture of 128 x 128 to bytes.
void upscalers(const Kernels& k) {
    constexpr int SIDE = 128;
    for (const UpscalerConfig& config : {UpscalerConfig{UpscalerKind::RRDB, 4, 64, 23, 32},
                                         {UpscalerKind::RRDB, 4, 64, 6, 32},
                                         {UpscalerKind::Compact, 4, 64, 32, 0}}) {
        const TemporaryFolder folder;
        ModelConfig model;
        model.has_upscaler = true;
        model.upscaler = config;
        write_random_model(folder / "up.leon", model, DType::F32, 1);
        const WeightsFile file(folder / "up.leon");
        const NetworkUpscaler upscaler(file, config, k);
        const Picture picture(SIDE, SIDE, 128);
        measure({text(name_of(config.kind), ", ", config.blocks, " blocks of ", config.channels, ", x", config.factor,
                      " at ", SIDE, "x", SIDE),
                 0, 2 * upscaler.macs(SIDE, SIDE), [&] { upscaler.upscale(picture); }},
                k);
    }
}

constexpr std::pair<const char*, Group> GROUPS[] = {
    {"few rows", few_rows},           {"small steps", small_steps}, {"many rows", many_rows},
    {"attention", attention_benches}, {"conv2d", convolutions},     {"pictures", pictures},
    {"element-wise", rows_benches},   {"upscalers", upscalers},
};

}  // namespace
}  // namespace leon

int main(int count, char** arguments) {
    using namespace leon;
    std::string wanted;
    std::vector<const Kernels*> variants;
    for (int i = 1; i < count; i++) {
        const std::string argument = arguments[i];
        if (argument == "-g" && i + 1 < count) {
            wanted = arguments[++i];
        } else if (argument == "-c" && i + 1 < count) {
            wanted_case = arguments[++i];
        } else if (argument == "-t" && i + 1 < count) {
            set_cpu_threads(std::atoi(arguments[++i]));
        } else {
            auto found = std::find_if(cpu_variants().begin(), cpu_variants().end(),
                                      [&](const Kernels* k) { return argument == k->name; });
            if (found == cpu_variants().end()) {
                std::fprintf(stderr, "bench_kernels: no variant \"%s\" on this processor\n", argument.c_str());
                return 2;
            }
            variants.push_back(*found);
        }
    }
    if (variants.empty()) variants.push_back(&cpu_kernels());
    for (const Kernels* k : variants)
        for (auto [name, group] : GROUPS)
            if (std::string(name).find(wanted) != std::string::npos) {
                std::printf("%s, %d threads: %s\n", k->name, cpu_threads(), name);
                group(*k);
            }
}
