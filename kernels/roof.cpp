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

// Far beyond the share of a last-level cache that this process may have; larger costs time to fill.
constexpr int64_t QUICK_BYTES = int64_t(256) << 20, THOROUGH_BYTES = int64_t(512) << 20;
constexpr int64_t SLICE_BYTES = int64_t(2) << 20;  // what a thread reads at a time: one huge page
constexpr int QUICK_PASSES = 4, THOROUGH_PASSES = 30;

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

double read_bandwidth(Effort effort) {
    const Kernels& k = cpu_kernels();
    const IsaKernels& isa = isa_of(k);
    const int64_t bytes = effort == Effort::Quick ? QUICK_BYTES : THOROUGH_BYTES, slices = bytes / SLICE_BYTES;
    constexpr int64_t SLICE = SLICE_BYTES / static_cast<int64_t>(sizeof(float));

    // Written once: memory that was never written is one page of zeros, and costs nothing to read.
    float* memory = static_cast<float*>(allocate(k, static_cast<size_t>(bytes)));
    parallel(slices, [=](int64_t slice, int) { std::fill_n(memory + slice * SLICE, SLICE, 1.0f); });

    double best = 0;
    for (int pass = 0; pass < (effort == Effort::Quick ? QUICK_PASSES : THOROUGH_PASSES); pass++) {
        double seconds = seconds_of([&] {
            parallel(slices, [&](int64_t slice, int) { consumed = isa.stream_sum(memory + slice * SLICE, SLICE); });
        });
        best = std::max(best, static_cast<double>(bytes) / seconds / 1e9);
    }
    release(k, memory);
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
