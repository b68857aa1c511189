// Laying out, initialising, loading and saving; see parameters.h.
#include "training/parameters.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/threads.h"
#include "kernels/random.h"
#include "training/grad_backend.h"
#include "training/normal.h"

namespace leon {
namespace {

constexpr int64_t ALIGNED_FLOATS = 16;  // 64 bytes
constexpr const char* PREFIX = "transformer.";

// A standard deviation to draw with, or a constant.
struct Beginning {
    float std = 0, constant = 0;
};
Beginning beginning_of(const Parameter& p, const Initialisation& how) {
    const std::string& name = p.spec.name;
    if (p.spec.precision == Precision::Exact) return {0, name.ends_with(".bias") ? 0.0f : 1.0f};
    if (name == std::string(PREFIX) + "positions" || name == std::string(PREFIX) + "places")
        return {how.position_std, 0};
    if (name.ends_with(".o") || name.ends_with(".down")) return {how.output_std, 0};
    return {how.std, 0};
}

bool same_transformer(const TransformerConfig& a, const TransformerConfig& b) {
    ModelConfig one, other;
    one.has_transformer = other.has_transformer = true;
    one.transformer = a;
    other.transformer = b;
    return print_config(one) == print_config(other);
}

std::vector<float> floats_of(const WeightsFile& file, const StoredTensor& tensor) {
    const uint8_t* data = file.file().data(tensor);
    if (tensor.dtype == "F32") {
        std::vector<float> floats(tensor.bytes / sizeof(float));
        std::memcpy(floats.data(), data, tensor.bytes);
        return floats;
    }
    std::vector<float> floats(tensor.bytes / sizeof(uint16_t));
    for (size_t i = 0; i < floats.size(); i++) {
        uint16_t half;
        std::memcpy(&half, data + i * sizeof half, sizeof half);
        floats[i] = bf16_to_float(half);
    }
    return floats;
}

bool is_transformers(const std::string& name) {
    return name.starts_with(PREFIX);
}

}  // namespace

DType stored_dtype(const StoredTensor& tensor, const std::string& where) {
    for (DType type : {DType::F32, DType::BF16})
        if (tensor.dtype == name_of(type)) return type;
    throw Error("tensor " + in_quotes(tensor.name) + " has dtype " + tensor.dtype, where,
                "training goes on from F32 and BF16");
}

ParameterLayout::ParameterLayout(const TransformerConfig& config) : config_(config) {
    ModelConfig model;
    model.has_transformer = true;
    model.transformer = config;
    for (TensorSpec& spec : tensors_of(model)) {
        const bool decays = spec.precision == Precision::Matrix;
        parameters_.push_back({std::move(spec), floats_, decays});
        floats_ += (parameters_.back().size() + ALIGNED_FLOATS - 1) / ALIGNED_FLOATS * ALIGNED_FLOATS;
    }
}

int64_t ParameterLayout::count() const {
    int64_t total = 0;
    for (const Parameter& p : parameters_) total += p.size();
    return total;
}

std::vector<ParameterLayout::Run> ParameterLayout::runs() const {
    std::vector<Run> all;
    for (const Parameter& p : parameters_) {
        if (all.empty() || all.back().decays != p.decays) all.push_back({p.first, 0, p.decays});
        all.back().floats = p.first + p.size() - all.back().first;
    }
    return all;
}

const Parameter& ParameterLayout::find(const std::string& name) const {
    const auto found =
        std::find_if(parameters_.begin(), parameters_.end(), [&](const Parameter& p) { return p.spec.name == name; });
    CHECK(found != parameters_.end());
    return *found;
}

TransformerWeights ParameterLayout::bind(float* vector) const {
    const auto tensor = [&](const std::string& name, std::initializer_list<int64_t> shape) {
        const Parameter& p = find(PREFIX + name);
        const Tensor t(vector + p.first, DType::F32, shape);
        CHECK(t.elements() == p.size());
        return t;
    };
    return bind_weights(config_, {tensor, tensor});
}

ParameterVector::ParameterVector(const ParameterLayout& layout, const Kernels& kernels)
    : layout_(layout),
      kernels_(kernels),
      memory_(kernels, DType::F32, {layout.floats()}),
      weights_(layout.bind(memory_.tensor().f32())) {}

Tensor ParameterVector::part(int64_t first, int64_t floats) const {
    CHECK(first >= 0 && first + floats <= layout_.floats());
    return Tensor(memory_.tensor().f32() + first, DType::F32, {floats});
}

std::vector<float> ParameterVector::download() const {
    std::vector<float> copy(static_cast<size_t>(layout_.floats()));
    leon::download(kernels_, copy.data(), memory_.tensor().data, copy.size() * sizeof(float));
    return copy;
}
std::vector<float> ParameterVector::download(const Parameter& p) const {
    std::vector<float> copy(static_cast<size_t>(p.size()));
    leon::download(kernels_, copy.data(), tensor(p).data, copy.size() * sizeof(float));
    return copy;
}
void ParameterVector::upload(std::span<const float> floats) {
    CHECK(static_cast<int64_t>(floats.size()) == layout_.floats());
    leon::upload(kernels_, memory_.tensor().data, floats.data(), floats.size_bytes());
}
void ParameterVector::upload(const Parameter& p, std::span<const float> floats) {
    CHECK(static_cast<int64_t>(floats.size()) == p.size());
    leon::upload(kernels_, tensor(p).data, floats.data(), floats.size_bytes());
}

std::span<float> ParameterVector::floats() {
    CHECK(in_host_memory(kernels_));
    return {memory_.tensor().f32(), static_cast<size_t>(layout_.floats())};
}
std::span<const float> ParameterVector::floats() const {
    CHECK(in_host_memory(kernels_));
    return {memory_.tensor().f32(), static_cast<size_t>(layout_.floats())};
}

double length(const GradKernels& k, const ParameterVector& vector) {
    std::vector<Tensor> parts;
    for (const Parameter& p : vector.layout().parameters()) parts.push_back(vector.tensor(p));
    return std::sqrt(sum_of_squares(k, parts));
}

void adamw(const GradKernels& k, ParameterVector& values, const ParameterVector& gradients, ParameterVector& m,
           ParameterVector& v, const AdamWStep& rule) {
    for (const ParameterLayout::Run& run : values.layout().runs()) {
        const auto part = [&](const ParameterVector& vector) { return vector.part(run.first, run.floats); };
        AdamWStep of_run = rule;
        if (!run.decays) of_run.weight_decay = 0;
        adamw(k, part(values), part(gradients), part(m), part(v), of_run);
    }
}

Initialisation cm3leon_initialisation() {
    return {.std = 0.006f, .output_std = 0, .position_std = 0.0002f, .cut = 3};
}
Initialisation plain_initialisation(float std, int layers) {
    return {
        .std = std, .output_std = std / std::sqrt(2.0f * static_cast<float>(layers)), .position_std = std, .cut = 3};
}

void initialise(ParameterVector& values, const Initialisation& how, uint64_t seed) {
    const double below = 0.5 * std::erfc(how.cut * std::sqrt(0.5));  // the part of the distribution that each end loses
    constexpr int64_t BLOCK = 1 << 14;
    uint64_t lane = 0;
    std::vector<float> begun;
    for (const Parameter& p : values.layout().parameters()) {
        const Beginning b = beginning_of(p, how);
        begun.resize(static_cast<size_t>(p.size()));
        float* out = begun.data();
        parallel((p.size() + BLOCK - 1) / BLOCK, [=](int64_t block, int) {
            for (int64_t i = block * BLOCK; i < std::min(p.size(), (block + 1) * BLOCK); i++) {
                const double u = b.std > 0 ? uniform(seed, lane, static_cast<uint64_t>(i)) : 0.5;
                out[i] = static_cast<float>(b.constant + b.std * normal_quantile(below + u * (1 - 2 * below)));
            }
        });
        values.upload(p, begun);
        lane++;
    }
}

void check_same_transformer(const TransformerConfig& wanted, const ModelConfig& found, const std::string& where) {
    if (!found.has_transformer) throw Error("holds no transformer", where);
    if (!same_transformer(found.transformer, wanted))
        throw Error("holds another transformer than the one that is trained", where,
                    "its layers, widths, vocabulary and the six facts of its architecture must be the same");
}

void load(ParameterVector& values, const WeightsFile& file) {
    const ModelConfig config = parse_config(file.config_json(), file.path());
    check_same_transformer(values.layout().config(), config, file.path());
    // Shapes and types are checked as the runtime does.
    bind_weights(file, config.transformer, reference_kernels());
    for (const Parameter& p : values.layout().parameters()) {
        const StoredTensor& tensor = *file.file().find(p.spec.name);
        stored_dtype(tensor, file.path());
        values.upload(p, floats_of(file, tensor));
    }
}

int load_matching(ParameterVector& values, const WeightsFile& file) {
    int loaded = 0;
    for (const Parameter& p : values.layout().parameters()) {
        const StoredTensor* found = file.file().find(p.spec.name);
        if (!found || found->shape != p.spec.shape) continue;
        stored_dtype(*found, file.path());
        values.upload(p, floats_of(file, *found));
        loaded++;
    }
    if (loaded == 0) throw Error("has no tensor of the transformer that is trained", file.path());
    return loaded;
}

void save_model(const std::string& path, const ModelConfig& config, const ParameterVector& values, DType matrices,
                const WeightsFile& rest) {
    CHECK(matrices == DType::F32 || matrices == DType::BF16);
    CHECK(config.has_transformer && same_transformer(config.transformer, values.layout().config()));
    const std::vector<TensorSpec> tensors = tensors_of(config);
    const auto taken = [&](const TensorSpec& spec) -> const StoredTensor& {
        const StoredTensor* found = rest.file().find(spec.name);
        if (!found) throw Error("tensor " + in_quotes(spec.name) + " is missing", rest.path());
        if (found->shape != spec.shape)
            throw Error("tensor " + in_quotes(spec.name) + " is " + shape_text(found->shape) + ", and not " +
                            shape_text(spec.shape),
                        rest.path());
        return *found;
    };

    WeightsWriter writer(path, print_config(config), rest.tokenizer_json());
    for (const TensorSpec& spec : tensors) {
        const DType own = spec.precision == Precision::Matrix ? matrices : DType::F32;
        writer.declare(spec.name, is_transformers(spec.name) ? own : stored_dtype(taken(spec), rest.path()),
                       spec.shape);
    }
    writer.begin();
    auto parameter = values.layout().parameters().begin();  // both lists are the schema's
    std::vector<uint16_t> narrow;
    for (const TensorSpec& spec : tensors) {
        if (!is_transformers(spec.name)) {
            writer.write(spec.name, rest.file().data(taken(spec)));
            continue;
        }
        const Parameter& p = *parameter++;
        CHECK(p.spec.name == spec.name);
        const std::vector<float> floats = values.download(p);
        if (spec.precision == Precision::Exact || matrices == DType::F32) {
            writer.write(spec.name, floats.data());
            continue;
        }
        narrow.resize(floats.size());
        std::transform(floats.begin(), floats.end(), narrow.begin(), float_to_bf16);
        writer.write(spec.name, narrow.data());
    }
    writer.commit();
}

}  // namespace leon
