// The normal distribution, for parameters that begin at random.
#pragma once

#include <algorithm>
#include <cmath>

namespace leon {

// The inverse of the normal distribution's function (Wichura, Applied Statistics 37, 1988: AS 241, PPND7): about seven
// digits for p in [1e-10, 1 - 1e-10].
inline double normal_quantile(double p) {
    const double q = p - 0.5;
    if (std::fabs(q) <= 0.425) {
        const double r = 0.180625 - q * q;
        return q * (((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179) /
               (((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1.0);
    }
    const double r = std::sqrt(-std::log(std::min(p, 1.0 - p))) - 1.6;
    const double tail = (((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777) /
                        ((0.12021132975 * r + 0.73700164250) * r + 1.0);
    return q < 0 ? -tail : tail;
}

}  // namespace leon
