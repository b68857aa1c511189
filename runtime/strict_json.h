// JSON from outside, read strictly: one value, valid UTF-8, no duplicate keys (which of two would count?), nested at
// most JSON_DEPTH deep. Parsing and freeing use no recursion and no more memory than a multiple of the text.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace leon {

constexpr int JSON_DEPTH = 64;

// `where` is the file the text comes from, for messages.
nlohmann::json parse_json(std::string_view text, const std::string& where);

// What went wrong in nlohmann's words, without its "[json.exception...]" prefix and in one line of printable ASCII.
std::string json_problem(const nlohmann::json::exception& problem);

}  // namespace leon
