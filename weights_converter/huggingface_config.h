// What a Hugging Face config.json says about a model, checked against what leon can run.
//
// Known model types: chameleon, opt (CM3Leon's layout: no biases, LayerNorm without parameters), chameleon_vqgan (a
// picture tokenizer alone), clip (CLIPModel, with the folder's preprocessor_config.json). A setting that leon does not
// implement is an Error that names the key; settings that do not change the network (dropout, token ids, version
// numbers, ...) are not looked at.
#pragma once

#include <string>

#include "weights_converter/checkpoint_config.h"

namespace leon {

CheckpointConfig read_huggingface_config(const std::string& path);

// Mean and deviation of CLIP's pictures from preprocessor_config.json, whose other settings must be those that leon
// implements: the shorter side to config.side by bicubic resampling, the centre, bytes / 255.
void read_clip_preprocessing(ClipConfig& config, const std::string& path);
// The published ones, for folders without that file.
void set_clip_preprocessing(ClipConfig& config);

}  // namespace leon
