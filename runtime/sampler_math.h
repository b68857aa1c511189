// The arithmetic that the definition (sampler.cpp) and the fast path (sampler_fast.cpp) share, one id at a time.
//
// Both must come to the same bits although one sorts 65,536 ids and the other selects among a few hundred. So what is
// done to a single value is written once, here, and sums over ids whose order may differ are sums of integers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>

namespace leon::sampler {

constexpr double EXCLUDED = -std::numeric_limits<double>::infinity();
constexpr double LARGEST = std::numeric_limits<float>::max();
constexpr int MAX_VOCAB = 1 << 20;

// Finite values stay within float's range.
inline double bounded(double value) {
    return value == EXCLUDED ? value : std::clamp(value, -LARGEST, LARGEST);
}

inline double divide(double value, double temperature) {
    return bounded(value / temperature);
}
inline double penalise(double value, double penalty) {
    return bounded(value < 0 ? value * penalty : value / penalty);
}
inline double guide(double c, double u, double scale) {
    return c == EXCLUDED || u == EXCLUDED ? EXCLUDED : bounded(u + scale * (c - u));
}
inline double guide3(double full, double image, double none, double scale_image, double scale_text) {
    if (full == EXCLUDED || image == EXCLUDED || none == EXCLUDED) return EXCLUDED;
    return bounded(none + scale_image * (image - none) + scale_text * (full - image));
}
// log p_c - log p_u from logits and the logarithms of their streams' sums.
inline double contrast(double c, double total_c, double u, double total_u) {
    return c == EXCLUDED || u == EXCLUDED ? EXCLUDED : bounded((c - total_c) - (u - total_u));
}

// A probability relative to the largest one, in units of 2^-44: integers, so that a sum of up to 2^20 of them neither
// overflows nor depends on its order. What lies 32 or more below the maximum has none.
constexpr double MASS_OF_MAXIMUM = 0x1p44;
inline uint64_t mass(double value, double maximum) {
    const double below = value - maximum;
    return below <= -32 ? 0 : static_cast<uint64_t>(std::exp(below) * MASS_OF_MAXIMUM + 0.5);
}
// The least mass that is the share p of the total; at least 1, so that a nucleus is never empty.
inline uint64_t share(double p, uint64_t total) {
    const double exact = std::ceil(p * static_cast<double>(total));
    return std::clamp<uint64_t>(static_cast<uint64_t>(exact), 1, total);
}

// EXCLUDED if there is none. Four running maxima, because one would wait for itself.
inline double maximum_of(std::span<const double> values) {
    double best[4] = {EXCLUDED, EXCLUDED, EXCLUDED, EXCLUDED};
    for (size_t i = 0; i < values.size(); i++) best[i % 4] = std::max(best[i % 4], values[i]);
    return std::max(std::max(best[0], best[1]), std::max(best[2], best[3]));
}

// log(sum(exp(values))) in the order given; excluded values add exactly nothing.
inline double log_sum(std::span<const double> values) {
    const double maximum = maximum_of(values);
    if (maximum == EXCLUDED) return EXCLUDED;
    double sum = 0;
    for (double value : values) sum += value == EXCLUDED ? 0.0 : std::exp(value - maximum);
    return maximum + std::log(sum);
}

// A visitor for the variants of sampler.h out of one lambda per alternative.
template <class... Functions>
struct Overloaded : Functions... {
    using Functions::operator()...;
};
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

// Law "broken" of sampler.h.
void refuse_broken(std::span<const float* const> logits, int vocab);
// Error unless the id of the sequence lies in the vocabulary.
void refuse_outside(int32_t id, int vocab);

}  // namespace leon::sampler
