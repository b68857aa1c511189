// Prompts as JSON that a person can read and write:
//
//   {"retrieved": [{"parts": [...]}],
//    "parts": [{"text": ["a ", null, " on a beach"]},                 null is a hole
//              {"picture": {"rows": 2, "cols": 2, "codes": [5, 9, null, 3]}},    null is a hidden cell
//              {"turn": "end"}],
//    "unclosed": true,                                                only if it is
//    "next": "nothing" | "text" | "holes" | "anything" | {"picture": {"rows": 2, "cols": 2}}}
//
// parse_prompt(print_prompt(p)) equals p, but that hidden cells hold code 0. Unknown keys are errors.
#pragma once

#include <string>

#include "tokenizer/document.h"

namespace leon {

std::string print_prompt(const Prompt& prompt);
Prompt parse_prompt(const std::string& json, const std::string& where);

}  // namespace leon
