// leon: the entry point. Parses the command, runs it, and turns every failure into one line and exit status 2.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "runtime/files.h"

namespace {

// Ctrl-C: no half-written file stays behind, and the terminal gets its cursor and colours back.
void on_interrupt(int signal) {
    leon::remove_temporaries();
    leon::restore_terminal();
    _exit(128 + signal);
}

// CLI11 spreads some messages over lines; a person wants one.
int usage_error(const CLI::ParseError& error, const std::string& command) {
    std::string line = error.what();
    for (char& c : line)
        if (c == '\n') c = ' ';
    std::fprintf(stderr, "leon: %s; see leon %s--help\n", line.c_str(), command.c_str());
    return 2;
}

int failure(const char* what) {
    std::fprintf(stderr, "leon: %s\n", what);
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGINT, on_interrupt);
    std::signal(SIGTERM, on_interrupt);

    CLI::App app{"leon draws pictures from sentences and talks about pictures, with one model and one token stream."};
    app.name("leon");
    app.set_version_flag("--version", "leon 0.1.0");
    app.require_subcommand(1);
    app.footer(
        "Start with:\n  leon draw \"a car on a sandy beach\" -o car.png\n  leon describe car.png\n\n"
        "leon COMMAND --help explains a command and shows an example.");
    leon::CommonOptions common;
    leon::add_draw_commands(app, common);
    leon::add_answer_commands(app, common);
    leon::add_write_commands(app, common);
    leon::add_workbench_commands(app, common);
    leon::add_upscale_commands(app, common);
    leon::add_index_commands(app, common);
    leon::add_embed_commands(app, common);
    leon::add_model_commands(app, common);
    leon::add_map_commands(app);
    leon::add_score_commands(app);
    leon::add_training_commands(app, common);
    try {
        app.parse(argc, argv);
        return std::fflush(stdout) == 0 ? 0 : failure("standard output cannot be written");
    } catch (const CLI::Success& help) {  // --help, --version
        return app.exit(help);
    } catch (const CLI::ParseError& error) {
        const auto chosen = app.get_subcommands();
        if (chosen.empty() && argc > 1 && argv[1][0] != '-') {
            std::fprintf(stderr, "leon: there is no command '%s'; see leon --help\n", argv[1]);
            return 2;
        }
        return usage_error(error, chosen.empty() ? "" : chosen.front()->get_name() + " ");
    } catch (const std::bad_alloc&) {
        return failure("there is not enough memory for this; use a smaller model, picture or number of candidates");
    } catch (const std::exception& error) {
        return failure(error.what());
    }
}
