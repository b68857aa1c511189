// `leon bench --plan MACHINE`: how long models of any shape would take on a GPU that is not at hand, by arithmetic.
//
// The product's own forward passes, decode loop and picture passes run on planning_kernels(), which launches nothing
// and writes down what kernels/cuda would launch. No weights are read or written: a shape is enough. Every figure
// follows from the machine's data sheet and the assumptions of kernels/planning/machine.h, which are printed with it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/tensor.h"
#include "runtime/config.h"

namespace leon {

struct PlanOptions {
    std::string machine;              // kernels/planning/machine.h
    std::vector<std::string> shapes;  // presets of weights_converter/random_model.h, or "box" for the model itself
    std::vector<DType> weights = {DType::BF16, DType::I8, DType::F16, DType::F32};
    std::function<void(const std::string&)> say = [](const std::string&) {};  // receives the report line by line
};

// Milliseconds, and what they consist of, for one shape and one type of weights.
struct PlanFigures {
    double weight_bytes = 0;     // of a decode step with all logits
    double token_ms[2] = {};     // decoding text, 1 and 2 streams
    double share_of_read = 0;    // of the readable bandwidth: weights and cache of a step of one stream
    double picture_seconds = 0;  // of picture_tokens codes with one guidance stream, prompt included
    int picture_tokens = 0;
    double prefill_ms = 0;                // of PLAN_PREFILL_TOKENS
    double encode_ms = 0, decode_ms = 0;  // a picture's pixels to codes and back; 0 without VQGAN
};
constexpr int PLAN_PREFILL_TOKENS = 1024;

PlanFigures plan_figures(const std::string& machine, const ModelConfig& config, DType weights);

void plan(const std::string& model_path, const PlanOptions& options);

}  // namespace leon
