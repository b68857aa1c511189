// What the kernel tests share: reproducible data, and memory of a backend that notices stray writes.
//
//   Host     an array in this process, as a file or a user would hold it
//   Memory   arrays of one backend; put() uploads, make() poisons with NaN or -1 (so that an element that nobody writes
//   is
//            seen), get() downloads. Every array stands between two guards, checked by intact().
//   Case     one call with its data; hold(), in tests/test_kernels.cpp, runs it on every backend and judges the results
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernels.h"
#include "tests/cuda_on_cpu/emulated_kernels.h"

namespace leon {

// SplitMix64: small, and the same on every machine (the standard library's distributions are not).
class Random {
public:
    explicit Random(uint64_t seed) : state_(seed) {}
    uint64_t bits() {
        uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        return z ^ (z >> 31);
    }
    int below(int limit) { return static_cast<int>(bits() % static_cast<uint64_t>(limit)); }
    double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
    // Mean 0, variance 1: the sum of twelve uniforms less six.
    float normal() {
        double sum = -6;
        for (int i = 0; i < 12; i++) sum += uniform();
        return static_cast<float>(sum);
    }

private:
    uint64_t state_;
};

struct Host {
    DType dtype = DType::F32;
    std::vector<int64_t> shape;
    std::vector<uint8_t> bytes;
    std::vector<float> scale;     // I8, F8, I4: one a row
    std::vector<uint8_t> groups;  // I4: one a group

    Host() = default;
    Host(DType type, std::vector<int64_t> dimensions) : dtype(type), shape(std::move(dimensions)) {
        bytes.resize(packed_bytes(type, static_cast<int64_t>(elements())));
    }
    size_t elements() const {
        size_t n = 1;
        for (int64_t d : shape) n *= static_cast<size_t>(d);
        return n;
    }
    void set(size_t i, float value) {
        const uint16_t half = dtype == DType::F16 ? float_to_f16(value) : float_to_bf16(value);
        if (dtype == DType::F32) std::memcpy(&bytes[i * 4], &value, 4);
        if (bits_of(dtype) == 16) std::memcpy(&bytes[i * 2], &half, 2);
    }
    float at(size_t i) const {
        float value = 0;
        uint16_t half = 0;
        if (dtype == DType::F32) std::memcpy(&value, &bytes[i * 4], 4);
        if (bits_of(dtype) == 16) std::memcpy(&half, &bytes[i * 2], 2);
        if (dtype == DType::I8)
            return static_cast<float>(static_cast<int8_t>(bytes[i])) * scale[i / static_cast<size_t>(shape.back())];
        return dtype == DType::F32 ? value : dtype == DType::F16 ? f16_to_float(half) : bf16_to_float(half);
    }
    std::vector<float> floats() const {
        std::vector<float> values(elements());
        for (size_t i = 0; i < values.size(); i++) values[i] = at(i);
        return values;
    }
    std::vector<int32_t> ints() const {
        std::vector<int32_t> values(elements());
        std::memcpy(values.data(), bytes.data(), bytes.size());
        return values;
    }
};

inline Host random_host(Random& random, std::vector<int64_t> shape, float size = 1, DType dtype = DType::F32) {
    Host host(dtype, std::move(shape));
    if (!has_row_scale(dtype)) {
        for (size_t i = 0; i < host.elements(); i++) host.set(i, random.normal() * size);
        return host;
    }
    // Over their whole range, under scales that give a row values of about `size`.
    for (uint8_t& byte : host.bytes)
        byte = dtype == DType::F8 ? float_to_e4m3(random.normal()) : static_cast<uint8_t>(random.below(255) - 127);
    if (dtype == DType::I4)
        for (size_t g = 0; g * GROUP < host.elements(); g++)
            host.groups.push_back(float_to_e4m3(static_cast<float>(random.below(2) * 2 - 1) *
                                                static_cast<float>(0.25 + 0.25 * random.uniform())));
    const float largest = dtype == DType::I8 ? 73 : 1;
    for (size_t r = 0; r * host.shape.back() < host.elements(); r++)
        host.scale.push_back(size / largest * static_cast<float>(0.5 + random.uniform()));
    return host;
}
// Gains of a norm: around one.
inline Host random_gain(Random& random, std::vector<int64_t> shape) {
    Host host(DType::F32, std::move(shape));
    for (size_t i = 0; i < host.elements(); i++) host.set(i, 1 + 0.2f * random.normal());
    return host;
}
inline Host filled(std::vector<int64_t> shape, float value) {
    Host host(DType::F32, std::move(shape));
    for (size_t i = 0; i < host.elements(); i++) host.set(i, value);
    return host;
}
inline Host int_host(const std::vector<int32_t>& values, std::vector<int64_t> shape) {
    Host host(DType::I32, std::move(shape));
    std::memcpy(host.bytes.data(), values.data(), host.bytes.size());
    return host;
}
inline Host int_host(const std::vector<int32_t>& values) {
    return int_host(values, {static_cast<int64_t>(values.size())});
}

class Memory {
public:
    explicit Memory(const Kernels& kernels) : kernels_(kernels) {}
    ~Memory() {
        for (const Block& block : blocks_) release(kernels_, block.memory);
    }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    Tensor put(const Host& host) {
        Tensor tensor = reserve(host.dtype, host.shape);
        if (!host.bytes.empty()) upload(kernels_, tensor.data, host.bytes.data(), host.bytes.size());
        if (!host.scale.empty()) {
            const Tensor scale = reserve(DType::F32, {static_cast<int64_t>(host.scale.size())});
            upload(kernels_, scale.data, host.scale.data(), scale.bytes());
            tensor.scale = scale.f32();
        }
        if (!host.groups.empty()) {
            const Tensor groups = reserve(DType::U8, {static_cast<int64_t>(host.groups.size())});
            upload(kernels_, groups.data, host.groups.data(), groups.bytes());
            tensor.groups = static_cast<const uint8_t*>(groups.data);
        }
        return tensor;
    }
    Tensor make(std::vector<int64_t> shape, DType dtype = DType::F32) {
        Host poison(dtype, std::move(shape));
        std::fill(poison.bytes.begin(), poison.bytes.end(), uint8_t{0xff});
        return put(poison);
    }
    Host get(const Tensor& tensor) const {
        Host host(tensor.dtype, std::vector<int64_t>(tensor.shape, tensor.shape + tensor.rank));
        if (!host.bytes.empty()) download(kernels_, host.bytes.data(), tensor.data, host.bytes.size());
        if (tensor.scale) {
            host.scale.resize(static_cast<size_t>(tensor.rows()));
            download(kernels_, host.scale.data(), tensor.scale, host.scale.size() * sizeof(float));
        }
        return host;
    }
    bool intact() const {
        for (const Block& block : blocks_) {
            std::vector<uint8_t> all(GUARD_BEFORE + block.bytes + GUARD_AFTER);
            download(kernels_, all.data(), block.memory, all.size());
            for (size_t i = 0; i < all.size(); i++)
                if ((i < GUARD_BEFORE || i >= GUARD_BEFORE + block.bytes) && all[i] != GUARD) return false;
        }
        return true;
    }

private:
    static constexpr size_t GUARD_BEFORE = 64;  // keeps the alignment that allocate() promises
#if defined(__SANITIZE_ADDRESS__)
    static constexpr size_t GUARD_AFTER = 0;  // AddressSanitizer sees the first stray byte, reads too
#else
    static constexpr size_t GUARD_AFTER = 64;
#endif
    static constexpr uint8_t GUARD = 0xa5;
    struct Block {
        void* memory;
        size_t bytes;
    };

