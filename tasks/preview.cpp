// Mean colours of single codes; see preview.h.
#include "tasks/preview.h"

#include <algorithm>

namespace leon {

const Preview::Quarters& Preview::quarters(int32_t code) {
    const auto found = known_.find(code);
    if (found != known_.end()) return found->second;
    const int patch = decoder_.config().patch();
    const Picture alone = decoder_.decode_u8(std::span(&code, 1), 1, 1);
    const Picture small = patch >= 2 ? resize(alone, 2, 2, Filter::Box) : resize(alone, 2, 2, Filter::Bilinear);
    Quarters colours;
    std::copy_n(small.rgb.begin(), colours.size(), colours.begin());
    return known_.emplace(code, colours).first->second;
}

Picture Preview::picture(std::span<const int32_t> codes, int rows, int cols) {
    constexpr uint8_t NOT_YET = 96;
    Picture out(2 * cols, 2 * rows, NOT_YET);
    for (size_t i = 0; i < codes.size(); i++) {
        const Quarters& colours = quarters(codes[i]);
        const int x = static_cast<int>(i) % cols * 2, y = static_cast<int>(i) / cols * 2;
        std::copy_n(colours.data(), 6, out.at(x, y));
        std::copy_n(colours.data() + 6, 6, out.at(x, y + 1));
    }
    return out;
}

}  // namespace leon
