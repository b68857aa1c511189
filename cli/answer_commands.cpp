// describe, ask, fill-text: tasks that make a text.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/task_options.h"
#include "tasks/answers.h"
#include "tasks/fill.h"

namespace leon {
namespace {

// One line an answer: the text, and how likely the model finds it if that was asked for.
void print_answers(const TaskOptions& o, const std::vector<Answer>& all) {
    if (o.show_prompt) std::printf("%s\n", all.front().prompt.c_str());
    nlohmann::json list = nlohmann::json::array();
    for (const Answer& answer : all) {
        if (o.json)
            list.push_back(
                {{"text", answer.text}, {"log_probability", answer.log_probability}, {"complete", answer.complete}});
        else if (all.size() > 1 || o.show_probability)
            std::printf("%s\t%.4f\n", answer.text.c_str(), answer.log_probability);
        else
            std::printf("%s\n", answer.text.c_str());
    }
    if (o.json) std::printf("%s\n", list.dump(2, ' ', true).c_str());
    if (!all.front().complete) std::fprintf(stderr, "leon: the answer was cut at its longest allowed length\n");
}

void answer_command(const CommonOptions& common, const TaskOptions& o, Task task) {
    const Picture picture = load_picture(o.picture, Orientation::Upright);
    const Model model(common.model_path(), common.kernels());
    const std::vector<Document> retrieved = retrieved_for(common, o, model, o.text, &picture);
    const std::vector<Answer> all = answers(model, picture, task, o.text, o.all_settings(), {}, retrieved);
    print_answers(o, all);
    say_speed(common, all.front().statistics, all.front().picture_seconds);
}

void fill_text_command(const CommonOptions& common, const TaskOptions& o) {
    std::optional<Picture> picture;
    if (!o.picture.empty()) picture = load_picture(o.picture, Orientation::Upright);
    const Model model(common.model_path(), common.kernels());
    const FilledTexts filled = fill_text(model, o.text, picture ? &*picture : nullptr, o.all_settings());
    if (o.show_prompt) std::printf("%s\n", filled.prompt.c_str());
    nlohmann::json list = nlohmann::json::array();
    for (const FilledText& each : filled.candidates) {
        if (o.json)
            list.push_back({{"text", each.text}, {"words", each.words}, {"complete", each.complete}});
        else
            std::printf("%s\n", each.text.c_str());
        if (!each.complete) std::fprintf(stderr, "leon: a hole was cut at its longest allowed length\n");
    }
    if (o.json) std::printf("%s\n", list.dump(2, ' ', true).c_str());
    say_speed(common, filled.statistics, filled.picture_seconds);
}

void add_answer_options(CLI::App& command, TaskOptions& o) {
    command
        .add_option("--candidates", o.settings.candidates,
                    "texts to draw, with rising seeds; answers come likeliest first")
        ->capture_default_str();
    command.add_flag("--json", o.json, "print all that is known as JSON");
    add_text_options(command, o);
}

}  // namespace

void add_answer_commands(CLI::App& app, CommonOptions& common) {
    auto o = std::make_shared<TaskOptions>();

    CLI::App* command = add_task(app, common, "describe", "say what is in a picture", "leon describe car.png");
    command->add_option("picture", o->picture, "picture file")->required();
    command->add_flag("--long", o->long_text, "every object, in detail");
    command->add_flag("--log-probability", o->show_probability, "print how likely the model finds it, behind a tab");
    add_retrieval_options(*command, *o);
    add_answer_options(*command, *o);
    command->callback([&common, o] { answer_command(common, *o, o->long_text ? Task::DescribeLong : Task::Describe); });

    command = add_task(app, common, "ask", "answer a question about a picture", "leon ask car.png \"Where is it?\"");
    command->add_option("picture", o->picture, "picture file")->required();
    command->add_option("question", o->text, "question")->required();
    command->add_flag("--log-probability", o->show_probability, "print how likely the model finds it, behind a tab");
    add_retrieval_options(*command, *o);
    add_answer_options(*command, *o);
    command->callback([&common, o] { answer_command(common, *o, Task::Ask); });

    command = add_task(app, common, "fill-text", "fill every ___ of a text, in order",
                       "leon fill-text \"a ___ on a ___ beach\" car.png");
    command->add_option("text", o->text, "text with holes: ___")->required();
    command->add_option("picture", o->picture, "the picture that the text is about");
    add_answer_options(*command, *o);
    command->callback([&common, o] { fill_text_command(common, *o); });
}

}  // namespace leon
