// All parameters of a transformer in one vector of floats, tensor beside tensor as the schema lists them.
//
//   ParameterLayout layout(config);
//   ParameterVector values(layout, cpu_kernels()), gradients(layout, cpu_kernels());
//   initialise(values, cm3leon_initialisation(), seed);
//   network.add_gradients(values.weights(), gradients.weights(), ...);
//
//   |embedding      |/|layers.0.attention_norm|/|layers.0.q     |/| ...         every tensor at a multiple of 64 bytes;
//                                                                  the floats between them (/) are zero and stay so
//
// Values, gradients and an optimiser's moments are vectors of one layout: an optimiser runs over floats and knows no
// tensors, and the network sees each as TransformerWeights. Everything is float32 here, whatever a file holds.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "runtime/config.h"
#include "runtime/schema.h"
#include "runtime/state.h"
#include "runtime/weights.h"
#include "runtime/weights_file.h"
#include "training/grad_kernels.h"

namespace leon {

struct Parameter {
    TensorSpec spec;     // its name begins with "transformer."
    int64_t first = 0;   // where it begins in the vector, in floats
    bool decays = true;  // whether weight decay applies: to matrices, not to norms and biases

    int64_t size() const { return spec.elements(); }
};

class ParameterLayout {
public:
    explicit ParameterLayout(const TransformerConfig& config);

    const TransformerConfig& config() const { return config_; }
    std::span<const Parameter> parameters() const { return parameters_; }
    const Parameter& find(const std::string& name) const;  // as the schema has it (CHECKed)
    int64_t floats() const { return floats_; }             // of a vector, with what lies between the tensors
    int64_t count() const;                                 // of the parameters themselves

    // The vector cut where weight decay begins and ends to apply, for an optimiser that runs over floats.
    struct Run {
        int64_t first, floats;
        bool decays;
    };
    std::vector<Run> runs() const;

    // The vector's tensors. Tied output: `output` is the embedding, so that gradients of both meet in one place.
    TransformerWeights bind(float* vector) const;

private:
    TransformerConfig config_;
    std::vector<Parameter> parameters_;
    int64_t floats_ = 0;
};

// A vector that is owned, zero at first, in the kernels' memory. The layout must outlive it.
class ParameterVector {
public:
    ParameterVector(const ParameterLayout& layout, const Kernels& kernels);

    const ParameterLayout& layout() const { return layout_; }
    const TransformerWeights& weights() const { return weights_; }
    Tensor tensor() const { return memory_.tensor(); }                           // [floats]
    Tensor tensor(const Parameter& p) const { return part(p.first, p.size()); }  // [size]
    Tensor part(int64_t first, int64_t floats) const;                            // [floats]

    // Copies between here and the host.
    std::vector<float> download() const;
    std::vector<float> download(const Parameter& p) const;
    void upload(std::span<const float> floats);
    void upload(const Parameter& p, std::span<const float> floats);

    // The vector itself, where its memory is the host's (CHECKed).
    std::span<float> floats();
    std::span<const float> floats() const;
    std::span<float> of(const Parameter& p) { return floats().subspan(p.first, p.size()); }
    std::span<const float> of(const Parameter& p) const { return floats().subspan(p.first, p.size()); }

private:
    const ParameterLayout& layout_;
    const Kernels& kernels_;
    Buffer memory_;
    TransformerWeights weights_;
};

// The length of the whole vector; its squares are summed in double, tensor by tensor. Waits for the kernels.
double length(const GradKernels& k, const ParameterVector& vector);

// One update of all parameters; rule.weight_decay is that of those that decay.
void adamw(const GradKernels& k, ParameterVector& values, const ParameterVector& gradients, ParameterVector& m,
           ParameterVector& v, const AdamWStep& rule);

// How a new model begins: matrices from a normal distribution that is cut at `cut` standard deviations, gains of norms
// at 1, their biases at 0.
struct Initialisation {
    float std = 0;         // of matrices
    float output_std = 0;  // of what is added to the residual stream: attention's o, and down. 0: a layer does nothing
    float position_std = 0;  // of learned positions and places
    float cut = 3;
};
Initialisation cm3leon_initialisation();  // arXiv 2309.02591, 2.3: 0.006, outputs 0, positions 0.0002
// Outputs smaller by sqrt(2 layers), so that the residual stream's variance does not grow with the depth (GPT-2).
Initialisation plain_initialisation(float std, int layers);

// The same seed gives the same values, whatever the number of threads.
void initialise(ParameterVector& values, const Initialisation& how, uint64_t seed);

// The values of a leon file (matrices f32 or bf16). Error if its transformer is another one than the layout's, or none.
void load(ParameterVector& values, const WeightsFile& file);

// The tensors that a leon file has under the same name and in the same shape; the others keep their values. Returns how
// many it has; Error if none. For architectures that differ from the file's by what was added to them.
int load_matching(ParameterVector& values, const WeightsFile& file);

// What load() checks, for other sources: Error naming `where`.
void check_same_transformer(const TransformerConfig& wanted, const ModelConfig& found, const std::string& where);

// The dtype of a tensor of a leon file that is taken over as it is; Error if leon files hold no such.
DType stored_dtype(const StoredTensor& tensor, const std::string& where);

// Writes a leon file: `config` (whose transformer is the layout's), the transformer from `values` with matrices as
// `matrices` (F32 or BF16), and all else, the tokenizer and the other tensors that `config` names, as `rest` has it.
// Error if `rest` lacks one of them.
void save_model(const std::string& path, const ModelConfig& config, const ParameterVector& values, DType matrices,
                const WeightsFile& rest);

}  // namespace leon
