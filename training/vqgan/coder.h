// Codes of very many pictures, for datasets: the encoder with the products of training, which round their operands to
// bf16 and are several times as fast on a matrix unit. Some codes of a hundred are other near ones than those of
// tokenizer/vqgan.h, whose float32 is what people's pictures are encoded with.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "runtime/config.h"
#include "training/vqgan/model_file.h"
#include "training/vqgan/network.h"

namespace leon {

class VqganCoder {
public:
    // Error if the file lacks the VQGAN, or it has a shape that training does not do.
    VqganCoder(const VqganConfig& config, const WeightsFile& file);

    // pixels [height, width, 3] in [-1, 1]. May be called from several threads; each call runs on its caller's alone.
    std::vector<int32_t> codes(std::span<const float> pixels, int height, int width);

private:
    VqganNetwork network_;
    StoredVqgan stored_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<VqganLane>> free_;  // lanes that no call uses
};

}  // namespace leon
