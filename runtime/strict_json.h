// JSON from outside, read strictly: one value, valid UTF-8, no duplicate keys (which of two would count?), nested at
// most JSON_DEPTH deep. Parsing and freeing use no recursion, and no more memory than the text's size and 64 MiB: a
// million empty lists are refused.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "runtime/memory_budget.h"

namespace leon {

constexpr int JSON_DEPTH = 64;

// `where` is the file the text comes from, for messages.
nlohmann::json parse_json(std::string_view text, const std::string& where);

// Charges what nlohmann's parser takes for itself: it keeps the string or number that it is reading, twice, the white
// space in front of it, too, and either grows by doubling.
void charge_json_parser(std::string_view text, MemoryBudget& budget);

// What went wrong in nlohmann's words, without its "[json.exception...]" prefix and in one line of printable ASCII.
std::string json_problem(const nlohmann::json::exception& problem);

}  // namespace leon
