// gradients, bench-training: one training pass by itself, to be compared with another implementation's.
#include <cstdio>
#include <memory>
#include <string>

#include "runtime/files.h"
#include "runtime/npy.h"
#include "training/benchmark.h"
#include "training/commands/commands.h"
#include "training/grad_backend.h"
#include "training/recipe.h"
#include "training/token_gradients.h"

namespace leon {
namespace {

struct WorkbenchOptions {
    std::string tokens, mask, output, products = "f32";
    TrainingShape shape;

    Products precision() const { return products == "bf16" ? Products::BFloat16 : Products::Float32; }
};

void add_products_option(CLI::App& command, WorkbenchOptions& o) {
    command.add_option("--products", o.products, "what the operands of products are rounded to: f32 or bf16")
        ->check(CLI::IsMember({"f32", "bf16"}))
        ->capture_default_str();
}

std::vector<int32_t> load_ids(const std::string& path) {
    const Array stored = load_npy(path);
    if (stored.shape.size() != 1) throw Error("must have the shape [T]", path);
    return stored.ints(path);
}

void gradients_command(const CommonOptions& common, const WorkbenchOptions& o) {
    check_writable(o.output);
    const Kernels& kernels = common.kernels();
    const TokenGradients result = token_gradients(common.model_path(), load_ids(o.tokens), load_ids(o.mask), o.tokens,
                                                  o.mask, kernels, grad_backend(kernels, o.precision()));
    save_gradients(o.output, result.gradients);
    std::printf("loss %.9g\n", result.loss);
    if (!common.quiet) std::fprintf(stderr, "%d targets, %zu tensors\n", result.targets, result.gradients.size());
}

void bench_command(const CommonOptions& common, const WorkbenchOptions& o) {
    const Kernels& kernels = common.kernels();
    benchmark_training(o.shape, kernels, grad_backend(kernels, o.precision()), [](const std::string& line) {
        std::printf("%s\n", line.c_str());
        std::fflush(stdout);
    });
}

}  // namespace

void add_training_workbench_commands(CLI::App& app, CommonOptions& common) {
    auto o = std::make_shared<WorkbenchOptions>();

    CLI::App* command = app.add_subcommand("gradients", "loss and gradients of one sequence of tokens");
    command->footer(
        "Example:\n  leon gradients -m checkpoint --tokens tokens.npy --mask mask.npy -o gradients.safetensors");
    command->add_option("-m,--model", common.model, "leon file, or a folder in Hugging Face's layout");
    add_compute_options(*command, common);
    command->add_option("--tokens", o->tokens, "token ids, .npy [T] int32")->required();
    command->add_option("--mask", o->mask, ".npy [T]: 1 where the token is a target, predicted from those before it")
        ->required();
    command->add_option("-o,--output", o->output, ".safetensors to write, under the checkpoint's names")->required();
    add_products_option(*command, *o);
    command->callback([&common, o] { gradients_command(common, *o); });

    command = app.add_subcommand("bench-training", "training steps a second, on random weights and tokens");
    command->footer("Example:\n  leon bench-training --dim 384 --heads 6 --ffn 1024 --products bf16");
    add_compute_options(*command, common);
    command->add_option("--architecture", o->shape.architecture, "chameleon or cm3leon")->capture_default_str();
    command->add_option("--layers", o->shape.layers)->capture_default_str();
    command->add_option("--dim", o->shape.dim)->capture_default_str();
    command->add_option("--heads", o->shape.heads)->capture_default_str();
    command->add_option("--ffn", o->shape.ffn_dim)->capture_default_str();
    command->add_option("--vocab", o->shape.vocab)->capture_default_str();
    command->add_option("--documents", o->shape.documents, "of a step")->capture_default_str();
    command->add_option("--length", o->shape.length, "of a document, tokens")->capture_default_str();
    command->add_option("--steps", o->shape.steps)->check(CLI::Range(1, 100000))->capture_default_str();
    command->add_flag("--operations", o->shape.operations, "then where the time of a step goes, by operation");
    add_products_option(*command, *o);
    command->callback([&common, o] { bench_command(common, *o); });
}

}  // namespace leon
