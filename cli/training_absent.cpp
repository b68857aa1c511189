// Stands in for training/commands where the folder training/ is not there: leon then has no commands that train.
#include "cli/commands.h"

namespace leon {

void add_training_commands(CLI::App&, CommonOptions&) {}

}  // namespace leon
