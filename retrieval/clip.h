// CLIP (Radford et al., arXiv 2103.00020) as an embedder: a text and a picture of the same thing lie close together.
//
//   ClipEmbedder clip("clip-vit-base-patch32.leon", cpu_kernels());
//   float score = dot(clip.text("a red car"), clip.picture(load_picture("car.png")));
//
// Two transformers on the kernel table. The text tower is causal; its vector is the row of <|endoftext|>, with which
// every text ends, cut to the longest that it learned if need be. The picture tower lets every patch see every patch
// behind one more row, whose end is its vector. Both are projected into one space and brought to unit length.
//
// Text that spells <|endoftext|> is text: it can never be the control token. (The published tokenizer takes it for
// one.)
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "retrieval/clip_weights.h"
#include "retrieval/embedder.h"
#include "tokenizer/bpe.h"

namespace leon {

class ClipTowerRun;

class ClipEmbedder : public Embedder {
public:
    // Error if the file is no CLIP's, or if its tokenizer has ids that the text tower has no row for.
    ClipEmbedder(const std::string& path, const Kernels& kernels);
    ~ClipEmbedder() override;

    // "clip-1 <hash of the projections>"
    std::string name() const override { return name_; }
    int dim() const override { return config_.dim; }

    // Error if the file holds no tokenizer, or if the text is not UTF-8. Nothing but white space gives zeros.
    std::vector<float> text(const std::string& text) const override;
    std::vector<float> picture(const Picture& picture) const override;

    // The steps of the two, and their results before they are brought to unit length.
    std::vector<int32_t> tokens(const std::string& text) const;       // with the first and the last token
    std::vector<float> text_row(std::span<const int32_t> ids) const;  // 1 to context ids within the vocabulary
    std::vector<float> patches(const Picture& picture) const;         // [patches, patch * patch * 3], normalised
    std::vector<float> picture_row(std::span<const float> patches) const;

private:
    std::vector<float> unit(std::vector<float> row) const;

    const WeightsFile file_;
    const Kernels& kernels_;
    const ClipConfig config_;
    const ClipWeights weights_;
    std::optional<Tokenizer> tokenizer_;
    int32_t start_ = -1, end_ = -1;
    std::string name_;
    mutable std::mutex busy_;  // one at a time: the runs below are working memory
    std::unique_ptr<ClipTowerRun> text_, vision_;
};

}  // namespace leon
