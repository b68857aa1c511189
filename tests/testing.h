// doctest beside leon. Both have a macro named CHECK: leon's aborts on a bug, doctest's records a failed test.
//
// Include this after every header of leon: their inline functions must be compiled with leon's CHECK, and what follows
// here gets doctest's.
#pragma once

#include <string>
#include <string_view>

#include "kernels/check.h"

#undef CHECK
#include <doctest/doctest.h>

// The message of the Error that `action` throws; empty if it throws none.
template <class Action>
std::string error_of(const Action& action) {
    try {
        action();
    } catch (const leon::Error& error) {
        return error.what();
    }
    return "";
}

inline bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}
