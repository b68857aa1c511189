// The commands of training/: each is an option parser and one call into the room.
#pragma once

#include "cli/commands.h"

namespace leon {

void add_training_workbench_commands(CLI::App& app, CommonOptions& common);  // gradients bench-training

}  // namespace leon
