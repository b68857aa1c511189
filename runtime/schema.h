// The tensors of a model file: which there are for a configuration, in what order, with what shape and precision.
// The converter fills them, the runtime binds them by name, `leon inspect` and random models are made from them.
//
// Order: that of a forward pass, so that the first token of a cold start reads the file front to back.
// docs/weights_format.md says what each tensor means.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/tensor.h"
#include "runtime/config.h"

namespace leon {

// Matrix   any weight type: the bulk of the file
// Exact    always f32: norms and biases, and all that decides which code a picture patch gets
enum class Precision { Matrix, Exact };

struct TensorSpec {
    std::string name;
    std::vector<int64_t> shape;
    Precision precision;
    bool sensitive = false;  // whether rounding it costs more than its size says; see stored_type()

    int64_t elements() const;
};

std::vector<TensorSpec> tensors_of(const ModelConfig& config);

// What a file of this precision holds a tensor in. Precisions below 16 bits are for matrices: convolutions stay bf16.
// int4 is for those of a transformer's layers whose rows are whole groups; embedding, output and what else there is are
// int8. A mixed file has its sensitive matrices one step wider, int8 for int4 and bf16 for int8: embedding and output,
// every layer's down, and gate and up of the later half of the layers (docs/weights_format.md has the measurements).
DType stored_type(const TensorSpec& tensor, DType precision, bool mixed = false);

}  // namespace leon
