// Recordings of the backends that run on the host: the function itself, called again.
#pragma once

#include <functional>

#include "kernels/kernels.h"

namespace leon {

struct HostRecording {
    std::function<void()> operations;
};

inline Recording* record_calls(const std::function<void()>& operations) {
    return reinterpret_cast<Recording*>(new HostRecording{operations});
}
inline void replay_calls(Recording* recording) {
    reinterpret_cast<HostRecording*>(recording)->operations();
}
inline void forget_calls(Recording* recording) {
    delete reinterpret_cast<HostRecording*>(recording);
}

}  // namespace leon
