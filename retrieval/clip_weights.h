// The tensors of CLIP's towers, bound by name: the file's memory on the CPU, a copy on a GPU.
// docs/weights_format.md says what each is.
#pragma once

#include <vector>

#include "kernels/kernels.h"
#include "runtime/adopted.h"
#include "runtime/config.h"
#include "runtime/weights_file.h"

namespace leon {

struct ClipAffine {
    Tensor weight, bias;  // of a norm [dim] each; of a projection [out, in] and [out]
};

struct ClipLayerWeights {
    ClipAffine attention_norm, q, k, v, o;
    ClipAffine ffn_norm, up, down;
};

struct ClipTowerWeights {
    Tensor positions;  // [context, dim] of text, [patches + 1, dim] of pictures
    std::vector<ClipLayerWeights> layers;
    ClipAffine norm;
    Tensor projection;  // [config.dim, dim]
};

struct ClipWeights {
    ClipTowerWeights text, vision;
    Tensor embedding;       // [vocab, dim] of text
    Tensor patches;         // [dim, patch * patch * 3] of pictures
    Tensor first_row;       // [1, dim]: what stands in front of the patches
    ClipAffine first_norm;  // before the first layer
    AdoptedMemory adopted;
};

// Error naming the tensor if one is missing or has another shape, before anything goes to a device.
ClipWeights bind_clip(const WeightsFile& file, const ClipConfig& config, const Kernels& kernels);

}  // namespace leon
