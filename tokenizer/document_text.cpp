// Prompts as JSON; see document_text.h.
#include "tokenizer/document_text.h"

#include <algorithm>
#include <climits>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "kernels/check.h"
#include "runtime/strict_json.h"

namespace leon {
namespace {

using json = nlohmann::json;

constexpr int MAX_CELLS_A_SIDE = 1 << 12;

struct NextName {
    Prompt::Next next;
    const char* name;
};
constexpr NextName NEXT_NAMES[] = {{Prompt::Next::Nothing, "nothing"},
                                   {Prompt::Next::Text, "text"},
                                   {Prompt::Next::Holes, "holes"},
                                   {Prompt::Next::Anything, "anything"}};

json print_part(const Part& part) {
    if (part.kind == Part::Kind::EndOfTurn) return {{"turn", "end"}};
    if (part.kind == Part::Kind::Text) {
        json pieces = json::array();
        for (const TextPiece& piece : part.text) pieces.push_back(piece.hole ? json() : json(piece.text));
        return {{"text", pieces}};
    }
    json codes = json::array();
    for (int cell = 0; cell < part.picture.cells(); cell++)
        codes.push_back(part.is_hidden(cell) ? json() : json(part.picture.codes[cell]));
    return {{"picture", {{"rows", part.picture.rows}, {"cols", part.picture.cols}, {"codes", codes}}}};
}

json print_document(const Document& document) {
    json parts = json::array();
    for (const Part& part : document.parts) parts.push_back(print_part(part));
    return parts;
}

class DocumentParser {
public:
    explicit DocumentParser(const std::string& where) : where_(where) {}

    [[noreturn]] void fail(const std::string& what) const {
        throw Error(what, where_, "see tokenizer/document_text.h for the form of a document");
    }

    // The value of a key; `object` may have no keys but the known ones.
    const json& get(const json& object, const char* key, std::initializer_list<const char*> known) const {
        if (!object.is_object()) fail("an object with \"" + std::string(key) + "\" was expected");
        for (const auto& item : object.items())
            if (std::find(known.begin(), known.end(), item.key()) == known.end()) fail("an unknown key");
        if (!object.contains(key)) fail("\"" + std::string(key) + "\" is missing");
        return object.at(key);
    }

    int side(const json& value) const {
        if (!value.is_number_integer() || value < 1 || value > MAX_CELLS_A_SIDE)
            fail("rows and cols must be from 1 to " + std::to_string(MAX_CELLS_A_SIDE));
        return value.get<int>();
    }

    Part parse_part(const json& object) const {
        if (!object.is_object() || object.size() != 1) fail("a part is {\"text\"}, {\"picture\"} or {\"turn\"}");
        const std::string key = object.begin().key();
        const json& value = object.begin().value();
        if (key == "turn") {
            if (value != "end") fail("\"turn\" must be \"end\"");
            return end_of_turn();
        }
        if (key == "text") {
            if (!value.is_array()) fail("\"text\" must be a list");
            Part part;
            for (const json& piece : value) {
                if (!piece.is_null() && !piece.is_string()) fail("a piece of text must be a string or null");
                part.text.push_back(piece.is_null() ? TextPiece{"", true} : TextPiece{piece.get<std::string>()});
            }
            return part;
        }
        if (key != "picture") fail("a part is {\"text\"}, {\"picture\"} or {\"turn\"}");
        const auto known = {"rows", "cols", "codes"};
        CodeGrid grid{side(get(value, "rows", known)), side(get(value, "cols", known)), {}};
        const json& codes = get(value, "codes", known);
        if (!codes.is_array() || static_cast<int64_t>(codes.size()) != int64_t{grid.rows} * grid.cols)
            fail("\"codes\" must be a list of rows x cols");
        std::vector<uint8_t> hidden;
        bool any_hidden = false;
        for (const json& code : codes) {
            if (!code.is_null() && (!code.is_number_integer() || code < 0 || code > INT32_MAX))
                fail("a code must be an integer from 0, or null");
            grid.codes.push_back(code.is_null() ? 0 : code.get<int32_t>());
            hidden.push_back(code.is_null());
            any_hidden |= code.is_null();
        }
        if (!any_hidden) hidden.clear();
        return picture_part(std::move(grid), std::move(hidden));
    }

    Document parse_parts(const json& list) const {
        if (!list.is_array()) fail("\"parts\" must be a list");
        Document document;
        for (const json& part : list) document.parts.push_back(parse_part(part));
        return document;
    }

private:
    const std::string& where_;
};

}  // namespace

std::string print_prompt(const Prompt& prompt) {
    json object{{"parts", print_document(prompt.document)}};
    json retrieved = json::array();
    for (const Document& document : prompt.retrieved) retrieved.push_back({{"parts", print_document(document)}});
    object["retrieved"] = retrieved;
    for (const NextName& row : NEXT_NAMES)
        if (row.next == prompt.next) object["next"] = row.name;
    if (prompt.unclosed) object["unclosed"] = true;
    if (prompt.next == Prompt::Next::Picture)
        object["next"] = {{"picture", {{"rows", prompt.rows}, {"cols", prompt.cols}}}};
    return object.dump();
}

Prompt parse_prompt(const std::string& text, const std::string& where) {
    const json object = parse_json(text, where);
    const DocumentParser parser(where);
    const auto known = {"parts", "retrieved", "next", "unclosed"};
    Prompt prompt;
    prompt.document = parser.parse_parts(parser.get(object, "parts", known));
    const json& retrieved = parser.get(object, "retrieved", known);
    if (!retrieved.is_array()) parser.fail("\"retrieved\" must be a list");
    for (const json& document : retrieved)
        prompt.retrieved.push_back(parser.parse_parts(parser.get(document, "parts", {"parts"})));
    if (object.contains("unclosed")) {
        if (!object["unclosed"].is_boolean()) parser.fail("\"unclosed\" must be true or false");
        prompt.unclosed = object["unclosed"].get<bool>();
    }
    const json& next = parser.get(object, "next", known);
    if (next.is_object()) {
        const json& picture = parser.get(next, "picture", {"picture"});
        prompt.next = Prompt::Next::Picture;
        prompt.rows = parser.side(parser.get(picture, "rows", {"rows", "cols"}));
        prompt.cols = parser.side(parser.get(picture, "cols", {"rows", "cols"}));
        return prompt;
    }
    for (const NextName& row : NEXT_NAMES) {
        if (next != row.name) continue;
        prompt.next = row.next;
        return prompt;
    }
    parser.fail("\"next\" must be nothing, text, holes, anything or {\"picture\"}");
}

}  // namespace leon
