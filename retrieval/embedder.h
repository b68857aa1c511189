// What turns a text or a picture into a point of one space, so that what belongs together lies close together: the two
// towers of a bi-encoder. The score of a query and a document is the inner product of their vectors.
//
// Every vector has unit length, or is all zeros where there is nothing to say (an empty text); zero scores zero with
// everything. An embedder is immutable: calls from several threads at a time are safe.
#pragma once

#include <string>
#include <vector>

#include "tokenizer/image.h"

namespace leon {

class Embedder {
public:
    virtual ~Embedder() = default;

    // The space and its version: "native-1 text4096+codes512x5 VQGAN-HASH". Vectors are comparable only where names are
    // equal; a bank keeps the name and refuses another embedder's queries. Printable ASCII, at most 200 characters.
    virtual std::string name() const = 0;
    virtual int dim() const = 0;

    virtual std::vector<float> text(const std::string& text) const = 0;    // [dim]; Error if it is not UTF-8
    virtual std::vector<float> picture(const Picture& picture) const = 0;  // [dim]; any size of picture
};

}  // namespace leon
