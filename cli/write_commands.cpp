// write, chat, demo: text and pictures in turn.
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <string>

#include "cli/task_options.h"
#include "tasks/demo.h"
#include "tasks/dialogue.h"
#include "tasks/writing.h"

namespace leon {
namespace {

void add_writing_options(CLI::App& command, TaskOptions& o) {
    command.add_option("--max-pictures", o.max_pictures, "pictures that the model may add (else one, if it draws)");
    command.add_option("--guidance", o.settings.guidance, "classifier-free guidance of pictures; 1 is none");
    add_text_options(command, o);
}

WritingLimits limits_of(const TaskOptions& o) {
    WritingLimits limits;
    limits.max_tokens = o.settings.max_tokens;
    limits.max_pictures = o.max_pictures;
    return limits;
}

void write_command(const CommonOptions& common, const TaskOptions& o) {
    const std::vector<Content> contents = read_contents(o.contents);
    const Model model(common.model_path(), common.kernels());
    if (o.max_pictures.value_or(0) > 0) say_remark(common, model);
    const Written written = write_on(model, contents, limits_of(o), o.all_settings());
    if (o.show_prompt) std::printf("%s\n", written.prompt.c_str());
    std::printf("%s\n", save_writing(o.output, contents, written.contents).c_str());
    say_speed(common, written.statistics, written.picture_seconds);
}

void chat_command(const CommonOptions& common, const TaskOptions& o) {
    const Model model(common.model_path(), common.kernels());
    Dialogue dialogue(model, o.all_settings(), limits_of(o), o.folder);
    if (!o.picture.empty()) dialogue.take("/image " + o.picture, std::cout);
    const bool is_terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO) && !common.quiet;
    for (std::string line; !dialogue.is_over(); dialogue.take(line, std::cout)) {
        if (is_terminal) std::fputs("> ", stderr);
        if (!std::getline(std::cin, line)) break;
    }
}

}  // namespace

void add_write_commands(CLI::App& app, CommonOptions& common) {
    auto o = std::make_shared<TaskOptions>();

    CLI::App* command =
        add_task(app, common, "write", "go on with a document of text and pictures, as the model decides",
                 "leon write \"A picture of a car:\" car.png \"And one of a house:\" -o story");
    command
        ->add_option("contents", o->contents, "texts and picture files, in order; text:... and picture:... say which")
        ->required();
    command->add_option("-o,--output", o->output, "folder for index.md, index.html and the pictures")->required();
    o->settings.max_tokens = 1024;
    add_writing_options(*command, *o);
    command->callback([&common, o] { write_command(common, *o); });

    auto chat = std::make_shared<TaskOptions>();
    chat->folder = ".";
    chat->settings.max_tokens = 1024;
    command = add_task(app, common, "chat", "talk with the model: questions, pictures, edits; /help says how",
                       "leon chat car.png");
    command->add_option("picture", chat->picture, "picture to begin with");
    command->add_option("-o,--output", chat->folder, "folder for pictures that are drawn")->capture_default_str();
    add_writing_options(*command, *chat);
    command->callback([&common, chat] { chat_command(common, *chat); });

    auto demo = std::make_shared<TaskOptions>();
    demo->folder = "demo";
    command = add_task(app, common, "demo", "show every task, and write it as a web page", "leon demo -o demo");
    command->add_option("-o,--output", demo->folder, "folder to write")->capture_default_str();
    command->callback([&common, demo] {
        const Model model(common.model_path(), common.kernels());
        const std::string page = run_demo(model, demo->folder, [&](const std::string& line) {
            if (!common.quiet) std::fprintf(stderr, "%s\n", line.c_str());
        });
        std::printf("%s\n", page.c_str());
    });
}

}  // namespace leon
