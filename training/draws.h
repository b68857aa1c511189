// Random numbers of training, in order: a counter over kernels/random.h. A copy goes on from the same place, and what
// was drawn is known by (seed, lane, count) alone, so that nothing needs to be kept for resuming.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/check.h"
#include "kernels/random.h"

namespace leon {

class RandomDraws {
public:
    RandomDraws(uint64_t seed, uint64_t lane) : seed_(seed), lane_(lane) {}

    double uniform() { return leon::uniform(seed_, lane_, count_++); }  // in [0, 1)
    int64_t below(int64_t n) {                                          // in [0, n)
        CHECK(n > 0);
        const int64_t drawn = static_cast<int64_t>(uniform() * static_cast<double>(n));
        return drawn < n ? drawn : n - 1;
    }
    bool chance(double probability) { return uniform() < probability; }

    // Knuth's way: counts how many uniform numbers can be multiplied before the product falls below exp(-mean).
    int poisson(double mean) {
        const double least = std::exp(-mean);
        int events = 0;
        for (double product = uniform(); product > least; product *= uniform()) events++;
        return events;
    }

private:
    uint64_t seed_, lane_, count_ = 0;
};

}  // namespace leon
