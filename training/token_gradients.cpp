#include "training/token_gradients.h"

#include <filesystem>
#include <numeric>
#include <optional>

#include "training/network.h"

namespace leon {
namespace {

// What a model is read from: a checkpoint's plan, or a leon file.
struct ModelSource {
    std::optional<Plan> plan;
    std::optional<WeightsFile> file;
    ModelConfig config;

    explicit ModelSource(const std::string& path) {
        std::error_code unreadable;
        if (std::filesystem::is_directory(path, unreadable))
            config = plan.emplace(plan_conversion(path, {.dtype = "f32"})).config;
        else
            config = parse_config(file.emplace(path).config_json(), path);
        if (!config.has_transformer) throw Error("holds no transformer", path);
    }
    void load_into(ParameterVector& values) const { plan ? load(values, *plan) : load(values, *file); }
    std::vector<SourceGradient> named(const ParameterVector& gradients) const {
        return plan ? source_gradients(gradients, *plan) : source_gradients(gradients);
    }
};

PackedBatch one_document(std::span<const int32_t> tokens, std::span<const int32_t> mask, const TransformerConfig& c,
                         const std::string& tokens_from, const std::string& mask_from) {
    if (tokens.empty()) throw Error("holds no token", tokens_from);
    if (c.positions == Positions::Learned && tokens.size() > static_cast<size_t>(c.context))
        throw Error(std::to_string(tokens.size()) + " tokens are more than the context of " + std::to_string(c.context),
                    tokens_from);
    for (int32_t token : tokens)
        if (token < 0 || token >= c.vocab)
            throw Error("token " + std::to_string(token) + " is outside the vocabulary of " + std::to_string(c.vocab),
                        tokens_from);
    if (mask.size() != tokens.size())
        throw Error("has " + std::to_string(mask.size()) + " elements for " + std::to_string(tokens.size()) + " tokens",
                    mask_from);
    for (int32_t flag : mask)
        if (flag != 0 && flag != 1) throw Error(std::to_string(flag) + " is neither 0 nor 1", mask_from);
    if (mask[0] != 0) throw Error("asks for the first token, which nothing predicts", mask_from, "begin it with 0");

    PackedBatch batch;
    batch.tokens.assign(tokens.begin(), tokens.end());
    batch.position.resize(tokens.size());
    std::iota(batch.position.begin(), batch.position.end(), 0);
    batch.targets.assign(tokens.size(), NO_TARGET);
    batch.weights.assign(tokens.size(), 1);
    batch.starts = {0, batch.rows()};
    for (size_t t = 1; t < tokens.size(); t++)
        if (mask[t] == 1) batch.targets[t - 1] = tokens[t];
    return batch;
}

}  // namespace

TokenGradients token_gradients(const std::string& model, std::span<const int32_t> tokens, std::span<const int32_t> mask,
                               const std::string& tokens_from, const std::string& mask_from, const Kernels& kernels,
                               const GradKernels& grad_kernels) {
    const ModelSource source(model);
    const PackedBatch batch = one_document(tokens, mask, source.config.transformer, tokens_from, mask_from);
    TokenGradients result;
    for (int32_t target : batch.targets) result.targets += target != NO_TARGET;
    if (result.targets == 0) throw Error("names no target", mask_from);

    const ParameterLayout layout(source.config.transformer);
    ParameterVector values(layout, kernels), gradients(layout, kernels);
    source.load_into(values);
    Network network(source.config.transformer, kernels, grad_kernels, batch.rows());
    const CrossEntropy mean = {.scale = 1.0f / static_cast<float>(result.targets)};
    for (float loss : network.add_gradients(values.weights(), gradients.weights(), batch, mean)) result.loss += loss;
    result.loss /= result.targets;
    result.gradients = source.named(gradients);
    return result;
}

}  // namespace leon
