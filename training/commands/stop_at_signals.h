// The first Ctrl-C (or SIGTERM) asks a run to end after its step, with a checkpoint; the second one ends it at once.
#pragma once

#include <csignal>
#include <cstddef>
#include <iterator>

namespace leon {

class StopAtSignals {
public:
    StopAtSignals() {
        for (size_t i = 0; i < std::size(SIGNALS); i++) old_[i] = std::signal(SIGNALS[i], remember);
    }
    ~StopAtSignals() { restore(); }
    StopAtSignals(const StopAtSignals&) = delete;
    StopAtSignals& operator=(const StopAtSignals&) = delete;

    static bool asked() { return asked_ != 0; }

private:
    static constexpr int SIGNALS[] = {SIGINT, SIGTERM};
    static inline void (*old_[2])(int) = {};
    static inline volatile std::sig_atomic_t asked_ = 0;

    static void restore() {
        for (size_t i = 0; i < std::size(SIGNALS); i++) std::signal(SIGNALS[i], old_[i]);
    }
    static void remember(int) {
        asked_ = 1;
        restore();
    }
};

}  // namespace leon
