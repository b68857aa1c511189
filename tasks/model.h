// An opened model: the mapped file and everything bound to it. Parts that a checkpoint lacks are absent, and asking for
// one is an Error that names the file and the part.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "kernels/kernels.h"
#include "runtime/config.h"
#include "runtime/weights.h"
#include "runtime/weights_file.h"
#include "tokenizer/bpe.h"
#include "tokenizer/document_writer.h"
#include "tokenizer/vocabulary.h"
#include "tokenizer/vqgan.h"

namespace leon {

class Model {
public:
    Model(const std::string& path, const Kernels& kernels);

    const std::string& path() const { return file_.path(); }
    const ModelConfig& config() const { return config_; }
    const Kernels& kernels() const { return kernels_; }
    const WeightsFile& file() const { return file_; }

    const TransformerWeights& weights() const;
    const Tokenizer& tokenizer() const;  // parsed on first use, as are the next two
    const Vocabulary& vocabulary() const;
    const DocumentWriter& documents() const;
    const Vqgan& encoder() const;  // Error if the file has no VQGAN encoder
    const Vqgan& decoder() const;  // Error if the file has no VQGAN decoder
    int grid() const;              // tokens a side of a picture: resolution / patch; Error without a VQGAN

private:
    const Kernels& kernels_;
    const WeightsFile file_;
    const ModelConfig config_;
    std::optional<TransformerWeights> weights_;
    std::optional<Vqgan> vqgan_;
    // Lazily made: a tokenizer of 65,536 tokens takes a while to parse, and decode needs none.
    mutable std::unique_ptr<Tokenizer> tokenizer_;
    mutable std::unique_ptr<Vocabulary> vocabulary_;
    mutable std::unique_ptr<DocumentWriter> documents_;
};

}  // namespace leon
