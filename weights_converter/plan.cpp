// Matching a checkpoint's tensors with those of a leon file; see plan.h.
//
// Three qk-norm layouts of Chameleon exist, told apart by the shape of the first layer's q_norm:
//   A  [head_dim]                       q/k rows in adjacent-pair order
//   B  [model_parallel_size, head_dim]  q/k rows in half-split order
//   C  [heads, head_dim]                q/k rows in half-split order
// Meta's own files are as B, in the order of A. Where B and C have the same shape (as many shards as heads) they also
// mean the same.
#include "weights_converter/plan.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>

#include "runtime/strict_json.h"
#include "runtime/weights_file.h"
#include "weights_converter/huggingface_config.h"
#include "weights_converter/inspect.h"
#include "weights_converter/meta_checkpoint.h"
#include "weights_converter/named_tensors.h"
#include "weights_converter/side_files.h"
#include "weights_converter/vqgan_file.h"

namespace leon {
namespace {

namespace fs = std::filesystem;

constexpr size_t MAX_TOKENIZER_BYTES = size_t{64} << 20;
constexpr struct {
    const char* name;
    DType type;
    bool mixed = false;
} PRECISIONS[] = {{"f32", DType::F32},
                  {"bf16", DType::BF16},
                  {"f16", DType::F16},
                  {"fp8", DType::F8},
                  {"int8", DType::I8},
                  {"int4", DType::I4},
                  {"int8-mixed", DType::I8, true},
                  {"int4-mixed", DType::I4, true}};

struct HeadNormLayout {
    bool shared = false;          // layout A: one vector for all heads
    int shards = 0;               // layout B and Meta's: one vector per shard; 0 = layout C
    bool adjacent_pairs = false;  // of the rows of q and k, and of the vectors: A and Meta's
};

HeadNormLayout head_norm_layout(const NamedTensors& names, const CheckpointConfig& config) {
    HeadNormLayout layout;
    if (config.family == CheckpointFamily::Meta) return {false, config.model_parallel_size, true};
    if (config.family != CheckpointFamily::Chameleon) return layout;
    const std::string name = "model.layers.0.self_attn.q_norm.weight";
    const SourceTensor* q_norm = names.find(name);
    if (!q_norm) return layout;  // reported as missing later, with the file it should be in
    layout.shared = layout.adjacent_pairs = q_norm->shape.size() == 1;
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
        plan.steps.push_back({target, target_dtype(target, source, dtype), &names.checkpoint(), &source, treatment,
                              norms.adjacent_pairs});
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

std::string read_tokenizer(const std::string& path) {
    if (path.empty()) return "";
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
        throw Error("holds neither config.json nor consolidated.pth", folder,
                    "leon converts checkpoints in Hugging Face's and in Meta's layout");
    return path;
}

}  // namespace

std::vector<std::string> dtype_names() {
    std::vector<std::string> names;
    for (const auto& precision : PRECISIONS) names.push_back(precision.name);
    return names;
}

std::string dtype_name_of(const std::string& stored) {
    for (const auto& precision : PRECISIONS)
        if (stored == name_of(precision.type)) return precision.name;
    return stored;
}

DType target_dtype(const TensorSpec& target, const SourceTensor& source, const std::string& wanted) {
    for (const auto& precision : PRECISIONS)
        if (wanted == precision.name) return stored_type(target, precision.type, precision.mixed);
    if (target.precision == Precision::Exact) return DType::F32;
    if (source.dtype == name_of(DType::BF16)) return DType::BF16;
    // Convolutions of 16 bits allow their kernels to round activations, which nobody has asked for.
    return source.dtype == name_of(DType::F16) && target.shape.size() == 2 ? DType::F16 : DType::F32;
}

void check_all_used(const Checkpoint& checkpoint, const std::set<std::string>& used) {
    for (const auto& [name, tensor] : checkpoint.tensors())
        if (!used.count(name))
            throw Error("tensor " + in_quotes(name) + " has no place in this architecture", tensor.file);
}

void add_notes(Plan& plan) {
    if (plan.config.has_transformer && plan.tokenizer_json.empty())
        plan.notes.push_back("the folder has no tokenizer.json: the model will take token ids only");
    if (plan.config.has_clip && plan.tokenizer_json.empty())
        plan.notes.push_back("the folder has no tokenizer.json: the model will embed pictures only");
    if (plan.config.has_vqgan && !plan.config.vqgan.decoder)
        plan.notes.push_back("the VQGAN has no decoder: the model can look at pictures, but not draw them");
    if (plan.config.has_transformer && plan.config.has_vqgan && plan.config.vqgan.decoder &&
        plan.config.layout == Layout::Chameleon)
        plan.notes.push_back(
            "Chameleon's own weights cannot draw; if these are Anole's, which can, say --layout anole");
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
    plan.tokenizer_json = read_tokenizer(tokenizer_in(options.tokenizer.empty() ? folder : options.tokenizer));

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
    for (const Step& step : steps) {
        total += packed_bytes(step.dtype, step.target.elements());
        if (step.dtype == DType::I4) total += static_cast<size_t>(step.target.elements() / GROUP);
        if (has_row_scale(step.dtype)) total += static_cast<size_t>(step.target.shape[0]) * sizeof(float);
    }
    return total;
}

namespace {

// Where a transformer or a VQGAN comes from. The plan owns the checkpoint.
struct Source {
    std::string path;  // for messages
    CheckpointConfig config;
    const Checkpoint* checkpoint = nullptr;
};

const Checkpoint* owned(Plan& plan, std::unique_ptr<Checkpoint> checkpoint) {
    plan.checkpoints.push_back(std::move(checkpoint));
    return plan.checkpoints.back().get();
}

Source open_folder(Plan& plan, const std::string& folder) {
    if (is_meta_folder(folder)) {  // Anole's has a config.json beside it, which says less
        MetaCheckpoint meta = open_meta(folder);
        return {folder, meta.config, owned(plan, std::move(meta.checkpoint))};
    }
    const CheckpointConfig config = read_huggingface_config(config_path(folder));
    return {folder, config, owned(plan, open_huggingface(folder))};
}

Source open_vqgan(Plan& plan, const std::string& path) {
    const std::string file = vqgan_file_in(path);
    if (file.empty()) {
        Source source = open_folder(plan, path);
        if (source.config.family != CheckpointFamily::Chameleon && source.config.family != CheckpointFamily::Vqgan)
            throw Error("holds no VQGAN", path);
        return source;
    }
    VqganFile vqgan = open_vqgan_file(file);
    CheckpointConfig config;
    config.family = CheckpointFamily::Vqgan;
    config.vqgan = vqgan.sizes;
    return {file, config, owned(plan, std::move(vqgan.checkpoint))};
}

const NameMap& names_of(CheckpointFamily family) {
    if (family == CheckpointFamily::Meta) return META_NAMES;
    return family == CheckpointFamily::Opt ? OPT_NAMES : CHAMELEON_NAMES;
}

// Lumina-mGPT's configurations keep Chameleon's context, but a picture of 1024 x 1024 pixels alone is 4,164 tokens.
// Rotary positions go on: room for such a picture in the prompt, and for the 8,192 tokens that its own code generates.
void extend_context(Plan& plan) {
    constexpr int CHAMELEONS = 4096, LUMINAS = 12800;
    TransformerConfig& t = plan.config.transformer;
    if (!plan.config.has_transformer || plan.config.layout != Layout::Lumina || t.context != CHAMELEONS) return;
    t.context = LUMINAS;
    plan.notes.push_back("the context is " + std::to_string(LUMINAS) + " tokens, not Chameleon's " +
                         std::to_string(CHAMELEONS) + ": Lumina-mGPT's pictures may be longer");
}

// The tokenizer's file: what was named, or the folder's, Meta's near it, or the one beside the VQGAN.
std::string find_tokenizer(Plan& plan, const std::string& folder, const std::string& wanted,
                           const std::string& tokenizer_folder, const std::string& vqgan) {
    if (!wanted.empty()) {
        const std::string path = tokenizer_in(wanted);
        if (path.empty()) throw Error("holds no tokenizer.json", wanted);
        return path;
    }
    if (std::string path = tokenizer_in(folder); !path.empty()) return path;
    for (const std::string& near : {tokenizer_folder, vqgan.empty() ? "" : folder_of(vqgan)}) {
        if (near.empty()) continue;
        const std::string path = tokenizer_in(near);
        if (path.empty()) continue;
        plan.notes.push_back("the tokenizer is " + path);
        return path;
    }
    return "";
}

// Of a VQGAN in a place of its own, only what belongs to the halves counts; losses and the like may lie beside them.
void check_halves_used(const NamedTensors& names, const std::set<std::string>& used) {
    for (const char* half : {"model.vqmodel.encoder.", "model.vqmodel.decoder."}) {
        const std::string prefix = names.actual(half);
        for (const auto& [name, tensor] : names.checkpoint().tensors())
            if (name.starts_with(prefix) && !used.count(name))
                throw Error("tensor " + in_quotes(name) + " has no place in this architecture", tensor.file);
    }
}

// A VQGAN alone, from a file.
Plan plan_vqgan(const std::string& path, const ConvertOptions& options) {
    if (!options.vqgan.empty()) throw Error("is a VQGAN itself", path, "give a second VQGAN only to a transformer");
    Plan plan;
    const Source source = open_vqgan(plan, path);
    std::set<std::string> used;
    NamedTensors names(*source.checkpoint, VQGAN_NAMES, used);
    plan.config.name = options.name.empty() ? fs::path(path).stem().string() : options.name;
    if (!options.layout.empty()) plan.config.layout = layout_named(options.layout);
    describe_vqgan(plan.config, names, source.config.vqgan);
    if (!plan.config.has_vqgan) throw Error("holds neither encoder nor decoder of a VQGAN", path);
    plan.config = parse_config(print_config(plan.config), path);
    plan.tokenizer_json = read_tokenizer(options.tokenizer.empty() ? "" : tokenizer_in(options.tokenizer));
    add_steps(plan, names, tensors_of(plan.config), "vqgan.", {}, path, options.dtype);
    check_halves_used(names, used);
    add_notes(plan);
    return plan;
}

// A leon file again, in another precision.
Plan plan_leon(const std::string& path, const ConvertOptions& options) {
    if (!options.vqgan.empty()) throw Error("is a leon file already", path, "give --vqgan with the checkpoint");
    Plan plan;
    {
        const WeightsFile file(path);
        plan.config = parse_config(file.config_json(), path);
        plan.tokenizer_json = file.tokenizer_json();
    }
    if (!options.name.empty()) plan.config.name = options.name;
    if (!options.layout.empty()) plan.config.layout = layout_named(options.layout);
    extend_context(plan);
    if (!options.tokenizer.empty()) plan.tokenizer_json = read_tokenizer(tokenizer_in(options.tokenizer));
    const Checkpoint& checkpoint = *owned(plan, open_tensor_file(path));
    for (const auto& [name, tensor] : checkpoint.tensors())
        if (checkpoint.tensors().count(name + SCALES_SUFFIX))
            throw Error("tensor " + in_quotes(name) + " is narrow already", path, "convert the original");
    std::set<std::string> used;
    NamedTensors names(checkpoint, LEON_NAMES, used);
    add_steps(plan, names, tensors_of(plan.config), "", {}, path, options.dtype);
    check_all_used(checkpoint, used);
    return plan;
}

Plan plan_file(const std::string& path, const ConvertOptions& options) {
    if (is_leon_file(path)) return plan_leon(path, options);
    bool is_vqgan = false;
    {
        const std::unique_ptr<Checkpoint> checkpoint = open_tensor_file(path, {"state_dict"});
        if (checkpoint->tensors().count("tok_embeddings.weight"))
            throw Error("is one file of Meta's Chameleon", path, "leon convert takes the folder that it lies in");
        if (checkpoint->tensors().count("model.embed_tokens.weight"))
            throw Error("is one file of a Hugging Face folder", path, "leon convert takes the folder that it lies in");
        is_vqgan = holds_vqgan(*checkpoint);
    }
    return is_vqgan ? plan_vqgan(path, options) : plan_upscaler(path, options);
}

}  // namespace

Plan plan_conversion(const std::string& folder, const ConvertOptions& options) {
    const std::vector<std::string> dtypes = dtype_names();
    if (!options.dtype.empty() && std::find(dtypes.begin(), dtypes.end(), options.dtype) == dtypes.end()) {
        std::string known = dtypes.front();
        for (size_t i = 1; i < dtypes.size(); i++) known += (i + 1 < dtypes.size() ? ", " : " or ") + dtypes[i];
        throw Error(in_quotes(options.dtype) + " is not a dtype", "--dtype", "use " + known);
    }
    if (is_file(folder)) return plan_file(folder, options);
    Plan plan;
    const Source source = open_folder(plan, folder);
    if (source.config.family == CheckpointFamily::Clip) return plan_clip(folder, source.config, options);
    const bool is_meta = source.config.family == CheckpointFamily::Meta,
               has_transformer = source.config.family != CheckpointFamily::Vqgan;
    const Checkpoint& checkpoint = *source.checkpoint;
    std::set<std::string> used, used_of_other;

    // A VQGAN from elsewhere stands in for this folder's, whose tensors are then left alone. Meta's is elsewhere
    // anyway.
    const std::string tokenizer_folder = is_meta ? meta_tokenizer_folder(folder) : "";
    std::string vqgan = options.vqgan;
    if (vqgan.empty() && !tokenizer_folder.empty()) {
        vqgan = vqgan_file_in(tokenizer_folder);
        if (!vqgan.empty()) plan.notes.push_back("the VQGAN is " + vqgan);
    }
    const bool other_vqgan = !vqgan.empty();
    if (other_vqgan && !has_transformer)
        throw Error("is a VQGAN itself", folder, "give a second VQGAN only to a transformer");
    const Source picture_source = other_vqgan ? open_vqgan(plan, vqgan) : source;
    const bool may_have_vqgan = picture_source.config.family == CheckpointFamily::Chameleon ||
                                picture_source.config.family == CheckpointFamily::Vqgan;
    if (other_vqgan) NamedTensors(checkpoint, VQGAN_NAMES, used).skip_all("model.vqmodel.");
    NamedTensors pictures(*picture_source.checkpoint, VQGAN_NAMES, other_vqgan ? used_of_other : used);

    plan.config.name = options.name.empty() ? folder_name(folder) : options.name;
    plan.config.layout = options.layout.empty() ? source.config.layout : layout_named(options.layout);
    plan.config.has_transformer = has_transformer;
    if (has_transformer) plan.config.transformer = source.config.transformer;
    extend_context(plan);
    if (may_have_vqgan) describe_vqgan(plan.config, pictures, picture_source.config.vqgan);
    if (other_vqgan && !plan.config.has_vqgan) throw Error("holds no VQGAN", vqgan);
    if (!has_transformer && !plan.config.has_vqgan) throw Error("holds neither encoder nor decoder of a VQGAN", folder);
    plan.config = parse_config(print_config(plan.config), folder);  // the ranges that all arithmetic below relies on
    plan.tokenizer_json =
        read_tokenizer(find_tokenizer(plan, folder, options.tokenizer, tokenizer_folder, other_vqgan ? vqgan : ""));

    const std::vector<TensorSpec> targets = tensors_of(plan.config);
    if (has_transformer) {
        const NameMap& map = names_of(source.config.family);
        NamedTensors names(checkpoint, map, used);
        if (!names.present()) throw Error("tensor " + in_quotes(map.root) + " is missing", folder);
        add_steps(plan, names, targets, "transformer.", head_norm_layout(names, source.config), folder, options.dtype);
        names.skip_unused(plan.config);
    }
    if (plan.config.has_vqgan) {
        add_steps(plan, pictures, targets, "vqgan.", {}, picture_source.path, options.dtype);
        pictures.skip_unused(plan.config);
        if (other_vqgan) check_halves_used(pictures, used_of_other);
    }
    check_all_used(checkpoint, used);
    add_notes(plan);
    return plan;
}

}  // namespace leon
