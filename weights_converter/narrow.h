// Float32 to what a file stores. docs/weights_format.md says what each type means.
#pragma once

#include <string>

#include "kernels/tensor.h"
#include "weights_converter/feedback.h"

namespace leon {

// Where the rows of a matrix go: packed_bytes() of its type; a scale a row, if the type has them; of I4, cols / GROUP
// factors a row.
struct NarrowRows {
    uint8_t* data;
    float* scales = nullptr;
    uint8_t* groups = nullptr;
};

// Rows of float32, [rows, cols], to `type`: F32, BF16 or F16, rounded to nearest, ties to even; or I8, F8 or I4, whose
// scales and factors are those of several tried that leave the smallest sum of squared errors. Rows of zeros have the
// scale 0. The result of a row depends on that row alone.
// Error naming the tensor and the file if infinities or NaN are to become I8, F8 or I4.
//
// With `feedback`, of width cols, rows of I8 and I4 are rounded as feedback.h says, and `values` are lost.
void narrow_rows(float* values, int64_t rows, int64_t cols, DType type, const NarrowRows& out,
                 const std::string& tensor, const std::string& file, const Feedback* feedback = nullptr);

}  // namespace leon
