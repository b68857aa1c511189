// Prompts as token ids, in each family's layout, and back.
//
//   CM3Leon          </s> text <break> codes <break> text ...          parts are joined by <break>
//     picture next   </s> ... <break> | codes
//     holes          </s> a <sentinel:0> beach <break> codes with <sentinel:1> </s> <sentinel:0> | text <eoss>
//                    <sentinel:1> codes <eoss>
//     retrieved      </s> text <break> codes <break> ... the document that matters comes last
//     complete       </s> ... </s>
//   Chameleon, Anole <s> text <begin> codes <end> text <end of turn>   parts stand side by side
//     picture next   <s> ... <begin> | codes
//     text next      <s> ... | text </s>
//     holes          <s> ... <begin> | visible codes are forced, hidden ones are drawn, in raster order
//   Lumina-mGPT      as Chameleon, with pictures of any size: <begin> <rows/2> <cols/2> (a row of codes <new line>)*
//   <end>
//
// `|` is where the model continues; docs/models.md §4. <break> and <begin> are the same token, and so are <eoss> and
// <end>. Text never becomes a control token here, whatever it spells.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/config.h"
#include "runtime/modality.h"
#include "tokenizer/bpe.h"
#include "tokenizer/document.h"
#include "tokenizer/vocabulary.h"

namespace leon {

// Streams that a prompt is compared with while a picture is drawn (docs/models.md §7).
//   Nothing   what the model draws when it is told nothing
//   Pictures  when it is shown the pictures but not told what to do with them
enum class GuidanceStream { Nothing, Pictures };

// With retrieved documents in front, the stream that is told nothing may keep them or not: the authors did both.
enum class UnconditionalKeeps { Nothing, Retrieved };

constexpr int LUMINA_CELLS = 2;  // cells that a grid count of Lumina-mGPT stands for: 32 pixels

class DocumentWriter {
public:
    // Error if the vocabulary lacks a control token that the layout needs.
    DocumentWriter(Layout layout, const Tokenizer& tokenizer, const Vocabulary& vocabulary);

    // Error if the family cannot express the prompt (retrieved documents or text holes in a conversation, turns in
    // CM3Leon's layout), or if there are more holes than sentinels.
    std::vector<int32_t> ids(const Prompt& prompt) const;

    // The prompt of a guidance stream, which goes on where the main one does.
    std::vector<int32_t> ids(const Prompt& prompt, GuidanceStream stream, UnconditionalKeeps keeps) const;

    // The reverse: parse(ids(p)) equals p, but that retrieved documents are parts like all others, that neighbouring
    // pieces of text are one, that hidden cells hold code 0, that behind a <break> a picture is next, and that a
    // complete conversation of Lumina-mGPT's, which ends with a turn, is one that awaits a reply. What belongs into
    // CM3Leon's holes is returned as `fillings`, in order. `rows` and `cols` are those of pictures without their size
    // in their tokens. How long the holes of a picture are does not stand in the tokens: what has been filled is as
    // long as its filling, and the others must be equally long. Error if the ids are no document of this layout.
    struct Parsed {
        Prompt prompt;
        std::vector<Filling> fillings;
    };
    Parsed parse(std::span<const int32_t> ids, int rows, int cols) const;

    // The ids by which the model itself begins pictures and ends the document; see modality.h. Pictures have that many
    // codes, but Lumina-mGPT's, whose size stands in front of them.
    ModalityRules modality(int codes) const;

    int32_t end_of_answer() const;                       // ends the text of a hole or of an answer
    std::vector<int32_t> between_holes(size_t i) const;  // what stands between hole i and hole i + 1
    // A picture's tokens behind `begin`, as far as they are no codes: Lumina's counts, new lines, and the end.
    std::vector<int32_t> before_codes(int rows, int cols) const;
    std::vector<int32_t> after_row() const;

    std::vector<int32_t> image_ids(std::span<const int32_t> codes) const;
    std::vector<int32_t> codes(std::span<const int32_t> ids) const;  // every id must be a picture's
    std::vector<int32_t> text_ids(const std::string& text) const;

    // "</s> a red car <racm3:break> [256 codes]": ids for a person to read.
    std::string readable(std::span<const int32_t> ids) const;

    Layout layout() const { return layout_; }
    bool joins_by_break() const { return layout_ == Layout::CM3Leon; }
    const Vocabulary& vocabulary() const { return vocabulary_; }

private:
    std::vector<int32_t> cm3_ids(const Prompt& prompt) const;
    std::vector<int32_t> chat_ids(const Prompt& prompt) const;
    void append(std::vector<int32_t>& ids, const Part& part, size_t& holes) const;
    Parsed parse_cm3(std::span<const int32_t> ids, int rows, int cols) const;
    Parsed parse_chat(std::span<const int32_t> ids, int rows, int cols) const;

    const Layout layout_;
    const Tokenizer& tokenizer_;
    const Vocabulary& vocabulary_;
};

}  // namespace leon
