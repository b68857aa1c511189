// map: control maps from pictures.
#include <memory>
#include <string>

#include "cli/commands.h"
#include "tasks/maps.h"

namespace leon {
namespace {

struct MapOptions {
    std::string picture, kind = "edges", output, gradient = "grey";
    EdgeRule rule;
};

void map_command(MapOptions& o) {
    const MapKind kind = parse_map_kind(o.kind);
    o.rule.gradient = o.gradient == "grey" ? GradientOf::Grey : GradientOf::Strongest;
    check_picture_path(o.output);
    const Picture picture = load_picture(o.picture, Orientation::Upright);
    save_picture(o.output, kind == MapKind::Edges ? edge_map(picture, o.rule) : scribble_map(picture, o.rule));
}

}  // namespace

void add_map_commands(CLI::App& app) {
    auto o = std::make_shared<MapOptions>();
    CLI::App* command = app.add_subcommand("map", "a control map of a picture, for leon draw --layout");
    command->footer("Example:\n  leon map car.png --kind edges -o edges.png");
    command->add_option("picture", o->picture, "picture file")->required();
    command
        ->add_option("--kind", o->kind, "edges (Canny, as OpenCV) or scribble; others need a network that leon lacks")
        ->capture_default_str();
    command->add_option("--low", o->rule.low, "gradient above which an edge goes on, 0 to 2040")->capture_default_str();
    command->add_option("--high", o->rule.high, "gradient above which an edge begins")->capture_default_str();
    command
        ->add_option("--gradient", o->gradient,
                     "of the grey levels, or of the strongest channel (edges only: what ControlNet's annotator does)")
        ->check(CLI::IsMember({"grey", "strongest"}))
        ->capture_default_str();
    command->add_option("-o,--output", o->output, "picture to write: .png, .jpg or .bmp")->required();
    command->callback([o] { map_command(*o); });
}

}  // namespace leon
