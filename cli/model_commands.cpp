// convert, inspect, bench: model files and how fast they run.
#include <cstdio>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/task_options.h"
#include "cli/terminal.h"
#include "runtime/npy.h"
#include "tasks/benchmark.h"
#include "tasks/calibration.h"
#include "tasks/compare.h"
#include "tasks/plan.h"
#include "weights_converter/average.h"
#include "weights_converter/convert.h"
#include "weights_converter/inspect.h"

namespace leon {
namespace {

constexpr const char* COMPARED_TEXTS[] = {"a car on a sandy beach", "a house on a green meadow", "a cat in a room",
                                          "a boat on the sea at night"};

struct ModelOptions {
    std::string folder, file, output, other, cache = "f32";
    std::vector<std::string> tokens, texts;
    Settings settings;
    ConvertOptions convert;
    double share = 0.5;
    bool tensors = false;
    BenchmarkOptions bench;
    std::string plan;
};

void print_line(const std::string& line) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
}

// What the options name: pictures that the model draws, and files of tokens.
Material material_of(const Model& model, const ModelOptions& o) {
    std::vector<std::string> texts = o.texts;
    if (texts.empty() && o.tokens.empty()) texts.assign(std::begin(COMPARED_TEXTS), std::end(COMPARED_TEXTS));
    Material material = drawn_by(model, texts, o.settings);
    for (const std::string& path : o.tokens) {
        const Array stored = load_npy(path);
        if (stored.shape.size() != 1 || stored.shape[0] < 2)
            throw Error("tokens must have the shape [T], T at least 2", path);
        material.streams.push_back(stored.ints(path));
    }
    return material;
}

void convert_command(const CommonOptions& common, ModelOptions& o) {
    check_writable(o.output);
    std::vector<std::string> notes;
    o.convert.note = [&notes](const std::string& note) { notes.push_back(note); };
    ProgressBar bar(common.quiet ? Display::Quiet : Display::Terminal, "converting", Counted::Bytes);
    const auto progress = [&bar](size_t done, size_t total) { bar.update(done, total); };
    if (o.tokens.empty() && o.texts.empty()) {
        convert(o.folder, o.output, o.convert, progress);
    } else {
        const Model model(o.folder, cpu_kernels());
        convert_calibrated(model, o.output, o.convert, material_of(model, o).streams, progress);
    }
    bar.finish();
    if (common.quiet) return;
    for (const std::string& note : notes) std::fprintf(stderr, "%s\n", note.c_str());
}

void compare_command(const CommonOptions& common, const ModelOptions& o) {
    const Model a(o.file, common.kernels()), b(o.other, common.kernels());
    const Material material = material_of(a, o);
    ProgressBar bar(common.quiet ? Display::Quiet : Display::Terminal, "comparing");
    const ModelComparison result = compare(
        a, b, material, [&bar](size_t done, size_t total) { bar.update(done, total); }, cache_dtype_named(o.cache));
    bar.finish();
    std::fputs(comparison_json(a, b, result).c_str(), stdout);
}

}  // namespace

