// MT19937 and PCG64 with their seeding. Each generator is its published recurrence; what is Python's or numpy's own is
// how seeds are stirred, how many bits a bounded integer takes, and which half of 64 bits comes first.
#include "training/storybook/random.h"

#include <bit>

#include "kernels/check.h"

namespace leon {
namespace {

double to_unit(uint64_t bits53) {
    return static_cast<double>(bits53) * 0x1p-53;
}

}  // namespace

// --- MT19937 ----------------------------------------------------------------------------------------------------

// init_by_array: the seed's 32-bit words, the low one first, are stirred into the state that init_genrand(19650218)
// makes.
PythonRandom::PythonRandom(uint64_t seed) {
    const uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
    const uint32_t length = key[1] ? 2 : 1, size = static_cast<uint32_t>(state_.size());
    state_[0] = 19650218;
    for (uint32_t i = 1; i < size; i++) state_[i] = 1812433253 * (state_[i - 1] ^ state_[i - 1] >> 30) + i;

    uint32_t i = 1, j = 0;
    const auto step = [&] {
        if (++i == size) {
            state_[0] = state_[size - 1];
            i = 1;
        }
    };
    for (uint32_t k = 0; k < size; k++) {
        state_[i] = (state_[i] ^ (state_[i - 1] ^ state_[i - 1] >> 30) * 1664525) + key[j] + j;
        j = (j + 1) % length;
        step();
    }
    for (uint32_t k = 1; k < size; k++) {
        state_[i] = (state_[i] ^ (state_[i - 1] ^ state_[i - 1] >> 30) * 1566083941) - i;
        step();
    }
    state_[0] = 0x80000000;
}

uint32_t PythonRandom::next() {
    constexpr size_t SIZE = 624, MIDDLE = 397;
    if (used_ == SIZE) {
        for (size_t i = 0; i < SIZE; i++) {
            uint32_t y = (state_[i] & 0x80000000) | (state_[(i + 1) % SIZE] & 0x7fffffff);
            state_[i] = state_[(i + MIDDLE) % SIZE] ^ y >> 1 ^ (y & 1 ? 0x9908b0df : 0);
        }
        used_ = 0;
    }
    uint32_t y = state_[used_++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680;
    y ^= y << 15 & 0xefc60000;
    return y ^ y >> 18;
}

double PythonRandom::random() {
    const uint64_t high = next() >> 5, low = next() >> 6;
    return to_unit(high << 26 | low);
}

// As many bits as n has, until they are below n.
uint32_t PythonRandom::below(uint32_t n) {
    CHECK(n > 0);
    const int bits = std::bit_width(n);
    for (;;) {
        const uint32_t value = next() >> (32 - bits);
        if (value < n) return value;
    }
}

int PythonRandom::randint(int low, int high) {
    CHECK(low <= high);
    return low + static_cast<int>(below(static_cast<uint32_t>(high - low) + 1));
}

// --- PCG64 ------------------------------------------------------------------------------------------------------

namespace {

using Wide = unsigned __int128;
constexpr Wide MULTIPLIER = Wide{2549297995355413924ull} << 64 | 4865540595714422341ull;

// numpy's SeedSequence(seed).generate_state(4, uint64), as O'Neill's seed_seq_fe mixes it: a pool of four words.
std::array<uint64_t, 4> seed_words(uint64_t seed) {
    const uint32_t entropy[4] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), 0, 0};
    std::array<uint32_t, 4> pool;
    uint32_t constant = 0x43b0d7e5;
    const auto hash = [&](uint32_t value) {
        value ^= constant;
        constant *= 0x931e8875;
        value *= constant;
        return value ^ value >> 16;
    };
    const auto mix = [](uint32_t x, uint32_t y) {
        const uint32_t result = 0xca01f9dd * x - 0x4973f715 * y;
        return result ^ result >> 16;
    };
    for (size_t i = 0; i < 4; i++) pool[i] = hash(entropy[i]);
    for (size_t from = 0; from < 4; from++)
        for (size_t to = 0; to < 4; to++)
            if (from != to) pool[to] = mix(pool[to], hash(pool[from]));

    std::array<uint64_t, 4> words{};
    constant = 0x8b51f9dd;
    for (size_t i = 0; i < 8; i++) {
        uint32_t value = pool[i % 4] ^ constant;
        constant *= 0x58f38ded;
        value *= constant;
        value ^= value >> 16;
        words[i / 2] |= uint64_t{value} << (i % 2 * 32);
    }
    return words;
}

}  // namespace

NumpyRandom::NumpyRandom(uint64_t seed) {
    const auto words = seed_words(seed);
    const Wide start = Wide{words[0]} << 64 | words[1], stream = Wide{words[2]} << 64 | words[3];
    increment_ = stream << 1 | 1;
    state_ = (increment_ + start) * MULTIPLIER + increment_;
}

uint64_t NumpyRandom::next64() {
    state_ = state_ * MULTIPLIER + increment_;
    return std::rotr(static_cast<uint64_t>(state_ >> 64) ^ static_cast<uint64_t>(state_),
                     static_cast<int>(state_ >> 122));
}

uint32_t NumpyRandom::next32() {
    if (has_half_) {
        has_half_ = false;
        return half_;
    }
    const uint64_t both = next64();
    has_half_ = true;
    half_ = static_cast<uint32_t>(both >> 32);
    return static_cast<uint32_t>(both);
}

double NumpyRandom::random() {
    return to_unit(next64() >> 11);
}

double PythonRandom::uniform(double low, double high) {
    return low + (high - low) * random();
}

double NumpyRandom::uniform(double low, double high) {
    return low + (high - low) * random();
}

// Lemire: the high half of a product is uniform, once the products whose low half would favour some values are redrawn.
int NumpyRandom::integers(int low, int high) {
    CHECK(low < high);
    const uint32_t count = static_cast<uint32_t>(high) - static_cast<uint32_t>(low);
    if (count == 1) return low;  // numpy draws nothing then
    uint64_t product = uint64_t{next32()} * count;
    if (static_cast<uint32_t>(product) < count) {
        const uint32_t threshold = (0u - count) % count;
        while (static_cast<uint32_t>(product) < threshold) product = uint64_t{next32()} * count;
    }
    return low + static_cast<int>(product >> 32);
}

}  // namespace leon
