// Planning the conversion of Real-ESRGAN's networks. There is no configuration file: the tensors' shapes say which of
// the two structures it is and how large. Refuses everything that differs from the two in a tensor, and the names of
// the first ESRGAN, which mean the same network in another order.
#include <algorithm>
#include <cstdint>
#include <filesystem>

#include "runtime/weights_file.h"
#include "weights_converter/plan.h"

namespace leon {
namespace {

// The tensors of a file by the names behind their nest.
class Nested {
public:
    explicit Nested(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {
        for (const char* nest : UPSCALER_NESTS) {
            nest_ = nest;
            if (has("conv_first.weight") || has("body.0.weight")) return;
        }
    }

    const std::string& nest() const { return nest_; }
    bool has(const std::string& name) const { return checkpoint_.tensors().count(nest_ + name) > 0; }
    const SourceTensor& get(const std::string& name) const {
        const auto found = checkpoint_.tensors().find(nest_ + name);
        if (found == checkpoint_.tensors().end())
            throw Error("tensor " + in_quotes(nest_ + name) + " is missing",
                        checkpoint_.tensors().begin()->second.file);
        return found->second;
    }
    // The shape of a convolution's weight, [out, in, height, width].
    const std::vector<int64_t>& convolution(const std::string& name) const {
        const SourceTensor& tensor = get(name);
        if (tensor.shape.size() != 4)
            throw Error("tensor " + in_quotes(tensor.name) + " is " + shape_text(tensor.shape) +
                            ", but a convolution has four dimensions",
                        tensor.file);
        return tensor.shape;
    }

private:
    const Checkpoint& checkpoint_;
    std::string nest_;
};

// Into a range that the configuration then judges; sizes of tensors may be anything.
int size_of_network(int64_t size) {
    return static_cast<int>(std::min<int64_t>(size, INT32_MAX));
}

UpscalerConfig describe_rrdb(const Nested& tensors, const std::string& path) {
    UpscalerConfig c;
    c.kind = UpscalerKind::RRDB;
    const std::vector<int64_t>& first = tensors.convolution("conv_first.weight");
    c.channels = size_of_network(first[0]);
    if (first[1] != 3 && first[1] != 12)
        throw Error("reads " + std::to_string(first[1]) + " channels, but pictures enlarged by 4 have 3, by 2 have 12",
                    path, first[1] == 48 ? "leon has no use for a network that keeps the size" : "");
    c.factor = first[1] == 3 ? 4 : 2;
    while (tensors.has("body." + std::to_string(c.blocks) + ".rdb1.conv1.weight")) c.blocks++;
    c.growth = size_of_network(tensors.convolution("body.0.rdb1.conv1.weight")[0]);
    return c;
}

UpscalerConfig describe_compact(const Nested& tensors, const std::string& path) {
    UpscalerConfig c;
    c.kind = UpscalerKind::Compact;
    c.channels = size_of_network(tensors.convolution("body.0.weight")[0]);
    if (!tensors.has("body.1.weight"))
        throw Error("has no PReLU between its convolutions", path, "leon runs the published networks, which have");
    int last = 0;
    while (tensors.has("body." + std::to_string(2 * last + 2) + ".weight")) last++;
    c.blocks = last - 1;
    const int64_t outputs = last == 0 ? 0 : tensors.convolution("body." + std::to_string(2 * last) + ".weight")[0];
    for (int factor : {2, 3, 4})
        if (outputs == 3 * factor * factor) c.factor = factor;
    if (c.factor == 0)
        throw Error("ends with " + std::to_string(outputs) +
                        " channels, but pictures enlarged by 2, 3 or 4 are made of "
                        "12, 27 or 48",
                    path);
    return c;
}

UpscalerConfig describe(const Checkpoint& checkpoint, const Nested& tensors, const std::string& path) {
    if (tensors.has("conv_first.weight") && tensors.has("body.0.rdb1.conv1.weight"))
        return describe_rrdb(tensors, path);
    if (tensors.has("body.0.weight")) return describe_compact(tensors, path);
    for (const auto& [name, tensor] : checkpoint.tensors())
        if (name.find("model.1.sub.") != std::string::npos || name.find("RRDB_trunk.") != std::string::npos)
            throw Error("has the tensor names of the first ESRGAN (" + in_quotes(name) + ")", path,
                        "rename them as Real-ESRGAN does: conv_first, body.0.rdb1.conv1, ...");
    throw Error(
        "is no upscaler that leon knows", path,
        "it reads Real-ESRGAN's RRDBNet (conv_first, body.0.rdb1.conv1, ...) and SRVGGNetCompact (body.0, ...); "
        "other models are folders");
}

// What the last convolution of a dense block is multiplied by, so that a block is sums only:
//   h1 = x + 0.2 conv5, h2 = h1 + 0.2 conv5, and x + 0.2 (h2 + 0.2 conv5) = x + 0.2 h2 + 0.04 conv5
float scale_of(const std::string& source) {
    if (source.find(".conv" + std::to_string(DENSE_CONVOLUTIONS) + ".") == std::string::npos) return 1;
    const bool last = source.find(".rdb" + std::to_string(DENSE_BLOCKS) + ".") != std::string::npos;
    return last ? RESIDUAL_WEIGHT * RESIDUAL_WEIGHT : RESIDUAL_WEIGHT;
}

// The step for one target. A part of a convolution's inputs is checked against the width of all parts together.
Step step_for(const TensorSpec& target, const Nested& tensors, const UpscalerConfig& config) {
    std::string star;
    for (const NameRule& rule : UPSCALER_RULES) {
        if (!match(rule.target, target.name, star)) continue;
        const SourceTensor& source = tensors.get(substitute(rule.source, star));
        Step step{target, DType::F32, nullptr, &source, rule.treatment, false};
        std::vector<int64_t> expected = target.shape;
        if (expected.size() == 4) expected = {expected[0], expected[3], expected[1], expected[2]};
        if (rule.treatment == Treatment::InputPart) {
            const int convolution = star.back() - '1';  // ...conv3 reads the block's input and two parts
            step.first_input = config.part_first(target.name.back() - '0');
            expected[1] = config.part_first(convolution) + config.part_channels(convolution);
        }
        if (source.shape != expected)
            throw Error("tensor " + in_quotes(source.name) + " is " + shape_text(source.shape) +
                            ", but the others imply " + shape_text(expected),
                        source.file);
        if (source.dtype != "F32" && source.dtype != "BF16" && source.dtype != "F16")
            throw Error("tensor " + in_quotes(source.name) + " has dtype " + source.dtype, source.file,
                        "only F32, BF16 and F16 can be converted");
        if (config.kind == UpscalerKind::RRDB) step.scale = scale_of(source.name);
        return step;
    }
    check_failed(__FILE__, __LINE__, "the rules know every target");
}

}  // namespace

Plan plan_upscaler(const std::string& path, const ConvertOptions& options) {
    if (!options.vqgan.empty() || !options.tokenizer.empty())
        throw Error("is an upscaler's file, which takes neither --vqgan nor --tokenizer", path);
    Plan plan;
    plan.checkpoints.push_back(open_tensor_file(path));
    const Checkpoint& checkpoint = *plan.checkpoints[0];
    if (checkpoint.tensors().empty()) throw Error("holds no tensors", path);
    const Nested tensors(checkpoint);

    plan.config.has_upscaler = true;
    plan.config.upscaler = describe(checkpoint, tensors, path);
    plan.config.name = options.name.empty() ? std::filesystem::path(path).stem().string() : options.name;
    plan.config = parse_config(print_config(plan.config), path);  // the ranges that all arithmetic below relies on

    std::set<std::string> used;
    for (const TensorSpec& target : tensors_of(plan.config)) {
        Step step = step_for(target, tensors, plan.config.upscaler);
        step.dtype = target_dtype(target, *step.source, options.dtype);
        step.checkpoint = &checkpoint;
        used.insert(step.source->name);
        plan.steps.push_back(std::move(step));
    }
    for (const auto& [name, tensor] : checkpoint.tensors())  // other stages of the training
        for (const char* nest : UPSCALER_NESTS)
            if (*nest && nest != tensors.nest() && name.starts_with(nest)) used.insert(name);
    check_all_used(checkpoint, used);
    add_notes(plan);
    return plan;
}

}  // namespace leon
