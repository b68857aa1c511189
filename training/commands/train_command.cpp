// train: a recipe becomes a model. The line of progress, and what Ctrl-C does; all else is training/train.h.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "kernels/roof.h"
#include "runtime/format.h"
#include "training/commands/commands.h"
#include "training/commands/stop_at_signals.h"
#include "training/grad_backend.h"
#include "training/train.h"

namespace leon {
namespace {

struct TrainOptions {
    std::string recipe, folder;
    bool resume = false;
};

std::string loss_text(const std::map<std::string, MeanLoss>& losses) {
    std::string text;
    for (const auto& [task, loss] : losses) {
        char value[32];
        std::snprintf(value, sizeof value, " %.3f", loss.mean());
        text += (text.empty() ? "" : "  ") + task + value;
    }
    return text;
}

class TrainingScreen {
public:
    TrainingScreen(Display display, int64_t steps, const Kernels& kernels) : screen_(display), steps_(steps) {
        if (screen_.facts().draws && in_host_memory(kernels)) peak_ = fma_peak(Effort::Quick) * 1e9;
    }

    void update(const StepReport& r, const std::map<std::string, MeanLoss>& recent) {
        if (r.held_out) held_out_ = "held out: " + loss_text(r.held_out->of_task);
        if (!screen_.due()) return;
        const int columns = screen_.facts().columns;
        const size_t done = static_cast<size_t>(r.step + 1);
        std::vector<std::string> lines;
        std::string numbers = format("loss %.4f  gradient %.3f  rate %.2e  %.0f tokens/s  %.0f GFLOP/s", r.loss,
                                     r.gradient_norm, r.learning_rate, r.tokens_per_second, r.flops_per_second / 1e9);
        if (peak_ > 0) numbers += format(", %.0f%% of FMA peak", 100 * r.flops_per_second / peak_);
        lines.push_back(numbers);
        lines.push_back(loss_text(recent));
        if (!held_out_.empty()) lines.push_back(held_out_);
        lines.push_back(progress_line(
            {"training", done, static_cast<size_t>(steps_), pace_.per_second(done, screen_.seconds()), Counted::Things},
            columns));
        for (std::string& line : lines)
            if (static_cast<int>(line.size()) >= columns) line.resize(static_cast<size_t>(columns) - 1);
        screen_.show(lines);
    }
    void close(const std::vector<std::string>& kept) { screen_.close(kept); }

private:
    Screen screen_;
    Pace pace_;
    int64_t steps_;
    double peak_ = 0;  // of the processor, where it computes
    std::string held_out_;
};

void train_command(const CommonOptions& common, const TrainOptions& o) {
    const Kernels& kernels = common.kernels();
    const TransformerRecipe recipe = load_recipe(o.recipe);
    TransformerTraining run(recipe, o.folder, o.resume ? Resume::Yes : Resume::No, kernels,
                            grad_backend(kernels, recipe.products));
    const Display display = common.quiet ? Display::Quiet : Display::Terminal;
    TrainingScreen screen(display, run.steps(), kernels);
    StopAtSignals stop;
    std::map<std::string, MeanLoss> recent;  // of the last steps, as a step may have no document of a task
    while (run.step() < run.steps() && !StopAtSignals::asked()) {
        const StepReport report = run.advance();
        for (const auto& [task, loss] : report.of_task) {
            MeanLoss& of_task = recent[task];
            of_task.sum *= 0.9;
            of_task.weight *= 0.9;
            of_task.add(loss.mean(), loss.weight);
        }
        screen.update(report, recent);
    }
    screen.close({});
    if (StopAtSignals::asked()) {
        run.checkpoint();
        std::fprintf(stderr, "leon: stopped after step %lld; go on with: leon train %s --run %s --resume\n",
                     static_cast<long long>(run.step()), o.recipe.c_str(), o.folder.c_str());
        _exit(130);
    }
    run.finish();
    if (!common.quiet)
        std::fprintf(stderr, "%lld parameters, %lld steps; the log and its curves are in %s\n",
                     static_cast<long long>(run.parameters()), static_cast<long long>(run.steps()), o.folder.c_str());
}

}  // namespace

void add_train_command(CLI::App& app, CommonOptions& common) {
    auto o = std::make_shared<TrainOptions>();
    CLI::App* command = app.add_subcommand("train", "train a transformer by a recipe");
    command->footer(
        "Example:\n  leon train training/recipes/storybook.json --run build/storybook\n"
        "The folder holds checkpoint.leon, log.csv and loss.png; --resume goes on where a run stopped, or was killed.");
    command->add_option("recipe", o->recipe, "what to train on what, and how: docs/training.md")->required();
    command->add_option("--run", o->folder, "folder of the run")->required();
    command->add_flag("--resume", o->resume, "go on from the folder's checkpoint");
    add_compute_options(*command, common);
    command->callback([&common, o] { train_command(common, *o); });
}

}  // namespace leon
