// All commands of training/, in the order of `leon --help`.
#include "training/commands/commands.h"

namespace leon {

void add_training_commands(CLI::App& app, CommonOptions& common) {
    add_data_command(app, common);
    add_train_command(app, common);
    add_vqgan_command(app, common);
    add_eval_command(app, common);
    add_training_workbench_commands(app, common);
}

}  // namespace leon
