// Finding a query in its whole document; see example.h.
#include "training/example.h"

#include <algorithm>

#include "kernels/check.h"

namespace leon {
namespace {

using Next = Prompt::Next;

// Whether a cell of a part of the document is to be drawn.
bool is_drawn(const TaskDocument& d, size_t part, int cell) {
    switch (d.query.next) {
        case Next::Nothing:
        case Next::Anything:
            return true;
        case Next::Picture:
            return part + 1 == d.whole.document.parts.size();
        case Next::Holes:
            return d.query.document.parts[part].is_hidden(cell);
        case Next::Text:
            return false;
    }
    check_failed(__FILE__, __LINE__, "known next");
}

size_t last_picture(const Document& document) {
    size_t last = document.parts.size();
    for (size_t i = 0; i < document.parts.size(); i++)
        if (document.parts[i].kind == Part::Kind::Picture) last = i;
    return last;
}

TokenKind kind_of_cell(const TaskDocument& d, size_t part, int cell) {
    if (!is_drawn(d, part, cell)) return TokenKind::Context;
    const bool object = part == last_picture(d.whole.document) && !d.object_cells.empty() && d.object_cells[cell];
    return object ? TokenKind::Object : TokenKind::Picture;
}

// How many ids stand in front of the document itself; 0 if no document was retrieved.
int ids_in_front(const DocumentWriter& writer, const Prompt& prompt) {
    if (prompt.retrieved.empty()) return 0;
    Prompt front;
    front.retrieved = prompt.retrieved;
    return static_cast<int>(writer.ids(front).size()) - 1;  // and </s>
}

// The document as it is, every code of its pictures marked.
Example complete(const DocumentWriter& writer, const TaskDocument& d) {
    Example e;
    e.ids = writer.ids(d.whole);
    e.kinds.assign(e.ids.size(), TokenKind::Text);
    std::vector<size_t> codes;  // where they stand
    for (size_t i = 0; i < e.ids.size(); i++)
        if (writer.vocabulary().is_image(e.ids[i])) codes.push_back(i);
    for (size_t at : codes) e.kinds[at] = TokenKind::Context;
    // Those of the document are the last ones.
    const std::vector<Part>& parts = d.whole.document.parts;
    for (size_t part = parts.size(), end = codes.size(); part-- > 0;) {
        const int cells = parts[part].picture.cells();
        CHECK(end >= static_cast<size_t>(cells));
        end -= static_cast<size_t>(cells);
        for (int cell = 0; cell < cells; cell++)
            e.kinds[codes[end + static_cast<size_t>(cell)]] = kind_of_cell(d, part, cell);
    }
    return e;
}

// The answer stands where the query has its hole, or behind all of it.
void mark_answer(const DocumentWriter& writer, const Prompt& query, Example& e) {
    const std::vector<int32_t> asked = writer.ids(query);
    const size_t size = e.ids.size();
    size_t first = asked.size(), behind = 1;
    if (query.next == Next::Holes) {
        const std::vector<Hole> holes = holes_of(query.document);
        if (holes.size() != 1 || holes[0].kind != Part::Kind::Text) return;
        const auto hole = std::find(asked.begin(), asked.end(), writer.vocabulary().sentinels[0]);
        CHECK(hole != asked.end());
        first = static_cast<size_t>(hole - asked.begin());
        // In front of the second sentinel, which asks for the answer; </s> is among it, or is missing there.
        behind = asked.size() - first - 2 + (query.unclosed ? 1 : 0);
    }
    CHECK(first + behind <= size &&
          std::equal(e.ids.begin(), e.ids.begin() + static_cast<int64_t>(first), asked.begin()));
    e.answer_first = static_cast<int>(first);
    e.answer_end = static_cast<int>(size - behind);
    const size_t said = query.next == Next::Text ? size : size - behind;
    std::fill(e.kinds.begin() + static_cast<int64_t>(first), e.kinds.begin() + static_cast<int64_t>(said),
              TokenKind::Answer);
}

// The query, and what belongs into its holes, as the model is to write it.
Example with_holes(const DocumentWriter& writer, const TaskDocument& d) {
    CHECK(writer.joins_by_break() && d.query.next == Next::Holes);
    Example e;
    const auto add = [&](std::span<const int32_t> ids, TokenKind kind) {
        e.ids.insert(e.ids.end(), ids.begin(), ids.end());
        e.kinds.resize(e.ids.size(), kind);
    };
    for (int32_t id : writer.ids(d.query))
        add({&id, 1}, writer.vocabulary().is_image(id) ? TokenKind::Context : TokenKind::Text);
    const std::vector<Hole> holes = holes_of(d.query.document);
    for (size_t h = 0; h < holes.size(); h++) {
        const Hole& hole = holes[h];
        const Part& part = d.whole.document.parts[hole.part];
        const bool text = hole.kind == Part::Kind::Text;
        if (text) add(writer.text_ids(part.text[hole.piece].text), TokenKind::Answer);
        for (int cell = hole.first; !text && cell < hole.first + hole.length; cell++)
            add(writer.image_ids({&part.picture.codes[cell], 1}), kind_of_cell(d, hole.part, cell));
        // The end of an answer is part of what is to be said.
        add({{writer.end_of_answer()}}, text ? TokenKind::Answer : TokenKind::Text);
        if (h + 1 < holes.size()) add({{writer.vocabulary().sentinels[h + 1]}}, TokenKind::Text);
    }
    e.prepared = true;
    return e;
}

}  // namespace

Example example_of(const DocumentWriter& writer, const TaskDocument& d) {
    const size_t opens_a_part = d.query.next == Next::Picture || d.query.next == Next::Text;
    const std::vector<Part>& parts = d.whole.document.parts;
    CHECK(d.whole.next == Next::Nothing && holes_of(d.whole.document).empty());
    CHECK(d.query.retrieved == d.whole.retrieved && d.query.document.parts.size() + opens_a_part == parts.size());
    const size_t picture = last_picture(d.whole.document);
    CHECK(d.object_cells.empty() ||
          (picture < parts.size() && d.object_cells.size() == static_cast<size_t>(parts[picture].picture.cells())));

    Example e = d.holes == Holes::Made ? with_holes(writer, d) : complete(writer, d);
    if (d.holes == Holes::Later && (d.query.next == Next::Holes || d.query.next == Next::Text))
        mark_answer(writer, d.query, e);
    e.task = d.task;
    e.source = d.source;
    e.query = ids_in_front(writer, d.whole);
    return e;
}

}  // namespace leon
