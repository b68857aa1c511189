// Options that commands share; see commands.h.
#include <cstdlib>
#include <filesystem>

#include "cli/commands.h"
#include "tasks/backend.h"

namespace leon {
namespace {

// Where the build and `make install` put the model in the box, seen from the binary.
constexpr const char* MODEL_IN_THE_BOX[] = {"../models/storybook.leon", "../share/leon/storybook.leon",
                                            "../../models/storybook.leon"};

}  // namespace

std::string CommonOptions::model_path() const {
    if (!model.empty()) return model;
    if (const char* named = std::getenv("LEON_MODEL"); named && *named) return named;
    std::error_code unreadable;
    const std::filesystem::path binary = std::filesystem::read_symlink("/proc/self/exe", unreadable);
    for (const char* place : MODEL_IN_THE_BOX) {
        const std::filesystem::path path = (binary.parent_path() / place).lexically_normal();
        if (std::filesystem::exists(path, unreadable)) return path.string();
    }
    throw Error("no model is named and the model in the box was not found", "", "name one with -m FILE or LEON_MODEL");
}

const Kernels& CommonOptions::kernels() const {
    if (threads < 0 || threads > 1024)
        throw Error(std::to_string(threads) + " is out of range", "--threads", "0 uses all processors");
    set_cpu_threads(threads);
    return leon::backend(backend);
}

CLI::App* add_command(CLI::App& app, const char* name, const char* what, const char* example) {
    CLI::App* command = app.add_subcommand(name, what);
    command->footer(std::string("Example:\n  ") + example);
    return command;
}

void add_model_option(CLI::App& command, CommonOptions& common) {
    command.add_option("-m,--model", common.model, "model file (else $LEON_MODEL, else the model in the box)");
}

void add_compute_options(CLI::App& command, CommonOptions& common) {
    command.add_option("--backend", common.backend, "cpu, cuda, reference, or one variant such as cpu-avx2")
        ->capture_default_str();
    command.add_option("--compute", common.compute, "precision of activations")
        ->check(CLI::IsMember({"f32"}))
        ->capture_default_str();
    command.add_option("--threads", common.threads, "processors to use; 0 is all")->capture_default_str();
    command.add_flag("-q,--quiet", common.quiet, "no progress and no speed line");
}

}  // namespace leon
