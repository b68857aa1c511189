// See task_options.h.
#include "cli/task_options.h"

#include <cstdio>

#include "tasks/ranking.h"
#include "tasks/report.h"
#include "tasks/retrieval.h"
#include "tasks/upscale.h"

namespace leon {
namespace {

// "car.png" -> "car-2.png"
std::string numbered_path(const std::string& path, size_t number) {
    const size_t dot = path.rfind('.');
    return path.substr(0, dot) + "-" + std::to_string(number) + path.substr(dot);
}

}  // namespace

void add_cache_option(CLI::App& command, std::string& cache) {
    command.add_option("--cache", cache, "precision of the key-value cache")
        ->check(CLI::IsMember({"f32", "bf16", "int8"}))
        ->capture_default_str();
}

DType cache_dtype_named(const std::string& cache) {
    return cache == "bf16" ? DType::BF16 : cache == "int8" ? DType::I8 : DType::F32;
}

Settings TaskOptions::all_settings() const {
    Settings all = settings;
    all.cache_dtype = cache_dtype_named(cache);
    all.strategy = strategy_named(strategy);
    all.unconditional_keeps =
        unconditional == "documents" ? UnconditionalKeeps::Retrieved : UnconditionalKeeps::Nothing;
    return all;
}

CLI::App* add_task(CLI::App& app, CommonOptions& common, const char* name, const char* what, const char* example) {
    CLI::App* command = app.add_subcommand(name, what);
    command->footer(std::string("Example:\n  ") + example);
    add_model_option(*command, common);
    add_compute_options(*command, common);
    return command;
}

void add_sampling_options(CLI::App& command, TaskOptions& o) {
    command.add_option("--seed", o.settings.seed, "same seed, same result")->capture_default_str();
    command.add_option("--temperature", o.settings.temperature, "0 is greedy");
    command.add_option("--top-p", o.settings.top_p, "keep the likeliest ids up to this mass; 1 is off");
    command.add_option("--top-k", o.settings.top_k, "keep the k likeliest ids; 0 is off");
    add_cache_option(command, o.cache);
    command.add_flag("--unclosed", o.settings.unclosed,
                     "leave out the </s> before what belongs into holes: the authors' documents had it or not");
    command.add_flag("--show-prompt", o.show_prompt, "print what the model is given, a line a stream");
}

void add_picture_options(CLI::App& command, TaskOptions& o) {
    command.add_option("-o,--output", o.output, "picture to write: .png, .jpg or .bmp")->required();
    command.add_option("--guidance", o.settings.guidance, "classifier-free guidance by the text; 1 is none");
    command.add_option("--image-guidance", o.settings.image_guidance,
                       "guidance by the pictures of the prompt, in tasks that have some");
    command
        .add_option("--candidates", o.settings.candidates,
                    "pictures to draw, with rising seeds; OUTPUT becomes a contact sheet, each is OUTPUT-1, -2, ...")
        ->capture_default_str();
    command.add_option("--best-of", o.settings.best_of,
                       "draw so many, keep the one from which the model reads text and map back best");
    command.add_flag("--rank", o.rank,
                     "sort the candidates by how well the model reads text and map back; OUTPUT is the best one");
    command.add_option("--scorer", o.scorer, "rank by an embedder's file (CLIP) instead of the model's own opinion");
    command.add_option("--upscale", o.upscale, "make the result 2, 3 or 4 times as large")
        ->check(CLI::IsMember({1, 2, 3, 4}))
        ->capture_default_str();
    command.add_option("--upscaler", o.upscaler, "a network that does it (leon convert); Lanczos without");
    command.add_option("--strategy", o.strategy, "how codes are drawn: top-p, contrastive (cdk), or half of each")
        ->check(CLI::IsMember({"top-p", "cdk", "mixture"}))
        ->capture_default_str();
    command.add_option("--contrast-k", o.settings.contrast_k, "cdk: the k-th likeliest code sets the bar");
    command.add_option("--alpha", o.settings.contrast_alpha, "cdk: codes below alpha times the bar are out");
    command.add_option("--student-temperature", o.settings.student_temperature,
                       "cdk: temperature of the stream that is told nothing");
    add_sampling_options(command, o);
}

void add_retrieval_options(CLI::App& command, TaskOptions& o) {
    command.add_option("--retrieve", o.bank, "a memory bank (leon index build) whose documents help");
    command.add_option("--documents", o.documents, "how many")->check(CLI::IsMember({0, 1, 2}))->capture_default_str();
    command.add_option("--embedder", o.embedder, "the embedder of the bank, if it is a file");
    command
        .add_option("--unconditional", o.unconditional, "what guidance compares with: nothing, or the documents alone")
        ->check(CLI::IsMember({"bare", "documents"}))
        ->capture_default_str();
}

std::vector<Document> retrieved_for(const CommonOptions& common, const TaskOptions& o, const Model& model,
                                    const std::string& text, const Picture* picture) {
    if (o.bank.empty()) return {};
    const Bank bank(o.bank);
    const std::unique_ptr<Embedder> embedder = open_embedder_of(bank, o.embedder, model);
    const Help help = retrieve_for(model, bank, *embedder, text, picture, o.documents);
    if (!common.quiet)
        for (const RetrievedDocument& source : help.sources)
            std::fprintf(stderr, "retrieved %.3f  %s  (%s)\n", source.score, printable(source.text).c_str(),
                         printable(source.source).c_str());
    return help.documents;
}

void add_text_options(CLI::App& command, TaskOptions& o) {
    command.add_option("--max-tokens", o.settings.max_tokens, "longest text")->capture_default_str();
    add_sampling_options(command, o);
}

DrawingDisplay::DrawingDisplay(const CommonOptions& common, const TaskOptions& options, const Model& model,
                               const char* label, const std::string& caption, bool has_map)
    : common_(common),
      options_(options),
      model_(model),
      preview_(model.decoder()),
      screen_(common.quiet ? Display::Quiet : Display::Terminal, label) {
    if (options.rank || !options.scorer.empty())
        check_ranking(model, caption, has_map, options.scorer.empty() ? RankBy::Model : RankBy::Embedder);
    say_remark(common, model);
}

// Shows the first candidate as it grows, under a progress bar.
Progress DrawingDisplay::progress() {
    Progress progress;
    const int side = model_.grid();
    progress.picture = [this, side](int candidate, std::span<const int32_t> codes, int total) {
        const bool whole = total == side * side;  // a hole's cells do not form a picture by themselves
        if (candidate == 0)
            screen_.update(codes.size(), total,
                           [&] { return whole ? preview_.picture(codes, side, side) : Picture(); });
        return true;
    };
    return progress;
}

void DrawingDisplay::finish(Drawing drawing) {
    const bool ranked = options_.rank || !options_.scorer.empty();
    if (!options_.scorer.empty())
        rank(drawing, embedder_scorer(open_embedder(options_.scorer, model_)));
    else if (options_.rank)
        rank(drawing, model_scorer(model_, options_.all_settings()));
    if (options_.upscale > 1) {
        const auto upscaler = open_upscaler(options_.upscaler, options_.upscale, common_.kernels());
        for (Picture& picture : drawing.pictures) picture = upscaler->upscale(picture);
    }
    const bool one = drawing.pictures.size() == 1 || ranked;
    const Picture result = one ? drawing.pictures.at(0) : candidate_sheet(drawing);
    show(drawing, result);
    if (drawing.pictures.size() > 1)
        for (size_t i = 0; i < drawing.pictures.size(); i++) {
            save_picture(numbered_path(options_.output, i + 1), drawing.pictures[i]);
            if (ranked)
                std::printf("%zu: seed %llu, score %.3f\n", i + 1, static_cast<unsigned long long>(drawing.seeds[i]),
                            drawing.scores[i]);
        }
    save_picture(options_.output, result);
}

void DrawingDisplay::show(const Drawing& drawing, const Picture& result) {
    // The result takes the place of the preview on the terminal, and stays there.
    const size_t tokens = static_cast<size_t>(drawing.statistics.tokens);
    screen_.update(tokens, tokens, [&] { return result; });
    screen_.finish();
    if (options_.show_prompt) std::printf("%s\n", drawing.prompt.c_str());
    say_speed(common_, drawing.statistics, drawing.picture_seconds);
}

void say_remark(const CommonOptions& common, const Model& model) {
    const std::string remark = remark_on_drawing(model);
    if (!common.quiet && !remark.empty()) std::fprintf(stderr, "%s\n", remark.c_str());
}

void say_speed(const CommonOptions& common, const GenerateStatistics& statistics, double picture_seconds) {
    if (!common.quiet) std::fprintf(stderr, "%s\n", speed_line(common.kernels(), statistics, picture_seconds).c_str());
}

}  // namespace leon
