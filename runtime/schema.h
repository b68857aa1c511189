// The tensors of a model file: which there are for a configuration, in what order, with what shape and precision.
// The converter fills them, the runtime binds them by name, `leon inspect` and random models are made from them.
//
// Order: that of a forward pass, so that the first token of a cold start reads the file front to back.
// docs/weights_format.md says what each tensor means.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/config.h"

namespace leon {

// Matrix   f32 or bf16: the bulk of the file
// Exact    always f32: norms and biases, and all that decides which code a picture patch gets
enum class Precision { Matrix, Exact };

struct TensorSpec {
    std::string name;
    std::vector<int64_t> shape;
    Precision precision;

    int64_t elements() const;
};

std::vector<TensorSpec> tensors_of(const ModelConfig& config);

}  // namespace leon
