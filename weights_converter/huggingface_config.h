// What a Hugging Face config.json says about a model, checked against what leon can run.
//
// Known model types: chameleon, opt (CM3Leon's layout: no biases, LayerNorm without parameters), chameleon_vqgan (a
// picture tokenizer alone). A setting that leon does not implement is an Error that names the key; settings that do
// not change the network (dropout, token ids, version numbers, ...) are not looked at.
#pragma once

#include <string>

#include "runtime/config.h"

namespace leon {

enum class Family { Chameleon, Opt, Vqgan };

struct CheckpointConfig {
    Family family = Family::Chameleon;
    Layout layout = Layout::Chameleon;
    TransformerConfig transformer;  // not for Vqgan
    VqganConfig vqgan;              // not for Opt; which halves there are is known from the tensors only
    int model_parallel_size = 1;    // Chameleon: how many rows of qk-norm parameters layout B holds
    bool qk_layernorm = false;      // Chameleon: the key that only layout A has
};

CheckpointConfig read_huggingface_config(const std::string& path);

}  // namespace leon
