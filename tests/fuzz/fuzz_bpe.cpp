// Byte-pair encoding of arbitrary bytes by a real vocabulary: an Error if they are no UTF-8, or the same bytes back.
#include "runtime/files.h"
#include "tests/fuzz/input.h"
#include "tokenizer/bpe.h"

using namespace leon;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const Tokenizer tokenizer = [] {
        const std::vector<uint8_t> json = read_file("tests/vectors/models/chameleon_mha/tokenizer.json");
        return Tokenizer(text_of(json.data(), json.size()), "tokenizer.json");
    }();
    within_memory(size, [&] {
        const std::string text(text_of(data, size));
        allow_errors([&] {
            if (tokenizer.decode(tokenizer.encode(text, ControlTokens::AsText)) != text) std::abort();
            for (int32_t id : tokenizer.encode(text, ControlTokens::AsText))
                if (tokenizer.is_added(id)) std::abort();
            tokenizer.encode(text, ControlTokens::Parsed);
        });
    });
    return 0;
}
