// Where the time of a step goes: tables whose entries measure those of the tables behind them, each by itself. An
// operation is waited for before the next one begins, so that on a device its launch counts, and nothing overlaps.
//
//   OperationTimes times(kernels, grads);
//   Network network(config, times.kernels(), times.grads(), rows);   ...
//   for (const OperationTimes::Line& line : times.lines()) ...
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "training/grad_kernels.h"

namespace leon {

class OperationTimes {
public:
    // An entry of a table is a plain function, which knows no object: so there is one of this at a time (CHECKed).
    OperationTimes(const Kernels& kernels, const GradKernels& grads);
    ~OperationTimes();
    OperationTimes(const OperationTimes&) = delete;
    OperationTimes& operator=(const OperationTimes&) = delete;

    const Kernels& kernels() const { return kernels_; }
    const GradKernels& grads() const { return grads_; }

    struct Line {
        std::string operation;
        int64_t calls;
        double seconds;
    };
    std::vector<Line> lines() const;  // since forget(), the longest first
    void forget();

private:
    Kernels kernels_;
    GradKernels grads_;
};

}  // namespace leon
