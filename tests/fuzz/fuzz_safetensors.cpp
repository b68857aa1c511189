// Safetensors files of anybody: every tensor that a file is said to have can be read.
#include "runtime/weights_file.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/safetensors_input.h"

using namespace leon;

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
    return mutate_safetensors(data, size, max_size, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    within_memory(size, [&] {
        allow_errors([&] {
            const SafetensorsFile file(as_file(text_of(data, size)));
            size_t sum = 0;
            for (const auto& [name, tensor] : file.tensors())
                for (size_t i = 0; i < tensor.bytes; i++) sum += file.data(tensor)[i];
            if (sum == size_t(-1)) std::abort();  // the sum is looked at, or the reading would be left out
        });
    });
    return 0;
}
