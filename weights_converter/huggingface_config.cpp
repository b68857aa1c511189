// config.json of Hugging Face folders; see huggingface_config.h.
//
// Two dialects: top-level rope_theta and rope_scaling (transformers 4), rope_parameters (transformers 5).
// transformers writes only those keys of the nested vq_config that differ from the defaults of ChameleonVQVAEConfig,
// so there, and in the nested configurations of CLIP, an absent key has a value: that default. The tensors' shapes then
// confirm it.
#include "weights_converter/huggingface_config.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/check.h"
#include "runtime/weights_file.h"
#include "weights_converter/foreign_config.h"

namespace leon {
namespace {

using nlohmann::json;

constexpr float OPT_NORM_EPS = 1e-5f;   // OPT's LayerNorm has PyTorch's default
constexpr int OPT_POSITION_OFFSET = 2;  // OPT's positions start behind the id of padding

// Any rotary scaling changes the network: only its absence, spelled in one of several ways, is accepted.
void refuse_rope_scaling(const ForeignConfig& config, const char* key, const json& settings) {
    if (settings.is_null()) return;
    if (!settings.is_object()) throw Error(config.name(key) + " must be an object", config.where());
    for (const auto& [name, value] : settings.items()) {
        const bool is_type = name == "rope_type" || name == "type";
        const bool harmless = name == "rope_theta" || value.is_null() || (is_type && value == "default") ||
                              (name == "partial_rotary_factor" && value == 1.0);
        if (!harmless)
            throw Error(config.name(key) + " asks for " + in_quotes(name) + " = " +
                            in_quotes(value.dump(-1, ' ', true)) + ", but leon supports only plain rotary positions",
                        config.where());
    }
}

float read_rope_theta(const ForeignConfig& config) {
    refuse_rope_scaling(config, "rope_scaling", config.find("rope_scaling"));
    const json& parameters = config.find("rope_parameters");
    refuse_rope_scaling(config, "rope_parameters", parameters);
    if (parameters.is_null()) return config.number("rope_theta");
    const float theta = ForeignConfig(parameters, "rope_parameters.", config.where()).number("rope_theta");
    if (!config.find("rope_theta").is_null() && config.number("rope_theta") != theta)
        throw Error("'rope_theta' and 'rope_parameters.rope_theta' disagree", config.where());
    return theta;
}

void divide_heads(TransformerConfig& t, const std::string& where) {
    if (t.heads == 0 || t.dim % t.heads != 0)
        throw Error("'hidden_size' " + std::to_string(t.dim) + " is not a multiple of 'num_attention_heads' " +
                        std::to_string(t.heads),
                    where);
    t.head_dim = t.dim / t.heads;
}

TransformerConfig read_chameleon(const ForeignConfig& config) {
    config.require("hidden_act", "silu");
    config.require_or_absent("attention_bias", false);
    config.require_or_absent("mlp_bias", false);
    config.require_or_absent("tie_word_embeddings", false);
    TransformerConfig t = chameleon_transformer(config.boolean("swin_norm"));
    t.layers = config.integer("num_hidden_layers");
    t.dim = config.integer("hidden_size");
    t.heads = config.integer("num_attention_heads");
    t.kv_heads = config.integer("num_key_value_heads");
    divide_heads(t, config.where());
    config.require_or_absent("head_dim", t.head_dim);
    t.ffn_dim = config.integer("intermediate_size");
    t.vocab = config.integer("vocab_size");
    t.context = config.integer("max_position_embeddings");
    t.norm_eps = config.number("rms_norm_eps");
    t.rope_theta = read_rope_theta(config);
    return t;
}

TransformerConfig read_opt(const ForeignConfig& config) {
    config.require("activation_function", "relu");
    config.require("do_layer_norm_before", true);
    config.require("enable_bias", false);
    config.require("layer_norm_elementwise_affine", false);
    config.require_or_absent("_remove_final_layer_norm", false);
    config.require_or_absent("tie_word_embeddings", true);
    TransformerConfig t;
    t.norm = Norm::LayerNorm;
    t.norm_placement = NormPlacement::Before;
    t.positions = Positions::Learned;
    t.feed_forward = FeedForward::ReLU;
    t.qk_norm = false;
    t.tied_output = true;
    t.layers = config.integer("num_hidden_layers");
    t.dim = config.integer("hidden_size");
    config.require_or_absent("word_embed_proj_dim", t.dim);
    t.heads = t.kv_heads = config.integer("num_attention_heads");
    divide_heads(t, config.where());
    t.ffn_dim = config.integer("ffn_dim");
    t.vocab = config.integer("vocab_size");
    t.context = config.integer("max_position_embeddings");
    t.norm_eps = OPT_NORM_EPS;
    t.position_offset = OPT_POSITION_OFFSET;
    return t;
}

VqganConfig read_vqgan(const ForeignConfig& config) {
    config.require_or_absent("double_latent", false);
    config.require_or_absent("attn_type", "vanilla");
    config.require_or_absent("attn_resolutions", json::array());
    VqganConfig v;
    v.channels = config.integer("base_channels", 128);
    v.multipliers = config.integers("channel_multiplier", {1, 1, 2, 2, 4});
    v.res_blocks = config.integer("num_res_blocks", 2);
    v.in_channels = config.integer("in_channels", 3);
    v.z_channels = config.integer("latent_channels", 256);
    v.code_dim = config.integer("embed_dim", 256);
    v.codes = config.integer("num_embeddings", 8192);
    v.resolution = config.integer("resolution", 512);
    return v;
}

// transformers' defaults of CLIPTextConfig and CLIPVisionConfig.
struct ClipDefaults {
    int dim, heads, ffn_dim;
};

ClipTower read_clip_tower(const ForeignConfig& config, const ClipDefaults& defaults) {
    ClipTower t;
    t.layers = config.integer("num_hidden_layers", 12);
    t.dim = config.integer("hidden_size", defaults.dim);
    t.heads = config.integer("num_attention_heads", defaults.heads);
    t.ffn_dim = config.integer("intermediate_size", defaults.ffn_dim);
    t.norm_eps = config.number("layer_norm_eps", 1e-5f);
    const std::string activation = config.text("hidden_act", "quick_gelu");
    if (activation != "quick_gelu" && activation != "gelu")
        throw Error(
            config.name("hidden_act") + " is " + in_quotes(activation) + ", but leon supports only quick_gelu and gelu",
            config.where());
    t.activation = activation == "gelu" ? Activation::GELU : Activation::QuickGELU;
    return t;
}

// "text_config", over which older checkpoints laid a "text_config_dict".
json nested(const ForeignConfig& config, const std::string& key) {
    json merged = json::object();
    for (const std::string& name : {key, key + "_dict"}) {
        const json& part = config.find(name.c_str());
        if (!part.is_null() && !part.is_object())
            throw Error(config.name(name.c_str()) + " must be an object", config.where());
        if (part.is_object()) merged.update(part);
    }
    return merged;
}

ClipConfig read_clip(const ForeignConfig& config) {
    const json text_object = nested(config, "text_config"), vision_object = nested(config, "vision_config");
    const ForeignConfig text(text_object, "text_config.", config.where());
    const ForeignConfig vision(vision_object, "vision_config.", config.where());
    ClipConfig c;
    c.dim = config.integer("projection_dim", 512);
    c.text = read_clip_tower(text, {.dim = 512, .heads = 8, .ffn_dim = 2048});
    c.vocab = text.integer("vocab_size", 49408);
    c.context = text.integer("max_position_embeddings", 77);
    c.vision = read_clip_tower(vision, {.dim = 768, .heads = 12, .ffn_dim = 3072});
    vision.require_or_absent("num_channels", 3);
    c.side = vision.integer("image_size", 224);
    c.patch = vision.integer("patch_size", 32);
    set_clip_preprocessing(c);
    return c;
}

// A side in pixels that must be `side`: a number, or an object whose numbers are all that one.
void require_side(const ForeignConfig& config, const char* key, int side) {
    const json& value = config.find(key);
    bool same = value.is_null() || value == side;
    if (value.is_object())
        same = std::all_of(value.begin(), value.end(), [&](const json& number) { return number == side; });
    if (!same)
        throw Error(config.name(key) + " is " + in_quotes(value.dump(-1, ' ', true)) +
                        ", but the network's pictures have " + std::to_string(side) + " pixels a side",
                    config.where());
}

void read_colours(const ForeignConfig& config, const char* key, float (&values)[3]) {
    const json& list = config.find(key);
    if (list.is_null()) return;
    if (!list.is_array() || list.size() != 3)
        throw Error(config.name(key) + " must be a list of three numbers", config.where());
    for (size_t i = 0; i < 3; i++) {
        if (!list[i].is_number()) throw Error(config.name(key) + " must be a list of three numbers", config.where());
        values[i] = list[i].get<float>();
    }
}

CheckpointFamily family_of(const ForeignConfig& config) {
    const std::string type = config.text("model_type");
    if (type == "chameleon") return CheckpointFamily::Chameleon;
    if (type == "opt") return CheckpointFamily::Opt;
    if (type == "chameleon_vqgan") return CheckpointFamily::Vqgan;
    if (type == "clip") return CheckpointFamily::Clip;
    throw Error("'model_type' is " + in_quotes(type) + ", but leon converts chameleon, opt, chameleon_vqgan and clip",
                config.where());
}

Layout layout_of(const ForeignConfig& config, CheckpointFamily family) {
    if (config.find("leon_layout").is_null())
        return family == CheckpointFamily::Opt ? Layout::CM3Leon : Layout::Chameleon;
    const std::string text = config.text("leon_layout");
    for (Layout layout : {Layout::Chameleon, Layout::CM3Leon, Layout::Anole, Layout::Lumina})
        if (text == name_of(layout)) return layout;
    throw Error("'leon_layout' is " + in_quotes(text) + ", but must be chameleon, cm3leon, anole or lumina",
                config.where());
}

}  // namespace

CheckpointConfig read_huggingface_config(const std::string& path) {
    const json object = read_json_object(path);
    const ForeignConfig config(object, "", path);

    CheckpointConfig result;
    result.family = family_of(config);
    result.layout = layout_of(config, result.family);
    switch (result.family) {
        case CheckpointFamily::Chameleon: {
            result.transformer = read_chameleon(config);
            result.model_parallel_size = config.integer("model_parallel_size");
            result.qk_layernorm = config.find("qk_layernorm") == true;
            const json& vq = config.find("vq_config");
            if (!vq.is_null() && !vq.is_object()) throw Error("'vq_config' must be an object", path);
            const json defaults = json::object();
            result.vqgan = read_vqgan(ForeignConfig(vq.is_null() ? defaults : vq, "vq_config.", path));
            break;
        }
        case CheckpointFamily::Opt:
            result.transformer = read_opt(config);
            break;
        case CheckpointFamily::Vqgan:
            result.vqgan = read_vqgan(config);
            break;
        case CheckpointFamily::Clip:
            result.clip = read_clip(config);
            break;
        case CheckpointFamily::Meta:
            CHECK(!"a family of Hugging Face's");
    }
    return result;
}

void set_clip_preprocessing(ClipConfig& config) {
    constexpr float MEAN[] = {0.48145466f, 0.4578275f, 0.40821073f}, STD[] = {0.26862954f, 0.26130258f, 0.27577711f};
    std::copy_n(MEAN, 3, config.mean);
    std::copy_n(STD, 3, config.std);
}

void read_clip_preprocessing(ClipConfig& config, const std::string& path) {
    const json object = read_json_object(path);
    const ForeignConfig settings(object, "", path);
    for (const char* step : {"do_resize", "do_center_crop", "do_rescale", "do_normalize"})
        settings.require_or_absent(step, true);
    settings.require_or_absent("resample", 3);  // bicubic, by Pillow's number
    const float factor = settings.number("rescale_factor", 1.0f / 255);
    if (std::fabs(factor * 255 - 1) > 1e-6f) throw Error("'rescale_factor' is not 1/255", path);
    require_side(settings, "size", config.side);
    require_side(settings, "crop_size", config.side);
    read_colours(settings, "image_mean", config.mean);
    read_colours(settings, "image_std", config.std);
}

}  // namespace leon
