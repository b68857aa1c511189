// The name maps; see name_maps.h. Sources: the module names of Hugging Face's modeling_chameleon.py, modeling_opt.py
// and modeling_clip.py (with its misspelled pre_layrnorm), of Meta's chameleon, of taming-transformers' VQModel, and of
// Real-ESRGAN's rrdbnet_arch.py and srvgg_arch.py.
#include "weights_converter/name_maps.h"

namespace leon {
namespace {

constexpr Treatment COPY = Treatment::Copy;

constexpr const char* MODEL_PREFIXES[] = {"", "model."};

constexpr NameRule CHAMELEON_RULES[] = {
    {"transformer.embedding", "model.embed_tokens.weight", COPY},
    {"transformer.layers.*.attention_norm", "model.layers.*.input_layernorm.weight", COPY},
    {"transformer.layers.*.q", "model.layers.*.self_attn.q_proj.weight", Treatment::RotaryRows},
    {"transformer.layers.*.k", "model.layers.*.self_attn.k_proj.weight", Treatment::RotaryRows},
    {"transformer.layers.*.v", "model.layers.*.self_attn.v_proj.weight", COPY},
    {"transformer.layers.*.q_norm.weight", "model.layers.*.self_attn.q_norm.weight", Treatment::HeadNorm},
    {"transformer.layers.*.q_norm.bias", "model.layers.*.self_attn.q_norm.bias", Treatment::HeadNorm},
    {"transformer.layers.*.k_norm.weight", "model.layers.*.self_attn.k_norm.weight", Treatment::HeadNorm},
    {"transformer.layers.*.k_norm.bias", "model.layers.*.self_attn.k_norm.bias", Treatment::HeadNorm},
    {"transformer.layers.*.o", "model.layers.*.self_attn.o_proj.weight", COPY},
    {"transformer.layers.*.ffn_norm", "model.layers.*.post_attention_layernorm.weight", COPY},
    {"transformer.layers.*.gate", "model.layers.*.mlp.gate_proj.weight", COPY},
    {"transformer.layers.*.up", "model.layers.*.mlp.up_proj.weight", COPY},
    {"transformer.layers.*.down", "model.layers.*.mlp.down_proj.weight", COPY},
    {"transformer.norm", "model.norm.weight", COPY},
    {"transformer.output", "lm_head.weight", COPY},
};
constexpr UnusedRule CHAMELEON_UNUSED[] = {
    {"model.layers.*.self_attn.rotary_emb.inv_freq", Unused::Always},  // a table that older versions stored
};

// Meta's names, once the ranks are joined (meta_checkpoint.h).
constexpr NameRule META_RULES[] = {
    {"transformer.embedding", "tok_embeddings.weight", COPY},
    {"transformer.layers.*.attention_norm", "layers.*.attention_norm.weight", COPY},
    {"transformer.layers.*.q", "layers.*.attention.wq.weight", Treatment::RotaryRows},
    {"transformer.layers.*.k", "layers.*.attention.wk.weight", Treatment::RotaryRows},
    {"transformer.layers.*.v", "layers.*.attention.wv.weight", COPY},
    {"transformer.layers.*.q_norm.weight", "layers.*.attention.q_normalization.weight", Treatment::HeadNorm},
    {"transformer.layers.*.q_norm.bias", "layers.*.attention.q_normalization.bias", Treatment::HeadNorm},
    {"transformer.layers.*.k_norm.weight", "layers.*.attention.k_normalization.weight", Treatment::HeadNorm},
    {"transformer.layers.*.k_norm.bias", "layers.*.attention.k_normalization.bias", Treatment::HeadNorm},
    {"transformer.layers.*.o", "layers.*.attention.wo.weight", COPY},
    {"transformer.layers.*.ffn_norm", "layers.*.ffn_norm.weight", COPY},
    {"transformer.layers.*.gate", "layers.*.feed_forward.w1.weight", COPY},
    {"transformer.layers.*.up", "layers.*.feed_forward.w3.weight", COPY},
    {"transformer.layers.*.down", "layers.*.feed_forward.w2.weight", COPY},
    {"transformer.norm", "norm.weight", COPY},
    {"transformer.output", "output.weight", COPY},
};
constexpr UnusedRule META_UNUSED[] = {
    {"rope.freqs", Unused::Always},  // a table
};
constexpr const char* NO_PREFIXES[] = {""};

constexpr NameRule OPT_RULES[] = {
    {"transformer.embedding", "model.decoder.embed_tokens.weight", COPY},
    {"transformer.positions", "model.decoder.embed_positions.weight", COPY},
    {"transformer.layers.*.q", "model.decoder.layers.*.self_attn.q_proj.weight", COPY},
    {"transformer.layers.*.k", "model.decoder.layers.*.self_attn.k_proj.weight", COPY},
    {"transformer.layers.*.v", "model.decoder.layers.*.self_attn.v_proj.weight", COPY},
    {"transformer.layers.*.o", "model.decoder.layers.*.self_attn.out_proj.weight", COPY},
    {"transformer.layers.*.up", "model.decoder.layers.*.fc1.weight", COPY},
    {"transformer.layers.*.down", "model.decoder.layers.*.fc2.weight", COPY},
};
constexpr UnusedRule OPT_UNUSED[] = {
    {"lm_head.weight", Unused::EqualsEmbedding},
};

constexpr const char* VQGAN_PREFIXES[] = {"", "model.", "model.vqmodel."};

constexpr NameRule VQGAN_RULES[] = {
    {"vqgan.codebook", "model.vqmodel.quantize.embedding.weight", COPY},
    {"vqgan.*", "model.vqmodel.*", Treatment::ChannelsLast},
};
constexpr UnusedRule VQGAN_UNUSED[] = {
    {"model.vqmodel.post_quant_conv.*", Unused::WithoutDecoder},
    {"model.vqmodel.quant_conv.*", Unused::WithoutEncoder},
};

constexpr const char* NESTS[] = {"params_ema.", "params.", ""};

constexpr NameRule RRDB_AND_COMPACT_RULES[] = {
    {"upscaler.*.weight.0", "*.weight", Treatment::InputPart},
    {"upscaler.*.weight.1", "*.weight", Treatment::InputPart},
    {"upscaler.*.weight.2", "*.weight", Treatment::InputPart},
    {"upscaler.*.weight.3", "*.weight", Treatment::InputPart},
    {"upscaler.*.weight.4", "*.weight", Treatment::InputPart},
    {"upscaler.*", "*", Treatment::ChannelsLast},
};

constexpr NameRule CLIP_RULES[] = {
    {"clip.text.embedding", "text_model.embeddings.token_embedding.weight", COPY},
    {"clip.text.positions", "text_model.embeddings.position_embedding.weight", COPY},
    {"clip.text.layers.*.attention_norm.weight", "text_model.encoder.layers.*.layer_norm1.weight", COPY},
    {"clip.text.layers.*.attention_norm.bias", "text_model.encoder.layers.*.layer_norm1.bias", COPY},
    {"clip.text.layers.*.q.weight", "text_model.encoder.layers.*.self_attn.q_proj.weight", COPY},
    {"clip.text.layers.*.q.bias", "text_model.encoder.layers.*.self_attn.q_proj.bias", COPY},
    {"clip.text.layers.*.k.weight", "text_model.encoder.layers.*.self_attn.k_proj.weight", COPY},
    {"clip.text.layers.*.k.bias", "text_model.encoder.layers.*.self_attn.k_proj.bias", COPY},
    {"clip.text.layers.*.v.weight", "text_model.encoder.layers.*.self_attn.v_proj.weight", COPY},
    {"clip.text.layers.*.v.bias", "text_model.encoder.layers.*.self_attn.v_proj.bias", COPY},
    {"clip.text.layers.*.o.weight", "text_model.encoder.layers.*.self_attn.out_proj.weight", COPY},
    {"clip.text.layers.*.o.bias", "text_model.encoder.layers.*.self_attn.out_proj.bias", COPY},
    {"clip.text.layers.*.ffn_norm.weight", "text_model.encoder.layers.*.layer_norm2.weight", COPY},
    {"clip.text.layers.*.ffn_norm.bias", "text_model.encoder.layers.*.layer_norm2.bias", COPY},
    {"clip.text.layers.*.up.weight", "text_model.encoder.layers.*.mlp.fc1.weight", COPY},
    {"clip.text.layers.*.up.bias", "text_model.encoder.layers.*.mlp.fc1.bias", COPY},
    {"clip.text.layers.*.down.weight", "text_model.encoder.layers.*.mlp.fc2.weight", COPY},
    {"clip.text.layers.*.down.bias", "text_model.encoder.layers.*.mlp.fc2.bias", COPY},
    {"clip.text.norm.*", "text_model.final_layer_norm.*", COPY},
    {"clip.text.projection", "text_projection.weight", COPY},
    {"clip.vision.patches", "vision_model.embeddings.patch_embedding.weight", Treatment::ChannelsLast},
    {"clip.vision.class", "vision_model.embeddings.class_embedding", COPY},
    {"clip.vision.positions", "vision_model.embeddings.position_embedding.weight", COPY},
    {"clip.vision.first_norm.*", "vision_model.pre_layrnorm.*", COPY},
    {"clip.vision.layers.*.attention_norm.weight", "vision_model.encoder.layers.*.layer_norm1.weight", COPY},
    {"clip.vision.layers.*.attention_norm.bias", "vision_model.encoder.layers.*.layer_norm1.bias", COPY},
    {"clip.vision.layers.*.q.weight", "vision_model.encoder.layers.*.self_attn.q_proj.weight", COPY},
    {"clip.vision.layers.*.q.bias", "vision_model.encoder.layers.*.self_attn.q_proj.bias", COPY},
    {"clip.vision.layers.*.k.weight", "vision_model.encoder.layers.*.self_attn.k_proj.weight", COPY},
    {"clip.vision.layers.*.k.bias", "vision_model.encoder.layers.*.self_attn.k_proj.bias", COPY},
    {"clip.vision.layers.*.v.weight", "vision_model.encoder.layers.*.self_attn.v_proj.weight", COPY},
    {"clip.vision.layers.*.v.bias", "vision_model.encoder.layers.*.self_attn.v_proj.bias", COPY},
    {"clip.vision.layers.*.o.weight", "vision_model.encoder.layers.*.self_attn.out_proj.weight", COPY},
    {"clip.vision.layers.*.o.bias", "vision_model.encoder.layers.*.self_attn.out_proj.bias", COPY},
    {"clip.vision.layers.*.ffn_norm.weight", "vision_model.encoder.layers.*.layer_norm2.weight", COPY},
    {"clip.vision.layers.*.ffn_norm.bias", "vision_model.encoder.layers.*.layer_norm2.bias", COPY},
    {"clip.vision.layers.*.up.weight", "vision_model.encoder.layers.*.mlp.fc1.weight", COPY},
    {"clip.vision.layers.*.up.bias", "vision_model.encoder.layers.*.mlp.fc1.bias", COPY},
    {"clip.vision.layers.*.down.weight", "vision_model.encoder.layers.*.mlp.fc2.weight", COPY},
    {"clip.vision.layers.*.down.bias", "vision_model.encoder.layers.*.mlp.fc2.bias", COPY},
    {"clip.vision.norm.*", "vision_model.post_layernorm.*", COPY},
    {"clip.vision.projection", "visual_projection.weight", COPY},
};
constexpr UnusedRule CLIP_UNUSED[] = {
    {"text_model.embeddings.position_ids", Unused::Always},  // 0, 1, 2, ..., which older versions stored
    {"vision_model.embeddings.position_ids", Unused::Always},
    {"logit_scale", Unused::Always},  // of the training loss; ranks are the same without it
};

constexpr NameRule SAME_RULES[] = {{"*", "*", COPY}};

}  // namespace

const NameMap CHAMELEON_NAMES = {"model.embed_tokens.weight", MODEL_PREFIXES, CHAMELEON_RULES, CHAMELEON_UNUSED};
const NameMap META_NAMES = {"tok_embeddings.weight", NO_PREFIXES, META_RULES, META_UNUSED};
const NameMap OPT_NAMES = {"model.decoder.embed_tokens.weight", MODEL_PREFIXES, OPT_RULES, OPT_UNUSED};
const NameMap VQGAN_NAMES = {"model.vqmodel.quantize.embedding.weight", VQGAN_PREFIXES, VQGAN_RULES, VQGAN_UNUSED};
const std::span<const char* const> UPSCALER_NESTS = NESTS;
const std::span<const NameRule> UPSCALER_RULES = RRDB_AND_COMPACT_RULES;
const NameMap LEON_NAMES = {"transformer.embedding", NO_PREFIXES, SAME_RULES, {}};
const NameMap CLIP_NAMES = {"text_model.embeddings.token_embedding.weight", NO_PREFIXES, CLIP_RULES, CLIP_UNUSED};

bool match(const std::string& pattern, const std::string& name, std::string& star) {
    const size_t at = pattern.find('*');
    if (at == std::string::npos) return pattern == name;
    const size_t tail = pattern.size() - at - 1;
    if (name.size() < at + tail || name.compare(0, at, pattern, 0, at) != 0 ||
        name.compare(name.size() - tail, tail, pattern, at + 1, tail) != 0)
        return false;
    star = name.substr(at, name.size() - at - tail);
    return true;
}

std::string substitute(const std::string& pattern, const std::string& star) {
    const size_t at = pattern.find('*');
    return at == std::string::npos ? pattern : pattern.substr(0, at) + star + pattern.substr(at + 1);
}

}  // namespace leon
