// Pictures: what is decoded has as many bytes as its sides say, and can be fitted to a frame and written again. What is
// refused has not cost more than the input's size and 64 MiB, unless the data did hold all the pixels.
#include "tests/fuzz/input.h"
#include "tokenizer/image.h"
#include "tokenizer/jpeg_scan.h"
#include "tokenizer/png_data.h"

using namespace leon;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Picture picture;
    const size_t most = most_memory([&] {
        allow_errors([&] { picture = decode_picture({data, size}, "input", Orientation::Upright); });
    });
    const bool refused = picture.rgb.empty();
    if (refused && most > size + SPARE_MEMORY && !png_data_fill({data, size}) && !jpeg_data_fill({data, size}))
        std::abort();
    if (refused) return 0;
    if (picture.width <= 0 || picture.height <= 0 ||
        picture.rgb.size() != static_cast<size_t>(picture.width) * picture.height * 3)
        std::abort();
    if (picture.rgb.size() > 1 << 16) return 0;  // larger ones take too long to be worth their time
    chameleon_preprocess(picture, 32);
    encode_png(picture);
    return 0;
}
