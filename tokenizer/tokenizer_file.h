// What a Hugging Face tokenizer.json says, read with distrust and given types.
//
// The file is hostile input: wrong types, missing fields, unknown options, ids that are negative, taken twice or far
// beyond the number of tokens are an Error, whatever the file's size or depth. The long lists (vocabulary and merges)
// go straight into vectors while they are parsed; only the rest becomes a JSON tree.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/memory_budget.h"
#include "tokenizer/normalizer.h"

namespace leon {

struct AddedToken {
    int32_t id;
    bool skip_left, skip_right;  // "lstrip", "rstrip": swallow white space before, after
    bool normalized;             // matched in a second pass, behind the others
};

struct TokenizerFile {
    std::vector<std::string> names;        // [largest id + 1]; empty: unused. Of vocabulary and added tokens
    std::vector<AddedToken> added;         // ids are unique
    std::vector<std::string> merge_parts;  // two for each merge, in rank order
    std::string end_of_word;               // what the names of tokens that end a word end in ("</w>"); mostly nothing
    Normalization normalization = Normalization::None;
    nlohmann::json pre_tokenizer;
};

// "truncation", "padding" and "post_processor" are about what is put around or cut from a text, not about its ids;
// they are read over, as tokenizers' encode(text, add_special_tokens=False) does without truncation and padding.
// What is read is charged to `budget`.
TokenizerFile read_tokenizer_file(std::string_view json, const std::string& where, MemoryBudget& budget);

}  // namespace leon
