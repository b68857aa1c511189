// Checkpoint names as data: for every tensor of a leon file, what it is called in a checkpoint and what has to be done
// to it. A checkpoint layout is one NameMap; the engine that follows them is in plan.cpp and convert.cpp.
//
// A name holds at most one '*', which stands for the same text in `target` and `source`.
#pragma once

#include <span>
#include <string>

namespace leon {

enum class Treatment {
    Copy,
    RotaryRows,    // rows of q and k: from adjacent-pair to half-split order, where the checkpoint has the former
    HeadNorm,      // qk-norm parameters [head_dim], [shards, head_dim] or [heads, head_dim] -> [heads, head_dim],
                   // in half-split order
    ChannelsLast,  // convolutions [out, in, height, width] -> [out, height, width, in]; anything else: Copy
    InputPart,     // the same of a range of a convolution's inputs: one part of what stands side by side
};

struct NameRule {
    const char* target;
    const char* source;
    Treatment treatment;
};

// Tensors of a checkpoint that a leon file has no use for. All others must be used.
enum class Unused {
    Always,
    WithoutDecoder,  // if the decoder's tensors are not there either
    WithoutEncoder,
    EqualsEmbedding,  // a stored copy of the tied embedding; anything else under this name is an Error
};

struct UnusedRule {
    const char* source;
    Unused when;
};

struct NameMap {
    const char* root;                       // a tensor that shows which prefix the names have
    std::span<const char* const> prefixes;  // leading parts of `source` that a checkpoint may leave out, "" included
    std::span<const NameRule> rules;        // the first match counts
    std::span<const UnusedRule> unused;
};

extern const NameMap CHAMELEON_NAMES;  // Hugging Face's ChameleonForConditionalGeneration, transformer only
extern const NameMap META_NAMES;       // Meta's own Chameleon, its ranks joined
extern const NameMap OPT_NAMES;        // Hugging Face's OPTForCausalLM
extern const NameMap VQGAN_NAMES;      // taming-transformers' names, alone or inside a Chameleon checkpoint
extern const NameMap LEON_NAMES;       // a leon file's own
extern const NameMap CLIP_NAMES;       // Hugging Face's CLIPModel

// Real-ESRGAN's RRDBNet and SRVGGNetCompact. Published files nest the tensors: the first of these that is there counts,
// the other one's are other stages of the same training.
extern const std::span<const char* const> UPSCALER_NESTS;
extern const std::span<const NameRule> UPSCALER_RULES;

// If `name` matches `pattern`, true and what the '*' stands for.
bool match(const std::string& pattern, const std::string& name, std::string& star);
std::string substitute(const std::string& pattern, const std::string& star);

}  // namespace leon
