// A leon file to a narrower one whose weights are rounded with regard to what the model reads (feedback.h).
//
//   convert_calibrated(model, "small.leon", {.dtype = "int4"}, streams, progress);
//
// The model reads the streams once for every few layers, and sums up the second moments of what their projections
// read; then those layers are rounded. Inputs are those of the model as it is, not of its rounded layers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tasks/model.h"
#include "weights_converter/convert.h"

namespace leon {

// Bytes of moments that are held at a time; at least one layer's are: 0.7 GB of a 7B model's.
constexpr size_t MOMENTS_BYTES = size_t{2} << 30;

// As convert() of the model's file. Error if there are no tokens, if a stream does not fit the model (its number and
// `tokens[i]` are named), or if the type is neither int4 nor int8, mixed or not.
void convert_calibrated(const Model& model, const std::string& output, ConvertOptions options,
                        const std::vector<std::vector<int32_t>>& streams,
                        const std::function<void(size_t done, size_t total)>& progress,
                        size_t moments_bytes = MOMENTS_BYTES);

}  // namespace leon
