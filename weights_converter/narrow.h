// Float32 to what a file stores. docs/weights_format.md says what each type means.
#pragma once

#include <string>

#include "kernels/tensor.h"

namespace leon {

// Rows of float32, [rows, cols], to `type`: F32, BF16 or F16, rounded to nearest, ties to even; or I8, for which
// scales[row] gets the row's largest magnitude / 127, and 0 if the row is all zeros. `out` has rows * cols elements.
// Error naming the tensor and the file if values that I8 cannot hold, infinities or NaN, are among them.
void narrow_rows(const float* values, int64_t rows, int64_t cols, DType type, uint8_t* out, float* scales,
                 const std::string& tensor, const std::string& file);

}  // namespace leon
