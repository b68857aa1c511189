// Running the binary as a person would: LEON_BINARY names it (`make test` does), else build/leon.
//
// Include this in place of tests/testing.h: after every header of leon.
#pragma once

#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/temporary_folder.h"

#include "tests/testing.h"

namespace leon {

struct Result {
    int status;
    std::string out, err;
};

// A folder of its own for the files of a test.
struct Scratch : TemporaryFolder {
    bool empty_but(size_t files) const {
        return size_t(std::distance(std::filesystem::directory_iterator(path()), {})) == files;
    }
};

inline std::string quoted(const std::string& word) {
    std::string out = "'";
    for (char c : word) out += c == '\'' ? "'\\''" : std::string(1, c);
    return out + "'";
}

inline Result leon_run(const std::vector<std::string>& words, const std::string& input = "") {
    const char* named = std::getenv("LEON_BINARY");
    const std::string binary = named ? named : "build/leon";
    Scratch scratch;
    std::ofstream(scratch / "in", std::ios::binary) << input;
    std::string command = quoted(binary);
    for (const std::string& word : words) command += " " + quoted(word);
    command += " <" + scratch / "in" + " >" + scratch / "out" + " 2>" + scratch / "err";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text(scratch / "out"),
            read_text(scratch / "err")};
}

inline size_t lines(const std::string& text) {
    return std::count(text.begin(), text.end(), '\n');
}

// Bad input: exit status 2, nothing on standard output, one line that names what it is about.
inline void check_refused(const std::vector<std::string>& words, const std::string& about,
                          const std::string& input = "") {
    const Result r = leon_run(words, input);
    CAPTURE(words.back());
    CAPTURE(r.err);
    CHECK(r.status == 2);
    CHECK(r.out.empty());
    CHECK(lines(r.err) == 1);
    CHECK(r.err.starts_with("leon: "));
    CHECK(contains(r.err, about));
}

}  // namespace leon
