// The two random number generators of the reference world, number for number, so that a seed names the same scene here
// and there.
//
//   PythonRandom   CPython's random.Random(seed): MT19937 seeded by init_by_array, and what Random derives from it.
//   NumpyRandom    numpy's default_rng(seed): SeedSequence, PCG64 (XSL-RR 128/64), and what Generator derives from it.
//
// Only what the world draws is here: no states to save, no distributions beside the uniform ones. Neither is shared
// between threads.
//
// Sources: M. Matsumoto, T. Nishimura, "Mersenne Twister", 1998; M. O'Neill, "PCG", 2014; D. Lemire, "Fast random
// integer generation in an interval", 2019; the documentation of random.Random and numpy.random.Generator.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace leon {

class PythonRandom {
public:
    explicit PythonRandom(uint64_t seed);

    double random();                          // [0, 1), 53 bits
    uint32_t below(uint32_t n);               // [0, n), 0 < n: Random._randbelow
    int randint(int low, int high);           // [low, high], low <= high
    double uniform(double low, double high);  // low + (high - low) * random()
    template <class Values>
    const auto& choice(const Values& values) {  // values must not be empty
        return values[below(static_cast<uint32_t>(std::size(values)))];
    }

private:
    uint32_t next();

    std::array<uint32_t, 624> state_;
    size_t used_ = 624;
};

class NumpyRandom {
public:
    explicit NumpyRandom(uint64_t seed);

    double random();                          // [0, 1), 53 bits
    double uniform(double low, double high);  // low + (high - low) * random()
    int integers(int low, int high);          // [low, high), low < high

private:
    uint64_t next64();
    uint32_t next32();  // halves of one next64(), the low one first; the high one is kept for the next call

    unsigned __int128 state_, increment_;
    bool has_half_ = false;
    uint32_t half_ = 0;
};

}  // namespace leon
