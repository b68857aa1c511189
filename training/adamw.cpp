// Bound by memory: seven streams of floats an update. See adamw.h.
#include "training/adamw.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/check.h"
#include "kernels/cpu/threads.h"

namespace leon {
namespace {

constexpr size_t BLOCK = 1 << 14;  // floats a task; sums are those of blocks, in their order

template <class Body>
void for_blocks(size_t size, Body body) {
    parallel(static_cast<int64_t>((size + BLOCK - 1) / BLOCK), [&](int64_t block, int) {
        const size_t first = static_cast<size_t>(block) * BLOCK;
        body(static_cast<size_t>(block), first, std::min(size, first + BLOCK));
    });
}

}  // namespace

AdamWFactors::AdamWFactors(const AdamWStep& rule)
    : beta_1(static_cast<float>(rule.beta_1)),
      beta_2(static_cast<float>(rule.beta_2)),
      fresh_1(static_cast<float>(1 - rule.beta_1)),
      fresh_2(static_cast<float>(1 - rule.beta_2)),
      rate(static_cast<float>(rule.learning_rate / (1 - std::pow(rule.beta_1, static_cast<double>(rule.step))))),
      root(static_cast<float>(1 / std::sqrt(1 - std::pow(rule.beta_2, static_cast<double>(rule.step))))),
      epsilon(static_cast<float>(rule.epsilon)),
      scale(static_cast<float>(rule.gradient_scale)),
      kept(static_cast<float>(1 - rule.learning_rate * rule.weight_decay)) {}

void adamw(std::span<float> values, std::span<const float> gradients, std::span<float> m, std::span<float> v,
           const AdamWStep& rule) {
    CHECK(gradients.size() == values.size() && m.size() == values.size() && v.size() == values.size() && rule.step > 0);
    const AdamWFactors f(rule);
    for_blocks(values.size(), [=](size_t, size_t first, size_t end) {
        float* __restrict__ p = values.data(), * __restrict__ mean = m.data(), * __restrict__ square = v.data();
        const float* __restrict__ g = gradients.data();
        for (size_t i = first; i < end; i++) {
            const float gradient = g[i] * f.scale;
            mean[i] = f.beta_1 * mean[i] + f.fresh_1 * gradient;
            square[i] = f.beta_2 * square[i] + f.fresh_2 * gradient * gradient;
            p[i] = p[i] * f.kept - f.rate * mean[i] / (std::sqrt(square[i]) * f.root + f.epsilon);
        }
    });
}

double sum_of_squares(std::span<const float> values) {
    std::vector<double> sums((values.size() + BLOCK - 1) / BLOCK);
    for_blocks(values.size(), [&](size_t block, size_t first, size_t end) {
        constexpr size_t LANES = 8;
        double lanes[LANES] = {};
        for (size_t i = first; i < end; i++) lanes[i % LANES] += static_cast<double>(values[i]) * values[i];
        for (double lane : lanes) sums[block] += lane;
    });
    double sum = 0;
    for (double s : sums) sum += s;
    return sum;
}

void average_into(std::span<float> average, std::span<const float> values, double decay) {
    CHECK(average.size() == values.size());
    const float old = static_cast<float>(decay), fresh = static_cast<float>(1 - decay);
    for_blocks(values.size(), [=](size_t, size_t first, size_t end) {
        float* __restrict__ a = average.data();
        const float* __restrict__ v = values.data();
        for (size_t i = first; i < end; i++) a[i] = old * a[i] + fresh * v[i];
    });
}

}  // namespace leon
