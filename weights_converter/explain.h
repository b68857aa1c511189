// What a checkpoint of others is, as lines for people: which model, in whose layout, what part of it a file is, what is
// missing, and the command that converts it. What makes a folder unfit is a line here, and not an Error.
#pragma once

#include <string>

#include "weights_converter/checkpoint.h"

namespace leon {

// A checkpoint's folder, or one that holds Meta's tokenizer. Error if it holds nothing that leon knows.
std::string explain_folder(const std::string& folder);

// One file of tensors: a part of a checkpoint with the folder that it lies in, a VQGAN, an upscaler. "" if its names
// are none that leon knows.
std::string explain_tensors(const std::string& path, const Checkpoint& tensors);

// A tokenizer.json, or one of the files that describe a checkpoint. Error if it is none of them.
std::string explain_json(const std::string& path);

}  // namespace leon
