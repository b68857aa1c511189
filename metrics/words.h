// Captions as words, nearly as the published caption evaluation splits them (Penn Treebank rules, punctuation removed).
//
// The published one runs Stanford's PTBTokenizer, a Java program. This is the part of its rules that captions meet:
//   - lower case (ASCII and Latin-1)
//   - n't 's 'm 'd 're 've 'll are words of their own; so are the halves of cannot, gonna, gotta, wanna, gimme, lemme
//   - - / _ @ and apostrophes between letters or digits stay inside a word, so do . between letters and . , : between
//     digits; letters after such a number are a word of their own (3:30 pm)
//   - u.s. and its like (single letters with periods) and mr. mrs. ms. dr. st. jr. sr. vs. etc. keep their periods
//   - other signs are words of their own; brackets become -lrb- -rrb- -lsb- -rsb- -lcb- -rcb-
//   - then . ? ! , : ; - -- ... ' ` and quotes are removed; a run such as "!!" stays, and so do brackets, as published
// Known to differ: "No. 5" (leon drops the period), degree signs (leon keeps 50°C whole), single letters with periods
// that go on with a hyphen. Text that needs more should be tokenised outside and given as it is (split_words).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace leon {

using Words = std::vector<std::string>;

Words caption_words(std::string_view caption);
Words split_words(std::string_view text);  // at ASCII white space, nothing else

std::string lower_case(std::string_view text);  // ASCII and Latin-1, in UTF-8; all else stays
inline bool is_digit(char c) {                  // of ASCII, in every locale
    return c >= '0' && c <= '9';
}

}  // namespace leon
