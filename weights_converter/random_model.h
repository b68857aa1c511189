// Models of published shapes with random weights: what a benchmark needs of a checkpoint that is not at hand.
//
//   write_random_model("7b.leon", preset("7b", WithVqgan::No), DType::BF16, 1);
//
// The values are such that activations keep the size that they have in a trained model: no infinities, no denormals,
// nothing that a processor would treat in a special way.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/tensor.h"
#include "runtime/config.h"
#include "runtime/schema.h"

namespace leon {

enum class WithVqgan { No, Yes };

// "350m", "760m", "cm3leon-7b" (CM3Leon, arXiv 2309.02591, table 3), "7b", "34b" (Chameleon, arXiv 2405.09818). With
// the VQGAN of 512 x 512 pixels and 8,192 codes that they share. Error listing the names for any other.
ModelConfig preset(const std::string& name, WithVqgan vqgan);
std::vector<std::string> preset_names();

// The values of such a model, any range of any tensor at a time; any number of threads may ask.
class RandomTensors {
public:
    RandomTensors(const ModelConfig& config, uint64_t seed);

    const std::vector<TensorSpec>& specs() const { return specs_; }  // in file order
    // Elements [first, first + count) of a tensor, by its index.
    void fill(size_t tensor, int64_t first, int64_t count, float* out) const;

private:
    std::vector<TensorSpec> specs_;
    std::vector<uint64_t> bases_;  // of each tensor's counters
};

// A leon file, with no tokenizer unless one is given (the text of a tokenizer.json). `matrices` is F32 or BF16. The
// same seed gives the same bytes. Memory stays at a few megabytes whatever the size. Error if the file cannot be
// written.
void write_random_model(const std::string& path, const ModelConfig& config, DType matrices, uint64_t seed,
                        const std::string& tokenizer_json = {});

}  // namespace leon
