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

// Weights narrower than 16 bits are matrices with numbers beside their bytes:
//   I8   signed bytes and a float a row: element (r, c) is data[r, c] * scale[r]
//   F8   e4m3 numbers, the same way
//   I4   four bits, an e4m3 number for each GROUP columns and a float a row: (data[r, c] - 8) * groups[r, c / GROUP] *
//        scale[r]. A group is 16 bytes: columns 0 to 15 in the low halves, 16 to 31 in the high ones, so that both
//        unpack in order. Rows are whole groups. A weight without its row's scale has at most eight significant bits:
//        it is exactly a bf16.
enum class DType : uint8_t { F32, BF16, F16, I32, U8, I8, F8, I4 };

constexpr int64_t GROUP = 32;

inline int bits_of(DType type) {
    switch (type) {
        case DType::F32:
        case DType::I32:
            return 32;
        case DType::BF16:
        case DType::F16:
            return 16;
        case DType::U8:
        case DType::I8:
        case DType::F8:
            return 8;
        case DType::I4:
            return 4;
    }
    check_failed(__FILE__, __LINE__, "known dtype");
}
// Of one element; I4 has no such size.
inline size_t size_of(DType type) {
    CHECK(type != DType::I4);
    return static_cast<size_t>(bits_of(type)) / 8;
}
// Of adjacent elements; of I4, whole bytes.
inline size_t packed_bytes(DType type, int64_t elements) {
    CHECK(elements * bits_of(type) % 8 == 0);
    return static_cast<size_t>(elements) * static_cast<size_t>(bits_of(type)) / 8;
}
inline bool has_row_scale(DType type) {
    return type == DType::I8 || type == DType::F8 || type == DType::I4;
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
        case DType::F8:
            return "F8_E4M3";
        case DType::I4:
            return "I4";
    }
    check_failed(__FILE__, __LINE__, "known dtype");
}

constexpr int MAX_RANK = 5;

struct Tensor {
    void* data = nullptr;
    const float* scale = nullptr;     // I8, F8, I4: [rows]
    const uint8_t* groups = nullptr;  // I4: e4m3 [rows, cols / GROUP]
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
    size_t bytes() const { return packed_bytes(dtype, elements()); }
    size_t group_bytes() const { return groups ? static_cast<size_t>(elements() / GROUP) : 0; }

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
        t.data = static_cast<char*>(data) + packed_bytes(dtype, from * cols());
        if (scale) t.scale = scale + from;
        if (groups) t.groups = groups + from * cols() / GROUP;
        return t;
    }
    // The same memory under another shape of equal size.
    Tensor as(std::initializer_list<int64_t> dimensions) const {
        Tensor t(data, dtype, dimensions);
        t.scale = scale;
        t.groups = groups;
        CHECK(t.elements() == elements() && (!groups || t.cols() == cols()));
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

// e4m3: 1 sign, 4 exponent, 3 mantissa bits, no infinities. Narrowing rounds to nearest, ties to even, and stops at
// 448. The two NaN count as 480 and -480 on the way back, which makes widening plain arithmetic; nothing here writes
// them.
inline float e4m3_to_float(uint8_t bits) {
    const uint32_t magnitude = (bits & 0x7fu) << 20 | (bits & 0x80u) << 24;
    float value;
    __builtin_memcpy(&value, &magnitude, 4);
    return value * 0x1p120f;  // exponents of 7 for ours of 127
}
inline uint8_t float_to_e4m3(float value) {
    const uint8_t sign = __builtin_signbit(value) ? 0x80 : 0;
    float size = __builtin_fabsf(value);
    if (!(size < 448)) return sign | 0x7e;
    if (size < 0x1p-6f) return sign | static_cast<uint8_t>(__builtin_nearbyintf(size * 0x1p9f));  // subnormal, or 2^-6
    size *= 0x1p-120f;
    uint32_t bits;
    __builtin_memcpy(&bits, &size, 4);
    return sign | static_cast<uint8_t>((bits + 0x7ffffu + (bits >> 20 & 1u)) >> 20);
}

// One element of an I4 matrix without its row's scale, by its number among all of them.
inline float i4_element(const uint8_t* data, const uint8_t* groups, int64_t index) {
    const int64_t group = index / GROUP, within = index % GROUP;
    const uint8_t pair = data[group * (GROUP / 2) + within % (GROUP / 2)];
    return static_cast<float>((within < GROUP / 2 ? pair & 15 : pair >> 4) - 8) * e4m3_to_float(groups[group]);
}

}  // namespace leon
