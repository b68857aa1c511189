// Upscalers by the name of a file; see upscale.h.
#include "tasks/upscale.h"

namespace leon {
namespace {

ModelConfig read_config(const WeightsFile& file) {
    ModelConfig config = parse_config(file.config_json(), file.path());
    if (!config.has_upscaler)
        throw Error("the file holds no upscaler", file.path(),
                    "convert one: leon convert RealESRGAN_x4plus.pth -o up.leon");
    return config;
}

// A network, its file, and the factor that was asked for.
class FileUpscaler : public Upscaler {
public:
    FileUpscaler(const std::string& path, int factor, const Kernels& kernels)
        : file_(path),
          network_(file_, read_config(file_).upscaler, kernels),
          factor_(factor == 0 ? network_.factor() : factor) {}

    int factor() const override { return factor_; }
    Picture upscale(const Picture& picture, const UpscaleProgress& progress) const override {
        Picture large = network_.upscale(picture, progress);
        if (large.width == 0 || factor_ == network_.factor()) return large;
        return resize(large, picture.width * factor_, picture.height * factor_, Filter::Lanczos);
    }

private:
    WeightsFile file_;
    NetworkUpscaler network_;
    int factor_;
};

}  // namespace

std::unique_ptr<Upscaler> open_upscaler(const std::string& network, int factor, const Kernels& kernels) {
    constexpr int WITHOUT_NETWORK = 4;
    if (factor != 0 && (factor < 2 || factor > 4))
        throw Error("cannot enlarge by " + std::to_string(factor), "--factor", "choose 2, 3 or 4");
    if (network.empty()) return std::make_unique<LanczosUpscaler>(factor == 0 ? WITHOUT_NETWORK : factor);
    return std::make_unique<FileUpscaler>(network, factor, kernels);
}

Picture upscale(const Picture& picture, const std::string& network, int factor, const Kernels& kernels,
                const UpscaleProgress& progress) {
    return open_upscaler(network, factor, kernels)->upscale(picture, progress);
}

}  // namespace leon
