// Prompts to ids; see document_writer.h. The way back is in document_reader.cpp.
#include "tokenizer/document_writer.h"

#include <algorithm>

#include "kernels/check.h"

namespace leon {
namespace {

using Ids = std::vector<int32_t>;

void require(int32_t id, const char* name) {
    if (id < 0) throw Error(std::string("the tokenizer has no ") + name + ", which this model's documents need");
}

void join(Ids& ids, const Ids& more) {
    ids.insert(ids.end(), more.begin(), more.end());
}

bool has_text_hole(const Document& document) {
    for (const Hole& hole : holes_of(document))
        if (hole.kind == Part::Kind::Text) return true;
    return false;
}

// In quotes, so that its blanks show; on one line.
std::string quoted(const std::string& text) {
    std::string all = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') all += '\\';
        if (c == '\n')
            all += "\\n";
        else
            all += c;
    }
    return all + "\"";
}

Document without_text(Document document) {
    for (Part& part : document.parts)
        if (part.kind == Part::Kind::Text) part.text.clear();
    return document;
}

}  // namespace

DocumentWriter::DocumentWriter(Layout layout, const Tokenizer& tokenizer, const Vocabulary& vocabulary)
    : layout_(layout), tokenizer_(tokenizer), vocabulary_(vocabulary) {
    require(vocabulary.eos, "</s>");
    require(vocabulary.brk, "<racm3:break>");
    require(vocabulary.eoss, "<eoss>");
    if (vocabulary.codes == 0) throw Error("the tokenizer has no picture tokens (IMGIMG...)");
    if (layout == Layout::CM3Leon) {
        require(vocabulary.sentinels.empty() ? -1 : 0, "<sentinel:0>");
        return;
    }
    require(vocabulary.bos, "<s>");
    require(vocabulary.end_of_turn, "<reserved08706>");
    if (layout == Layout::Lumina) {
        require(vocabulary.new_line, "<reserved08799>");
        require(vocabulary.grid_counts > 0 ? 0 : -1, "<reserved08800>");
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

Ids DocumentWriter::before_codes(int rows, int cols) const {
    if (layout_ != Layout::Lumina) return {};
    const auto count = [&](int cells) {
        CHECK(cells > 0);
        if (cells % LUMINA_CELLS != 0 || cells / LUMINA_CELLS >= vocabulary_.grid_counts)
            throw Error("a picture of " + std::to_string(rows) + " x " + std::to_string(cols) +
                            " cells cannot be written in this layout",
                        "",
                        "sides must be even numbers of cells, up to " +
                            std::to_string((vocabulary_.grid_counts - 1) * LUMINA_CELLS));
        return vocabulary_.grid_first + cells / LUMINA_CELLS;
    };
    return {count(rows), count(cols)};
}

Ids DocumentWriter::after_row() const {
    return layout_ == Layout::Lumina ? Ids{vocabulary_.new_line} : Ids{};
}

// A part's tokens; `holes` counts the sentinels that have been used.
void DocumentWriter::append(Ids& ids, const Part& part, size_t& holes) const {
    const auto sentinel = [&] {
        if (holes == vocabulary_.sentinels.size())
            throw Error("there are more than " + std::to_string(holes) + " holes, which is all that the model knows",
                        "holes", "fill fewer at a time; a picture has one hole a row");
        ids.push_back(vocabulary_.sentinels[holes++]);
    };
    for (const TextPiece& piece : part.text) {
        if (piece.hole)
            sentinel();
        else
            join(ids, text_ids(piece.text));
    }
    if (part.kind == Part::Kind::EndOfTurn) ids.push_back(vocabulary_.end_of_turn);
    if (part.kind != Part::Kind::Picture) return;
    const CodeGrid& picture = part.picture;
    if (!joins_by_break()) {
        ids.push_back(vocabulary_.brk);
        join(ids, before_codes(picture.rows, picture.cols));
    }
    for (int cell = 0; cell < picture.cells(); cell++) {
        if (!part.is_hidden(cell))
            join(ids, image_ids({&picture.codes[cell], 1}));
        else if (cell % picture.cols == 0 || !part.is_hidden(cell - 1))
            sentinel();
        if ((cell + 1) % picture.cols == 0) join(ids, after_row());
    }
    if (!joins_by_break()) ids.push_back(vocabulary_.eoss);
}

Ids DocumentWriter::cm3_ids(const Prompt& prompt) const {
    const Vocabulary& v = vocabulary_;
    Ids ids{v.eos};
    size_t holes = 0;
    for (const Document& document : prompt.retrieved) {
        CHECK(holes_of(document).empty());
        for (const Part& part : document.parts) {
            append(ids, part, holes);
            ids.push_back(v.brk);
        }
    }
    bool first = true;
    for (const Part& part : prompt.document.parts) {
        if (part.kind == Part::Kind::EndOfTurn)
            throw Error("this model's layout knows no turns of a conversation", "document");
        if (!first) ids.push_back(v.brk);
        first = false;
        append(ids, part, holes);
    }
    const bool ends_in_picture =
        !prompt.document.parts.empty() && prompt.document.parts.back().kind == Part::Kind::Picture;
    switch (prompt.next) {
        case Prompt::Next::Picture:
            ids.push_back(v.brk);
            break;
        case Prompt::Next::Anything:
            if (ends_in_picture) ids.push_back(v.brk);
            break;
        case Prompt::Next::Holes:
            CHECK(holes > 0);
            if (!prompt.unclosed) ids.push_back(v.eos);
            ids.push_back(v.sentinels[0]);
            break;
        case Prompt::Next::Nothing:
            ids.push_back(v.eos);
            break;
        case Prompt::Next::Text:
            throw Error("this model's layout has no answers but in holes", "document");
    }
    return ids;
}

Ids DocumentWriter::chat_ids(const Prompt& prompt) const {
    const Vocabulary& v = vocabulary_;
    if (!prompt.retrieved.empty())
        throw Error("this model's family was not trained with retrieved documents", "--retrieve",
                    "use a model with CM3Leon's documents");
    if (has_text_hole(prompt.document))
        throw Error("this model's family cannot fill holes in text", "document",
                    "use a model with CM3Leon's documents");
    Ids ids{v.bos};
    size_t holes = 0;
    const auto& parts = prompt.document.parts;
    for (size_t s = 0; s < parts.size(); s++) {
        if (!parts[s].hidden.empty()) {
            CHECK(prompt.next == Prompt::Next::Holes && s + 1 == parts.size());
            ids.push_back(v.brk);
            join(ids, before_codes(parts[s].picture.rows, parts[s].picture.cols));
            return ids;
        }
        append(ids, parts[s], holes);
    }
    CHECK(prompt.next != Prompt::Next::Holes);
    if (prompt.next == Prompt::Next::Picture) {
        ids.push_back(v.brk);
        join(ids, before_codes(prompt.rows, prompt.cols));
    }
    if (prompt.next == Prompt::Next::Nothing) ids.push_back(end_of_answer());
    return ids;
}

Ids DocumentWriter::ids(const Prompt& prompt) const {
    return joins_by_break() ? cm3_ids(prompt) : chat_ids(prompt);
}

Ids DocumentWriter::ids(const Prompt& prompt, GuidanceStream stream, UnconditionalKeeps keeps) const {
    const Vocabulary& v = vocabulary_;
    Prompt other = prompt;
    if (!joins_by_break()) {
        if (stream == GuidanceStream::Pictures)
            std::erase_if(other.document.parts, [](auto& s) { return s.kind != Part::Kind::Picture; });
        else
            std::erase_if(other.document.parts, [](auto& s) { return s.hidden.empty(); });
        Ids ids = chat_ids(other);
        // Lumina's begins with the picture itself.
        if (layout_ == Layout::Lumina && stream == GuidanceStream::Nothing) ids.erase(ids.begin());
        return ids;
    }
    if (prompt.next == Prompt::Next::Holes) {
        other.document = without_text(other.document);
        if (keeps == UnconditionalKeeps::Nothing) other.retrieved.clear();
        return cm3_ids(other);
    }
    if (stream == GuidanceStream::Pictures) {
        auto& parts = other.document.parts;
        if (!parts.empty() && parts.back().kind == Part::Kind::Text) parts.pop_back();
        return cm3_ids(other);
    }
    if (keeps == UnconditionalKeeps::Nothing || prompt.retrieved.empty()) return {v.eos, v.sentinels[0], v.brk};
    other.document.parts.clear();
    Ids ids = cm3_ids(other);
    ids.pop_back();  // the documents end with a break already
    return ids;
}

ModalityRules DocumentWriter::modality(int codes) const {
    const Vocabulary& v = vocabulary_;
    ModalityRules rules{
        .text = v.text, .image = v.image(), .begin = v.brk, .end = {v.eoss}, .stop = {v.eos}, .codes = codes};
    if (layout_ == Layout::CM3Leon) rules.end = {v.brk, v.eos};
    if (layout_ == Layout::Lumina) {
        rules.stop = {v.end_of_turn};
        rules.grid = PictureGrid{.zero = v.grid_first,
                                 .most_units = v.grid_counts - 1,
                                 .codes_per_unit = LUMINA_CELLS,
                                 .new_line = v.new_line};
    }
    return rules;
}

int32_t DocumentWriter::end_of_answer() const {
    if (layout_ == Layout::CM3Leon) return vocabulary_.eoss;
    return layout_ == Layout::Lumina ? vocabulary_.end_of_turn : vocabulary_.eos;
}

Ids DocumentWriter::between_holes(size_t i) const {
    CHECK(joins_by_break() && i + 1 < vocabulary_.sentinels.size());
    return {vocabulary_.eoss, vocabulary_.sentinels[i + 1]};
}

std::string DocumentWriter::readable(std::span<const int32_t> ids) const {
    std::string all;
    const auto word = [&](const std::string& text) { all += (all.empty() ? "" : " ") + text; };
    for (size_t i = 0; i < ids.size();) {
        size_t end = i;
        while (end < ids.size() && vocabulary_.is_image(ids[end])) end++;
        if (end > i) {
            word("[" + std::to_string(end - i) + (end - i == 1 ? " code]" : " codes]"));
        } else if (tokenizer_.is_added(ids[i])) {
            end = i + 1;
            word(tokenizer_.token(ids[i]));
        } else {
            while (end < ids.size() && !vocabulary_.is_image(ids[end]) && !tokenizer_.is_added(ids[end])) end++;
            word(quoted(tokenizer_.decode(ids.subspan(i, end - i))));
        }
        i = end;
    }
    return all;
}

}  // namespace leon
