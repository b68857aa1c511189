// What a checkpoint's own configuration says about a model, whoever wrote it.
#pragma once

#include "runtime/config.h"

namespace leon {

// Chameleon in Hugging Face's or in Meta's layout, CM3Leon in OPT's, a picture tokenizer alone, CLIP.
enum class CheckpointFamily { Chameleon, Meta, Opt, Vqgan, Clip };

struct CheckpointConfig {
    CheckpointFamily family = CheckpointFamily::Chameleon;
    Layout layout = Layout::Chameleon;
    TransformerConfig transformer;  // of Chameleon, Meta and Opt
    VqganConfig vqgan;              // of Chameleon and Vqgan; which halves there are is known from the tensors only
    int model_parallel_size = 1;    // Chameleon, Meta: how many rows of qk-norm parameters layout B holds
    bool qk_layernorm = false;      // Chameleon: the key that only layout A has
    ClipConfig clip;                // of Clip
};

// What is the same in all of Chameleon, whoever wrote the configuration; the epsilon of qk-norm is fixed in the models'
// code. With swin_norm, norms stand behind their branches.
inline TransformerConfig chameleon_transformer(bool swin_norm) {
    TransformerConfig t;
    t.norm = Norm::RMS;
    t.norm_placement = swin_norm ? NormPlacement::After : NormPlacement::Before;
    t.positions = Positions::Rotary;
    t.feed_forward = FeedForward::SwiGLU;
    t.qk_norm = true;
    t.qk_norm_eps = 1e-5f;
    t.tied_output = false;
    return t;
}

}  // namespace leon
