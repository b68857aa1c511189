// The parts of one piece of scratch memory, each on a cache line of its own. Made over null, it only counts: the same
// description of a layout tells how much to ask for, and where things are.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace leon {
namespace {

struct ScratchParts {
    char* base;
    size_t bytes = 0;

    template <class T>
    T* take(int64_t count) {
        T* part = base ? reinterpret_cast<T*>(base + bytes) : nullptr;
        bytes += (static_cast<size_t>(count) * sizeof(T) + 63) & ~size_t{63};
        return part;
    }
};

}  // namespace
}  // namespace leon
