// draw, describe, ask, fill, demo: what a person asks for.
#include <cstdio>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "tasks/answers.h"
#include "tasks/demo.h"
#include "tasks/pictures.h"
#include "tasks/preview.h"
#include "tasks/report.h"

namespace leon {
namespace {

struct TaskOptions {
    std::string text, picture, output, box, question, folder = "demo", cache = "f32";
    Settings settings;
};

void add_sampling_options(CLI::App& command, TaskOptions& o) {
    command.add_option("--seed", o.settings.seed, "same seed, same result")->capture_default_str();
    command.add_option("--temperature", o.settings.temperature, "0 is greedy");
    command.add_option("--top-p", o.settings.top_p, "keep the likeliest ids up to this mass; 1 is off");
    command.add_option("--top-k", o.settings.top_k, "keep the k likeliest ids; 0 is off");
    command.add_option("--cache", o.cache, "precision of the key-value cache")
        ->check(CLI::IsMember({"f32", "bf16"}))
        ->capture_default_str();
}

void add_picture_options(CLI::App& command, TaskOptions& o) {
    command.add_option("-o,--output", o.output, "picture to write: .png, .jpg or .bmp")->required();
    command.add_option("--guidance", o.settings.guidance, "classifier-free guidance; 1 is none");
    command
        .add_option("--candidates", o.settings.candidates,
                    "pictures to draw, with rising seeds; OUTPUT becomes a contact sheet, each is OUTPUT-1, -2, ...")
        ->capture_default_str();
    add_sampling_options(command, o);
}

Settings settings_of(const TaskOptions& o) {
    Settings settings = o.settings;
    settings.cache_dtype = o.cache == "bf16" ? DType::BF16 : DType::F32;
    return settings;
}

// Shows the first candidate as it grows, under a progress bar.
Progress growing_picture(const Model& model, GrowingPicture& screen, Preview& preview) {
    Progress progress;
    const int side = model.grid();
    progress.picture = [&screen, &preview, side](int candidate, std::span<const int32_t> codes, int total) {
        const bool whole = total == side * side;  // a hole's cells do not form a picture by themselves
        if (candidate == 0)
            screen.update(static_cast<int>(codes.size()), total,
                          [&] { return whole ? preview.picture(codes, side, side) : Picture(); });
        return true;
    };
    return progress;
}

// "car.png" -> "car-2.png"
std::string numbered_path(const std::string& path, size_t number) {
    const size_t dot = path.rfind('.');
    return path.substr(0, dot) + "-" + std::to_string(number) + path.substr(dot);
}

void save_drawing(const Drawing& drawing, const std::string& output) {
    if (drawing.pictures.size() == 1) return save_picture(output, drawing.pictures[0]);
    for (size_t i = 0; i < drawing.pictures.size(); i++)
        save_picture(numbered_path(output, i + 1), drawing.pictures[i]);
    save_picture(output, candidate_sheet(drawing));
}

// The result takes the place of the preview on the terminal, and stays there.
void show_result(GrowingPicture& screen, const Drawing& drawing) {
    const size_t tokens = static_cast<size_t>(drawing.statistics.tokens);
    screen.update(tokens, tokens,
                  [&] { return drawing.pictures.size() == 1 ? drawing.pictures[0] : candidate_sheet(drawing); });
    screen.finish();
}

void say_speed(const CommonOptions& common, const GenerateStatistics& statistics, double picture_seconds) {
    if (!common.quiet) std::fprintf(stderr, "%s\n", speed_line(statistics, picture_seconds).c_str());
}

void print_answer(const Answer& answer) {
    std::printf("%s\n", answer.text.c_str());
    if (!answer.complete) std::fprintf(stderr, "leon: the answer was cut at its longest allowed length\n");
}

CLI::App* add_command(CLI::App& app, CommonOptions& common, const char* name, const char* what, const char* example) {
    CLI::App* command = app.add_subcommand(name, what);
    command->footer(std::string("Example:\n  ") + example);
    add_model_option(*command, common);
    add_compute_options(*command, common);
    return command;
}

void draw_command(const CommonOptions& common, const TaskOptions& o) {
    check_picture_path(o.output);
    const Model model(common.model_path(), common.kernels());
    Preview preview(model.decoder());
    GrowingPicture screen(common.quiet ? Display::Quiet : Display::Terminal, "drawing");
    const Drawing drawing = draw(model, o.text, settings_of(o), growing_picture(model, screen, preview));
    show_result(screen, drawing);
    save_drawing(drawing, o.output);
    say_speed(common, drawing.statistics, drawing.picture_seconds);
}

void fill_command(const CommonOptions& common, const TaskOptions& o) {
    check_picture_path(o.output);
    const PixelBox box = parse_box(o.box);
    const Picture picture = load_picture(o.picture, Orientation::Upright);
    const Model model(common.model_path(), common.kernels());
    Preview preview(model.decoder());
    GrowingPicture screen(common.quiet ? Display::Quiet : Display::Terminal, "filling");
    const Drawing drawing = fill(model, picture, box, o.text, settings_of(o), growing_picture(model, screen, preview));
    show_result(screen, drawing);
    save_drawing(drawing, o.output);
    say_speed(common, drawing.statistics, drawing.picture_seconds);
}

}  // namespace

void add_task_commands(CLI::App& app, CommonOptions& common) {
    auto o = std::make_shared<TaskOptions>();

    CLI::App* command = add_command(app, common, "draw", "draw a picture from a sentence",
                                    "leon draw \"a red car on a sandy beach\" --seed 1 -o car.png");
    command->add_option("text", o->text, "what to draw")->required();
    add_picture_options(*command, *o);
    command->callback([&common, o] { draw_command(common, *o); });

    command = add_command(app, common, "describe", "say what is in a picture", "leon describe car.png");
    command->add_option("picture", o->picture, "picture file")->required();
    command->add_option("--max-tokens", o->settings.max_tokens, "longest answer")->capture_default_str();
    add_sampling_options(*command, *o);
    command->callback([&common, o] {
        const Picture picture = load_picture(o->picture, Orientation::Upright);
        const Model model(common.model_path(), common.kernels());
        const Answer answer = describe(model, picture, settings_of(*o));
        print_answer(answer);
        say_speed(common, answer.statistics, answer.picture_seconds);
    });

    command = add_command(app, common, "ask", "answer a question about a picture", "leon ask car.png \"Where is it?\"");
    command->add_option("picture", o->picture, "picture file")->required();
    command->add_option("question", o->question, "question")->required();
    command->add_option("--max-tokens", o->settings.max_tokens, "longest answer")->capture_default_str();
    add_sampling_options(*command, *o);
    command->callback([&common, o] {
        const Picture picture = load_picture(o->picture, Orientation::Upright);
        const Model model(common.model_path(), common.kernels());
        const Answer answer = ask(model, picture, o->question, settings_of(*o));
        print_answer(answer);
        say_speed(common, answer.statistics, answer.picture_seconds);
    });

    command = add_command(app, common, "fill", "draw the inside of a box anew; everything else stays, bit for bit",
                          "leon fill car.png --box 64,40,128,128 \"a dog on a sandy beach\" -o dog.png");
    command->add_option("picture", o->picture, "picture file")->required();
    command->add_option("text", o->text, "what the whole picture should show");
    command->add_option("--box", o->box, "x0,y0,x1,y1 in pixels of the picture; x1 and y1 are outside")->required();
    add_picture_options(*command, *o);
    command->callback([&common, o] { fill_command(common, *o); });

    command =
        add_command(app, common, "demo", "draw eight sentences, fill, describe and answer; write it as a web page",
                    "leon demo -o demo");
    command->add_option("-o,--output", o->folder, "folder to write")->capture_default_str();
    command->callback([&common, o] {
        const Model model(common.model_path(), common.kernels());
        const std::string page = run_demo(model, o->folder, [&](const std::string& line) {
            if (!common.quiet) std::fprintf(stderr, "%s\n", line.c_str());
        });
        std::printf("%s\n", page.c_str());
    });
}

}  // namespace leon
