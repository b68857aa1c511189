// Checkpoints as their publishers lay them out, with made-up values: what stands for files that cannot be had. Names,
// shapes, types, shards and side files are those of docs/models.md and of the published listings.
//
//   write_twin("30b", preset("34b", WithVqgan::No), {.files = TwinFiles::Meta, .ranks = 4, .every = 64});
//
// The values are those of write_random_model() with the same seed, so that the files of all layouts hold one model, but
// for qk-norm: a model-parallel rank's heads share its first head's vectors. Where only every n-th row of a matrix
// holds values, the others are holes of the file: they read as zeros, and take no room on the disk. Checksums are right
// in either case.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/config.h"

namespace leon {

enum class TwinFiles {
    Meta,          // consolidated.pth, or one file a rank; params.json, consolidate_params.json
    HuggingFaceA,  // qk-norm [head_dim], adjacent pairs
    HuggingFaceB,  // qk-norm [ranks, head_dim]
    HuggingFaceC,  // qk-norm [heads, head_dim]
};

struct TwinOptions {
    TwinFiles files = TwinFiles::HuggingFaceC;
    int ranks = 1;                         // model-parallel; 1 for A
    int64_t every = 1;                     // row of a matrix of the transformer holds values
    uint64_t shard_bytes = 5'000'000'000;  // Hugging Face's: a file of several tensors has at most so much
    uint64_t seed = 1;
    std::string tokenizer_json = {};
};

// Into a folder that is there. The transformer in bf16; the VQGAN in f32, whichever halves the configuration has:
// within Hugging Face's files, or as tokenizer/vqgan.ckpt beside Meta's.
void write_twin(const std::string& folder, const ModelConfig& config, const TwinOptions& options);

}  // namespace leon
