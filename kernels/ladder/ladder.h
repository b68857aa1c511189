// The harness of the ladders: studies that climb from a naive kernel to the one that ships, one idea a rung.
//
//   make ladder                    builds and runs every study; fails if a rung is wrong, or not better as it claims
//   build/ladder/norm              one of them; prints a table in Markdown
//
// Without a GPU, the rungs run on the emulator, and their figures are counted: what each asks of global memory, of the
// banks of shared memory, of barriers and tensor cores (tests/cuda_on_cpu/traffic.h says how, and what it cannot know).
// With CUDA=1 the same source is timed on a GPU, against the roof. Either way each rung is first held to the reference.
//
// How to write a rung. A study is one file, kernels/ladder/NAME.cu; the Makefile finds it. It opens with the lesson:
// the operation, what bounds it, and one line per rung. Then:
//
//   __global__ void first(...) {...}                    ordinary kernels, as in kernels/cuda
//
//   int study() {
//       const int64_t rows = emulated_or_gpu(64, 8192);  // small enough for the emulator, large enough for a GPU
//       Ladder ladder(text, {.bytes = ..., .flops = ...});               // the least that any kernel must move and do
//       const Operand x = ladder.random({rows, dim}), weight = ladder.random({dim});
//       const Operand out = ladder.result({rows, dim});
//       ladder.expect([&] { leon::rmsnorm(reference_kernels(), out.host, x.host, weight.host, EPS); });
//       ladder.rung("one thread a row", Figure::None, [&] { CUDA_CHECK(launch(first, ..., x.device.f32(), ...)); });
//       ladder.rung("shipped", Figure::Moved, [&] { rmsnorm(out.device, x.device, weight.device, EPS); });
//       return ladder.finish();
//   }
//   int main() { return leon::LEON_CUDA::study(); }
//
// A rung names the one figure that it improves over the rung before; the harness demands that it does. If the idea
// shows only in time (latency, occupancy), say Figure::Time: nothing is demanded without a GPU. The last rung calls the
// launcher that ships, so that story and product cannot drift apart. expect() fills the host's side of the results, so
// the reference is called with the same operands. Operands begin anew before each rung: what is written in place counts
// as a result if it was made by changed(). Kernels obey the rules of kernels/cuda/gpu.h; every rung is watched for
// data races, too.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/element.h"
#include "kernels/cuda/launchers.h"
#include "kernels/kernels.h"

namespace leon::LEON_CUDA {

constexpr int64_t emulated_or_gpu(int64_t emulated, int64_t gpu) {
#ifdef __CUDACC__
    return emulated * 0 + gpu;
#else
    return emulated + gpu * 0;
#endif
}

struct Operand {
    Tensor device, host;
};

// What a rung may claim to improve. Less is better, except of MatrixProducts and Async.
enum class Figure {
    None,            // the first rung, or a step aside
    Time,            // shows on a GPU only
    Moved,           // sectors of global memory that loads and stores touch, times 32 bytes
    Requests,        // loads and stores of whole warps, to both memories
    BusiestWarp,     // those of the warp that makes most: the length of the chain, where latency bounds
    SharedTraffic,   // wavefronts: turns of the shared memory's banks
    BankConflicts,   // of these, the needless ones
    Barriers,        // of blocks
    Collectives,     // shuffles, votes and barriers of warps
    Launches,        // of kernels
    Async,           // bytes that travel to shared memory in the background
    MatrixProducts,  // mma instructions, in place of multiply-adds by threads
};

struct Work {
    double bytes = 0;              // that must be read from and written to global memory at least
    double flops = 0;              // multiplications and additions
    bool on_tensor_cores = false;  // which roof the flops have
};

class Ladder {
public:
    Ladder(const std::string& title, Work work, std::FILE* table = stdout);
    ~Ladder();
    Ladder(const Ladder&) = delete;

    // Inputs: reproducible normal values of this size. I8: with a scale for each row.
    Operand random(std::vector<int64_t> shape, DType dtype = DType::F32, float size = 1);
    Operand ints(std::vector<int64_t> shape, const std::vector<int32_t>& values);
    // Outputs: NaN before each rung, compared after it. changed(): an input that is also an output.
    Operand result(std::vector<int64_t> shape, DType dtype = DType::F32);
    Operand changed(Operand operand);

