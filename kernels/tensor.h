// A Tensor is a typed, shaped, contiguous view of memory that somebody else owns.
//
// Row-major, no strides: the last dimension is adjacent in memory. The dtype is a property of the value, resolved
// once inside a kernel's launcher, so there is no template parameter and no twin function per type.
//
// Glossary of dimensions, used in every comment of the project:
//   rows      tokens or pixels that are treated alike             dim       width of the residual stream
//   heads     query heads      kv_heads  key/value heads          head_dim  channels of one head
//   seq       positions of one stream                             vocab     token ids
//   codes     entries of the picture codebook                     height, width, channels   of a picture
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "kernels/check.h"

namespace leon {

// I8 is a weight of signed bytes with one float per row beside it: element (r, c) is data[r, c] * scale[r].
enum class DType : uint8_t { F32, BF16, F16, I32, U8, I8 };

inline size_t size_of(DType type) {
    switch (type) {
        case DType::F32:
            return 4;
        case DType::I32:
            return 4;
        case DType::BF16:
            return 2;
        case DType::F16:
            return 2;
        case DType::U8:
            return 1;
        case DType::I8:
            return 1;
    }
    check_failed(__FILE__, __LINE__, "known dtype");
}

inline const char* name_of(DType type) {
    switch (type) {
        case DType::F32:
            return "F32";
        case DType::I32:
            return "I32";
        case DType::BF16:
            return "BF16";
        case DType::F16:
            return "F16";
        case DType::U8:
            return "U8";
        case DType::I8:
            return "I8";
    }
    check_failed(__FILE__, __LINE__, "known dtype");
}

constexpr int MAX_RANK = 5;

struct Tensor {
    void* data = nullptr;
    const float* scale = nullptr;  // I8 only: [rows]
    DType dtype = DType::F32;
    int rank = 0;
    int64_t shape[MAX_RANK] = {};

    Tensor() = default;
    Tensor(void* memory, DType type, std::initializer_list<int64_t> dimensions)
        : data(memory), dtype(type), rank(static_cast<int>(dimensions.size())) {
        CHECK(dimensions.size() <= MAX_RANK);
        int i = 0;
        for (int64_t d : dimensions) shape[i++] = d;
    }

    explicit operator bool() const { return data != nullptr; }
    int64_t elements() const {
        int64_t n = 1;
        for (int i = 0; i < rank; i++) n *= shape[i];
        return n;
    }
    size_t bytes() const { return static_cast<size_t>(elements()) * size_of(dtype); }

    // As a matrix: every dimension but the last counts as rows.
    int64_t cols() const { return rank == 0 ? 1 : shape[rank - 1]; }
    int64_t rows() const { return cols() == 0 ? 0 : elements() / cols(); }

    const float* f32() const {
        CHECK(dtype == DType::F32);
        return static_cast<const float*>(data);
    }
    float* f32() {
        CHECK(dtype == DType::F32);
        return static_cast<float*>(data);
    }
    const int32_t* i32() const {
        CHECK(dtype == DType::I32);
        return static_cast<const int32_t*>(data);
    }
    int32_t* i32() {
        CHECK(dtype == DType::I32);
        return static_cast<int32_t*>(data);
    }

    // The first `count` entries of dimension 0: how a buffer made for the largest batch is used for a smaller one.
    Tensor first(int64_t count) const {
        CHECK(rank > 0 && count <= shape[0]);
        Tensor t = *this;
        t.shape[0] = count;
        return t;
    }
    // Rows `from` to `from + count` of a matrix, say the output weights of a slice of the vocabulary.
    Tensor slice(int64_t from, int64_t count) const {
        CHECK(rank == 2 && from >= 0 && count >= 0 && from + count <= shape[0]);
        Tensor t = first(count);
        t.data = static_cast<char*>(data) + static_cast<size_t>(from * cols()) * size_of(dtype);
        if (scale) t.scale = scale + from;
        return t;
    }
    // The same memory under another shape of equal size.
    Tensor as(std::initializer_list<int64_t> dimensions) const {
        Tensor t(data, dtype, dimensions);
        t.scale = scale;
        CHECK(t.elements() == elements());
        return t;
    }
};

inline bool same_shape(const Tensor& a, const Tensor& b) {
    if (a.rank != b.rank) return false;
    for (int i = 0; i < a.rank; i++)
        if (a.shape[i] != b.shape[i]) return false;
    return true;
}

inline bool has_shape(const Tensor& t, std::initializer_list<int64_t> dimensions) {
    if (t.rank != static_cast<int>(dimensions.size())) return false;
    int i = 0;
    for (int64_t d : dimensions)
        if (t.shape[i++] != d) return false;
    return true;
}

// bf16 is the upper half of a float32. Widening is exact; narrowing rounds to nearest, ties to even, NaN stays NaN.
inline float bf16_to_float(uint16_t half) {
    uint32_t bits = static_cast<uint32_t>(half) << 16;
    float value;
    __builtin_memcpy(&value, &bits, 4);
    return value;
}
inline uint16_t float_to_bf16(float value) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// f16: 1 sign, 5 exponent, 10 mantissa bits. Narrowing rounds to nearest, ties to even; 65,520 and above is infinite.
inline float f16_to_float(uint16_t half) {
    const uint32_t sign = uint32_t{half} >> 15 << 31, exponent = half >> 10 & 31u, mantissa = half & 1023u;
    uint32_t bits = sign | (exponent + 112) << 23 | mantissa << 13;
    if (exponent == 31) bits = sign | 0x7f800000u | mantissa << 13;
    if (exponent == 0) {
        const float small = static_cast<float>(mantissa) * 0x1p-24f;
        __builtin_memcpy(&bits, &small, 4);
        bits |= sign;
    }
    float value;
    __builtin_memcpy(&value, &bits, 4);
    return value;
}
inline uint16_t float_to_f16(float value) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, 4);
    const uint32_t sign = bits >> 31 << 15, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {  // below 2^-14: an ulp of 0.5 is 2^-24, so the sum rounds to the subnormal
        float scaled;
        __builtin_memcpy(&scaled, &magnitude, 4);
        scaled += 0.5f;
        __builtin_memcpy(&bits, &scaled, 4);
        return static_cast<uint16_t>(sign | (bits - 0x3f000000u));
    }
    return static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13));
}

}  // namespace leon
