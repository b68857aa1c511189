#include "training/operation_times.h"

#include <algorithm>
#include <chrono>

namespace leon {
namespace {

// The tables behind those that measure.
struct Behind {
    const Kernels* kernels = nullptr;
    const GradKernels* grads = nullptr;
} behind;

template <class Table>
const Table& table_behind();
template <>
const Kernels& table_behind() {
    return *behind.kernels;
}
template <>
const GradKernels& table_behind() {
    return *behind.grads;
}

std::vector<OperationTimes::Line>& measured() {
    static std::vector<OperationTimes::Line> lines;
    return lines;
}

class Stopwatch {
public:
    explicit Stopwatch(size_t line) : line_(line) {
        finish(*behind.kernels);
        began_ = std::chrono::steady_clock::now();
    }
    ~Stopwatch() {
        finish(*behind.kernels);
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began_;
        measured()[line_].calls++;
        measured()[line_].seconds += seconds.count();
    }

private:
    size_t line_;
    std::chrono::steady_clock::time_point began_;
};

// An entry of a table, by the pointer to its member.
template <auto MEMBER>
struct Measured;
template <class Table, class Result, class... Arguments, Result (*Table::*MEMBER)(Arguments...)>
struct Measured<MEMBER> {
    static inline size_t line = 0;

    static Result call(Arguments... arguments) {
        const Stopwatch watch(line);
        return (table_behind<Table>().*MEMBER)(arguments...);
    }
    static void put_into(Table& table, const char* operation) {
        line = measured().size();
        measured().push_back({operation, 0, 0});
        table.*MEMBER = call;
    }
};

}  // namespace

OperationTimes::OperationTimes(const Kernels& kernels, const GradKernels& grads) : kernels_(kernels), grads_(grads) {
    CHECK(!behind.kernels);
    behind = {&kernels, &grads};
    measured().clear();
#define MEASURED(table, Type, entry, name) Measured<&Type::entry>::put_into(table, name)
#define OF_KERNELS(entry) MEASURED(kernels_, Kernels, entry, #entry)
#define OF_GRADS(entry) MEASURED(grads_, GradKernels, entry, #entry)
    OF_KERNELS(upload);
    OF_KERNELS(download);
    OF_KERNELS(gather);
    OF_KERNELS(gather_add);
    OF_KERNELS(rmsnorm);
    OF_KERNELS(layernorm);
    OF_KERNELS(add);
    OF_KERNELS(swiglu);
    OF_KERNELS(activate);
    OF_GRADS(linear);
    OF_GRADS(linear_dx);
    OF_GRADS(linear_dw);
    OF_GRADS(norm_backward);
    OF_GRADS(rotate);
    OF_GRADS(rotate_backward);
    OF_GRADS(attention);
    OF_GRADS(attention_backward);
    OF_GRADS(swiglu_backward);
    OF_GRADS(relu_backward);
    OF_GRADS(gather_backward);
    OF_GRADS(cross_entropy);
    OF_GRADS(clear);
    OF_GRADS(sum_of_squares);
    OF_GRADS(adamw);
    OF_GRADS(average_into);
#undef OF_GRADS
#undef OF_KERNELS
#undef MEASURED
}

OperationTimes::~OperationTimes() {
    behind = {};
}

std::vector<OperationTimes::Line> OperationTimes::lines() const {
    std::vector<Line> called;
    for (const Line& line : measured())
        if (line.calls > 0) called.push_back(line);
    std::sort(called.begin(), called.end(), [](const Line& a, const Line& b) { return a.seconds > b.seconds; });
    return called;
}

void OperationTimes::forget() {
    for (Line& line : measured()) line.calls = 0, line.seconds = 0;
}

}  // namespace leon
