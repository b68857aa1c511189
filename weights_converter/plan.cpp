// Matching a checkpoint's tensors with those of a leon file; see plan.h.
//
// Three qk-norm layouts of Chameleon exist, told apart by the shape of the first layer's q_norm:
//   A  [head_dim]                       q/k rows in adjacent-pair order
//   B  [model_parallel_size, head_dim]  q/k rows in half-split order
//   C  [heads, head_dim]                q/k rows in half-split order
// Where B and C have the same shape (as many shards as heads) they also mean the same.
#include "weights_converter/plan.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>

#include "runtime/strict_json.h"
#include "runtime/weights_file.h"
#include "weights_converter/huggingface_config.h"

namespace leon {
namespace {

namespace fs = std::filesystem;

constexpr size_t MAX_TOKENIZER_BYTES = size_t{64} << 20;

// One checkpoint seen through one name map: resolves names, remembers which tensors were used.
class NamedTensors {
public:
    NamedTensors(const Checkpoint& checkpoint, const NameMap& map, std::set<std::string>& used)
        : checkpoint_(checkpoint), map_(map), used_(used) {
        for (const char* prefix : map.prefixes) {
            const std::string root = without(prefix, map.root);
            if (!checkpoint.tensors().count(root)) continue;
            prefix_ = prefix;
            present_ = true;
            return;
        }
    }

    bool present() const { return present_; }
    const Checkpoint& checkpoint() const { return checkpoint_; }

    // The checkpoint's name for a name as the map writes it.
    std::string actual(const std::string& name) const { return without(prefix_, name); }
    const SourceTensor* find(const std::string& name) const {
        auto found = checkpoint_.tensors().find(actual(name));
        return found == checkpoint_.tensors().end() ? nullptr : &found->second;
    }
    bool has_prefix(const std::string& name) const {
        const std::string prefix = actual(name);
        auto found = checkpoint_.tensors().lower_bound(prefix);
        return found != checkpoint_.tensors().end() && found->first.compare(0, prefix.size(), prefix) == 0;
    }
    // The tensor for a target, marked as used, and what to do with it; an Error if it is not there.
    const SourceTensor& take(const std::string& target, const std::string& where, Treatment& treatment) {
        std::string star;
        for (const NameRule& rule : map_.rules) {
            if (!match(rule.target, target, star)) continue;
            const std::string name = substitute(rule.source, star);
            const SourceTensor* source = find(name);
            if (!source) throw Error("tensor " + in_quotes(actual(name)) + " is missing", where);
            used_.insert(source->name);
            treatment = rule.treatment;
            return *source;
        }
        check_failed(__FILE__, __LINE__, "the name map knows every target");
    }
    // Marks all tensors whose names begin with this part of a name of the map.
    void skip_all(const std::string& name) {
        const std::string prefix = actual(name);
        if (!present_ || prefix.empty()) return;
        for (const auto& [tensor, ignored] : checkpoint_.tensors())
            if (tensor.compare(0, prefix.size(), prefix) == 0) used_.insert(tensor);
    }
    // Marks the tensors that this model has no use for.
    void skip_unused(const ModelConfig& config) {
        std::string star;
        for (const auto& [name, tensor] : checkpoint_.tensors())
            for (const UnusedRule& rule : map_.unused)
                if (match(actual(rule.source), name, star) && applies(rule.when, tensor, config)) used_.insert(name);
    }

private:
    const Checkpoint& checkpoint_;
    const NameMap& map_;
    std::set<std::string>& used_;
    std::string prefix_;
    bool present_ = false;

    static std::string without(const std::string& prefix, const std::string& name) {
        return name.compare(0, prefix.size(), prefix) == 0 ? name.substr(prefix.size()) : name;
    }

    bool applies(Unused when, const SourceTensor& tensor, const ModelConfig& config) const {
        switch (when) {
            case Unused::Always:
                return true;
            case Unused::WithoutDecoder:
                return !config.vqgan.decoder;
            case Unused::WithoutEncoder:
                return !config.vqgan.encoder;
            case Unused::EqualsEmbedding:
                check_equals_embedding(tensor);
                return true;
        }
        check_failed(__FILE__, __LINE__, "known rule");
    }

