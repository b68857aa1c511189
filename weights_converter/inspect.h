// What a model file holds, as text for people: facts of the configuration, sizes by part, and every tensor. Files of
// others are told apart by their content, whatever they are called.
#pragma once

#include <string>

#include "runtime/weights_file.h"

namespace leon {

enum class Detail { Summary, Tensors };

// Summary: the configuration and a table of parts. Tensors: also one line a tensor, in file order.
std::string inspect(const WeightsFile& file, Detail detail);

// Told by its content; one that is no safetensors file is an Error, unless it is torch's.
bool is_leon_file(const std::string& path);

// The same for any file: a leon file, or else the tensors of a safetensors or torch file, summed up by the first part
// of their names. Error if it is none of them.
std::string inspect_any(const std::string& path, Detail detail);

}  // namespace leon
