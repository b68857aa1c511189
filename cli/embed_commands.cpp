// embed: one text or picture to its vector, the step that search in memory banks is made of.
#include <memory>
#include <optional>
#include <string>

#include "cli/commands.h"
#include "runtime/npy.h"
#include "tasks/retrieval.h"

namespace leon {
namespace {

struct EmbedOptions {
    std::string text, picture, output;
};

void embed_command(const CommonOptions& common, const EmbedOptions& o) {
    std::optional<Picture> picture;
    if (!o.picture.empty()) picture = load_picture(o.picture);
    const std::vector<float> vector =
        embed(common.model_path(), common.kernels(), o.text, picture ? &*picture : nullptr);
    save_npy(o.output, vector.data(), {static_cast<int64_t>(vector.size())});
}

}  // namespace

void add_embed_commands(CLI::App& app, CommonOptions& common) {
    auto o = std::make_shared<EmbedOptions>();
    CLI::App* command = app.add_subcommand("embed", "a text or a picture to its vector of unit length: [dim] float32");
    command->footer(
        "Examples:\n  leon embed -m clip.leon --text \"a red car\" -o text.npy\n"
        "  leon embed -m clip.leon --picture car.png -o picture.npy\n"
        "With a CLIP file, the inner product of the two says how well they fit. With any other model, the vectors are\n"
        "the native embedder's, whose texts and pictures do not meet.");
    CLI::Option_group* what = command->add_option_group("what to embed");
    what->add_option("--text", o->text, "UTF-8");
    what->add_option("--picture", o->picture, "picture file");
    what->require_option(1);
    command->add_option("-o,--output", o->output, ".npy to write")->required();
    add_model_option(*command, common);
    add_compute_options(*command, common);
    command->callback([&common, o] { embed_command(common, *o); });
}

}  // namespace leon