void add_model_commands(CLI::App& app, CommonOptions& common) {
    auto o = std::make_shared<ModelOptions>();

    CLI::App* command = app.add_subcommand("convert", "a checkpoint to one leon file");
    command->footer(
        "Examples:\n  leon convert chameleon-7b -o chameleon.leon --dtype bf16\n"
        "  leon convert chameleon/models/30b -o chameleon-30b.leon\n"
        "  leon convert Lumina-mGPT-7B-768 --layout lumina --vqgan chameleon/tokenizer -o lumina.leon\n"
        "  leon convert anole.leon --dtype int4 --calibrate-text \"a red fox\" -o anole-int4.leon\n"
        "  leon convert RealESRGAN_x4plus.safetensors -o up.leon");
    command
        ->add_option("checkpoint", o->folder,
                     "folder in Hugging Face's or Meta's layout, a VQGAN's file, or a Real-ESRGAN network's")
        ->required();
    command->add_option("-o,--output", o->output, "leon file to write")->required();
    command
        ->add_option("--dtype", o->convert.dtype,
                     "of the matrices; int8-mixed and int4-mixed keep what rounding "
                     "costs most one step wider; else as stored")
        ->check(CLI::IsMember(dtype_names()));
    command->add_option("--name", o->convert.name, "of the model, for people; else the folder's");
    command->add_option(
        "--layout", o->convert.layout,
        "whose documents the model reads: cm3leon, chameleon, anole, lumina (else as the checkpoint says)");
    command->add_option("--vqgan", o->convert.vqgan, "file or folder whose VQGAN to take");
    command->add_option("--calibrate", o->tokens,
                        "round int4 or int8 with regard to these token ids, .npy [T] int32; of a leon file; may be "
                        "repeated");
    command->add_option("--calibrate-text", o->texts,
                        "the same with a picture of this, drawn by the model; may be repeated");
    command->add_option("--tokenizer", o->convert.tokenizer, "tokenizer.json to take, or a folder that has one");
    command->add_flag("-q,--quiet", common.quiet, "no progress and no notes");
    command->callback([&common, o] { convert_command(common, *o); });

    command = app.add_subcommand("average", "the model between two of the same shape, weight by weight");
    command->footer("Example:\n  leon average before.leon after.leon --share 0.65 -o between.leon");
    command->add_option("a", o->file, "leon file of f32, bf16 or f16")->required();
    command->add_option("b", o->other, "leon file of the same shape; configuration and tokenizer are its own")
        ->required();
    command->add_option("--share", o->share, "of b; the rest is of a")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    command->add_option("-o,--output", o->output, "leon file to write")->required();
    command->callback([o] {
        check_writable(o->output);
        average(o->file, o->other, o->share, o->output);
    });

    command = app.add_subcommand("inspect", "what a model's file or folder is, what it holds, and how to convert it");
    command->footer(
        "Examples:\n  leon inspect models/storybook.leon --tensors\n  leon inspect weights.pth\n"
        "  leon inspect chameleon-7b\n  leon inspect tokenizer/vqgan.ckpt");
    command->add_option("file", o->file,
                        "leon, safetensors or torch file, tokenizer.json, or a checkpoint's folder (else $LEON_MODEL, "
                        "else the model in the box)");
    command->add_flag("--tensors", o->tensors, "one line a tensor");
    add_compute_options(*command, common);
    command->callback([&common, o] {
        common.kernels();
        const std::string file = o->file.empty() ? common.model_path() : o->file;
        std::fputs(inspect_any(file, o->tensors ? Detail::Tensors : Detail::Summary).c_str(), stdout);
    });

    command = app.add_subcommand("compare", "how far two models are apart: what a precision costs");
    command->footer(
        "Examples:\n  leon convert models/storybook.leon --dtype int8 -o small.leon\n"
        "  leon compare models/storybook.leon small.leon\n"
        "  leon compare 7b.leon 7b-int8.leon --tokens tokens.npy\n"
        "  leon compare models/storybook.leon models/storybook.leon --cache int8");
    command->add_option("a", o->file, "leon file: the one that is right")->required();
    command->add_option("b", o->other, "leon file")->required();
    command->add_option("--tokens", o->tokens, "token ids that both read, .npy [T] int32; may be repeated");
    command->add_option("--text", o->texts, "a picture of this, drawn by a, is read and decoded; may be repeated");
    command->add_option("--seed", o->settings.seed, "of what is drawn")->capture_default_str();
    add_cache_option(*command, o->cache);
    add_compute_options(*command, common);
    command->callback([&common, o] { compare_command(common, *o); });

    command = app.add_subcommand("bench", "decode, prefill and picture speed beside this machine's measured roofs");
    command->footer("Examples:\n  leon bench --shapes box,350m\n  leon bench --plan h200 --shapes 350m,7b,34b");
    add_model_option(*command, common);
    add_compute_options(*command, common);
    command->add_option("--shapes", o->bench.shapes, "box, or random weights: 350m 760m cm3leon-7b 7b 34b")
        ->delimiter(',')
        ->capture_default_str();
    command->add_option("--scratch", o->bench.scratch, "folder for the random models (7b: 14 GB)")
        ->capture_default_str();
    command->add_option(
        "--plan", o->plan,
        "measure nothing; say what the CUDA kernels would take on this GPU: a100, h100, h200, b200, 4090, "
        "or sm_80, sm_90, sm_100");
    command->callback([&common, o] {
        if (!o->plan.empty()) {
            plan(common.model_path(), {.machine = o->plan, .shapes = o->bench.shapes, .say = print_line});
            return;
        }
        o->bench.say = print_line;
        benchmark(common.model_path(), common.kernels(), o->bench);
    });
}

}  // namespace leon
