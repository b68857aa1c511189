// Configurations: leon's own, whose printed form must give the same again, and Hugging Face's.
#include "runtime/config.h"
#include "tests/fuzz/input.h"
#include "weights_converter/huggingface_config.h"

using namespace leon;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    within_memory(size, [&] {
        const std::string text(text_of(data, size));
        allow_errors([&] {
            const std::string printed = print_config(parse_config(text, "input"));
            if (print_config(parse_config(printed, "printed")) != printed) std::abort();
        });
        allow_errors([&] { read_huggingface_config(as_file(text)); });
    });
    return 0;
}
