// Reading tokenizer.json: an event reader that streams the long lists, then the checks.
#include "tokenizer/tokenizer_file.h"

#include <algorithm>

#include "kernels/check.h"
#include "runtime/strict_json.h"
#include "runtime/weights_file.h"

namespace leon {

namespace {

using Json = nlohmann::json;

// Ids may leave gaps (checkpoints pad their vocabularies), but not so that a few bytes of file cost megabytes.
constexpr uint64_t MAX_IDS_PER_TOKEN = 4;

struct VocabularyEntry {
    std::string name;
    uint64_t id;
};

struct AddedEntry {
    std::string name;
    uint64_t id;
    AddedToken token;
};

AddedEntry read_added(const Json& entry, const std::string& where) {
    if (!entry.is_object() || !entry.value("content", Json()).is_string() ||
        !entry.value("id", Json()).is_number_unsigned())
        throw Error("an added token must have a string \"content\" and an \"id\" from 0 on", where);
    AddedEntry result{entry["content"], entry["id"], {}};
    auto flag = [&](const char* name) {
        if (!entry.value(name, Json()).is_boolean())
            throw Error(
                std::string("\"") + name + "\" of added token " + in_quotes(result.name) + " must be true or false",
                where);
        return entry[name].get<bool>();
    };
    if (flag("single_word"))
        throw Error("\"single_word\" of added token " + in_quotes(result.name) + " is not supported", where);
    result.token = {0, flag("lstrip"), flag("rstrip"), flag("normalized")};
    return result;
}

// Builds `tree` from the parser's events, except for the long lists (model.vocab, model.merges, added_tokens), which it
// collects.
class TokenizerReader final : public nlohmann::json_sax<Json> {
public:
    TokenizerReader(MemoryBudget& budget, const std::string& where) : budget_(budget), where_(where) {}

    Json tree;
    std::vector<VocabularyEntry> vocabulary;
    std::vector<std::string> merge_parts;
    std::vector<AddedEntry> added;

    bool null() override { return scalar(nullptr); }
    bool boolean(bool value) override { return scalar(value); }
    bool number_integer(int64_t value) override { return scalar(value); }
    bool number_float(double value, const std::string&) override { return scalar(value); }
    bool binary(Json::binary_t&) override { return scalar(nullptr); }
    bool number_unsigned(uint64_t value) override {
        if (list_ != List::Vocabulary) return scalar(value);
        budget_.charge_text(key_.size(), 1);
        budget_.push(vocabulary, {key_, value});
        return true;
    }
    bool string(std::string& value) override {
        if (list_ == List::Merge) {
            add_part(value);
        } else if (list_ == List::Merges) {
            const size_t space = value.find(' ');
            if (space == std::string::npos || value.find(' ', space + 1) != std::string::npos)
                throw Error("merge " + in_quotes(value) + " is not two tokens with a space between them", where_);
            add_part(value.substr(0, space));
            add_part(value.substr(space + 1));
        } else {
            return scalar(value);
        }
        return true;
    }
    bool key(std::string& value) override {
        key_ = value;
        return true;
    }
    bool start_object(size_t) override {
        if (list_ == List::None && is_at("model") && key_ == "vocab")
            list_ = List::Vocabulary;
        else
            open(Json::object());
        return true;
    }
    bool end_object() override {
        if (list_ == List::Vocabulary) {
            list_ = List::None;
            return true;
        }
        const Json* ended = open_.back();
        open_.pop_back();
        if (open_.size() == 2 && is_at("added_tokens")) {
            budget_.push(added, read_added(*ended, where_));
            open_.back()->clear();
        }
        return true;
    }
    bool start_array(size_t) override {
        if (list_ == List::Merges)
            list_ = List::Merge;
        else if (list_ == List::None && is_at("model") && key_ == "merges")
            list_ = List::Merges;
        else
            open(Json::array());
        return true;
    }
    bool end_array() override {
        if (list_ == List::Merge) {
            // Merges before this one all have two parts, so an odd one shows at once, and so does one of four.
            if (merge_parts.size() != 2 * ++merges_) throw Error("a merge is not a pair of tokens", where_);
            list_ = List::Merges;
        } else if (list_ == List::Merges) {
            list_ = List::None;
        } else {
            open_.pop_back();
        }
        return true;
    }
    bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
        throw Error("is not valid JSON at byte " + std::to_string(position), where_);
    }

private:
    void add_part(const std::string& text) {
        budget_.charge_text(text.size(), 1);
        budget_.push(merge_parts, text);
    }

    enum class List { None, Vocabulary, Merges, Merge };

    // Are we inside this member of the file, and not deeper?
    bool is_at(const char* name) const { return open_.size() == 2 && tree.contains(name) && open_[1] == &tree[name]; }

    // Copies and messages walk the tree by recursion, so it must not be deep.
    void open(Json value) {
        if (open_.size() == JSON_DEPTH) throw Error("nested too deeply in JSON", where_);
        open_.push_back(place(std::move(value)));
    }
    Json* place(Json value) {
        if (list_ != List::None)
            throw Error(list_ == List::Vocabulary ? "an id of the vocabulary is not a whole number from 0 on"
                                                  : "a merge is not a pair of tokens",
                        where_);
        constexpr size_t GROWTH = 3;  // a list that grows by doubling, while it moves
        budget_.charge(NODE_BYTES + sizeof key_ + GROWTH * sizeof value + sizeof(Json::object_t) + BLOCK_BYTES);
        budget_.charge_text(key_.size(), 1);
        if (value.is_string()) budget_.charge_text(value.get_ref<const std::string&>().size(), 1);
        if (open_.empty()) return &(tree = std::move(value));
        Json& parent = *open_.back();
        if (parent.is_object()) return &(parent[key_] = std::move(value));
        parent.push_back(std::move(value));
        return &parent.back();
    }
    bool scalar(Json value) {
        place(std::move(value));
        return true;
    }

