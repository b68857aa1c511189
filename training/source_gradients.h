// Gradients as another implementation would give them for the checkpoint that a model came from: under the
// checkpoint's names and in its order of rows, so that they can be compared number by number.
//
// What the converter did to a tensor is done backwards: rotary rows go back to their places, and a norm's vector that
// the checkpoint shares among heads gets the sum over them, since it stands in the sum that each of them stands in.
#pragma once

#include <string>
#include <vector>

#include "training/parameters.h"
#include "weights_converter/plan.h"

namespace leon {

struct SourceGradient {
    std::string name;
    std::vector<int64_t> shape;
    std::vector<float> values;
};

// A checkpoint's transformer into `values`, without a file in between. Error as load() of a leon file.
void load(ParameterVector& values, const Plan& plan);

// Of a checkpoint that was read by load(values, plan).
std::vector<SourceGradient> source_gradients(const ParameterVector& gradients, const Plan& plan);

// Of a leon file: under the names that a Hugging Face checkpoint of this architecture has, or leon's own if it is none
// of theirs. Rows and norms are leon's, which such a checkpoint may have, too.
std::vector<SourceGradient> source_gradients(const ParameterVector& gradients);

// A safetensors file with nothing else in it.
void save_gradients(const std::string& path, const std::vector<SourceGradient>& gradients);

}  // namespace leon
