// The VQGAN of a leon file as training has it, and a leon file with another VQGAN in it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "runtime/weights_file.h"
#include "training/vqgan/network.h"

namespace leon {

struct StoredVqgan {
    std::vector<float> values;    // [network.parameters()], in its layout
    std::vector<float> codebook;  // [codes, code_dim]
};

// In float32. Error if a tensor is missing or of another shape.
StoredVqgan read_vqgan(const WeightsFile& file, const VqganNetwork& network);

// Writes what `from` holds with these values for the VQGAN, every tensor of the type and at the place that it has
// there. Atomic; path may be from's.
void write_model(const std::string& path, const WeightsFile& from, const VqganNetwork& network,
                 std::span<const float> values, std::span<const float> codebook);

}  // namespace leon
