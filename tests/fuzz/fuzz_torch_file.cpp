// libFuzzer target of the torch reader. An input that begins like a torch file is one; any other is a pickle, which is
// also put into an archive with a right checksum, so that what lies behind the pickle is reached. Whatever comes out
// must be an Error, or tensors that can be read to their last byte.
#include <string>

#include "tests/fuzz/input.h"
#include "tests/fuzz/torch_input.h"
#include "tests/made_zip.h"
#include "weights_converter/pickle.h"
#include "weights_converter/torch_file.h"

using namespace leon;

namespace {

void load(const std::string& content) {
    within_memory(content.size(), [&] {
        allow_errors([&] {
            const TorchFile file(as_file(content));
            for (const TorchTensor& tensor : file.tensors()) {
                std::string out(static_cast<size_t>(tensor.elements) * tensor.element_bytes, '\0');
                if (out.size() > content.size()) std::abort();
                file.read(tensor, 0, tensor.shape.empty() ? 1 : tensor.shape[0],
                          reinterpret_cast<uint8_t*>(out.data()));
            }
        });
    });
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
    return mutate_torch(data, size, max_size, seed);
}
extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* a, size_t a_size, const uint8_t* b, size_t b_size,
                                            uint8_t* out, size_t max_size, unsigned seed) {
    return cross_pickles(std::string(text_of(a, a_size)), std::string(text_of(b, b_size)), out, max_size, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string input(text_of(data, size));
    if (begins_like_torch({data, size})) {
        load(input);
        return 0;
    }
    std::vector<MadeMember> members = {{.name = "a/data.pkl", .bytes = input}};
    for (int key = 0; key < 8; key++)
        members.push_back(
            {.name = "a/data/" + std::to_string(key), .bytes = std::string(size_t{8} << (key / 2), '\1')});
    load(made_zip(members));
    return 0;
}
