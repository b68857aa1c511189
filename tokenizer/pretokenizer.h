// The pre-tokenizer of a tokenizer.json: cuts text into the pieces within which merges may happen.
//
// A sequence of steps, each cutting the pieces of the step before: Split (a regular expression), Digits, Punctuation,
// and ByteLevel last, with GPT-2's pattern written out by hand. Pieces are given by their ends. Nothing is ever
// removed, but by CLIP's Split, known by its expression and written out by hand, too: it drops the white space between
// words. Any other step or option is an Error that names it.
//
// Split expressions are matched by PCRE2, while the files are written for Oniguruma. Only the common ground of both is
// accepted (literals, escaped punctuation, \t \n \r, [classes], groups, |, greedy * + ? {n,m}), so that no expression
// can mean something else here.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace leon {

class Pretokenizer {
public:
    // `spec` is the value of "pre_tokenizer" in the file, `where` the file's name.
    Pretokenizer(const nlohmann::json& spec, const std::string& where);
    ~Pretokenizer();
    Pretokenizer(Pretokenizer&&) noexcept;

    // One call's working memory, to be reused by the next.
    struct Pieces {
        std::string_view text;     // what the pieces are cut from: the caller's text, or `rewritten`
        std::vector<size_t> ends;  // piece i is [ends[i-1], ends[i]) of text; none is empty
        std::string rewritten;     // the text with a space before each piece that has none, or without white space
        std::vector<size_t> spare;
    };
    void split(Pieces& pieces, std::string_view text) const;  // text: valid UTF-8

private:
    struct Step;
    std::vector<Step> steps_;
};

}  // namespace leon
