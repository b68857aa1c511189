// The workbench's view of a training pass: loss and gradients of one sequence of tokens, as arrays and under the names
// of the checkpoint, so that both can be compared with another implementation's.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "training/grad_kernels.h"
#include "training/source_gradients.h"

namespace leon {

struct TokenGradients {
    double loss = 0;  // mean cross-entropy over the targets, natural logarithm
    int targets = 0;
    std::vector<SourceGradient> gradients;  // of that mean
};

// `model` is a leon file or a folder in Hugging Face's layout. mask[t] = 1: token t is a target, predicted from those
// before it. Error, naming `tokens_from` or `mask_from`, if a token is outside the vocabulary, there are more than the
// context holds, the mask is not as long as the tokens, asks for the first token or for none.
TokenGradients token_gradients(const std::string& model, std::span<const int32_t> tokens, std::span<const int32_t> mask,
                               const std::string& tokens_from, const std::string& mask_from, const Kernels& kernels,
                               const GradKernels& grad_kernels);

}  // namespace leon
