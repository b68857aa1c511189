// The embedder that needs nothing but the model itself: no network of its own, nothing learned.
//
//   [ text: 512 | picture: 512 ]
//
// Text is a bag of hashed words, pairs of words and character n-grams; a picture is a histogram of its VQGAN codes over
// the whole frame and its four quarters, hashed likewise (signed feature hashing: Weinberger et al., ICML 2009). The
// two parts share no coordinate: a text query meets the texts of documents, a picture query their pictures. It finds
// what is worded alike and what looks alike patch by patch. It does not know that "car" and "automobile" are one thing,
// nor that a picture shows what a text says; CLIP does. Upper and lower case are the same for ASCII only. Hashing
// makes unrelated texts score about 0 +- 0.04 instead of 0.
//
// Half of a document with text and picture is its picture, so a text query scores at most 0.71 = 1/sqrt(2) there.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "retrieval/embedder.h"
#include "runtime/weights_file.h"
#include "tokenizer/vqgan.h"

namespace leon {

constexpr int NATIVE_PART_DIM = 512;

class NativeEmbedder : public Embedder {
public:
    // `vqgan` must outlive this object and comes from `file`, whose codebook goes into the name: codes of another model
    // mean other things. Error if the file has no encoder.
    NativeEmbedder(const Vqgan& vqgan, const WeightsFile& file);

    std::string name() const override { return name_; }
    int dim() const override { return 2 * NATIVE_PART_DIM; }
    std::vector<float> text(const std::string& text) const override;
    std::vector<float> picture(const Picture& picture) const override;

private:
    const Vqgan& vqgan_;
    std::string name_;
};

constexpr const char* NATIVE_EMBEDDER_PREFIX = "native-1 ";  // of every name()

// The two parts by themselves, [NATIVE_PART_DIM], of unit length or all zeros.
std::vector<float> hashed_text(const std::string& text);  // Error if it is not UTF-8
std::vector<float> hashed_codes(std::span<const int32_t> codes, int rows, int cols);

}  // namespace leon
