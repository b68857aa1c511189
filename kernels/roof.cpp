// read_bandwidth and fma_peak: the probes of kernels/cpu/probes.h on all threads, timed: see roof.h.
#include "kernels/roof.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string_view>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/threads.h"

namespace leon {
namespace {

// The buffer is far beyond the share of a last-level cache that this process may have; larger costs time to fill. It is
// read in rising order part by part, so that a part has left the caches when its turn comes again.
constexpr int64_t QUICK_BYTES = int64_t(256) << 20, THOROUGH_BYTES = int64_t(512) << 20;
constexpr int64_t PART_BYTES = int64_t(32) << 20;  // of a pass: a millisecond or less
constexpr int64_t SLICE_BYTES = int64_t(1) << 20;  // what a thread reads at a time
constexpr int64_t SLICE = SLICE_BYTES / static_cast<int64_t>(sizeof(float)), SLICES = PART_BYTES / SLICE_BYTES;
constexpr int QUICK_PASSES = 32, THOROUGH_PASSES = 480;

constexpr int64_t QUICK_STEPS = 200'000, THOROUGH_STEPS = 4'000'000;  // of 12 multiply-adds: about 0.3 and 6 ms
constexpr int FMA_PASSES = 40;

template <class Body>
double seconds_of(Body body) {
    auto start = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

const IsaKernels& isa_of(const Kernels& variant) {
    for (const IsaKernels* isa : {avx512_kernels(), avx2_kernels(), baseline_kernels(), wide_kernels()})
        if (isa != nullptr && std::string_view(isa->name) == variant.name) return *isa;
    CHECK(!"a variant of the CPU backend");
    return *baseline_kernels();
}

std::atomic<float> consumed;  // what the probes return goes here, so that nothing of them can be left out

}  // namespace

ReadProbe::ReadProbe(Effort effort) : parts_((effort == Effort::Quick ? QUICK_BYTES : THOROUGH_BYTES) / PART_BYTES) {
    // Written once: memory that was never written is one page of zeros, and costs nothing to read.
    memory_ = static_cast<float*>(allocate(cpu_kernels(), static_cast<size_t>(parts_ * PART_BYTES)));
    parallel(parts_ * SLICES, [this](int64_t slice, int) { std::fill_n(memory_ + slice * SLICE, SLICE, 1.0f); });
}

ReadProbe::~ReadProbe() {
    release(cpu_kernels(), memory_);
}

double ReadProbe::pass() {
    const IsaKernels& isa = isa_of(cpu_kernels());
    const float* part = memory_ + next_ * SLICES * SLICE;
    next_ = (next_ + 1) % parts_;
    double seconds = seconds_of(
        [&] { parallel(SLICES, [&](int64_t slice, int) { consumed = isa.stream_sum(part + slice * SLICE, SLICE); }); });
    return static_cast<double>(PART_BYTES) / seconds / 1e9;
}

double read_bandwidth(Effort effort) {
    ReadProbe probe(effort);
    double best = 0;
    for (int i = 0; i < (effort == Effort::Quick ? QUICK_PASSES : THOROUGH_PASSES); i++)
        best = std::max(best, probe.pass());
    return best;
}

double fma_peak(Effort effort, const Kernels& variant) {
    const IsaKernels& isa = isa_of(variant);
    const int threads = cpu_threads();
    const int64_t steps = effort == Effort::Quick ? QUICK_STEPS : THOROUGH_STEPS;
    const int64_t tasks = threads * 4;  // a thread that loses its processor for a moment leaves work to the others

    double best = 0;
    for (int pass = 0; pass < FMA_PASSES; pass++) {
        std::atomic<double> operations = 0;
        double seconds = seconds_of([&] {
            parallel(tasks, [&](int64_t, int) {
                float sink = 0.999f;
                operations = isa.fma_rounds(steps / tasks, &sink) * static_cast<double>(tasks);
                consumed = sink;
            });
        });
        best = std::max(best, operations / seconds / 1e9);
    }
    return best;
}

double fma_peak(Effort effort) {
    return fma_peak(effort, cpu_kernels());
}

}  // namespace leon