    void check_equals_embedding(const SourceTensor& tensor) const {
        const SourceTensor& embedding = *find(map_.root);
        const Error different("tensor " + in_quotes(tensor.name) + " differs from the embedding", tensor.file,
                              "the output must be tied to the embedding");
        if (tensor.shape != embedding.shape) throw different;
        std::vector<float> a(static_cast<size_t>(tensor.row_elements())), b(a.size());
        for (int64_t row = 0; row < tensor.rows(); row++) {
            checkpoint_.read_rows(tensor, row, 1, a.data());
            checkpoint_.read_rows(embedding, row, 1, b.data());
            if (std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) != 0) throw different;
        }
    }
};

struct HeadNormLayout {
    bool shared = false;  // layout A: one vector for all heads, and adjacent pairs
    int shards = 0;       // layout B: one vector per shard; 0 = layout C
};

HeadNormLayout head_norm_layout(const NamedTensors& names, const CheckpointConfig& config) {
    const std::string name = "model.layers.0.self_attn.q_norm.weight";
    const SourceTensor* q_norm = names.find(name);
    HeadNormLayout layout;
    if (!q_norm) return layout;  // reported as missing later, with the file it should be in
    layout.shared = q_norm->shape.size() == 1;
    if (config.qk_layernorm && !layout.shared)
        throw Error("'qk_layernorm' is true, but tensor " + in_quotes(q_norm->name) + " is " +
                        shape_text(q_norm->shape) + ", so the order of the q and k rows is not known",
                    q_norm->file);
    const bool per_head = q_norm->rows() == config.transformer.heads;
    if (!layout.shared && !per_head) layout.shards = config.model_parallel_size;
    return layout;
}

// The shape that the source of a target must have.
std::vector<int64_t> source_shape(const TensorSpec& target, Treatment treatment, const HeadNormLayout& norms) {
    const std::vector<int64_t>& s = target.shape;
    switch (treatment) {
        case Treatment::Copy:
        case Treatment::RotaryRows:
            return s;
        case Treatment::HeadNorm:
            if (norms.shared) return {s[1]};
            if (norms.shards > 0 && s[0] % norms.shards == 0) return {norms.shards, s[1]};
            return s;
        case Treatment::InputPart:  // the source is wider than any target: plan_upscaler.cpp
        case Treatment::ChannelsLast:
            return s.size() == 4 ? std::vector<int64_t>{s[0], s[3], s[1], s[2]} : s;
    }
    check_failed(__FILE__, __LINE__, "known treatment");
}

// The steps for those of `targets` whose names begin with `prefix`.
void add_steps(Plan& plan, NamedTensors& names, const std::vector<TensorSpec>& targets, const std::string& prefix,
               const HeadNormLayout& norms, const std::string& folder, const std::string& dtype) {
    for (const TensorSpec& target : targets) {
        if (target.name.compare(0, prefix.size(), prefix) != 0) continue;
        Treatment treatment = Treatment::Copy;
        const SourceTensor& source = names.take(target.name, folder, treatment);
        const std::vector<int64_t> expected = source_shape(target, treatment, norms);
        if (source.shape != expected)
            throw Error("tensor " + in_quotes(source.name) + " is " + shape_text(source.shape) +
                            ", but the configuration implies " + shape_text(expected),
                        source.file);
        if (source.dtype != "F32" && source.dtype != "BF16" && source.dtype != "F16")
            throw Error("tensor " + in_quotes(source.name) + " has dtype " + source.dtype, source.file,
                        "only F32, BF16 and F16 can be converted");
        plan.steps.push_back(
            {target, target_dtype(target, source, dtype), &names.checkpoint(), &source, treatment, norms.shared});
    }
}

// The VQGAN of a checkpoint into the configuration: sizes from config.json, halves from the tensors.
void describe_vqgan(ModelConfig& config, const NamedTensors& names, const VqganConfig& sizes) {
    config.vqgan = sizes;
    config.vqgan.encoder = names.present() && names.has_prefix("model.vqmodel.encoder.");
    config.vqgan.decoder = names.present() && names.has_prefix("model.vqmodel.decoder.");
    config.has_vqgan = config.vqgan.encoder || config.vqgan.decoder;
}

std::string folder_name(const std::string& folder) {
    std::error_code unreadable;
    const fs::path path = fs::canonical(folder, unreadable);
    return unreadable ? std::string() : path.filename().string();
}

std::string read_tokenizer(const std::string& folder, const std::string& other) {
    std::error_code unreadable;
    const std::string path = other.empty() ? (fs::path(folder) / "tokenizer.json").string() : other;
    if (other.empty() && !fs::exists(path, unreadable)) return "";
    const std::vector<uint8_t> bytes = read_file(path, MAX_TOKENIZER_BYTES);
    std::string text(bytes.begin(), bytes.end());
    if (!parse_json(text, path).is_object()) throw Error("is not a JSON object", path);
    return text;
}

std::string config_path(const std::string& folder) {
    std::error_code unreadable;
    if (!fs::is_directory(folder, unreadable)) throw Error("is not a folder", folder);
    std::string path = (fs::path(folder) / "config.json").string();
    if (!fs::exists(path, unreadable))
        throw Error("holds no config.json", folder, "leon converts checkpoints in Hugging Face's layout");
    return path;
}

}  // namespace

