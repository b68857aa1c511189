// The normalizer of a tokenizer.json: none, or CLIP's, which makes one spelling of the many that look alike:
//
//   NFC (letters and their marks composed), white space of any kind and length to one ' ', lower case
//
// Composition and case come from utf8proc. Any other normalizer is an Error that names it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace leon {

enum class Normalization { None, Clip };

// `spec` is the value of "normalizer" in the file, `where` the file's name.
Normalization read_normalization(const nlohmann::json& spec, const std::string& where);

// CLIP's form of a text that is valid UTF-8, in time linear in its length. Error if more than MAX_MARKS combining marks
// follow one another: sorting them takes time quadratic in their number, and no writing system has so many.
constexpr int MAX_MARKS = 1000;
std::string clip_normalized(std::string_view text);

}  // namespace leon
