// See narrow.h.
#include "weights_converter/narrow.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "runtime/weights_file.h"

namespace leon {
namespace {

// The loops below are written so that a compiler finds vectors in them: no calls, no sums of floats in one variable.

// Numbers that step * integer stand for: integers from `least` to `most`.
struct Steps {
    float least, most;

    // The nearest, ties to even: adding 1.5 * 2^23 leaves no bits behind the point.
    float integer(float value, float inverse) const {
        constexpr float SHIFT = 12582912.0f;
        const float near = (value * inverse + SHIFT) - SHIFT, low = near < least ? least : near;
        return low > most ? most : low;
    }

    // Sum of the squared errors of a group, or of what is left of a row.
    float error(const float* values, int64_t count, float step) const {
        const float inverse = 1 / step;
        float errors[GROUP] = {}, eight[8] = {};
        const auto square = [&](int64_t i) {
            const float e = values[i] - integer(values[i], inverse) * step;
            errors[i] = e * e;
        };
        if (count == GROUP)
            for (int64_t i = 0; i < GROUP; i++) square(i);
        else
            for (int64_t i = 0; i < count; i++) square(i);
        for (int64_t i = 0; i < GROUP; i += 8)
            for (int64_t j = 0; j < 8; j++) eight[j] += errors[i + j];
        return ((eight[0] + eight[1]) + (eight[2] + eight[3])) + ((eight[4] + eight[5]) + (eight[6] + eight[7]));
    }
};

constexpr Steps BYTES = {-127, 127}, FOUR_BITS = {-8, 7};

// Magnitudes compared as integers, in whose order they are, infinities and NaN at its end.
float largest_magnitude(const float* values, int64_t count) {
    int32_t most = 0;
    for (int64_t i = 0; i < count; i++) {
        const int32_t magnitude = static_cast<int32_t>(std::bit_cast<uint32_t>(values[i]) & 0x7fffffffu);
        most = magnitude > most ? magnitude : most;
    }
    return std::bit_cast<float>(most);
}

// Rounds columns [from, to) of a row one by one, `number(i)` that of column i as it is now, whose columns behind make
// good what is lost. `step`: of a number.
template <class Number>
void round_with_feedback(float* row, int64_t from, int64_t to, float step, const Feedback& feedback, Number number) {
    float lost[GROUP];
    CHECK(to - from <= GROUP);
    for (int64_t i = from; i < to; i++) {
        const float* factor = feedback.row(i);
        const float error = lost[i - from] = (row[i] - number(i) * step) / factor[i];
        for (int64_t k = i + 1; k < to; k++) row[k] -= error * factor[k];
    }
    for (int64_t i = from; i < to; i++) {
        const float* factor = feedback.row(i);
        const float error = lost[i - from];
        for (int64_t k = to; k < feedback.width(); k++) row[k] -= error * factor[k];
    }
}

// Clipping a row's outliers makes the steps finer for all others.
float to_bytes(float* row, int64_t cols, float largest, int8_t* out, const Feedback* feedback) {
    constexpr float CLIPS[] = {1, 0.93f, 0.86f, 0.79f};
    float scale = 0;
    double least = 0;
    for (float clip : CLIPS) {
        const float candidate = largest * clip / BYTES.most;
        if (!std::isfinite(1 / candidate)) break;  // zeros, and denormals, which become zeros
        double error = 0;
        for (int64_t i = 0; i < cols; i += GROUP) error += BYTES.error(row + i, std::min(GROUP, cols - i), candidate);
        if (scale == 0 || error < least) scale = candidate, least = error;
    }
    const float inverse = scale > 0 ? 1 / scale : 0;
    const auto number = [&](int64_t i) { return out[i] = static_cast<int8_t>(BYTES.integer(row[i], inverse)); };
    if (feedback)
        for (int64_t i = 0; i < cols; i += GROUP)
            round_with_feedback(row, i, std::min(cols, i + GROUP), scale, *feedback, number);
    else
        for (int64_t i = 0; i < cols; i++) number(i);
    return scale;
}

// Of e4m3 all steps are as fine, relative to what is stepped: the largest value becomes the largest number.
float to_e4m3(const float* row, int64_t cols, float largest, uint8_t* out) {
    const float scale = largest / 448, inverse = 1 / scale;
    for (int64_t i = 0; i < cols; i++) out[i] = std::isfinite(inverse) ? float_to_e4m3(row[i] * inverse) : uint8_t{0};
    return std::isfinite(inverse) ? scale : 0;
}

// The factor of a group, as e4m3 under the row's scale. The value of the largest magnitude is on the side of the eight
// steps; clipping it makes the others finer.
uint8_t group_factor(const float* values, float scale) {
    float largest = 0;
    for (int64_t i = 0; i < GROUP; i++) largest = std::fabs(values[i]) > std::fabs(largest) ? values[i] : largest;
    const float size = std::fabs(largest) / scale;
    const uint8_t sign = largest > 0 ? 0x80 : 0x00, lowest = float_to_e4m3(size / 10.5f);
    uint8_t best = 0;
    float least = 0;
    for (uint8_t code = std::max<uint8_t>(lowest, 1); code <= float_to_e4m3(size / 7.5f); code++) {
        const float error = FOUR_BITS.error(values, GROUP, e4m3_to_float(code | sign) * scale);
        if (best == 0 || error < least) best = code | sign, least = error;
    }
    return best;
}

// A row's scale puts the factors into the middle of what e4m3 holds, to its finer end.
float to_four_bits(float* row, int64_t cols, float largest, uint8_t* out, uint8_t* groups, const Feedback* feedback) {
    constexpr float HIGHEST_FACTOR = 256;
    const float scale = largest / 8 / HIGHEST_FACTOR;
    if (!std::isfinite(1 / scale)) {  // zeros, and denormals, which become zeros
        std::memset(out, 0x88, static_cast<size_t>(cols / 2));
        std::memset(groups, 0, static_cast<size_t>(cols / GROUP));
        return 0;
    }
    for (int64_t g = 0; g < cols / GROUP; g++, out += GROUP / 2) {
        const int64_t first = g * GROUP;
        groups[g] = group_factor(row + first, scale);
        const float step = e4m3_to_float(groups[g]) * scale, inverse = std::isfinite(1 / step) ? 1 / step : 0;
        float numbers[GROUP];
        const auto number = [&](int64_t i) { return numbers[i - first] = FOUR_BITS.integer(row[i], inverse); };
        if (feedback)
            round_with_feedback(row, first, first + GROUP, step, *feedback, number);
        else
            for (int64_t i = first; i < first + GROUP; i++) number(i);
        for (int64_t i = 0; i < GROUP / 2; i++) {
            const int low = static_cast<int>(numbers[i]) + 8, high = static_cast<int>(numbers[i + GROUP / 2]) + 8;
            out[i] = static_cast<uint8_t>(low | high << 4);
        }
    }
    return scale;
}

const char* words_of(DType type) {
    return type == DType::I8 ? "int8" : type == DType::F8 ? "fp8" : "int4";
}

}  // namespace

void narrow_rows(float* values, int64_t rows, int64_t cols, DType type, const NarrowRows& out,
                 const std::string& tensor, const std::string& file, const Feedback* feedback) {
    const int64_t elements = rows * cols;
    if (type == DType::F32) {
        std::memcpy(out.data, values, static_cast<size_t>(elements) * sizeof(float));
        return;
    }
    if (type == DType::BF16 || type == DType::F16) {
        for (int64_t i = 0; i < elements; i++) {
            const uint16_t half = type == DType::BF16 ? float_to_bf16(values[i]) : float_to_f16(values[i]);
            std::memcpy(out.data + i * static_cast<int64_t>(sizeof half), &half, sizeof half);
        }
        return;
    }
    CHECK(has_row_scale(type) && (type != DType::I4 || cols % GROUP == 0));
    CHECK(!feedback || feedback->width() == cols);
    for (int64_t r = 0; r < rows; r++) {
        float* row = values + r * cols;
        uint8_t* to = out.data + packed_bytes(type, r * cols);
        const float largest = largest_magnitude(row, cols);
        if (!std::isfinite(largest))
            throw Error("tensor " + in_quotes(tensor) + " holds values that are not finite", file,
                        std::string("they have no place in ") + words_of(type));
        if (type == DType::I8) out.scales[r] = to_bytes(row, cols, largest, reinterpret_cast<int8_t*>(to), feedback);
        if (type == DType::F8) out.scales[r] = to_e4m3(row, cols, largest, to);
        if (type == DType::I4)
            out.scales[r] = to_four_bits(row, cols, largest, to, out.groups + r * cols / GROUP, feedback);
    }
}

}  // namespace leon
