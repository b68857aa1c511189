// The layouts of document.h, one switch each.
#include "tokenizer/document.h"

#include "kernels/check.h"

namespace leon {
namespace {

using Ids = std::vector<int32_t>;

Ids join(std::initializer_list<Ids> parts) {
    Ids all;
    for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

void require(int32_t id, const char* name) {
    if (id < 0) throw Error(std::string("the tokenizer has no ") + name + ", which this model's documents need");
}

}  // namespace

DocumentWriter::DocumentWriter(Layout layout, const Tokenizer& tokenizer, const Vocabulary& vocabulary)
    : layout_(layout), tokenizer_(tokenizer), vocabulary_(vocabulary) {
    require(vocabulary.eos, "</s>");
    require(vocabulary.brk, "<racm3:break>");
    require(vocabulary.eoss, "<eoss>");
    if (vocabulary.codes == 0) throw Error("the tokenizer has no picture tokens (IMGIMG...)");
    if (layout == Layout::CM3Leon) require(vocabulary.sentinels.empty() ? -1 : 0, "<sentinel:0>");
    if (layout == Layout::Chameleon) {
        require(vocabulary.bos, "<s>");
        require(vocabulary.end_of_turn, "<reserved08706>");
    }
}

Ids DocumentWriter::text_ids(const std::string& text) const {
    return tokenizer_.encode(text, ControlTokens::AsText);
}

Ids DocumentWriter::image_ids(std::span<const int32_t> codes) const {
    Ids ids;
    for (int32_t code : codes) {
        CHECK(code >= 0 && code < vocabulary_.codes);
        ids.push_back(vocabulary_.image_first + code);
    }
    return ids;
}

Ids DocumentWriter::codes(std::span<const int32_t> ids) const {
    Ids codes;
    for (int32_t id : ids) {
        CHECK(vocabulary_.is_image(id));
        codes.push_back(id - vocabulary_.image_first);
    }
    return codes;
}

Ids DocumentWriter::draw_prompt(const std::string& text) const {
    const Vocabulary& v = vocabulary_;
    if (layout_ == Layout::CM3Leon) return join({{v.eos}, text_ids(text), {v.brk}});
    return join({{v.bos}, text_ids(text), {v.end_of_turn, v.brk}});
}

Ids DocumentWriter::unconditional_prompt() const {
    const Vocabulary& v = vocabulary_;
    if (layout_ == Layout::CM3Leon) return {v.eos, v.sentinels[0], v.brk};
    return {v.bos, v.brk};
}

Ids DocumentWriter::describe_prompt(const std::string& text, std::span<const int32_t> codes) const {
    const Vocabulary& v = vocabulary_;
    if (layout_ == Layout::CM3Leon)
        return join({{v.eos}, text_ids(text), {v.sentinels[0], v.brk}, image_ids(codes), {v.eos, v.sentinels[0]}});
    return join({{v.bos, v.brk}, image_ids(codes), {v.eoss}, text_ids(text), {v.end_of_turn}});
}

Ids DocumentWriter::fill_prompt(const std::string& text, const CodeGrid& grid, const CellBox& hole) const {
    const Vocabulary& v = vocabulary_;
    if (layout_ == Layout::Chameleon) return text.empty() ? unconditional_prompt() : draw_prompt(text);
    if (static_cast<size_t>(hole.height()) > v.sentinels.size())
        throw Error("the hole is " + std::to_string(hole.height()) + " token rows high, but the model knows only " +
                        std::to_string(v.sentinels.size()) + " holes",
                    "--box", "choose a lower box");
    Ids picture;  // one hole a row: its cells are replaced by one sentinel
    for (int y = 0; y < grid.rows; y++) {
        for (int x = 0; x < grid.cols; x++) {
            if (!hole.contains(x, y))
                picture.push_back(v.image_first + grid.codes[y * grid.cols + x]);
            else if (x == hole.x0)
                picture.push_back(v.sentinels[y - hole.y0]);
        }
    }
    return join({{v.eos}, text_ids(text), {v.brk}, picture, {v.eos, v.sentinels[0]}});
}

ModalityRules DocumentWriter::modality(int codes) const {
    const Vocabulary& v = vocabulary_;
    ModalityRules rules{
        .text = v.text, .image = v.image(), .begin = v.brk, .end = {v.eoss}, .stop = {v.eos}, .codes = codes};
    if (layout_ == Layout::CM3Leon) rules.end = {v.brk, v.eos};
    return rules;
}

int32_t DocumentWriter::end_of_answer() const {
    return layout_ == Layout::CM3Leon ? vocabulary_.eoss : vocabulary_.eos;
}

}  // namespace leon
