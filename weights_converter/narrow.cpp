// See narrow.h.
#include "weights_converter/narrow.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/weights_file.h"

namespace leon {
namespace {

constexpr float LARGEST_I8 = 127;

// The row's scale, or a negative number if it has one of its values to refuse.
float to_bytes(const float* row, int64_t cols, int8_t* out) {
    float largest = 0;
    bool finite = true;
    for (int64_t i = 0; i < cols; i++) {
        largest = std::max(largest, std::fabs(row[i]));
        finite &= std::isfinite(row[i]);
    }
    if (!finite) return -1;
    const float scale = largest / LARGEST_I8, inverse = scale > 0 ? 1 / scale : 0;
    // Of denormal rows the inverse is infinite: they become zeros, as kernels that flush denormals would have them.
    for (int64_t i = 0; i < cols; i++)
        out[i] = std::isfinite(inverse)
                     ? static_cast<int8_t>(std::clamp(std::nearbyint(row[i] * inverse), -LARGEST_I8, LARGEST_I8))
                     : int8_t{0};
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
