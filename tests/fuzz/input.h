// What the fuzz targets share. A target is a file fuzz_NAME.cpp with libFuzzer's LLVMFuzzerTestOneInput; `make fuzz`
// builds all of them, with AddressSanitizer and UndefinedBehaviorSanitizer, and runs each for its share of SECONDS on
// the seeds of tests/fuzz/seeds/NAME and of the folders that it names.
//
// Whatever bytes a reader is given, it must throw an Error or give something that can be used to its last byte, and
// take no more memory than the input's size and 64 MiB.
#pragma once

#include <sanitizer/allocator_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "kernels/check.h"

namespace leon {

// The input as a file without a disk, overwritten by the next call.
inline const std::string& as_file(std::string_view content) {
    static const int descriptor = memfd_create("input", 0);
    static const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
    if (ftruncate(descriptor, 0) != 0 ||
        pwrite(descriptor, content.data(), content.size(), 0) != static_cast<ssize_t>(content.size()))
        std::abort();
    return path;
}

// Runs what may throw an Error, and nothing else.
template <class Body>
void allow_errors(Body body) {
    try {
        body();
    } catch (const Error& error) {
        // One line for a person: no control characters may have come through from the input.
        for (const char* c = error.what(); *c; c++)
            if (static_cast<unsigned char>(*c) < 0x20) std::abort();
    }
}

// Memory as AddressSanitizer hands it out: bytes in use, and the most that were.
struct InUse {
    static inline size_t used = 0, most = 0;
    static void count() {
        static const int installed = __sanitizer_install_malloc_and_free_hooks(
            [](const volatile void*, size_t bytes) { most = std::max(most, used += bytes); },
            [](const volatile void* memory) {
                if (memory) used -= __sanitizer_get_allocated_size(const_cast<const void*>(memory));
            });
        if (!installed) std::abort();
    }
};

// The most bytes that `body` has in use at a time, beside what there was.
template <class Body>
size_t most_memory(Body body) {
    InUse::count();
    const size_t before = InUse::used;
    InUse::most = before;
    body();
    return InUse::most - before;
}

constexpr size_t SPARE_MEMORY = size_t{64} << 20;

// Runs `body` on an input of so many bytes, and holds it to the memory that such an input may cost.
template <class Body>
void within_memory(size_t size, Body body) {
    if (most_memory(body) > size + SPARE_MEMORY) std::abort();
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

}  // namespace leon
