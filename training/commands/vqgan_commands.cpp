// train-vqgan, bench-vqgan: the picture tokenizer's training.
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "runtime/files.h"
#include "runtime/weights_file.h"
#include "training/commands/commands.h"
#include "training/commands/stop_at_signals.h"
#include "training/vqgan/benchmark.h"
#include "training/vqgan/train.h"

namespace leon {

namespace {

void say(const std::string& line) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
}

}  // namespace

void add_vqgan_command(CLI::App& app, CommonOptions& common) {
    struct Options {
        std::string recipe;
        VqganRun run;
    };
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("train-vqgan", "train a model's picture tokenizer by a recipe");
    command->add_option("recipe", o->recipe, "a JSON file: see docs/training.md")->required();
    command->add_option("--run", o->run.folder, "folder of the run")->required();
    command->add_flag("--resume", o->run.resume, "go on from the folder's checkpoint");
    command->add_option("--stop-after", o->run.stop_after, "end after so many steps, with a checkpoint");
    command->add_option("--threads", common.threads, "processors to use; 0: all");
    command->add_flag("-q,--quiet", common.quiet, "no line for each step; all of it is in log.csv");
    command->footer(
        "Example:\n  leon train-vqgan training/recipes/vqgan.json --run build/vqgan\n"
        "The folder holds checkpoint.safetensors, log.csv and held_out.png; --resume goes on where a run stopped, or "
        "was "
        "killed.");
    command->callback([&common, o] {
        set_cpu_threads(common.threads);
        const std::vector<uint8_t> text = read_file(o->recipe);
        o->run.say = say;
        if (common.quiet) o->run.say = [](const std::string&) {};
        const VqganRecipe recipe = parse_vqgan_recipe(std::string(text.begin(), text.end()), o->recipe);
        StopAtSignals stop;
        o->run.is_stopped = StopAtSignals::asked;
        const int64_t steps = train_vqgan(recipe, o->run);
        if (!StopAtSignals::asked()) return;
        std::fprintf(stderr, "leon: stopped after step %lld; go on with: leon train-vqgan %s --run %s --resume\n",
                     static_cast<long long>(steps), o->recipe.c_str(), o->run.folder.c_str());
        std::exit(130);
    });

    auto bench = std::make_shared<VqganBench>();
    command = app.add_subcommand("bench-vqgan", "training pictures a second of a model's picture tokenizer");
    command->add_option("-m,--model", common.model, "leon file whose VQGAN's shape it is");
    command->add_option("--side", bench->side, "of the pictures, pixels")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    command->add_option("--pictures", bench->pictures, "of a step")->check(CLI::Range(1, 4096))->capture_default_str();
    command->add_option("--steps", bench->steps)->check(CLI::Range(1, 100000))->capture_default_str();
    command->add_option("--threads", common.threads, "processors to use; 0: all");
    command->footer("Example:\n  leon bench-vqgan -m models/storybook.leon --pictures 8");
    command->callback([&common, bench] {
        set_cpu_threads(common.threads);
        const std::string path = common.model_path();
        const ModelConfig config = parse_config(WeightsFile(path).config_json(), path);
        if (!config.has_vqgan) throw Error("the model has no VQGAN", path);
        bench->config = config.vqgan;
        benchmark_vqgan(*bench, say);
    });
}

}  // namespace leon
