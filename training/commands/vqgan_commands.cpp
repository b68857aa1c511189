// leon train-vqgan RECIPE.json
#include <cstdio>
#include <memory>

#include "runtime/files.h"
#include "training/commands/commands.h"
#include "training/vqgan/train.h"

namespace leon {

void add_vqgan_command(CLI::App& app, CommonOptions& common) {
    struct Options {
        std::string recipe;
        VqganRun run;
    };
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("train-vqgan", "train a model's picture tokenizer by a recipe");
    command->add_option("recipe", o->recipe, "a JSON file: see docs/training.md")->required();
    command->add_option("-o,--output", o->run.folder, "folder of the checkpoint and the log")->required();
    command->add_flag("--resume", o->run.resume, "go on from the folder's checkpoint");
    command->add_option("--stop-after", o->run.stop_after, "end after so many steps, with a checkpoint");
    command->add_option("--threads", common.threads, "processors to use; 0: all");
    command->footer("Example:\n  leon train-vqgan vqgan.json -o runs/vqgan");
    command->callback([&common, o] {
        set_cpu_threads(common.threads);
        const std::vector<uint8_t> text = read_file(o->recipe);
        o->run.say = [](const std::string& line) {
            std::printf("%s\n", line.c_str());
            std::fflush(stdout);
        };
        train_vqgan(parse_vqgan_recipe(std::string(text.begin(), text.end()), o->recipe), o->run);
    });
}

}  // namespace leon
