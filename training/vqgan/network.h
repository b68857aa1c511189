// The VQGAN of tokenizer/vqgan.cpp with its history kept, and its backward pass, the mirror of the forward one.
//
//   VqganNetwork network(config, cpu_vqgan_grad_kernels(), cpu_kernels());
//   network.pack(values);                                   // after each change of the parameters
//   VqganLane lane(network);                                // memory of one picture at a time
//   const VqganPass& pass = lane.forward(pixels, codebook); // codes, latent, reconstruction
//   lane.backward(dpicture, dlatent, gradient);             // gradient += ...
//
// All parameters but the codebook are one flat float32 vector, the encoder's first, so that a checkpoint is one array
// and an optimiser one loop; layout() names the parts. The codebook is learned by moving averages (training/vqgan/
// codebook.h), not by gradients: the quantiser is straight-through, its backward the identity.
//
// A lane runs on one thread; lanes are independent of each other and share the network, which they only read.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "runtime/config.h"
#include "runtime/state.h"
#include "tokenizer/vqgan_weights.h"
#include "training/vqgan/grad_kernels.h"

namespace leon {

// A parameter in the flat vector, by the name that it has in a weight file after "vqgan.".
struct VqganParameter {
    std::string name;
    std::vector<int64_t> shape;
    int64_t offset, count;  // floats
    bool is_matrix;         // a convolution's weights, which weight decay is for
};

class VqganNetwork {
public:
    // Both halves must be there, pictures have three channels, widths of all levels are multiples of 32 (the groups of
    // the normalisation), and so is the codes'; an Error otherwise.
    VqganNetwork(const VqganConfig& config, const VqganGradKernels& gradients, const Kernels& kernels);

    const VqganConfig& config() const { return config_; }
    const std::vector<VqganParameter>& layout() const { return layout_; }
    int64_t parameters() const { return parameters_; }
    int64_t encoder_parameters() const { return encoder_parameters_; }  // the first ones

    // Makes `values` [parameters()] the weights of the passes that follow. They must stay: biases are read in place.
    void pack(float* values);

    // Multiply-adds of a picture's forward pass by the definition; backward is twice that.
    double forward_macs(int height, int width) const;

private:
    friend class VqganLane;

    VqganConfig config_;
    const VqganGradKernels& gradients_;
    const Kernels& kernels_;
    std::vector<VqganParameter> layout_;
    int64_t parameters_ = 0, encoder_parameters_ = 0;
    std::vector<Buffer> packed_;   // of the matrices, in their order
    VqganWeights packed_weights_;  // the same by their places in the network
    VqganWeights values_;          // of the last pack()

    VqganWeights bind(float* base) const;
};

struct VqganPass {
    Tensor picture;              // [height, width, 3], the reconstruction
    Tensor latent;               // [rows * cols, code_dim], before the nearest codes were taken
    std::vector<int32_t> codes;  // [rows * cols]
};

enum class VqganHalf { Both, Decoder };

class VqganLane {
public:
    explicit VqganLane(const VqganNetwork& network);
    ~VqganLane();

    // pixels [height, width, 3] in [-1, 1]; codebook [codes, code_dim]. The result holds until the next call.
    const VqganPass& forward(std::span<const float> pixels, int height, int width, Tensor codebook);
    // The first half alone: the codes.
    const std::vector<int32_t>& encode(std::span<const float> pixels, int height, int width, Tensor codebook);
    // From given codes on: for training the decoder alone.
    const VqganPass& forward(std::span<const int32_t> codes, int rows, int cols, Tensor codebook);

    // Undoes the last forward(). gradient [parameters()] += that of the sum whose gradient with respect to the
    // reconstruction is dpicture and, with respect to the latent, dlatent (null: none) beside what flows through the
    // quantiser. Decoder: the encoder's part is left alone.
    void backward(Tensor dpicture, Tensor dlatent, float* gradient, VqganHalf half);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace leon
