// Runs something that may die in a process of its own, and hears its last words: what it wrote to standard error.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace leon {

struct Ending {
    std::string said;
    int status;  // as waitpid() gives it; 0: `action` returned 0
};

// `action` returns the exit status.
template <class Action>
Ending in_a_child(const Action& action) {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        _exit(action());
    }
    close(ends[1]);
    std::string said;
    char buffer[4096];
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) said.append(buffer, static_cast<size_t>(n));
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    return {said, status};
}

}  // namespace leon
