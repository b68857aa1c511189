// Two small things that many tasks need.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace leon {

// Seconds on a clock that never goes back.
inline double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Without white space (ASCII's) at its ends.
inline std::string trimmed(std::string_view text) {
    constexpr const char* SPACES = " \t\n\v\f\r";
    const size_t begin = text.find_first_not_of(SPACES);
    if (begin == std::string_view::npos) return "";
    return std::string(text.substr(begin, text.find_last_not_of(SPACES) + 1 - begin));
}

}  // namespace leon
