// The name maps; see name_maps.h. Sources: the module names of Hugging Face's modeling_chameleon.py and
// modeling_opt.py, of taming-transformers' VQModel, and of Real-ESRGAN's rrdbnet_arch.py and srvgg_arch.py.
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

}  // namespace

const NameMap CHAMELEON_NAMES = {"model.embed_tokens.weight", MODEL_PREFIXES, CHAMELEON_RULES, CHAMELEON_UNUSED};
const NameMap OPT_NAMES = {"model.decoder.embed_tokens.weight", MODEL_PREFIXES, OPT_RULES, OPT_UNUSED};
const NameMap VQGAN_NAMES = {"model.vqmodel.quantize.embedding.weight", VQGAN_PREFIXES, VQGAN_RULES, VQGAN_UNUSED};
const std::span<const char* const> UPSCALER_NESTS = NESTS;
const std::span<const NameRule> UPSCALER_RULES = RRDB_AND_COMPACT_RULES;

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
