// What a conversion will do, decided and checked before the first byte is written: which tensor of the checkpoint
// becomes which tensor of the leon file, and how.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernels/tensor.h"
#include "runtime/config.h"
#include "runtime/schema.h"
#include "weights_converter/checkpoint.h"
#include "weights_converter/convert.h"
#include "weights_converter/name_maps.h"

namespace leon {

struct Step {
    TensorSpec target;
    DType dtype;
    const Checkpoint* checkpoint;
    const SourceTensor* source;
    Treatment treatment;
    bool adjacent_pairs;      // the source has rotary channels as pairs (2i, 2i+1), not (i, i + head_dim/2)
    int64_t first_input = 0;  // InputPart: where the part begins among the source's inputs
    float scale = 1;          // of all values
};

struct Plan {
    ModelConfig config;
    std::string tokenizer_json;
    std::vector<Step> steps;  // in file order
    std::vector<std::string> notes;
    std::vector<std::unique_ptr<Checkpoint>> checkpoints;  // own what the steps point to

    size_t bytes() const;  // of all targets
};

// `source` is a folder, or the file of an upscaler.
Plan plan_conversion(const std::string& source, const ConvertOptions& options);

// Rows [first, first + count) of a step's target as float32, made from its source.
void read_target(const Step& step, int64_t head_dim, int64_t first, int64_t count, float* out);

// Channel j of a head in half-split order comes from this channel in adjacent-pair order:
//   half-split  [ u0 u1 u2 ... | v0 v1 v2 ... ]      adjacent  [ u0 v0 u1 v1 u2 v2 ... ]
int64_t adjacent_channel(int64_t j, int64_t head_dim);

// What plan_conversion() is made of. plan_upscaler.cpp: Real-ESRGAN's networks, whose sizes are found from the tensors.
Plan plan_upscaler(const std::string& path, const ConvertOptions& options);
DType target_dtype(const TensorSpec& target, const SourceTensor& source, const std::string& wanted);
// As ConvertOptions::dtype calls what a file calls `stored`, such as I8; the same word if it has no name for it.
std::string dtype_name_of(const std::string& stored);
void check_all_used(const Checkpoint& checkpoint, const std::set<std::string>& used);
void add_notes(Plan& plan);

}  // namespace leon
