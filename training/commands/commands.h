// The commands of training/: each is an option parser and one call into the room. See cli/commands.h.
#pragma once

#include "cli/commands.h"

namespace leon {

void add_data_command(CLI::App& app, CommonOptions& common);                 // data build, storybook, show
void add_train_command(CLI::App& app, CommonOptions& common);                // train
void add_vqgan_command(CLI::App& app, CommonOptions& common);                // train-vqgan bench-vqgan
void add_eval_command(CLI::App& app, CommonOptions& common);                 // eval
void add_training_workbench_commands(CLI::App& app, CommonOptions& common);  // gradients bench-training

}  // namespace leon
