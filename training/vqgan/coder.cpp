// See coder.h.
#include "training/vqgan/coder.h"

namespace leon {

VqganCoder::VqganCoder(const VqganConfig& config, const WeightsFile& file)
    : network_(config, cpu_vqgan_grad_kernels(), cpu_kernels()), stored_(read_vqgan(file, network_)) {
    network_.pack(stored_.values.data());
}

std::vector<int32_t> VqganCoder::codes(std::span<const float> pixels, int height, int width) {
    std::unique_ptr<VqganLane> lane;
    {
        const std::lock_guard lock(mutex_);
        if (!free_.empty()) {
            lane = std::move(free_.back());
            free_.pop_back();
        }
    }
    if (!lane) lane = std::make_unique<VqganLane>(network_);
    const VqganConfig& c = network_.config();
    std::vector<int32_t> codes =
        lane->encode(pixels, height, width, Tensor(stored_.codebook.data(), DType::F32, {c.codes, c.code_dim}));
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(lane));
    return codes;
}

}  // namespace leon
