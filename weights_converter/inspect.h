// What a model file holds, as text for people: facts of the configuration, sizes by part, and every tensor. Files of
// others are told apart by their content, whatever they are called.
#pragma once

#include <string>

#include "runtime/config.h"
#include "runtime/weights_file.h"

namespace leon {

enum class Detail { Summary, Tensors };

// Summary: the configuration and a table of parts. Tensors: also one line a tensor, in file order.
std::string inspect(const WeightsFile& file, Detail detail);

// The configuration's facts, a line or two for each part.
std::string model_facts(const ModelConfig& config);

// Told by its content; one that is no safetensors file is an Error, unless it is torch's.
bool is_leon_file(const std::string& path);

// The same for any file or folder. Of others' checkpoints: what they are and how to convert them (explain.h), and of a
// file its tensors, summed up by the first part of their names. Error if it is nothing that leon knows.
std::string inspect_any(const std::string& path, Detail detail);

}  // namespace leon
