// The two kinds of failure that every room shares.
//
//   CHECK(x)   a contract inside leon is broken: a bug. Prints file, line, expression and aborts, in release too.
//              No user input may ever reach a failing CHECK.
//   Error      bad input or environment: what is wrong, where, and how to fix it. Thrown, and caught once in main.
//
// Expected absence is neither: it is null or std::optional.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace leon {

// One line for a person: "WHERE: WHAT; FIX".
//   what   what is wrong ("the file ends inside tensor 'a'")
//   where  the file, option or argument it is about ("model.leon", "--box"); may be empty
//   fix    what the person can do; may be empty
class Error : public std::runtime_error {
public:
    Error(const std::string& what, const std::string& where = "", const std::string& fix = "")
        : std::runtime_error((where.empty() ? "" : where + ": ") + what + (fix.empty() ? "" : "; " + fix)) {}
};

[[noreturn]] inline void check_failed(const char* file, int line, const char* expression) {
    std::fprintf(stderr, "%s:%d: leon bug: CHECK(%s) failed\n", file, line, expression);
    std::abort();
}

}  // namespace leon

#define CHECK(...) (static_cast<bool>(__VA_ARGS__) ? (void)0 : ::leon::check_failed(__FILE__, __LINE__, #__VA_ARGS__))
