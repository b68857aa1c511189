// Vectors of a search space: their inner product, their length, and the vector of a document made of two parts.
//
// Sums run over sixteen fixed lanes and then up a fixed tree, so that every compiler can use its vector registers and
// all give the same bits.
#pragma once

#include <span>
#include <vector>

namespace leon {

// Vectors side by side, somebody else's memory: [count, dim].
struct VectorView {
    const float* data = nullptr;
    int count = 0, dim = 0;
    std::span<const float> at(int i) const {
        return {data + static_cast<size_t>(i) * static_cast<size_t>(dim), static_cast<size_t>(dim)};
    }
};

float inner_product(std::span<const float> a, std::span<const float> b);  // of the same length

// To unit length; zeros stay zeros.
void normalise(std::span<float> vector);

// The normalised average of a document's two vectors; of one that has only text or only a picture (the other span is
// empty) just that. CM3Leon averages; that the average is brought to unit length again is RA-CM3's rule, without which
// documents whose parts disagree would score lower than others with everything.
std::vector<float> document_vector(std::span<const float> text, std::span<const float> picture);

}  // namespace leon
