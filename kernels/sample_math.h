// The arithmetic of sampling, one id at a time, for the definition, the processor and the GPU alike.
//
// All three must come to the same token although one sorts 65,536 ids, one selects among a few hundred and one adds up
// in a thousand threads. So what is done to a single value is written once, here; it uses only operations that IEEE 754
// or integers define to the last bit, no function of a mathematics library; and sums over ids are sums of integers,
// whose order does not matter. Equal logits give equal tokens, whatever the machine.
//
// Values are float32, as the logits are: these come out of sums of thousands of products and are good for five or six
// digits, so one rounding more a step does no harm, and graphics cards, whose double arithmetic is 64 times slower,
// never need it.
#pragma once

#include <cstdint>

#include "kernels/portable.h"

namespace leon::sampling {

constexpr float EXCLUDED = -__builtin_huge_valf();
constexpr float LARGEST = 3.402823466e+38f;

// NaN or +inf.
HOST_DEVICE inline bool is_broken(float logit) {
    return !(logit <= LARGEST);
}

// What left float's range stays at its end. Not for excluded values.
HOST_DEVICE inline float bounded(float value) {
    return value > LARGEST ? LARGEST : value < -LARGEST ? -LARGEST : value;
}

HOST_DEVICE inline float divide(float value, float temperature) {
    return value == EXCLUDED ? EXCLUDED : bounded(value / temperature);
}
HOST_DEVICE inline float penalise(float value, float penalty) {
    return value == EXCLUDED ? EXCLUDED : bounded(value < 0 ? value * penalty : value / penalty);
}
// from + scale * (to - from): `to` itself for scale 1, where the rounded formula may miss its last bits.
HOST_DEVICE inline float guide(float to, float from, float scale) {
    const float step = bounded(product(scale, bounded(to - from)));
    return to == EXCLUDED || from == EXCLUDED ? EXCLUDED : scale == 1 ? to : bounded(from + step);
}
// none + scale_image * (image - none) + scale_text * (full - image): `full` itself if both are 1.
HOST_DEVICE inline float guide3(float full, float image, float none, float scale_image, float scale_text) {
    const float step = bounded(product(scale_text, bounded(full - image)));
    const float value = guide(image, none, scale_image);
    if (value == EXCLUDED || full == EXCLUDED) return EXCLUDED;
    return scale_image == 1 && scale_text == 1 ? full : bounded(value + step);
}
// log p_c - log p_u from logits and the logarithms of their streams' sums.
HOST_DEVICE inline float contrast(float c, float total_c, float u, float total_u) {
    return c == EXCLUDED || u == EXCLUDED ? EXCLUDED : bounded(bounded(c - total_c) - bounded(u - total_u));
}

// An integer that orders as the float does: for selection by digits. -inf gives the least of all numbers.
HOST_DEVICE inline uint32_t order_of(float value) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, 4);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

// How far a value lies below the maximum, in units of 2^-26, rounded up: only the maximum itself has distance 0. What
// lies 32 or more below, and what is excluded, has the largest distance. `maximum` is finite.
HOST_DEVICE inline int32_t distance(float value, float maximum) {
    constexpr float FURTHEST = 0x1p31f - 128;  // the largest float below 2^31
    const float units = (maximum - value) * 0x1p26f;
    const float exact = units < FURTHEST ? units : FURTHEST;
    const int32_t below = static_cast<int32_t>(exact);
    return below + (static_cast<float>(below) < exact ? 1 : 0);
}

// exp(-distance): a probability relative to the largest one, in units of 2^-36. What lies 25.7 or more below the
// maximum has none.
//
// 2^-(whole + fraction), the power of the fraction by a polynomial in 32-bit fixed point; with the product, within
// 4e-9.
constexpr uint64_t MASS_OF_MAXIMUM = uint64_t{1} << 36;
HOST_DEVICE inline uint32_t high_product(uint32_t a, uint32_t b) {
    return static_cast<uint32_t>(uint64_t{a} * b >> 32);
}
HOST_DEVICE inline uint64_t mass(int32_t distance) {
    constexpr uint64_t LOG2_E = 0xb8aa3b29;  // in units of 2^-31
    const uint64_t power = static_cast<uint32_t>(distance) * LOG2_E;
    const int whole = static_cast<int>(power >> 57);
    const uint32_t fraction = static_cast<uint32_t>(power >> 25);
    uint32_t sum = 0xbda6;  // each step: coefficient - fraction * sum, all in units of 2^-32
    sum = 0x9c200 - high_product(fraction, sum);
    sum = 0x5728b0 - high_product(fraction, sum);
    sum = 0x27641a9 - high_product(fraction, sum);
    sum = 0xe358127 - high_product(fraction, sum);
    sum = 0x3d7f7bcb - high_product(fraction, sum);
    sum = 0xb17217f7 - high_product(fraction, sum);
    const uint64_t scaled = ((uint64_t{1} << 32) - high_product(fraction, sum)) << 4;
    return (scaled + (uint64_t{1} << whole >> 1)) >> whole;
}

// The least mass that is the share p of the total; at least 1, so that a nucleus is never empty.
HOST_DEVICE inline uint64_t share(float p, uint64_t total) {
    const double exact = static_cast<double>(p) * static_cast<double>(total);
    const uint64_t below = static_cast<uint64_t>(exact);
    const uint64_t least = below + (static_cast<double>(below) < exact ? 1 : 0);
    return least < 1 ? 1 : least > total ? total : least;
}

// log(total / MASS_OF_MAXIMUM), total > 0, within 2^-26: the bits of the logarithm one by one, by squaring.
HOST_DEVICE inline float log_of_mass(uint64_t total) {
    constexpr int BITS = 26;
    constexpr double LN_2 = 0.6931471805599453;
    int64_t logarithm = 31 - 36;
    uint64_t x = total;  // brought into [2^31, 2^32)
    for (; x >= uint64_t{1} << 32; logarithm++) x >>= 1;
    for (; x < uint64_t{1} << 31; logarithm--) x <<= 1;
    for (int bit = 0; bit < BITS; bit++) {
        x = x * x >> 31;
        const uint64_t carry = x >> 32;
        logarithm = 2 * logarithm + static_cast<int64_t>(carry);
        x >>= carry;
    }
    return static_cast<float>(static_cast<double>(logarithm) * (LN_2 / (1 << BITS)));
}

// The place in [0, total) that the random bits choose: floor(u * total) with u = bits * 2^-53.
HOST_DEVICE inline uint64_t place_in(uint64_t total, uint64_t bits) {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(total) * bits >> 53);
}

}  // namespace leon::sampling
