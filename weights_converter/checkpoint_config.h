// What a checkpoint's own configuration says about a model, whoever wrote it.
#pragma once

#include "runtime/config.h"

namespace leon {

// Chameleon in Hugging Face's or in Meta's layout, CM3Leon in OPT's, a picture tokenizer alone, CLIP.
enum class Family { Chameleon, Meta, Opt, Vqgan, Clip };

constexpr float CHAMELEON_QK_NORM_EPS = 1e-5f;  // fixed in the models' code, whatever else a configuration says

struct CheckpointConfig {
    Family family = Family::Chameleon;
    Layout layout = Layout::Chameleon;
    TransformerConfig transformer;  // of Chameleon, Meta and Opt
    VqganConfig vqgan;              // of Chameleon and Vqgan; which halves there are is known from the tensors only
    int model_parallel_size = 1;    // Chameleon, Meta: how many rows of qk-norm parameters layout B holds
    bool qk_layernorm = false;      // Chameleon: the key that only layout A has
    ClipConfig clip;                // of Clip
};

}  // namespace leon
