// Ids back to documents; see document_writer.h. What is read may come from a file or from a model, so everything that
// is out of place is an Error that names the position.
#include <algorithm>
#include <optional>

#include "kernels/check.h"
#include "tokenizer/document_writer.h"

namespace leon {
namespace {

using Ids = std::vector<int32_t>;

[[noreturn]] void refuse(size_t position, const std::string& what) {
    throw Error("token " + std::to_string(position) + ": " + what, "document");
}

// Walks over ids; `at` is the position of the next one.
struct Cursor {
    std::span<const int32_t> ids;
    size_t at = 0;

    bool done() const { return at == ids.size(); }
    bool next_is(int32_t id) const { return !done() && ids[at] == id; }
    bool take(int32_t id) {
        if (!next_is(id)) return false;
        at++;
        return true;
    }
};

// A stretch between two control tokens: text ids, codes and sentinels in any order.
struct Stretch {
    struct Item {
        Ids ids;          // text ids or codes; none: a hole
        size_t hole = 0;  // its number
        bool is_hole = false;
    };
    std::vector<Item> items;
    bool has_codes = false, has_text = false;
    size_t begin = 0;
};

// What stands where the item is: its own ids, or the filling's of a hole that has one.
std::span<const int32_t> ids_in_place(const Stretch::Item& item, const std::vector<Stretch>& fillings) {
    if (!item.is_hole) return item.ids;
    const Stretch& filling = fillings[item.hole];
    if (filling.items.empty()) return {};
    return filling.items[0].ids;
}

}  // namespace

DocumentWriter::Parsed DocumentWriter::parse(std::span<const int32_t> ids, int rows, int cols) const {
    CHECK(rows > 0 && cols > 0);
    for (size_t i = 0; i < ids.size(); i++)
        if (ids[i] < 0 || ids[i] >= tokenizer_.size()) refuse(i, std::to_string(ids[i]) + " is no id");
    return joins_by_break() ? parse_cm3(ids, rows, cols) : parse_chat(ids, rows, cols);
}

DocumentWriter::Parsed DocumentWriter::parse_cm3(std::span<const int32_t> ids, int rows, int cols) const {
    const Vocabulary& v = vocabulary_;
    Cursor c{ids};
    if (!c.take(v.eos)) refuse(0, "a document begins with </s>");

    const auto number_of = [&](int32_t id) -> std::optional<size_t> {
        const auto found = std::find(v.sentinels.begin(), v.sentinels.end(), id);
        if (found == v.sentinels.end()) return std::nullopt;
        return static_cast<size_t>(found - v.sentinels.begin());
    };
    size_t holes = 0;
    bool in_fillings = false;
    const auto read_stretch = [&] {
        Stretch s;
        s.begin = c.at;
        for (; !c.done() && ids[c.at] != v.brk && ids[c.at] != v.eos && ids[c.at] != v.eoss; c.at++) {
            const int32_t id = ids[c.at];
            if (!in_fillings && holes > 0 && id == v.sentinels[0]) break;  // fillings of a document that is not closed
            if (const auto number = number_of(id)) {
                if (*number != holes) refuse(c.at, "holes must be numbered from 0, in order");
                s.items.push_back({{}, holes++, true});
                continue;
            }
            if (s.items.empty() || s.items.back().is_hole) s.items.emplace_back();
            (v.is_image(id) ? s.has_codes : s.has_text) = true;
            s.items.back().ids.push_back(id);
        }
        if (s.has_codes && s.has_text) refuse(s.begin, "text and codes without a break between them");
        return s;
    };

    // The document's stretches; an empty one behind the last break says that something is to follow.
    std::vector<Stretch> stretches;
    Parsed parsed;
    Prompt& prompt = parsed.prompt;
    bool closed = false;
    for (;;) {
        stretches.push_back(read_stretch());
        if (c.take(v.brk)) continue;
        prompt.unclosed = holes > 0 && c.next_is(v.sentinels[0]);
        closed = prompt.unclosed || c.take(v.eos);
        if (!closed && !c.done()) refuse(c.at, "<eoss> outside a filling");
        break;
    }
    if (!closed && stretches.size() > 1 && stretches.back().items.empty()) {
        stretches.pop_back();
        prompt.next = Prompt::Next::Picture;
        prompt.rows = rows, prompt.cols = cols;
    } else if (!closed) {
        prompt.next = Prompt::Next::Anything;
    }

    // What belongs into the holes.
    in_fillings = true;
    std::vector<Stretch> fillings;
    while (closed && !c.done()) {
        const auto number = number_of(ids[c.at]);
        if (!number || *number != fillings.size() || *number >= holes)
            refuse(c.at, "<sentinel:" + std::to_string(fillings.size()) + "> of a hole must stand here");
        c.at++;
        if (c.done()) break;  // the model is to go on here
        const size_t before = holes;
        Stretch s = read_stretch();
        if (holes != before) refuse(s.begin, "a hole inside a filling");
        if (!c.take(v.eoss)) refuse(c.at, "the filling is not ended by <eoss>");
        fillings.push_back(std::move(s));
    }
    if (closed && holes > 0) prompt.next = fillings.size() == holes ? Prompt::Next::Nothing : Prompt::Next::Holes;
    if (closed && holes == 0 && !c.done()) refuse(c.at, "nothing may follow a complete document");

    for (const Stretch& s : stretches) {
        bool is_picture = s.has_codes;
        for (const Stretch::Item& item : s.items)
            if (item.is_hole && item.hole < fillings.size() && fillings[item.hole].has_codes) is_picture = true;
        Part part;
        if (!is_picture) {
            for (const Stretch::Item& item : s.items)
                part.text.push_back(item.is_hole ? TextPiece{"", true} : TextPiece{tokenizer_.decode(item.ids)});
            prompt.document.parts.push_back(std::move(part));
            continue;
        }
        if (s.has_text) refuse(s.begin, "codes for a hole in text");
        int missing = rows * cols, open = 0;
        for (const Stretch::Item& item : s.items) {
            const bool is_open = item.is_hole && item.hole >= fillings.size();
            open += is_open;
            if (!is_open) missing -= static_cast<int>(ids_in_place(item, fillings).size());
        }
        if (missing < 0 || (open == 0 ? missing != 0 : missing % open != 0 || missing == 0))
            refuse(s.begin,
                   "the picture does not have " + std::to_string(rows) + " x " + std::to_string(cols) + " codes");
        CodeGrid grid{rows, cols, {}};
        std::vector<uint8_t> hidden;
        for (const Stretch::Item& item : s.items) {
            if (item.is_hole && item.hole < fillings.size() && fillings[item.hole].has_text)
                refuse(fillings[item.hole].begin, "text for a hole in a picture");
            const bool is_open = item.is_hole && item.hole >= fillings.size();
            const size_t length = is_open ? missing / open : ids_in_place(item, fillings).size();
            const Ids codes = item.is_hole ? Ids(length, 0) : this->codes(item.ids);
            grid.codes.insert(grid.codes.end(), codes.begin(), codes.end());
            hidden.insert(hidden.end(), length, item.is_hole ? 1 : 0);
        }
        if (std::find(hidden.begin(), hidden.end(), 1) == hidden.end()) hidden.clear();
        prompt.document.parts.push_back(picture_part(std::move(grid), std::move(hidden)));
    }
    for (const Stretch& s : fillings) {
        Filling& filling = parsed.fillings.emplace_back();
        if (s.items.empty()) continue;
        if (s.has_codes)
            filling.codes = codes(s.items[0].ids);
        else
            filling.text = tokenizer_.decode(s.items[0].ids);
    }
    return parsed;
}

DocumentWriter::Parsed DocumentWriter::parse_chat(std::span<const int32_t> ids, int rows, int cols) const {
    const Vocabulary& v = vocabulary_;
    Cursor c{ids};
    if (!c.take(v.bos)) refuse(0, "a document begins with <s>");
    Parsed parsed;
    Prompt& prompt = parsed.prompt;
    auto& parts = prompt.document.parts;
    prompt.next = Prompt::Next::Anything;
    while (!c.done()) {
        if (c.take(v.end_of_turn)) {
            parts.push_back(end_of_turn());
            if (c.done()) prompt.next = Prompt::Next::Text;
        } else if (c.take(v.eos)) {
            prompt.next = Prompt::Next::Nothing;
            if (!c.done()) refuse(c.at, "nothing may follow </s>");
        } else if (c.take(v.brk)) {
            CodeGrid grid{rows, cols, {}};
            if (layout_ == Layout::Lumina) {
                const auto count = [&] {
                    const int32_t n = c.done() ? -1 : ids[c.at] - v.grid_first;
                    if (n <= 0 || n >= v.grid_counts) refuse(c.at, "a grid count must stand here");
                    c.at++;
                    return n * LUMINA_CELLS;
                };
                grid.rows = count();
                grid.cols = count();
            }
            if (c.done()) {
                prompt.next = Prompt::Next::Picture;
                prompt.rows = grid.rows;
                prompt.cols = grid.cols;
                break;
            }
            for (int y = 0; y < grid.rows; y++) {
                for (int x = 0; x < grid.cols; x++, c.at++) {
                    if (c.done() || !v.is_image(ids[c.at]))
                        refuse(c.at, "the picture does not have " + std::to_string(grid.rows) + " x " +
                                         std::to_string(grid.cols) + " codes");
                    grid.codes.push_back(ids[c.at] - v.image_first);
                }
                for (int32_t id : after_row())
                    if (!c.take(id)) refuse(c.at, "a row of the picture is not ended");
            }
            if (!c.take(v.eoss)) refuse(c.at, "the picture is not ended by <eoss>");
            parts.push_back(picture_part(std::move(grid)));
        } else {
            const size_t begin = c.at;
            while (!c.done() && ids[c.at] != v.end_of_turn && ids[c.at] != v.eos && ids[c.at] != v.brk) {
                if (v.is_image(ids[c.at]) || ids[c.at] == v.eoss) refuse(c.at, "a code outside a picture");
                c.at++;
            }
            parts.push_back(text_part(tokenizer_.decode(ids.subspan(begin, c.at - begin))));
        }
    }
    return parsed;
}

}  // namespace leon
