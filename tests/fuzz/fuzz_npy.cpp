// NumPy's arrays: as many values as the shape says, in every type that they convert to.
#include "runtime/npy.h"
#include "tests/fuzz/input.h"

using namespace leon;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    within_memory(size, [&] {
        allow_errors([&] {
            const Array array = decode_npy({data, size}, "input");
            const size_t elements = static_cast<size_t>(array.elements());
            allow_errors([&] {
                if (array.floats("input").size() != elements) std::abort();
            });
            allow_errors([&] {
                if (array.ints("input").size() != elements) std::abort();
            });
        });
    });
    return 0;
}
