// A document as leon sees it: text and pictures in any order, with holes in either, and what is to follow it.
//
// Nothing here knows an id: tokenizer/document_writer.h writes a prompt as tokens, tokenizer/document_text.h as text
// that a person can read. Building one is cheap, so tasks, training and tests describe what they mean and compare
// documents.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace leon {

// A grid of picture codes, row by row.
struct CodeGrid {
    int rows = 0, cols = 0;
    std::vector<int32_t> codes;  // [rows, cols]

    int cells() const { return rows * cols; }
    bool operator==(const CodeGrid&) const = default;
};

// A rectangle of cells, half open: x0 <= x < x1, y0 <= y < y1.
struct CellBox {
    int x0 = 0, y0 = 0, x1 = 0, y1 = 0;
    int width() const { return x1 - x0; }
    int height() const { return y1 - y0; }
    bool contains(int x, int y) const { return x >= x0 && x < x1 && y >= y0 && y < y1; }
};

// A stretch of text that is encoded by itself, or a hole where text is to stand.
struct TextPiece {
    std::string text;
    bool hole = false;

    bool operator==(const TextPiece&) const = default;
};

struct Part {
    // EndOfTurn: somebody has finished speaking (families that were trained on conversations).
    enum class Kind { Text, Picture, EndOfTurn };

    Kind kind = Kind::Text;
    std::vector<TextPiece> text;  // Text; none stands for no text at all
    CodeGrid picture;             // Picture
    std::vector<uint8_t> hidden;  // Picture: [rows, cols], 1 = a cell that is to be filled; empty: none is

    bool is_hidden(int cell) const { return !hidden.empty() && hidden[cell]; }
    bool operator==(const Part&) const = default;
};
Part text_part(const std::string& text);
Part picture_part(CodeGrid picture, std::vector<uint8_t> hidden = {});
Part end_of_turn();
// Text in which every run of three underscores or more is a hole: "a ___ on a ___ beach".
Part text_with_holes(const std::string& text);

struct Document {
    std::vector<Part> parts;

    bool operator==(const Document&) const = default;
};

// Holes are numbered as they stand, from the front: in text one a piece, in a picture one for every unbroken run of
// hidden cells within a row. (A rectangle is so one hole a row.)
struct Hole {
    Part::Kind kind;
    size_t part;
    size_t piece = 0;           // Text
    int first = 0, length = 0;  // Picture: cells
};
std::vector<Hole> holes_of(const Document& document);

// What belongs into a hole: text or codes, as its kind is.
struct Filling {
    std::string text;
    std::vector<int32_t> codes;
};
// The document without holes. As many fillings as there are holes, of the right lengths: a bug otherwise.
Document filled(const Document& document, const std::vector<Filling>& fillings);

// All of the text, pieces and parts joined; holes as "___". For captions and messages.
std::string plain_text(const Document& document);

// What a model is to go on from: documents that were retrieved to help it, the one that matters, and what follows.
struct Prompt {
    // Picture: one picture. Text: an answer. Holes: what belongs into the holes, in order. Nothing: the document is
    // complete and closed. Anything: the document goes on with text and pictures as the model decides.
    enum class Next { Nothing, Picture, Text, Holes, Anything };

    std::vector<Document> retrieved;
    Document document;
    Next next = Next::Nothing;
    int rows = 0, cols = 0;  // Next::Picture: of the picture that follows
    // Next::Holes, CM3Leon: no </s> stands before the first filling. The authors' training cuts a stream of documents
    // into blocks, and fillings stand behind the block: behind a document's end or, where the cut is in its midst, not.
    bool unclosed = false;

    bool operator==(const Prompt&) const = default;
};

}  // namespace leon
