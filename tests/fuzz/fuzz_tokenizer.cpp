// tokenizer.json: what is read as a tokenizer can split a text and put it together again.
#include "tests/fuzz/input.h"
#include "tokenizer/bpe.h"

using namespace leon;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    within_memory(size, [&] {
        allow_errors([&] {
            const Tokenizer tokenizer(text_of(data, size), "input");
            for (ControlTokens control : {ControlTokens::AsText, ControlTokens::Parsed})
                allow_errors(
                    [&] { tokenizer.decode(tokenizer.encode("A dog's 12 <s>\n  \xc3\xa9t\xc3\xa9.", control)); });
        });
    });
    return 0;
}