    // Computes what the results should be, in operands' host tensors; once, before the first rung.
    void expect(const std::function<void()>& reference);
    // |got - want| <= allowed * (scale + |want|), for every element of the results.
    void rung(const std::string& name, Figure better, const std::function<void()>& run, double allowed = 2e-6,
              double scale = 1);
    // Prints the table. 0 if every rung was right and kept its claim.
    int finish();

private:
    struct Memory {
        Operand operand;
        std::vector<uint8_t> host, initial;
        bool compared = false;
    };
    struct Column {
        Figure figure;
        const char* name;
        double value;
    };

    struct Row {
        std::string name;
        double error;
        std::vector<Column> columns;
        std::string verdict;
    };

    Operand make(const std::vector<int64_t>& shape, DType dtype, bool compared);
    Memory& memory_of(const Operand& operand);
    void reset();
    double worst_error(double scale) const;
    std::vector<Column> measure(const std::function<void()>& run);
    uint64_t next();
    float normal();

    std::FILE* table_;
    Work work_;
    std::deque<Memory> memory_;
    std::vector<Row> rows_;
    uint64_t random_ = 1;
    int faults_ = 0;
};

// --- operands ---------------------------------------------------------------------------------------------------

inline uint64_t Ladder::next() {  // SplitMix64
    uint64_t z = (random_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}
inline float Ladder::normal() {  // the sum of twelve uniform values less its mean
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += static_cast<double>(next() >> 11) * 0x1p-53;
    return static_cast<float>(sum);
}

inline Operand Ladder::make(const std::vector<int64_t>& shape, DType dtype, bool compared) {
    Tensor t;
    t.dtype = dtype;
    t.rank = static_cast<int>(shape.size());
    std::copy(shape.begin(), shape.end(), t.shape);
    Memory& m = memory_.emplace_back();
    m.compared = compared;
    m.host.assign(t.bytes(), 0xff);  // NaN
    m.operand = {t, t};
    m.operand.device.data = allocate(t.bytes(), Reach::Device);
    m.operand.host.data = m.host.data();
    return m.operand;
}
inline Ladder::Memory& Ladder::memory_of(const Operand& operand) {
    for (Memory& m : memory_)
        if (m.operand.host.data == operand.host.data) return m;
    CHECK(!"an operand of this ladder");
    std::abort();
}

inline Operand Ladder::random(std::vector<int64_t> shape, DType dtype, float size) {
    Operand made = make(shape, dtype, false);
    const int64_t count = made.host.elements();
    for (int64_t i = 0; i < count; i++) {
        if (dtype == DType::I8) {
            data_of<int8_t>(made.host)[i] = static_cast<int8_t>(static_cast<int>(next() % 255) - 127);
            continue;
        }
        const float value = normal() * size;
        if (dtype == DType::F32) made.host.f32()[i] = value;
        if (dtype == DType::BF16) data_of<uint16_t>(made.host)[i] = float_to_bf16(value);
        if (dtype == DType::F16) data_of<uint16_t>(made.host)[i] = float_to_f16(value);
    }
    if (dtype == DType::I8) {
        Operand scale = make({made.host.rows()}, DType::F32, false);
        for (int64_t r = 0; r < scale.host.elements(); r++)
            scale.host.f32()[r] = size / 73 * static_cast<float>(0.5 + static_cast<double>(next() >> 11) * 0x1p-53);
        made.host.scale = scale.host.f32();
        made.device.scale = scale.device.f32();
    }
    return made;
}
inline Operand Ladder::ints(std::vector<int64_t> shape, const std::vector<int32_t>& values) {
    Operand made = make(shape, DType::I32, false);
    CHECK(made.host.elements() == static_cast<int64_t>(values.size()));
    std::copy(values.begin(), values.end(), made.host.i32());
    return made;
}
inline Operand Ladder::result(std::vector<int64_t> shape, DType dtype) {
    return make(shape, dtype, true);
}
inline Operand Ladder::changed(Operand operand) {
    memory_of(operand).compared = true;
    return operand;
}

inline void Ladder::expect(const std::function<void()>& reference) {
    for (Memory& m : memory_) m.initial = m.host;
    reference();
}
inline void Ladder::reset() {
    for (Memory& m : memory_) upload(m.operand.device.data, m.initial.data(), m.initial.size());
}

// The largest error of any result, relative to scale + |want|; infinite if a value is NaN, or an integer differs.
inline double Ladder::worst_error(double scale) const {
    double worst = 0;
    for (const Memory& m : memory_) {
        if (!m.compared) continue;
        std::vector<uint8_t> got(m.host.size());
        download(got.data(), m.operand.device.data, got.size());
        const DType dtype = m.operand.host.dtype;
        const size_t width = size_of(dtype);
        const auto value = [&](const std::vector<uint8_t>& bytes, size_t i) -> double {
            uint32_t bits = 0;
            std::memcpy(&bits, &bytes[i * width], width);
            if (dtype == DType::F32) return __builtin_bit_cast(float, bits);
            if (dtype == DType::BF16) return bf16_to_float(static_cast<uint16_t>(bits));
            if (dtype == DType::F16) return f16_to_float(static_cast<uint16_t>(bits));
            return bits;
        };
        for (size_t i = 0; i < got.size() / width; i++) {
            const double want = value(m.host, i), have = value(got, i);
            if (have == want) continue;
            const bool exact = dtype == DType::I32 || dtype == DType::U8 || !std::isfinite(have - want);
            worst = exact ? INFINITY : std::max(worst, std::fabs(have - want) / (scale + std::fabs(want)));
        }
    }
    return worst;
}

// --- figures ----------------------------------------------------------------------------------------------------

#ifdef __CUDACC__

struct Roofs {
    double bytes_per_second, flops_per_second;
};
inline Roofs roofs_of_device(bool tensor_cores) {
    const auto get = [](cudaDeviceAttr attribute) {
        int value = 0;
        CUDA_CHECK(cudaDeviceGetAttribute(&value, attribute, 0));
        return static_cast<double>(value);
    };
    const int major = static_cast<int>(get(cudaDevAttrComputeCapabilityMajor));
    const int minor = static_cast<int>(get(cudaDevAttrComputeCapabilityMinor));
    // 16-bit tensor cores, dense with float32 sums: flops a clock of a multiprocessor, by generation.
    const double tensor = major >= 10 ? 8192 : major == 9 ? 4096 : minor == 0 ? 2048 : 1024;
    const double clocks = get(cudaDevAttrClockRate) * 1e3 * get(cudaDevAttrMultiProcessorCount);
    return {2 * get(cudaDevAttrMemoryClockRate) * 1e3 * get(cudaDevAttrGlobalMemoryBusWidth) / 8,
            clocks * (tensor_cores ? tensor : 256)};
}

// The best of several runs, the L2 cache emptied before each.
inline std::vector<Ladder::Column> Ladder::measure(const std::function<void()>& run) {
    constexpr int RUNS = 20;
    constexpr size_t FLUSH_BYTES = size_t{256} << 20;  // more than any L2
    void* flush = allocate(FLUSH_BYTES, Reach::Device);
    cudaEvent_t begin, end;
    CUDA_CHECK(cudaEventCreateWithFlags(&begin, cudaEventDefault));
    CUDA_CHECK(cudaEventCreateWithFlags(&end, cudaEventDefault));
    float best = INFINITY;
    for (int i = 0; i < RUNS; i++) {
        CUDA_CHECK(cudaMemsetAsync(flush, 0, FLUSH_BYTES, stream()));
        CUDA_CHECK(cudaEventRecord(begin, stream()));
        run();
        CUDA_CHECK(cudaEventRecord(end, stream()));
        CUDA_CHECK(cudaEventSynchronize(end));
        float milliseconds;
        CUDA_CHECK(cudaEventElapsedTime(&milliseconds, begin, end));
        best = std::min(best, milliseconds);
    }
    CUDA_CHECK(cudaEventDestroy(begin));
    CUDA_CHECK(cudaEventDestroy(end));
    release(flush, Reach::Device);
    const double seconds = best * 1e-3;
    const Roofs roofs = roofs_of_device(work_.on_tensor_cores);
    const double least = std::max(work_.bytes / roofs.bytes_per_second, work_.flops / roofs.flops_per_second);
    return {{Figure::Time, "us", seconds * 1e6},
            {Figure::None, "GB/s", work_.bytes / seconds * 1e-9},
            {Figure::None, "GFLOP/s", work_.flops / seconds * 1e-9},
            {Figure::None, "% of roof", 100 * least / seconds}};
}

#else

inline std::vector<Ladder::Column> Ladder::measure(const std::function<void()>& run) {
    reset();  // what the first run wrote in place may steer the second
    emu::reset_counters();
    run();
    const emu::Counters& c = emu::counters;
    const auto number = [](uint64_t n) { return static_cast<double>(n); };
    const double moved = 32 * number(c.global_read_sectors + c.global_write_sectors);
    return {{Figure::Moved, "moved KiB", moved / 1024},
            {Figure::None, "% needed", 100 * work_.bytes / moved},
            {Figure::Requests, "requests", number(c.global_requests + c.shared_requests)},
            {Figure::BusiestWarp, "busiest warp", number(c.longest_warp_requests)},
            {Figure::None, "shared KiB", number(c.shared_read_bytes + c.shared_write_bytes) / 1024},
            {Figure::SharedTraffic, "wavefronts", number(c.shared_wavefronts)},
            {Figure::BankConflicts, "conflicts", number(c.bank_conflicts)},
            {Figure::Async, "async KiB", number(c.async_bytes) / 1024},
            {Figure::Barriers, "barriers", number(c.barriers)},
            {Figure::Collectives, "collectives", number(c.warp_collectives - c.matrix_loads - c.matrix_products)},
            {Figure::MatrixProducts, "mma", number(c.matrix_products)},
            {Figure::Launches, "launches", number(c.launches)}};
}

#endif

// --- rungs ------------------------------------------------------------------------------------------------------

inline Ladder::Ladder(const std::string& title, Work work, std::FILE* table) : table_(table), work_(work) {
    std::fprintf(table_, "### %s\n\nAt least %.4g KiB must be moved, and %.4g million operations be done.\n\n",
                 title.c_str(), work.bytes / 1024, work.flops * 1e-6);
}
inline Ladder::~Ladder() {
    for (const Memory& m : memory_) release(m.operand.device.data, Reach::Device);
}

inline void Ladder::rung(const std::string& name, Figure better, const std::function<void()>& run, double allowed,
                         double scale) {
    reset();
    run();
    LEON_CUDA::finish();
    const double error = worst_error(scale);
    Row row{std::to_string(rows_.size() + 1) + ". " + name, error, measure(run), ""};
    if (!(error <= allowed)) {
        char limit[40];
        std::snprintf(limit, sizeof limit, ": %.1e is allowed ", allowed);
        row.verdict = "**WRONG**" + std::string(limit);
        faults_++;
    }
    for (size_t i = 0; i < row.columns.size() && better != Figure::None && !rows_.empty(); i++) {
        if (row.columns[i].figure != better) continue;
        const bool more = better == Figure::MatrixProducts || better == Figure::Async;
        const double now = row.columns[i].value, before = rows_.back().columns[i].value;
        const bool is_better = more ? now > before : now < before;
        row.verdict += is_better ? row.columns[i].name : std::string("**NOT BETTER**: ") + row.columns[i].name;
        faults_ += !is_better;
    }
    rows_.push_back(row);
}

inline int Ladder::finish() {
    // Columns in which there is anything to see.
    std::vector<size_t> shown;
    for (size_t i = 0; !rows_.empty() && i < rows_[0].columns.size(); i++) {
        const double nothing = rows_[0].columns[i].figure == Figure::Launches ? 1 : 0;
        if (std::any_of(rows_.begin(), rows_.end(), [&](const Row& r) { return r.columns[i].value != nothing; }))
            shown.push_back(i);
    }
    size_t name_width = 4;
    for (const Row& r : rows_) name_width = std::max(name_width, r.name.size());
    const auto width = [&](size_t i) {
        return static_cast<int>(std::max(std::strlen(rows_[0].columns[i].name), size_t{6}));
    };

    std::fprintf(table_, "| %-*s | error   |", static_cast<int>(name_width), "rung");
    for (size_t i : shown) std::fprintf(table_, " %*s |", width(i), rows_[0].columns[i].name);
    std::fprintf(table_, " better |\n|%s|---------|", std::string(name_width + 2, '-').c_str());
    for (size_t i : shown) std::fprintf(table_, "%s:|", std::string(static_cast<size_t>(width(i)) + 1, '-').c_str());
    std::fprintf(table_, "---|\n");
    for (const Row& r : rows_) {
        std::fprintf(table_, "| %-*s | %7.1e |", static_cast<int>(name_width), r.name.c_str(), r.error);
        for (size_t i : shown) {
            const double value = r.columns[i].value;
            const bool whole = value == std::floor(value) || value >= 100;
            std::fprintf(table_, " %*.*f |", width(i), whole ? 0 : 1, value);
        }
        std::fprintf(table_, " %s |\n", r.verdict.c_str());
    }
    std::fprintf(table_, "\n");
    if (faults_)
        std::fprintf(table_, "%d of %zu rungs are wrong, or not better as they claim\n", faults_, rows_.size());
    std::fflush(table_);
    return faults_ ? 1 : 0;
}

}  // namespace leon::LEON_CUDA
