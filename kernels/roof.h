// The roofs of this machine, measured: how fast memory can be read, and how fast multiply-adds can be done.
//
//   double roof = read_bandwidth(Effort::Quick);   // GB/s
//
// An operation takes at least bytes / read_bandwidth or operations / fma_peak, whichever is longer; its speed is told
// as a part of that. Both are measured with cpu_threads() threads, the kernels' own loads and multiply-adds, and what
// the other processes of the machine leave over: best of several passes, and still never more than the truth. Not while
// another operation runs.
#pragma once

#include <string_view>

#include "kernels/kernels.h"

namespace leon {

// Whether a table's operations are bounded by these roofs; a GPU's are measured by tests/bench_cuda.cu.
inline bool runs_on_processor(const Kernels& kernels) {
    return !std::string_view(kernels.name).starts_with("cuda");
}

enum class Effort { Quick, Thorough };  // some tens of milliseconds; about a second

// GB/s (1e9 bytes) of reading memory far larger than the caches.
double read_bandwidth(Effort effort);

// GFLOP/s of float32 multiply-adds in registers, two operations each.
double fma_peak(Effort effort);

// The same for one of cpu_variants(): an instruction set with narrower registers has a lower roof.
double fma_peak(Effort effort, const Kernels& variant);

// The passes of read_bandwidth() one by one, for whoever measures something else in turn. Each is shorter than a time
// slice, so that even on a busy machine some are not interrupted.
class ReadProbe {
public:
    explicit ReadProbe(Effort effort);
    ~ReadProbe();
    ReadProbe(const ReadProbe&) = delete;
    ReadProbe& operator=(const ReadProbe&) = delete;

    double pass();  // GB/s of reading the next part of the buffer, in about a millisecond

private:
    float* memory_;
    int64_t parts_, next_ = 0;
};

}  // namespace leon
