// What group_norm and norm_conv2d share: the statistics of a picture, as factors of each channel.
#pragma once

#include "kernels/cuda/convolution.h"

namespace leon::LEON_CUDA {

// Launches their computation. The result stands in the workspace until the next call.
ChannelNorm group_statistics(const Tensor& x, const GroupNorm& norm);

}  // namespace leon::LEON_CUDA
