// Pictures: what is decoded has as many bytes as its sides say, and can be fitted to a frame and written again.
#include "tests/fuzz/input.h"
#include "tokenizer/image.h"

using namespace leon;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    allow_errors([&] {
        const Picture picture = decode_picture({data, size}, "input", Orientation::Upright);
        if (picture.width <= 0 || picture.height <= 0 ||
            picture.rgb.size() != static_cast<size_t>(picture.width) * picture.height * 3)
            std::abort();
        if (picture.rgb.size() > 1 << 16) return;  // larger ones take too long to be worth their time
        chameleon_preprocess(picture, 32);
        encode_png(picture);
    });
    return 0;
}