DType target_dtype(const TensorSpec& target, const SourceTensor& source, const std::string& wanted) {
    if (target.precision == Precision::Exact || wanted == "f32") return DType::F32;
    if (wanted == "bf16" || source.dtype == "BF16") return DType::BF16;
    return DType::F32;
}

void check_all_used(const Checkpoint& checkpoint, const std::set<std::string>& used) {
    for (const auto& [name, tensor] : checkpoint.tensors())
        if (!used.count(name))
            throw Error("tensor " + in_quotes(name) + " has no place in this architecture", tensor.file);
}

void add_notes(Plan& plan) {
    const bool f16 = std::any_of(plan.steps.begin(), plan.steps.end(), [](const Step& step) {
        return step.source->dtype == "F16" && step.target.precision == Precision::Matrix && step.dtype == DType::F32;
    });
    if (f16) plan.notes.push_back("matrices stored as f16 become f32");
    if (plan.config.has_transformer && plan.tokenizer_json.empty())
        plan.notes.push_back("the folder has no tokenizer.json: the model will take token ids only");
    if (plan.config.has_clip && plan.tokenizer_json.empty())
        plan.notes.push_back("the folder has no tokenizer.json: the model will embed pictures only");
    if (plan.config.has_vqgan && !plan.config.vqgan.decoder)
        plan.notes.push_back("the VQGAN has no decoder: the model can look at pictures, but not draw them");
    if (plan.config.has_vqgan && !plan.config.vqgan.encoder)
        plan.notes.push_back("the VQGAN has no encoder: the model can draw pictures, but not look at them");
    if (plan.config.has_transformer && !plan.config.has_vqgan)
        plan.notes.push_back("the checkpoint has no VQGAN: the model will take and give picture codes only");
}

namespace {

Plan plan_clip(const std::string& folder, const CheckpointConfig& source, const ConvertOptions& options) {
    if (!options.vqgan.empty()) throw Error("is a CLIP, which has no use for a VQGAN", folder, "leave out --vqgan");
    Plan plan;
    plan.checkpoints.push_back(open_huggingface(folder));
    plan.config.name = options.name.empty() ? folder_name(folder) : options.name;
    plan.config.has_clip = true;
    plan.config.clip = source.clip;
    const std::string preprocessing = (fs::path(folder) / "preprocessor_config.json").string();
    std::error_code unreadable;
    if (fs::exists(preprocessing, unreadable))
        read_clip_preprocessing(plan.config.clip, preprocessing);
    else
        plan.notes.push_back(
            "the folder has no preprocessor_config.json: pictures get the published mean and deviation");
    plan.config = parse_config(print_config(plan.config), config_path(folder));
    plan.tokenizer_json = read_tokenizer(folder, options.tokenizer);

    std::set<std::string> used;
    NamedTensors names(*plan.checkpoints[0], CLIP_NAMES, used);
    if (!names.present()) throw Error("tensor " + in_quotes(CLIP_NAMES.root) + " is missing", folder);
    add_steps(plan, names, tensors_of(plan.config), "clip.", {}, folder, options.dtype);
    names.skip_unused(plan.config);
    check_all_used(*plan.checkpoints[0], used);
    add_notes(plan);
    return plan;
}

}  // namespace

