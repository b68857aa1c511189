// All commands of training/, in the order of `leon --help`.
#include "cli/commands.h"

namespace leon {

void add_training_commands(CLI::App&, CommonOptions&) {}

}  // namespace leon
