// Documents of a dataset for a person to look at: their text, what their tokens are, their pictures.
#pragma once

#include <string>
#include <vector>

#include "tasks/model.h"
#include "tokenizer/image.h"
#include "training/dataset.h"

namespace leon {

struct ShownDocument {
    std::string task;
    int64_t index = 0;
};

// The first `count` of each task, or of one (not empty). Error if there is no such task.
std::vector<ShownDocument> documents_to_show(const Dataset& data, const std::string& task, int count);

// "draw 0 (photos/1.jpg), 300 tokens: 20 text, 256 picture, 24 object", what is special about it, and its ids as text.
std::string shown_text(const Model& model, const Dataset& data, const ShownDocument& document);

// All pictures of the documents, in order, a document a row; where some cells matter more (TokenKind::Object), the
// others are dimmed. Holes are filled with what belongs there. Error if there is none.
Picture shown_pictures(const Model& model, const Dataset& data, const std::vector<ShownDocument>& documents);

// Documents and tokens of each task.
std::string dataset_summary(const Dataset& data);

}  // namespace leon
