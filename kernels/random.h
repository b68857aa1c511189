// Random numbers by counting (Philox4x32-10; Salmon et al., SC 2011): a pure function of counter and key, the same on
// every machine and on the GPU. There is no state to keep, to share or to lose.
#pragma once

#include <cstdint>

#include "kernels/portable.h"

namespace leon {

struct PhiloxWords {
    uint32_t word[4];
};

HOST_DEVICE inline PhiloxWords philox4x32(PhiloxWords counter, uint32_t key_0, uint32_t key_1) {
    constexpr int ROUNDS = 10;
    constexpr uint64_t MULTIPLIER_0 = 0xD2511F53, MULTIPLIER_1 = 0xCD9E8D57;
    constexpr uint32_t WEYL_0 = 0x9E3779B9, WEYL_1 = 0xBB67AE85;  // golden ratio and sqrt(3) - 1, as fractions of 2^32
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t a = MULTIPLIER_0 * counter.word[0], b = MULTIPLIER_1 * counter.word[2];
        counter = {{static_cast<uint32_t>(b >> 32) ^ counter.word[1] ^ key_0, static_cast<uint32_t>(b),
                    static_cast<uint32_t>(a >> 32) ^ counter.word[3] ^ key_1, static_cast<uint32_t>(a)}};
        key_0 += WEYL_0;
        key_1 += WEYL_1;
    }
    return counter;
}

// 53 random bits, as many as a double holds.
//   lane     separates independent draws of one seed      counter   the position in the sequence
HOST_DEVICE inline uint64_t uniform_bits(uint64_t seed, uint64_t lane, uint64_t counter) {
    const PhiloxWords words = philox4x32({{static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32),
                                           static_cast<uint32_t>(lane), static_cast<uint32_t>(lane >> 32)}},
                                         static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
    return (static_cast<uint64_t>(words.word[0]) << 32 | words.word[1]) >> 11;
}

// Uniform in [0, 1), the same on every machine for the same (seed, lane, counter).
HOST_DEVICE inline double uniform(uint64_t seed, uint64_t lane, uint64_t counter) {
    return static_cast<double>(uniform_bits(seed, lane, counter)) * 0x1p-53;
}

}  // namespace leon
