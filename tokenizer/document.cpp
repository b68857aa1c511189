// Documents as plain values; see document.h.
#include "tokenizer/document.h"

#include <algorithm>

#include "kernels/check.h"

namespace leon {
namespace {

constexpr size_t UNDERSCORES = 3;  // so many in a row are a hole; fewer are part of a word

}  // namespace

Part text_part(const std::string& text) {
    Part part;
    if (!text.empty()) part.text.push_back({text});
    return part;
}

Part picture_part(CodeGrid picture, std::vector<uint8_t> hidden) {
    CHECK(static_cast<int>(picture.codes.size()) == picture.cells());
    CHECK(hidden.empty() || hidden.size() == picture.codes.size());
    Part part;
    part.kind = Part::Kind::Picture;
    part.picture = std::move(picture);
    part.hidden = std::move(hidden);
    return part;
}

Part end_of_turn() {
    Part part;
    part.kind = Part::Kind::EndOfTurn;
    return part;
}

Part text_with_holes(const std::string& text) {
    Part part;
    std::string piece;
    const auto close = [&] {
        if (!piece.empty()) part.text.push_back({piece});
        piece.clear();
    };
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find_first_not_of('_', at), text.size());
        if (end - at >= UNDERSCORES) {
            close();
            part.text.push_back({"", true});
        } else {
            piece += text.substr(at, end - at);
        }
        const size_t next = std::min(text.find('_', end), text.size());
        piece += text.substr(end, next - end);
        at = next;
    }
    close();
    return part;
}

std::vector<Hole> holes_of(const Document& document) {
    std::vector<Hole> holes;
    for (size_t s = 0; s < document.parts.size(); s++) {
        const Part& part = document.parts[s];
        for (size_t p = 0; p < part.text.size(); p++)
            if (part.text[p].hole) holes.push_back({Part::Kind::Text, s, p});
        for (int cell = 0; cell < part.picture.cells(); cell++) {
            if (!part.is_hidden(cell)) continue;
            const bool begins = cell % part.picture.cols == 0 || !part.is_hidden(cell - 1);
            if (begins) holes.push_back({Part::Kind::Picture, s, 0, cell, 0});
            holes.back().length++;
        }
    }
    return holes;
}

Document filled(const Document& document, const std::vector<Filling>& fillings) {
    const std::vector<Hole> holes = holes_of(document);
    CHECK(fillings.size() == holes.size());
    Document result = document;
    for (size_t i = 0; i < holes.size(); i++) {
        Part& part = result.parts[holes[i].part];
        if (holes[i].kind == Part::Kind::Text) {
            part.text[holes[i].piece] = {fillings[i].text};
            continue;
        }
        CHECK(static_cast<int>(fillings[i].codes.size()) == holes[i].length);
        std::copy(fillings[i].codes.begin(), fillings[i].codes.end(), part.picture.codes.begin() + holes[i].first);
    }
    for (Part& part : result.parts) part.hidden.clear();
    return result;
}

std::string plain_text(const Document& document) {
    std::string all;
    for (const Part& part : document.parts)
        for (const TextPiece& piece : part.text) all += piece.hole ? "___" : piece.text;
    return all;
}

}  // namespace leon
