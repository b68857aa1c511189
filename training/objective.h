// The CM3 objective: a document, or a block of documents, with spans cut out of it and put behind it.
//
//   </s> a red car <break> codes </s>   ->   </s> a <sentinel:0> <break> codes </s> <sentinel:0> red car <eoss>
//
// So one decoder learns to go on from the left, and to fill holes with both sides before its eyes: captions and answers
// are holes in front of a picture, and a prompt without its text is a hole, too (the unconditional stream of guidance).
// CM3 (arXiv 2201.07520) and CM3Leon (2309.02591 §2.2, as its authors' code has it) differ in the numbers of CutRule.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tokenizer/vocabulary.h"
#include "training/draws.h"

namespace leon {

// What a token is, for the weight of its loss.
enum class TokenKind : uint8_t {
    Text,     // words and control tokens
    Picture,  // a code of a picture that a task is to draw
    Object,   // the same, where something of interest is: emphasis
    Answer,   // what a task is to say
    Context,  // a code of a picture that is given, or of a retrieved document
};
constexpr int TOKEN_KINDS = 5;

// A tokenised document with what training wants to know of it; see dataset.h.
struct DocumentView {
    std::span<const int32_t> ids;          // </s> ... </s>
    std::span<const TokenKind> kinds;      // of each id
    int query = 0;                         // where the document itself begins, behind retrieved ones
    int answer_first = 0, answer_end = 0;  // the answer's ids; equal: there is none
    bool prepared = false;                 // holes were made when it was written: it stays as it is
};

// Ids that the objective writes and respects.
struct CutIds {
    int32_t end_of_document = -1, brk = -1, end_of_span = -1;
    std::vector<int32_t> sentinels;
};

CutIds cut_ids(const Vocabulary& vocabulary);

struct CutRule {
    enum class Spans { Poisson, Fixed, Always };  // how many: Poisson(mean), exactly `mean`, or one (FIM)
    // CM3Leon learns every token. CM3 learns no sentinel, as its place is no information, and cuts at least once.
    enum class Loss { CM3Leon, CM3 };

    Spans spans = Spans::Poisson;
    Loss loss = Loss::CM3Leon;
    double mean = 1;
    int most = 512;         // spans (CM3: at least one); and never more than there are sentinels
    double rotation = 0;    // probability that whole segments are cut, not spans anywhere
    bool crossing = false;  // whether a span may hold <break>s; else it is clipped to the segment it lies in most
    double answer = 0;      // probability that the answer of a document that has one is the one span
    double drop_text = 0;   // probability that the last text before a picture goes, where another picture precedes
                            // it: what guidance by pictures alone is asked for (cm3leon §5.3)
    double read_back = 0;   // probability that the text a picture is drawn after is the one span, as an answer that
                            // is read off the picture: what ranks a model's own candidates
};

// Half open, in ids of the source.
struct Span {
    int first = 0, end = 0;
    bool operator==(const Span&) const = default;
};

// How far a token is to be predicted.
enum class Learn : uint8_t {
    Not,
    Fully,
    AsHelp,  // it stands in a retrieved document, which RA-CM3 weighs less
};

struct CutDocument {
    std::vector<int32_t> ids;
    std::vector<TokenKind> kinds;
    std::vector<Learn> learn;
};

// The stretches between <break>s of ids [1, end).
std::vector<Span> segments_of(std::span<const int32_t> ids, int32_t brk, int end);

// Spans to cut, sorted and disjoint, of ids [1, end) of a block of that many ids.
std::vector<Span> draw_spans(std::span<const int32_t> ids, int end, const CutIds& control, const CutRule& rule,
                             RandomDraws& draws);

// Every span becomes a sentinel; behind everything stands, span by span, its sentinel, its ids and <eoss>. The first
// `query` ids are retrieved documents'.
// `most` ids remain: what is too much goes from the end of the part that was not cut (a block), never from the spans.
// 0: all remain.
CutDocument cut(std::span<const int32_t> ids, std::span<const TokenKind> kinds, int query,
                const std::vector<Span>& spans, const CutIds& control, CutRule::Loss loss, int most);
// The reverse: the ids with spans back in their places. Error if these are not ids that cut() can have made without a
// limit.
std::vector<int32_t> uncut(std::span<const int32_t> ids, const CutIds& control);

// A document by itself. Its </s> at the end belongs to no segment, so that it closes the document in front of the spans
// as it does in prompts; and a document that would become longer than `most` ids is not cut.
CutDocument transform_document(const DocumentView& document, const CutIds& control, const CutRule& rule, int most,
                               RandomDraws draws);

// A block of a stream of documents, the paper's way: as long afterwards as before.
CutDocument transform_block(std::span<const int32_t> ids, std::span<const TokenKind> kinds, const CutIds& control,
                            const CutRule& rule, RandomDraws draws);

}  // namespace leon
