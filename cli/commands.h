// The command line: each command is an option parser and one call into tasks/. No logic lives here.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "kernels/kernels.h"

namespace leon {

// Options that many commands share.
struct CommonOptions {
    std::string model;  // -m, else $LEON_MODEL, else the model in the box
    std::string backend = "cpu";
    std::string compute = "f32";
    int threads = 0;  // 0: one per processor
    bool quiet = false;

    std::string model_path() const;  // Error saying how to name a model if there is none
    const Kernels& kernels() const;  // sets the thread count too
};

// A subcommand whose help ends with an example.
CLI::App* add_command(CLI::App& app, const char* name, const char* what, const char* example);

void add_model_option(CLI::App& command, CommonOptions& common);
void add_compute_options(CLI::App& command, CommonOptions& common);  // --backend, --compute, --threads

void add_draw_commands(CLI::App& app, CommonOptions& common);       // draw edit fill segment
void add_answer_commands(CLI::App& app, CommonOptions& common);     // describe ask fill-text
void add_write_commands(CLI::App& app, CommonOptions& common);      // write chat demo
void add_workbench_commands(CLI::App& app, CommonOptions& common);  // inspect tokenize detokenize logits encode ...
void add_upscale_commands(CLI::App& app, CommonOptions& common);    // upscale
void add_index_commands(CLI::App& app, CommonOptions& common);      // index build, search, show
void add_embed_commands(CLI::App& app, CommonOptions& common);      // embed
void add_model_commands(CLI::App& app, CommonOptions& common);      // convert inspect bench
void add_map_commands(CLI::App& app);                               // map
void add_score_commands(CLI::App& app);                             // score
void add_training_commands(CLI::App& app, CommonOptions& common);   // train data eval gradients: training/, or none

}  // namespace leon
