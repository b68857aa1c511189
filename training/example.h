// A document of a task as an example for training: its ids, what each of them is, and where its answer stands.
//
//   const Template& row = template_of(layout, Task::Ask);
//   example_of(model.documents(), {.task = "ask", .source = "photos/12.jpg", .whole = whole(row, fields),
//                                  .query = query(row, fields), .object_cells = {}, .holes = Holes::Later})
//
// What is asked and what is learnt cannot drift apart, since the one is found in the other: what a query leaves open is
// what the example is to say or to draw.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/document_writer.h"
#include "training/dataset.h"

namespace leon {

// Later: the objective cuts spans out of the document. Made: those of the query, once and for all, and what belongs
// into them behind the document, as the model is to write it ("prepared").
enum class Holes { Later, Made };

struct TaskDocument {
    std::string task, source;
    Prompt whole;  // complete, nothing open
    // What a person would ask. The same document, but for its last picture (Next::Picture), its answer (Next::Text, or
    // one hole in text) or hidden cells; or `whole` itself, where nobody asks anything: a picture with its caption.
    Prompt query;
    std::vector<uint8_t> object_cells;  // of the last picture: 1 where something of interest is; empty: nowhere
    Holes holes = Holes::Later;         // Made: a layout with sentinels and a query with holes
};

// Kinds of tokens:
//   Picture, Object   codes that the query leaves open; of every picture, where it asks nothing
//   Context           all other codes, and those of retrieved documents
//   Answer            the text that the query leaves open (one hole, or a reply with the token that ends it)
//   Text              everything else
Example example_of(const DocumentWriter& writer, const TaskDocument& document);

}  // namespace leon
