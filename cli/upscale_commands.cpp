// upscale: a picture larger.
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "tasks/upscale.h"

namespace leon {
namespace {

struct UpscaleOptions {
    std::string picture, output, network;
    int factor = 0;
};

void upscale_command(const CommonOptions& common, const UpscaleOptions& o) {
    check_picture_path(o.output);
    const Picture picture = load_picture(o.picture, Orientation::Upright);
    const auto upscaler = open_upscaler(o.network, o.factor, common.kernels());
    ProgressBar bar(common.quiet ? Display::Quiet : Display::Terminal, "enlarging");
    const Picture large = upscaler->upscale(picture, [&bar](size_t done, size_t total) {
        bar.update(done, total);
        return true;
    });
    bar.finish();
    save_picture(o.output, large);
}

}  // namespace

void add_upscale_commands(CLI::App& app, CommonOptions& common) {
    auto o = std::make_shared<UpscaleOptions>();
    CLI::App* command = app.add_subcommand("upscale", "a picture two to four times as wide and high");
    command->footer(
        "Examples:\n  leon upscale car.png --factor 4 -o big.png\n"
        "  leon convert RealESRGAN_x4plus.pth -o up.leon\n  leon upscale car.png --upscaler up.leon -o big.png");
    command->add_option("picture", o->picture, "picture file")->required();
    command->add_option("--factor", o->factor, "2, 3 or 4; else the network's own, or 4")
        ->check(CLI::IsMember({2, 3, 4}));
    command->add_option("--upscaler", o->network, "leon file with a network; else Lanczos resampling");
    command->add_option("-o,--output", o->output, "picture to write: .png, .jpg or .bmp")->required();
    add_compute_options(*command, common);
    command->callback([&common, o] { upscale_command(common, *o); });
}

}  // namespace leon
