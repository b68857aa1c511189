// See narrow.h.
#include "weights_converter/narrow.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "runtime/weights_file.h"

namespace leon {
namespace {

constexpr int LARGEST_I8 = 127;
constexpr float INTEGERS = 12582912;  // 1.5 * 2^23: adding it rounds to a whole number, ties to even, in the last bits
constexpr uint32_t INFINITE = 0x7f800000;

// The row's scale, or a negative number if it has one of its values to refuse. Magnitudes are compared as integers, in
// whose order they are, and infinities and NaNs at its end; so compilers find vectors in both loops.
float to_bytes(const float* row, int64_t cols, int8_t* out) {
    int32_t most = 0;
    for (int64_t i = 0; i < cols; i++) {
        const int32_t magnitude = static_cast<int32_t>(std::bit_cast<uint32_t>(row[i]) & 0x7fffffffu);
        most = magnitude > most ? magnitude : most;
    }
    if (static_cast<uint32_t>(most) >= INFINITE) return -1;
    const float scale = std::bit_cast<float>(most) / LARGEST_I8, inverse = scale > 0 ? 1 / scale : 0;
    if (!std::isfinite(inverse)) {  // denormal rows become zeros, as kernels that flush denormals would have them
        std::fill_n(out, cols, int8_t{0});
        return scale;
    }
    for (int64_t i = 0; i < cols; i++) {
        const int32_t level = std::bit_cast<int32_t>(row[i] * inverse + INTEGERS) - std::bit_cast<int32_t>(INTEGERS);
        out[i] = static_cast<int8_t>(level > LARGEST_I8 ? LARGEST_I8 : level < -LARGEST_I8 ? -LARGEST_I8 : level);
    }
    return scale;
}

}  // namespace

void narrow_rows(const float* values, int64_t rows, int64_t cols, DType type, uint8_t* out, float* scales,
                 const std::string& tensor, const std::string& file) {
    const int64_t elements = rows * cols;
    switch (type) {
        case DType::F32:
            std::memcpy(out, values, static_cast<size_t>(elements) * sizeof(float));
            return;
        case DType::BF16:
        case DType::F16:
            for (int64_t i = 0; i < elements; i++) {
                const uint16_t half = type == DType::BF16 ? float_to_bf16(values[i]) : float_to_f16(values[i]);
                std::memcpy(out + i * static_cast<int64_t>(sizeof half), &half, sizeof half);
            }
            return;
        case DType::I8:
            for (int64_t row = 0; row < rows; row++) {
                scales[row] = to_bytes(values + row * cols, cols, reinterpret_cast<int8_t*>(out) + row * cols);
                if (scales[row] < 0)
                    throw Error("tensor " + in_quotes(tensor) + " holds values that are not finite", file,
                                "they have no place in int8");
            }
            return;
        case DType::I32:
        case DType::U8:
            break;
    }
    check_failed(__FILE__, __LINE__, "a type of weights");
}

}  // namespace leon
