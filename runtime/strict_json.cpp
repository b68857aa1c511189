// Strict JSON reading; see strict_json.h.
#include "runtime/strict_json.h"

#include <algorithm>
#include <vector>

#include "kernels/check.h"
#include "runtime/weights_file.h"

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

void charge_json_parser(std::string_view text, MemoryBudget& budget) {
    constexpr std::string_view BETWEEN = ",:[]{}";
    size_t longest = 0, begin = 0;  // of the tokens, with the white space in front of them
    bool in_string = false;
    for (size_t at = 0; at < text.size(); at++) {
        if (in_string && text[at] == '\\') {
            at++;
            continue;
        }
        const bool quote = text[at] == '"';
        if (!quote && (in_string || BETWEEN.find(text[at]) == BETWEEN.npos)) continue;
        longest = std::max(longest, at - begin);
        begin = at + 1;
        in_string ^= quote;
    }
    begin = std::min(begin, text.size());
    budget.charge(5 * std::max(longest, text.size() - begin));
}

namespace {

// Builds a value from the parser's events. nlohmann's own builder with a callback looks through all of a list after
// each of its elements that is one itself: minutes for a megabyte of "{},".
class Builder final : public nlohmann::json_sax<json> {
public:
    Builder(MemoryBudget& budget, const std::string& where) : budget_(budget), where_(where) {}
    json root;

    bool null() override { return place(nullptr); }
    bool boolean(bool value) override { return place(value); }
    bool number_integer(int64_t value) override { return place(value); }
    bool number_unsigned(uint64_t value) override { return place(value); }
    bool number_float(double value, const std::string&) override { return place(value); }
    bool binary(json::binary_t&) override { return place(nullptr); }
    bool string(std::string& value) override {
        budget_.charge(sizeof value + BLOCK_BYTES);
        budget_.charge_text(value.size(), 1);
        return place(value);
    }
    bool start_object(size_t) override { return open(json::object()); }
    bool start_array(size_t) override { return open(json::array()); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool key(std::string& name) override {
        budget_.charge(NODE_BYTES + sizeof name + sizeof(json));
        budget_.charge_text(name.size(), 1);
        const auto [member, is_new] = open_.back()->get_ref<json::object_t&>().emplace(name, nullptr);
        if (!is_new) throw Error("duplicate key " + in_quotes(name) + " in JSON", where_);
        member_ = &member->second;
        return true;
    }
    bool parse_error(size_t, const std::string&, const json::exception& problem) override {
        throw Error("not valid JSON: " + json_problem(problem), where_);
    }

private:
    MemoryBudget& budget_;
    const std::string& where_;
    std::vector<json*> open_;  // objects and arrays that have begun; a parent does not move while its child is open
    json* member_ = nullptr;   // of the object that is open, for the value that comes next

    json* put(json value) {
        if (open_.empty()) return &(root = std::move(value));
        if (open_.back()->is_object()) return &(*member_ = std::move(value));
        json::array_t& list = open_.back()->get_ref<json::array_t&>();
        if (list.size() == list.capacity()) budget_.reserve(list, std::max<size_t>(4, 2 * list.size()));
        return &list.emplace_back(std::move(value));
    }
    bool place(json value) {
        put(std::move(value));
        return true;
    }
    bool open(json value) {
        if (open_.size() == JSON_DEPTH) throw Error("nested too deeply in JSON", where_);
        budget_.charge(sizeof(json::object_t) + BLOCK_BYTES);
        open_.push_back(put(std::move(value)));
        return true;
    }
    bool close() {
        open_.pop_back();
        return true;
    }
};

}  // namespace

json parse_json(std::string_view text, const std::string& where) {
    MemoryBudget budget(SPARE_MEMORY_BYTES, where);
    charge_json_parser(text, budget);
    Builder builder(budget, where);
    json::sax_parse(text, static_cast<nlohmann::json_sax<json>*>(&builder));
    return std::move(builder.root);
}

}  // namespace leon