    Tensor reserve(DType dtype, const std::vector<int64_t>& shape) {
        Tensor tensor;
        tensor.dtype = dtype;
        tensor.rank = static_cast<int>(shape.size());
        std::copy(shape.begin(), shape.end(), tensor.shape);
        size_t bytes = tensor.bytes();
        std::vector<uint8_t> guarded(GUARD_BEFORE + bytes + GUARD_AFTER, GUARD);
        void* memory = allocate(kernels_, guarded.size());
        blocks_.push_back({memory, bytes});
        upload(kernels_, memory, guarded.data(), guarded.size());
        tensor.data = static_cast<uint8_t*>(memory) + GUARD_BEFORE;
        return tensor;
    }

    const Kernels& kernels_;
    std::vector<Block> blocks_;
};

// One call with its data, ready for any backend.
struct Case {
    const char* operation;
    DType dtype;  // of the weight or of the cache
    std::string what;
    std::function<std::vector<Tensor>(const Kernels&, Memory&)> call;  // uploads, calls, returns the results
    double scale = 1;                                                  // of a typical element of the result
};

// Runs the cases on the reference and on every other backend, in several ways: with one, two and three threads, or, on
// the emulated GPU, with the threads scheduled forward, in reverse and at random. Demands that the results agree within
// the tolerance of the operation, that they are the same bits every way, and that nothing beside the arrays was
// written.
void hold(const std::vector<Case>& cases);

// The largest errors that hold() has seen so far, as rows of its table.
void print_measured();

// All of this machine, GPUs and the emulated one, too; or those whose name begins as the variable LEON_TEST_BACKEND
// says, or is what stands there behind an equals sign: "=cuda" is the real GPU alone.
inline std::vector<const Kernels*> backends() {
    std::vector<const Kernels*> all = {cpu_variants().begin(), cpu_variants().end()};
    for (const Kernels* gpu : gpus()) all.push_back(gpu);
    if (const char* wanted = std::getenv("LEON_TEST_BACKEND"))
        std::erase_if(all, [wanted = std::string_view(wanted)](const Kernels* k) {
            return wanted.starts_with('=') ? wanted.substr(1) != k->name
                                           : !std::string_view(k->name).starts_with(wanted);
        });
    return all;
}

template <typename... Parts>
std::string text(const Parts&... parts) {
    std::ostringstream stream;
    (stream << ... << parts);
    return stream.str();
}

// One, primes, and one below and above the widths that kernels are made of.
inline const std::vector<int64_t> ODD_SIZES = {1, 2, 3, 7, 13, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127};
constexpr DType WEIGHT_DTYPES[] = {DType::F32, DType::BF16, DType::F16, DType::I8, DType::F8, DType::I4};
// `depth`, or the next one that rows of this type can have: whole groups.
constexpr int64_t depth_of(DType dtype, int64_t depth) {
    return dtype == DType::I4 ? (depth + GROUP - 1) / GROUP * GROUP : depth;
}
constexpr DType FLOAT_DTYPES[] = {DType::F32, DType::BF16, DType::F16};  // of convolutions
constexpr DType CACHE_DTYPES[] = {DType::F32, DType::BF16, DType::F16, DType::I8};

}  // namespace leon
