// Enlarging pictures, the last stage of every task that makes one.
//
//   const auto upscaler = open_upscaler("", 4, kernels);          // Lanczos
//   const auto upscaler = open_upscaler("up.leon", 4, kernels);   // a network, brought to the factor that is asked for
//   for (Picture& picture : drawing.pictures) picture = upscaler->upscale(picture);
#pragma once

#include <memory>
#include <string>

#include "kernels/kernels.h"
#include "tokenizer/image.h"
#include "tokenizer/upscaler.h"

namespace leon {

// `network` is a leon file with an upscaler, or empty: the resampler. `factor` is 2, 3 or 4 (Error otherwise), or 0:
// the network's own, 4 without one. A network of another factor than asked for does what it does, and the resampler
// brings the result to the size. Error if the file cannot be opened or holds no upscaler.
std::unique_ptr<Upscaler> open_upscaler(const std::string& network, int factor, const Kernels& kernels);

// The two together, for one picture: empty (0 x 0) if `progress` cancelled.
Picture upscale(const Picture& picture, const std::string& network, int factor, const Kernels& kernels,
                const UpscaleProgress& progress = {});

}  // namespace leon
