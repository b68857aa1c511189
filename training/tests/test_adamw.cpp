// AdamW against its formula in double, over sizes around the blocks, and the sums beside it: as plain functions over
// vectors of the host, and by every table over its memory.
#include "training/adamw.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "kernels/random.h"
#include "training/tests/grad_harness.h"

#include "tests/testing.h"

using namespace leon;

namespace {

std::vector<float> made(size_t size, uint64_t lane) {
    std::vector<float> values(size);
    for (size_t i = 0; i < size; i++) values[i] = static_cast<float>(uniform(3, lane, i) * 2 - 1);
    return values;
}

Host host_of(const std::vector<float>& values) {
    Host host(DType::F32, {static_cast<int64_t>(values.size())});
    std::memcpy(host.bytes.data(), values.data(), host.bytes.size());
    return host;
}

// All tables, the definition first; of those that differ in products alone, the first.
std::vector<GradTable> all_tables() {
    std::vector<GradTable> all = {{&reference_kernels(), &reference_grad_kernels()}};
    for (const GradTable& table : grad_tables())
        if (std::none_of(all.begin(), all.end(),
                         [&](const GradTable& t) { return t.grads->adamw == table.grads->adamw; }))
            all.push_back(table);
    return all;
}

constexpr AdamWStep RULE = {.learning_rate = 0.01,
                            .beta_1 = 0.9,
                            .beta_2 = 0.95,
                            .epsilon = 1e-8,
                            .weight_decay = 0.1,
                            .gradient_scale = 0.5,
                            .step = 1};
constexpr int STEPS = 20;

// The values after all steps, by the formula.
std::vector<double> formula(size_t size) {
    const std::vector<float> begin = made(size, 0);
    std::vector<double> values(begin.begin(), begin.end()), m(size), v(size);
    for (int step = 1; step <= STEPS; step++) {
        const std::vector<float> g = made(size, static_cast<uint64_t>(step));
        for (size_t i = 0; i < size; i++) {
            const double gradient = 0.5 * g[i];
            m[i] = 0.9 * m[i] + 0.1 * gradient;
            v[i] = 0.95 * v[i] + 0.05 * gradient * gradient;
            values[i] = values[i] * (1 - 0.01 * 0.1) - 0.01 * (m[i] / (1 - std::pow(0.9, step))) /
                                                           (std::sqrt(v[i] / (1 - std::pow(0.95, step))) + 1e-8);
        }
    }
    return values;
}

double worst_error(const std::vector<float>& got, const std::vector<double>& want) {
    double worst = 0;
    for (size_t i = 0; i < want.size(); i++) worst = std::max(worst, std::abs(got[i] - want[i]));
    return worst;
}

}  // namespace

TEST_CASE("adamw: twenty updates follow the formula, whatever the size, the table and its threads") {
    for (size_t size : {size_t{1}, size_t{7}, size_t{16384}, size_t{40001}}) {
        CAPTURE(size);
        const std::vector<double> want = formula(size);
        std::vector<float> values = made(size, 0), m(size), v(size);
        AdamWStep rule = RULE;
        for (rule.step = 1; rule.step <= STEPS; rule.step++)
            adamw(values, made(size, static_cast<uint64_t>(rule.step)), m, v, rule);
        CHECK(worst_error(values, want) < 2e-6);

        for (const GradTable& table : all_tables()) {
            CAPTURE(table.grads->name);
            std::vector<float> first;
            for (const GradWay& way : ways(table)) {
                way.choose();
                Memory memory(*table.kernels);
                const Tensor p = memory.put(host_of(made(size, 0)));
                const Tensor mean = memory.put(host_of(std::vector<float>(size)));
                const Tensor square = memory.put(host_of(std::vector<float>(size)));
                for (rule.step = 1; rule.step <= STEPS; rule.step++)
                    adamw(*table.grads, p, memory.put(host_of(made(size, static_cast<uint64_t>(rule.step)))), mean,
                          square, rule);
                const std::vector<float> got = memory.get(p).floats();
                CHECK(memory.intact());
                CHECK(worst_error(got, want) < 2e-6);
                if (first.empty()) first = got;
                CHECK(got == first);
            }
        }
    }
}

TEST_CASE("adamw: sums of squares, averages and zeros") {
    const std::vector<float> values = made(50000, 1), few = made(300, 3), before = made(50000, 2);
    double want = 0;
    for (float x : values) want += static_cast<double>(x) * x;
    CHECK(sum_of_squares(values) == doctest::Approx(want).epsilon(1e-13));
    CHECK(sum_of_squares({}) == 0);
    double want_few = 0;
    for (float x : few) want_few += static_cast<double>(x) * x;
    std::vector<float> average = before;
    average_into(average, values, 0.9);
    for (size_t i = 0; i < average.size(); i += 777)
        CHECK(average[i] == doctest::Approx(0.9 * before[i] + 0.1 * values[i]));

    for (const GradTable& table : all_tables()) {
        CAPTURE(table.grads->name);
        std::optional<double> first;
        for (const GradWay& way : ways(table)) {
            way.choose();
            Memory memory(*table.kernels);
            std::vector<Tensor> parts(70, memory.put(host_of(few)));  // more than go into one launch
            parts.push_back(memory.put(host_of(values)));
            const double got = sum_of_squares(*table.grads, parts);
            CHECK(got == doctest::Approx(70 * want_few + want).epsilon(1e-13));
            if (!first) first = got;
            CHECK(got == *first);
            CHECK(sum_of_squares(*table.grads, {}) == 0);

            const Tensor mean = memory.put(host_of(before));
            average_into(*table.grads, mean, parts.back(), 0.9);
            std::vector<double> wanted_mean;
            for (size_t i = 0; i < values.size(); i++) wanted_mean.push_back(0.9 * before[i] + 0.1 * values[i]);
            CHECK(worst_error(memory.get(mean).floats(), wanted_mean) < 2e-7);
            clear(*table.grads, parts[0]);
            CHECK(memory.get(parts[0]).floats() == std::vector<float>(few.size()));
            CHECK(memory.intact());
        }
    }
}
