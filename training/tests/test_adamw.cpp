// AdamW against its formula in double, over sizes around the blocks, and the sums beside it.
#include "training/adamw.h"

#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/random.h"
#include "tests/testing.h"

using namespace leon;

namespace {

std::vector<float> made(size_t size, uint64_t lane) {
    std::vector<float> values(size);
    for (size_t i = 0; i < size; i++) values[i] = static_cast<float>(uniform(3, lane, i) * 2 - 1);
    return values;
}

}  // namespace

TEST_CASE("adamw: twenty updates follow the formula, whatever the size and the threads") {
    for (size_t size : {size_t{1}, size_t{7}, size_t{16384}, size_t{40001}}) {
        std::vector<float> values = made(size, 0), m(size), v(size), lonely = values, m1(size), v1(size);
        std::vector<double> want(values.begin(), values.end()), wm(size), wv(size);
        AdamWStep rule{.learning_rate = 0.01,
                       .beta_1 = 0.9,
                       .beta_2 = 0.95,
                       .epsilon = 1e-8,
                       .weight_decay = 0.1,
                       .gradient_scale = 0.5,
                       .step = 1};
        for (int step = 1; step <= 20; step++) {
            const std::vector<float> g = made(size, static_cast<uint64_t>(step));
            rule.step = step;
            adamw(values, g, m, v, rule);
            set_cpu_threads(1);
            adamw(lonely, g, m1, v1, rule);
            set_cpu_threads(0);
            for (size_t i = 0; i < size; i++) {
                const double gradient = 0.5 * g[i];
                wm[i] = 0.9 * wm[i] + 0.1 * gradient;
                wv[i] = 0.95 * wv[i] + 0.05 * gradient * gradient;
                want[i] = want[i] * (1 - 0.01 * 0.1) - 0.01 * (wm[i] / (1 - std::pow(0.9, step))) /
                                                           (std::sqrt(wv[i] / (1 - std::pow(0.95, step))) + 1e-8);
            }
        }
        double worst = 0;
        for (size_t i = 0; i < size; i++) worst = std::max(worst, std::abs(values[i] - want[i]));
        CHECK(worst < 2e-6);
        CHECK(values == lonely);
    }
}

TEST_CASE("adamw: sums of squares and averages") {
    const std::vector<float> values = made(50000, 1);
    double want = 0;
    for (float x : values) want += static_cast<double>(x) * x;
    CHECK(sum_of_squares(values) == doctest::Approx(want).epsilon(1e-13));
    CHECK(sum_of_squares({}) == 0);
    std::vector<float> average = made(50000, 2);
    const std::vector<float> before = average;
    average_into(average, values, 0.9);
    for (size_t i = 0; i < average.size(); i += 777)
        CHECK(average[i] == doctest::Approx(0.9 * before[i] + 0.1 * values[i]));
}
