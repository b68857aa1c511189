// Strict JSON reading; see strict_json.h.
#include "runtime/strict_json.h"

#include <set>
#include <vector>

#include "kernels/check.h"

namespace leon {

using nlohmann::json;

std::string json_problem(const json::exception& problem) {
    std::string text = problem.what();
    size_t prefix = text.find("] ");
    if (prefix != std::string::npos) text.erase(0, prefix + 2);
    constexpr size_t LONGEST = 160;  // the parser quotes the text that it stumbled over
    if (text.size() > LONGEST) text = text.substr(0, LONGEST) + "...";
    for (char& c : text)
        if (c < 0x20 || c > 0x7e) c = '?';
    return text;
}

json parse_json(std::string_view text, const std::string& where) {
    std::vector<std::set<std::string>> open;  // the keys seen so far of every open object or array
    auto watch = [&](int, json::parse_event_t event, json& value) {
        switch (event) {
            case json::parse_event_t::object_start:
            case json::parse_event_t::array_start:
                if (open.size() == JSON_DEPTH) throw Error("nested too deeply in JSON", where);
                open.emplace_back();
                break;
            case json::parse_event_t::key:
                if (!open.back().insert(value.get<std::string>()).second)
                    throw Error("duplicate key " + value.dump() + " in JSON", where);
                break;
            case json::parse_event_t::object_end:
            case json::parse_event_t::array_end:
                open.pop_back();
                break;
            case json::parse_event_t::value:
                break;
        }
        return true;
    };
    try {
        return json::parse(text, watch);
    } catch (const json::exception& problem) {
        throw Error("not valid JSON: " + json_problem(problem), where);
    }
}

}  // namespace leon
