// What reader and writer of a memory bank agree on; docs/retrieval.md has the whole format.
#pragma once

#include <algorithm>
#include <string>

#include "retrieval/bank.h"

namespace leon {

constexpr const char* BANK_FORMAT = "leon-bank";
constexpr const char* BANK_VERSION = "1";
constexpr size_t MAX_PNG_BYTES = size_t{1} << 28;

// Printable ASCII, not too long.
inline bool is_embedder_name(const std::string& name) {
    return !name.empty() && name.size() <= MAX_EMBEDDER_NAME_BYTES &&
           std::all_of(name.begin(), name.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

}  // namespace leon
