// How a document of text and pictures is written as tokens, in each family's layout.
//
//   CM3Leon                                                  Chameleon                          docs/models.md §4
//   draw      </s> text <break> | codes                      <s> text <end of turn> <begin> | codes
//   nothing   </s> <sentinel:0> <break>                      <s> <begin>
//   describe  </s> text <sentinel:0> <break> codes           <s> <begin> codes <end> text <end of turn> | answer </s>
//             </s> <sentinel:0> | answer <eoss>
//   fill      </s> text <break> codes with <sentinel:i>      <s> text <end of turn> <begin> | visible codes are forced,
//             </s> <sentinel:0> | codes <eoss> ...           holes are drawn, in raster order
//
// `|` is where the model continues. <break> and <begin> are the same token, and so are <eoss> and <end>. Text never
// becomes a control token here, whatever it spells.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/config.h"
#include "runtime/modality.h"
#include "tokenizer/bpe.h"
#include "tokenizer/vocabulary.h"

namespace leon {

// A grid of picture codes, row by row. In a document a hole stands for cells that are to be filled.
struct CodeGrid {
    int rows = 0, cols = 0;
    std::vector<int32_t> codes;  // [rows, cols]
};

// A rectangle of cells, half open: x0 <= x < x1, y0 <= y < y1.
struct CellBox {
    int x0 = 0, y0 = 0, x1 = 0, y1 = 0;
    int width() const { return x1 - x0; }
    int height() const { return y1 - y0; }
    bool contains(int x, int y) const { return x >= x0 && x < x1 && y >= y0 && y < y1; }
};

class DocumentWriter {
public:
    // Error if the vocabulary lacks a control token that the layout needs.
    DocumentWriter(Layout layout, const Tokenizer& tokenizer, const Vocabulary& vocabulary);

    std::vector<int32_t> draw_prompt(const std::string& text) const;
    std::vector<int32_t> unconditional_prompt() const;  // the guidance stream of draw_prompt
    // `text` stands where the layout puts an instruction or question; the answer follows.
    std::vector<int32_t> describe_prompt(const std::string& text, std::span<const int32_t> codes) const;
    // An empty text gives the guidance stream. CM3Leon: the visible codes are part of the
    // prompt, with one sentinel a row of the hole. Chameleon: the caller forces them while it draws.
    std::vector<int32_t> fill_prompt(const std::string& text, const CodeGrid& grid, const CellBox& hole) const;

    // The ids by which the model itself begins pictures of that many codes and ends the document; see modality.h.
    ModalityRules modality(int codes) const;

    int32_t end_of_answer() const;  // the id that ends describe_prompt's answer
    std::vector<int32_t> image_ids(std::span<const int32_t> codes) const;
    std::vector<int32_t> codes(std::span<const int32_t> ids) const;  // every id must be a picture's

    Layout layout() const { return layout_; }
    const Vocabulary& vocabulary() const { return vocabulary_; }

private:
    std::vector<int32_t> text_ids(const std::string& text) const;

    const Layout layout_;
    const Tokenizer& tokenizer_;
    const Vocabulary& vocabulary_;
};

}  // namespace leon