size_t Plan::bytes() const {
    size_t total = 0;
    for (const Step& step : steps) total += static_cast<size_t>(step.target.elements()) * size_of(step.dtype);
    return total;
}

Plan plan_conversion(const std::string& folder, const ConvertOptions& options) {
    if (!options.dtype.empty() && options.dtype != "f32" && options.dtype != "bf16")
        throw Error(in_quotes(options.dtype) + " is not a dtype", "--dtype", "use f32 or bf16");
    std::error_code unreadable;
    if (fs::is_regular_file(folder, unreadable)) return plan_upscaler(folder, options);
    Plan plan;
    const std::string path = config_path(folder);
    const CheckpointConfig source = read_huggingface_config(path);
    if (source.family == Family::Clip) return plan_clip(folder, source, options);
    const bool has_transformer = source.family != Family::Vqgan;
    plan.checkpoints.push_back(open_huggingface(folder));
    const Checkpoint& checkpoint = *plan.checkpoints[0];
    std::set<std::string> used, used_of_other;

    // A second folder for the VQGAN stands in for this one's, whose tensors are then left alone.
    const bool other_vqgan = !options.vqgan.empty();
    CheckpointConfig picture_source = source;
    if (other_vqgan) {
        if (!has_transformer) throw Error("is a VQGAN itself", folder, "give a second VQGAN only to a transformer");
        picture_source = read_huggingface_config(config_path(options.vqgan));
        plan.checkpoints.push_back(open_huggingface(options.vqgan));
    }
    const bool may_have_vqgan = picture_source.family != Family::Opt;
    if (other_vqgan) NamedTensors(checkpoint, VQGAN_NAMES, used).skip_all("model.vqmodel.");
    NamedTensors pictures(*plan.checkpoints.back(), VQGAN_NAMES, other_vqgan ? used_of_other : used);

    plan.config.name = options.name.empty() ? folder_name(folder) : options.name;
    plan.config.layout = options.layout.empty() ? source.layout : layout_named(options.layout);
    plan.config.has_transformer = has_transformer;
    if (has_transformer) plan.config.transformer = source.transformer;
    if (may_have_vqgan) describe_vqgan(plan.config, pictures, picture_source.vqgan);
    if (other_vqgan && !plan.config.has_vqgan) throw Error("holds no VQGAN", options.vqgan);
    if (!has_transformer && !plan.config.has_vqgan) throw Error("holds neither encoder nor decoder of a VQGAN", folder);
    plan.config = parse_config(print_config(plan.config), path);  // the ranges that all arithmetic below relies on
    plan.tokenizer_json = read_tokenizer(folder, options.tokenizer);

    const std::vector<TensorSpec> targets = tensors_of(plan.config);
    if (has_transformer) {
        const NameMap& map = source.family == Family::Opt ? OPT_NAMES : CHAMELEON_NAMES;
        NamedTensors names(checkpoint, map, used);
        if (!names.present()) throw Error("tensor " + in_quotes(map.root) + " is missing", folder);
        HeadNormLayout norms;
        if (source.family == Family::Chameleon) norms = head_norm_layout(names, source);
        add_steps(plan, names, targets, "transformer.", norms, folder, options.dtype);
        names.skip_unused(plan.config);
    }
    if (plan.config.has_vqgan) {
        add_steps(plan, pictures, targets, "vqgan.", {}, other_vqgan ? options.vqgan : folder, options.dtype);
        pictures.skip_unused(plan.config);
    }
    check_all_used(checkpoint, used);
    add_notes(plan);
    return plan;
}

}  // namespace leon
