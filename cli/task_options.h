// Options that the tasks share, and what they show while they run and when they are done.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "tasks/pictures.h"
#include "tasks/preview.h"

namespace leon {

struct TaskOptions {
    // What is worked on; each command reads its own.
    std::string text, picture, output, box, mask, grow, map, kind, word, object, folder, size;
    std::vector<std::string> objects, contents;

    std::string cache = "f32", strategy = "top-p", unconditional = "bare";
    std::string bank, embedder, upscaler, legend, scorer;
    int documents = 2, upscale = 1;
    bool show_prompt = false, show_probability = false, long_text = false, json = false, rank = false;
    std::optional<int> max_pictures;
    Settings settings;

    Settings all_settings() const;
};
using SharedOptions = std::shared_ptr<TaskOptions>;

CLI::App* add_task(CLI::App& app, CommonOptions& common, const char* name, const char* what, const char* example);

// --cache, and the type that it names.
void add_cache_option(CLI::App& command, std::string& cache);
DType cache_dtype_named(const std::string& cache);
void add_sampling_options(CLI::App& command, TaskOptions& o);   // of every task
void add_picture_options(CLI::App& command, TaskOptions& o);    // of tasks that make a picture
void add_retrieval_options(CLI::App& command, TaskOptions& o);  // --retrieve and what belongs to it
void add_text_options(CLI::App& command, TaskOptions& o);       // of tasks that make a text

// The documents that --retrieve finds for a text and maybe a picture; says on standard error which. None without it.
std::vector<Document> retrieved_for(const CommonOptions& common, const TaskOptions& o, const Model& model,
                                    const std::string& text, const Picture* picture);

// A picture that is being drawn: shown as it grows, then as it is, saved, with its candidates beside it.
class DrawingDisplay {
public:
    // Error if candidates are to be ranked and cannot be by this caption, and maybe a map.
    DrawingDisplay(const CommonOptions& common, const TaskOptions& options, const Model& model, const char* label,
                   const std::string& caption, bool has_map = false);

    Progress progress();
    // Ranked, upscaled and saved as the options want it; says on standard output what was asked for.
    void finish(Drawing drawing);
    // On the terminal only, with what was given and how fast it went.
    void show(const Drawing& drawing, const Picture& result);

private:
    const CommonOptions& common_;
    const TaskOptions& options_;
    const Model& model_;
    Preview preview_;
    GrowingPicture screen_;
};

void say_remark(const CommonOptions& common, const Model& model);  // of tasks/pictures.h, on drawing
void say_speed(const CommonOptions& common, const GenerateStatistics& statistics, double picture_seconds);

}  // namespace leon
