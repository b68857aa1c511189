// What a model file holds, as text for people: facts of the configuration, sizes by part, and every tensor.
#pragma once

#include <string>

#include "runtime/weights_file.h"

namespace leon {

enum class Detail { Summary, Tensors };

// Summary: the configuration and a table of parts. Tensors: also one line a tensor, in file order.
std::string inspect(const WeightsFile& file, Detail detail);

}  // namespace leon
