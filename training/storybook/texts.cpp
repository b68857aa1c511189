// See texts.h. A row's pictures are not encoded: any codes will do between its texts.
#include "training/storybook/texts.h"

#include "training/storybook/rows.h"

namespace leon {

TextCounts storybook_texts(const World& world, const KindShares& kinds, uint64_t first_seed, int64_t rows) {
    const CodeGrid blank{CELLS, CELLS, std::vector<int32_t>(static_cast<size_t>(CELLS) * CELLS)};
    TextCounts counts;
    const auto count = [&](const Document& document) {
        for (const Part& part : document.parts)
            for (const TextPiece& piece : part.text)
                if (!piece.text.empty()) counts[piece.text]++;
    };
    for (int64_t i = 0; i < rows; i++) {
        const uint64_t seed = first_seed + static_cast<uint64_t>(i);
        const RowKind kind = kind_of_seed(kinds, seed);
        if (kind == RowKind::Sign) continue;
        const Row row = make_row(world, kind, seed);
        const Prompt whole = whole_of(row, Layout::CM3Leon, fields_of(row, [&](const Picture&) { return blank; }));
        for (const Document& document : whole.retrieved) count(document);
        count(whole.document);
    }
    return counts;
}

}  // namespace leon
