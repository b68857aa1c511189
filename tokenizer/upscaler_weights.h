// The upscalers' weights, bound by name. The binder is the specification of names and shapes, as runtime/schema.cpp is
// for the converter; docs/upscaling.md says what the tensors mean.
#pragma once

#include <array>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "runtime/config.h"
#include "tokenizer/feature_maps.h"

namespace leon {

// A convolution of a dense block, cut by what it reads: the block's input, then each earlier convolution's output. All
// parts are added up; the first has the bias.
using DenseConvWeights = std::vector<ConvWeights>;
using DenseBlockWeights = std::array<DenseConvWeights, DENSE_CONVOLUTIONS>;
using BlockWeights = std::array<DenseBlockWeights, DENSE_BLOCKS>;

struct RrdbWeights {
    ConvWeights conv_first;
    std::vector<BlockWeights> body;
    ConvWeights conv_body, conv_up1, conv_up2, conv_hr, conv_last;
};

struct CompactWeights {
    std::vector<ConvWeights> convs;
    std::vector<Tensor> slopes;  // [channels] f32, below zero; after every convolution but the last
};

struct UpscalerWeights {
    RrdbWeights rrdb;        // empty unless config.kind is RRDB
    CompactWeights compact;  // empty unless it is Compact
};

// Where tensors come from: a file, or nothing but shapes (for counting work). Names come without "upscaler.".
struct UpscalerTensors {
    std::function<Tensor(const std::string& name, std::initializer_list<int64_t> shape)> matrix;  // f32 or bf16
    std::function<Tensor(const std::string& name, std::initializer_list<int64_t> shape)> vector;  // f32
    std::function<Tensor(int64_t size)> zeros;                                                    // [size] f32
};

UpscalerWeights bind_upscaler(const UpscalerConfig& config, const UpscalerTensors& tensors);

}  // namespace leon
