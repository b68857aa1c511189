// The demonstration: every task once, and drawing from a sentence eight times, as one HTML page.
#pragma once

#include <functional>
#include <string>

#include "tasks/model.h"

namespace leon {

// Writes FOLDER/index.html (self-contained) and the pictures as PNG beside it; creates the folder if need be. Returns
// the path of the page. `say` receives a line per finished step.
std::string run_demo(const Model& model, const std::string& folder, const std::function<void(const std::string&)>& say);

}  // namespace leon
