// eval: a model asked every task of a world whose answers are known. An option parser and one call into
// training/evaluation/.
#include <cstdio>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "tasks/page.h"
#include "training/commands/commands.h"
#include "training/evaluation/report.h"

namespace leon {
namespace {

struct EvalOptions {
    EvaluationOptions evaluation;
    std::string output, page;
    bool each_row = false;
};

void eval_storybook(const CommonOptions& common, const EvalOptions& o) {
    if (!o.output.empty()) check_writable(o.output);
    if (!o.page.empty()) make_folder(o.page);
    const Model model(common.model_path(), common.kernels());
    const World world;
    const Display display = common.quiet ? Display::Quiet : Display::Terminal;
    Screen screen(display);
    Pace pace;
    const StorybookReport report =
        evaluate_storybook(model, world, o.evaluation, [&](const std::string& section, size_t done, size_t total) {
            if (!screen.due()) return;
            const ProgressState state{section, done, total, pace.per_second(done, screen.seconds()), Counted::Things};
            screen.show({progress_line(state, screen.facts().columns)});
        });
    screen.close({});
    if (!o.output.empty())
        write_text(o.output, report_json(report, o.each_row ? ScoreDetail::Each : ScoreDetail::Summary));
    std::fputs(report_table(report).c_str(), stdout);
    if (!o.page.empty()) std::printf("%s\n", write_report_page(report, o.page).c_str());
}

}  // namespace

void add_eval_command(CLI::App& app, CommonOptions& common) {
    auto o = std::make_shared<EvalOptions>();
    CLI::App* eval = app.add_subcommand("eval", "score a model against a world whose answers are known");
    eval->require_subcommand(1);
    CLI::App* command = eval->add_subcommand("storybook", "every task of the storybook world, on held-out rows");
    command->footer(
        "Example:\n  leon eval storybook -m models/storybook.leon --kinds draw,ask --page build/report\n"
        "Rules of all scores: docs/evaluation.md, and the report's \"definitions\".");
    EvaluationOptions& e = o->evaluation;
    add_model_option(*command, common);
    command->add_option("--kinds", e.sections, "kinds of rows, by name, with commas between; all by default")
        ->delimiter(',');
    command->add_option("--rows-per-kind", e.rows, "rows of each kind")->capture_default_str();
    command->add_option("--first-seed", e.first_seed, "seed of the first row; the others follow")
        ->capture_default_str();
    command->add_flag_callback(
        "--held-out-compositions", [o] { o->evaluation.compositions = Compositions::HeldOut; },
        "only rows whose first two objects and place training never shows together");
    command->add_option("--seed", e.seed, "of the draws")->capture_default_str();
    command->add_option("--guidance", e.guidance, "of pictures, in place of the defaults");
    command->add_option("--image-guidance", e.image_guidance, "of edits");
    command->add_option("--temperature", e.temperature, "of pictures and texts");
    command->add_option("--best-of", e.best_of, "pictures drawn for the one that is kept");
    command->add_option("--batch", e.rows_at_once, "rows in one batch: 1 to 64")->capture_default_str();
    command->add_flag("--ablations", e.ablations, "also without guidance, with contrast, candidates, documents");
    command->add_option("-o,--output", o->output, "the report as JSON");
    command->add_flag("--rows", o->each_row, "every row's outcome in the JSON");
    command->add_option("--page", o->page, "folder of a page with pictures of right and wrong rows");
    command->add_option("--exhibits", e.exhibits, "pictures on the page, of right and of wrong rows of a kind each")
        ->capture_default_str();
    add_compute_options(*command, common);
    command->callback([&common, o] { eval_storybook(common, *o); });
}

}  // namespace leon
