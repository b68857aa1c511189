// data build, data storybook, data show: datasets for training.
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "cli/terminal.h"
#include "tasks/retrieval.h"
#include "training/commands/commands.h"
#include "training/data_build.h"
#include "training/data_show.h"
#include "training/storybook/build.h"
#include "training/storybook/texts.h"
#include "training/tokenizer_training.h"

namespace leon {
namespace {

struct DataOptions {
    std::string input, output, task, bank, embedder, kinds;
    int documents = 3, items_per_shard = ITEMS_PER_SHARD, count = 2, size = 0;
    int64_t rows = 0;
    std::optional<uint64_t> first_seed;
    bool held_out = false, fast = false;
};

void add_building_options(CLI::App& command, CommonOptions& common, DataOptions& o) {
    command.add_option("-o,--output", o.output, "folder to write; one that was begun is gone on with")->required();
    command.add_option("--shard-documents", o.items_per_shard, "documents in a file")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    add_model_option(command, common);
    command.add_option("--threads", common.threads, "processors to use; 0 is all")->capture_default_str();
    command.add_flag("-q,--quiet", common.quiet, "no progress and no summary");
}

void tell(const CommonOptions& common, const ShardReport& report) {
    for (const std::string& problem : report.problems) std::fprintf(stderr, "leon: skipped: %s\n", problem.c_str());
    const int64_t more = report.skipped - static_cast<int64_t>(report.problems.size());
    if (more > 0)
        std::fprintf(stderr, "leon: skipped: %lld more, named in the .skipped files\n", static_cast<long long>(more));
    if (!common.quiet) std::fprintf(stderr, "%s\n", summary(report).c_str());
}

void build_command(const CommonOptions& common, const DataOptions& o) {
    const Model model(common.model_path(), common.kernels());
    std::optional<Bank> bank;
    std::unique_ptr<Embedder> embedder;
    if (!o.bank.empty()) {
        bank.emplace(o.bank);
        embedder = open_embedder_of(*bank, o.embedder, model);
    }
    const DataBuild build = {.input = o.input,
                             .output = o.output,
                             .task = o.task,
                             .items_per_shard = o.items_per_shard,
                             .bank = bank ? &*bank : nullptr,
                             .embedder = embedder.get(),
                             .documents = bank ? o.documents : 0};
    ProgressBar bar(common.quiet ? Display::Quiet : Display::Terminal, "building");
    const ShardReport report = build_dataset(model, build, [&](size_t done, size_t total) { bar.update(done, total); });
    bar.finish();
    tell(common, report);
}

void storybook_command(const CommonOptions& common, const DataOptions& o) {
    const uint64_t first = o.first_seed.value_or(o.held_out ? 0 : FIRST_TRAINING_SEED);
    if (o.held_out != (first < FIRST_TRAINING_SEED))
        throw Error(
            "seeds below " + std::to_string(FIRST_TRAINING_SEED) + " are for evaluation, all others for training",
            "--first-seed", "say --held-out for the former, and only for these");
    const Model model(common.model_path(), common.kernels());
    const StorybookBuild build = {.output = o.output,
                                  .documents = o.rows,
                                  .kinds = o.kinds.empty() ? KindShares() : parse_kinds(o.kinds),
                                  .first_seed = first,
                                  .items_per_shard = o.items_per_shard,
                                  .products = o.fast ? Products::BFloat16 : Products::Float32};
    ProgressBar bar(common.quiet ? Display::Quiet : Display::Terminal, "building");
    const ShardReport report =
        build_storybook(model, build, [&](size_t done, size_t total) { bar.update(done, total); });
    bar.finish();
    tell(common, report);
}

void tokenizer_command(const CommonOptions& common, const DataOptions& o) {
    check_writable(o.output);
    const WeightsFile model(common.model_path());
    const KindShares kinds = o.kinds.empty() ? default_kinds() : parse_kinds(o.kinds);
    const World world;
    const TextCounts texts = storybook_texts(world, kinds, FIRST_TRAINING_SEED, o.rows);
    write_with_tokenizer(o.output, model, train_tokenizer(model.tokenizer_json(), model.path(), texts, o.size));
}

void show_command(const CommonOptions& common, const DataOptions& o) {
    if (!o.output.empty()) check_picture_path(o.output);
    const Model model(common.model_path(), common.kernels());
    const Dataset data({o.input}, model_mark(model.file()));
    const std::vector<ShownDocument> shown = documents_to_show(data, o.task, o.count);
    std::printf("%s\n", dataset_summary(data).c_str());
    for (const ShownDocument& document : shown) std::printf("%s", shown_text(model, data, document).c_str());
    if (!o.output.empty()) save_picture(o.output, shown_pictures(model, data, shown));
}

}  // namespace

void add_data_command(CLI::App& app, CommonOptions& common) {
    auto o = std::make_shared<DataOptions>();
    CLI::App* data = app.add_subcommand("data", "datasets to train with");
    data->require_subcommand(1);
    data->footer(
        "Examples:\n  leon data build photos -o data/photos\n  leon data show data/photos -n 3 -o photos.png\n"
        "leon data COMMAND --help explains one of them.");

    CLI::App* command =
        add_command(*data, "build", "a dataset of pictures and texts", "leon data build photos -o data/photos");
    command
        ->add_option("input", o->input,
                     "folder of pictures, with captions in .txt files of the same name, and of texts; or a .jsonl file "
                     "of tasks and their fields, or of parts: docs/training.md")
        ->required();
    command->add_option("--task", o->task, "what captions are for: draw, describe, describe-long or draw-sign");
    command->add_option("--bank", o->bank, "bank whose documents are put in front, as the papers' rules find them");
    command->add_option("--embedder", o->embedder, "the CLIP file that the bank was made with");
    command->add_option("--documents", o->documents, "of the bank, for each; fewer where the context is too short")
        ->check(CLI::Range(0, MOST_HELP))
        ->capture_default_str();
    add_building_options(*command, common, *o);
    command->callback([&common, o] { build_command(common, *o); });

    command = add_command(*data, "storybook", "a dataset of the storybook world, every task of it",
                          "leon data storybook -o data/train --documents 20000");
    command->add_option("--documents", o->rows, "documents to make")
        ->required()
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
    command->add_option("--kinds", o->kinds, "kinds of rows with their shares, draw=3,ask=1; else the usual mixture");
    command->add_option("--first-seed", o->first_seed, "seed of the first document: from 1000000 on, or below it");
    command->add_flag("--held-out", o->held_out, "for evaluation: seeds below 1000000");
    command->add_flag("--bf16", o->fast, "encode with products of bf16: faster, a few codes of a hundred are others");
    add_building_options(*command, common, *o);
    command->callback([&common, o] { storybook_command(common, *o); });

    command = add_command(*data, "tokenizer", "a tokenizer for the storybook world, in a model without transformer",
                          "leon data tokenizer -o base.leon --size 1792");
    command->add_option("--documents", o->rows, "documents whose texts are learnt from")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
        ->default_val(20000);
    command->add_option("--kinds", o->kinds, "kinds of rows with their shares, draw=3,ask=1; else the usual mixture");
    command->add_option("--size", o->size, "ids in all")->required()->check(CLI::Range(1, 1 << 20));
    command->add_option("-o,--output", o->output, "model to write: the VQGAN, and the tokenizer")->required();
    add_model_option(*command, common);
    command->callback([&common, o] { tokenizer_command(common, *o); });

    command =
        add_command(*data, "show", "what a dataset holds", "leon data show data/photos --task draw -n 3 -o draw.png");
    command->add_option("input", o->input, "a dataset's folder, or one shard")->required();
    command->add_option("--task", o->task, "only of this task");
    command->add_option("-n,--count", o->count, "documents of each task")
        ->check(CLI::Range(1, 10000))
        ->capture_default_str();
    command->add_option("-o,--output", o->output, "contact sheet of their pictures to write, a document a row");
    add_model_option(*command, common);
    command->callback([&common, o] { show_command(common, *o); });
}

}  // namespace leon
