// How far two models of one family are apart: what quantisation costs, or one training step.
//
//   ModelComparison c = compare(a, b, drawn_by(a, texts, settings));
//
// Both read the same tokens, and after each of them their logits are compared; a is the one that is right.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tasks/model.h"
#include "tasks/settings.h"

namespace leon {

// Tokens to read, and pictures to decode.
struct Material {
    std::vector<std::vector<int32_t>> streams;  // each with at least two tokens
    std::vector<CodeGrid> grids;
};

// What `model` itself draws: for each text the prompt and the codes of a picture.
Material drawn_by(const Model& model, std::span<const std::string> texts, const Settings& settings);

struct ModelComparison {
    size_t tokens = 0;        // after which logits were compared
    double largest = 0;       // |logit of a - logit of b|, over all of them
    double mean = 0;          // of the same
    double kl = 0;            // KL(a || b) = sum p_a (log p_a - log p_b), nats, mean over tokens
    double agreement = 0;     // share of tokens after which both find the same id likeliest
    double perplexity_a = 0;  // exp of the mean -log p of the tokens that really come next
    double perplexity_b = 0;  //
    // dB, mean over pictures, of a's and b's decoding of the same codes; infinite: all equal
    std::optional<double> psnr;
};

// Error if the models' vocabularies differ, a stream is longer than the shorter context, or one model produces NaN.
// `progress` is called with the tokens done and all of them; may be empty. a keeps its keys and values in f32, b as
// `cache_of_b` says.
ModelComparison compare(const Model& a, const Model& b, const Material& material,
                        const std::function<void(size_t done, size_t total)>& progress = {},
                        DType cache_of_b = DType::F32);

std::string comparison_json(const Model& a, const Model& b, const ModelComparison& comparison);

}  // namespace leon
