// The harness of kernels/ladder must refuse a rung that is wrong, and one that is not better as it claims.
#include <cstdio>
#include <memory>

#include "kernels/ladder/ladder.h"

#include "tests/testing.h"

namespace leon::LEON_CUDA {
namespace {

__global__ void twice(float* out, const float* x, unsigned stride, float factor) {
    out[threadIdx.x * stride % 64] = factor * x[threadIdx.x * stride % 64];
}

// What finish() says of two rungs that double 64 values, the second in this way.
int climb(Figure better, unsigned stride, float factor, unsigned threads = 64) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> nowhere(std::fopen("/dev/null", "w"), std::fclose);
    Ladder ladder("twice", {.bytes = 512, .flops = 64}, nowhere.get());
    const Operand x = ladder.random({64});
    Operand out = ladder.result({64});
    ladder.expect([&] {
        for (int i = 0; i < 64; i++) out.host.f32()[i] = 2 * x.host.f32()[i];
    });
    const auto run = [&](unsigned count, unsigned by, float times) {
        CUDA_CHECK(launch(twice, 1, count, 0, out.device.f32(), x.device.f32(), by, times));
    };
    ladder.rung("in steps of nine", Figure::None, [&] { run(64, 9, 2); });  // 9 and 64 have no common divisor
    ladder.rung("in steps of one", better, [&] { run(threads, stride, factor); });
    return ladder.finish();
}

TEST_CASE("cuda ladder: a rung must be right, and better as it claims") {
    CHECK(climb(Figure::Moved, 1, 2) == 0);
    CHECK(climb(Figure::Time, 9, 2) == 0);
    CHECK(climb(Figure::Moved, 1, 2.1f) != 0);
    CHECK(climb(Figure::None, 1, 2, 32) != 0);  // half of the results stay NaN
    CHECK(climb(Figure::Moved, 9, 2) != 0);
    CHECK(climb(Figure::Barriers, 1, 2) != 0);
}

}  // namespace
}  // namespace leon::LEON_CUDA