    MemoryBudget& budget_;
    const std::string& where_;
    std::vector<Json*> open_;  // objects and arrays that have begun; a parent does not move while its child is open
    std::string key_;
    List list_ = List::None;
    size_t merges_ = 0;
};

void require_known_keys(const Json& object, std::initializer_list<const char*> known, const char* what,
                        const std::string& where) {
    if (!object.is_object()) throw Error(std::string(what) + " is missing or not an object", where);
    for (const auto& [key, value] : object.items())
        if (std::find(known.begin(), known.end(), key) == known.end())
            throw Error("unknown key " + in_quotes(key) + " in " + what, where);
}

// The value's "type" in quotes, for messages and comparisons; null for null.
std::string type_of(const Json& value) {
    if (value.is_null()) return "null";
    if (value.is_object() && value.contains("type") && value["type"].is_string())
        return in_quotes(value["type"].get<std::string>());
    return "of no type";
}

void check_options(const Json& tree, const std::string& where) {
    require_known_keys(tree,
                       {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                        "post_processor", "decoder", "model"},
                       "the file", where);
    if (tree.value("version", Json()) != "1.0") throw Error("\"version\" is not \"1.0\"", where);
    if (const std::string type = type_of(tree.value("decoder", Json())); type != "'ByteLevel'")
        throw Error("decoder " + type + " is not supported", where, "only ByteLevel is");

    const Json model = tree.value("model", Json());
    require_known_keys(model,
                       {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                        "byte_fallback", "ignore_merges"},
                       "\"model\"", where);
    if (const std::string type = type_of(model); type != "'BPE'")
        throw Error("model " + type + " is not supported", where, "only BPE is");
    // unk_token and fuse_unk never matter: every byte has a token.
    for (const char* option : {"dropout", "continuing_subword_prefix", "byte_fallback", "ignore_merges"}) {
        const Json value = model.value(option, Json());
        if (!value.is_null() && value != false && value != "" && value != 0)
            throw Error(std::string("model option \"") + option + "\" is not supported", where);
    }
    if (const Json suffix = model.value("end_of_word_suffix", Json()); !suffix.is_null() && !suffix.is_string())
        throw Error("model option \"end_of_word_suffix\" is not a string", where);
}

}  // namespace

TokenizerFile read_tokenizer_file(std::string_view json, const std::string& where, MemoryBudget& budget) {
    charge_json_parser(json, budget);
    TokenizerReader reader(budget, where);
    Json::sax_parse(json.begin(), json.end(), static_cast<nlohmann::json_sax<Json>*>(&reader));
    if (!reader.tree.is_object()) throw Error("is not a tokenizer.json", where);
    check_options(reader.tree, where);

    // Proper entries have left the tree; what is still there is none.
    const Json strays = reader.tree.value("added_tokens", Json::array());
    if (!strays.is_array() || !strays.empty()) throw Error("\"added_tokens\" is not a list of objects", where);

    const uint64_t limit = MAX_IDS_PER_TOKEN * (reader.vocabulary.size() + reader.added.size());
    uint64_t ids = 0;
    auto check_entry = [&](const std::string& name, uint64_t id) {
        if (name.empty()) throw Error("the token of id " + std::to_string(id) + " is empty", where);
        if (id >= limit || id > INT32_MAX - 1)
            throw Error(
                "id " + std::to_string(id) + " of token " + in_quotes(name) + " is far beyond the number of tokens",
                where);
        ids = std::max(ids, id + 1);
    };
    for (const VocabularyEntry& entry : reader.vocabulary) check_entry(entry.name, entry.id);
    for (const AddedEntry& entry : reader.added) check_entry(entry.name, entry.id);

    TokenizerFile file;
    budget.reserve(file.names, ids);
    file.names.resize(ids);
    auto taken = [&](uint64_t id, const std::string& name) {
        return Error(
            "id " + std::to_string(id) + " is taken by both " + in_quotes(file.names[id]) + " and " + in_quotes(name),
            where);
    };
    for (VocabularyEntry& entry : reader.vocabulary) {
        if (!file.names[entry.id].empty()) throw taken(entry.id, entry.name);
        file.names[entry.id] = std::move(entry.name);
    }
    std::vector<bool> is_added(ids);
    for (AddedEntry& entry : reader.added) {
        std::string& name = file.names[entry.id];
        if (is_added[entry.id] || (!name.empty() && name != entry.name)) throw taken(entry.id, entry.name);
        is_added[entry.id] = true;
        name = std::move(entry.name);
        entry.token.id = static_cast<int32_t>(entry.id);
        file.added.push_back(entry.token);
    }
    file.merge_parts = std::move(reader.merge_parts);
    const Json suffix = reader.tree["model"].value("end_of_word_suffix", Json());
    if (suffix.is_string()) file.end_of_word = suffix.get<std::string>();
    file.normalization = read_normalization(reader.tree.value("normalizer", Json()), where);
    file.pre_tokenizer = reader.tree.value("pre_tokenizer", Json());
    return file;
}

}  // namespace leon
