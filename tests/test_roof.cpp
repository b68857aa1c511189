// The roofs are measurements: here only that they are numbers a machine could have. Quick and Thorough agree within a
// factor of two on an idle machine, which a test cannot ask for.
#include <cmath>

#include "kernels/roof.h"

#include "tests/testing.h"

namespace leon {
namespace {

// From one slow core (tenths of a GB/s, one GFLOP/s; a tenth of that under a sanitizer) to far beyond any machine.
bool plausible(double roof) {
    return std::isfinite(roof) && roof > 0.01 && roof < 1e6;
}

TEST_CASE("roof: memory bandwidth and multiply-add peak are plausible") {
    CHECK(plausible(read_bandwidth(Effort::Quick)));
    CHECK(plausible(fma_peak(Effort::Quick)));
    for (const Kernels* variant : cpu_variants()) CHECK(plausible(fma_peak(Effort::Quick, *variant)));
}

TEST_CASE("roof: one thread, and more threads than processors") {
    const int before = cpu_threads();
    for (int threads : {1, 7}) {
        set_cpu_threads(threads);
        CHECK(plausible(read_bandwidth(Effort::Quick)));
        CHECK(plausible(fma_peak(Effort::Quick)));
    }
    set_cpu_threads(before);
}

}  // namespace
}  // namespace leon
