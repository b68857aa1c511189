// The picture tokenizer's weights, bound by name: the tensors of taming-transformers' VQGAN under "vqgan.", convolution
// weights as [out, kernel, kernel, in]. The binder below is the specification of names and shapes.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "kernels/tensor.h"
#include "runtime/config.h"
#include "tokenizer/feature_maps.h"

namespace leon {

struct NormWeights {
    Tensor weight, bias;  // [channels]
};
struct ResBlockWeights {
    NormWeights norm1, norm2;
    ConvWeights conv1, conv2;
    ConvWeights nin_shortcut;  // absent if the block keeps its width
};
struct AttentionWeights {
    NormWeights norm;
    ConvWeights q, k, v, proj_out;
};
struct MidWeights {
    ResBlockWeights block_1, block_2;
    AttentionWeights attn_1;
};
struct LevelWeights {
    std::vector<ResBlockWeights> blocks;
    ConvWeights resample;  // downsample or upsample; absent on the last level
};

struct EncoderWeights {
    ConvWeights conv_in;
    std::vector<LevelWeights> levels;  // finest first
    MidWeights mid;
    NormWeights norm_out;
    ConvWeights conv_out, quant_conv;
};
struct DecoderWeights {
    ConvWeights post_quant_conv, conv_in;
    MidWeights mid;
    std::vector<LevelWeights> levels;  // coarsest first
    NormWeights norm_out;
    ConvWeights conv_out;
};
struct VqganWeights {
    EncoderWeights encoder;  // empty unless config.encoder
    DecoderWeights decoder;  // empty unless config.decoder
    Tensor codebook;         // [codes, code_dim] f32
};

// Where tensors come from: a file, or nothing but shapes (for counting work). Names come without "vqgan.".
struct VqganTensors {
    std::function<Tensor(const std::string& name, std::initializer_list<int64_t> shape)> matrix;  // f32 or bf16
    std::function<Tensor(const std::string& name, std::initializer_list<int64_t> shape)> vector;  // f32
};

VqganWeights bind_vqgan(const VqganConfig& config, const VqganTensors& tensors);

}  // namespace leon
