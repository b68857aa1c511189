// leon files: configuration, tokenizer and every tensor that the configuration asks for, bound as the runtime does it.
#include "kernels/kernels.h"
#include "runtime/weights.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/safetensors_input.h"
#include "tokenizer/bpe.h"
#include "weights_converter/inspect.h"

using namespace leon;

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
    return mutate_safetensors(data, size, max_size, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    within_memory(size, [&] {
        const std::string& path = as_file(text_of(data, size));
        allow_errors([&] { inspect_any(path, Detail::Tensors); });
        allow_errors([&] {
            const WeightsFile file(path);
            const ModelConfig config = parse_config(file.config_json(), path);
            if (!file.tokenizer_json().empty()) Tokenizer(file.tokenizer_json(), path);
            if (config.has_transformer) bind_weights(file, config.transformer, reference_kernels());
        });
    });
    return 0;
}
