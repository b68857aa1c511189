// A configuration that somebody else wrote: keys that leon does not ask for are passed over, what it asks for must have
// the right type, and a setting that leon does not implement is an Error that names it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace leon {

// The object of a JSON file of at most 64 MB (Chameleon's config.json holds its whole vocabulary: 1.7 MB).
nlohmann::json read_json_object(const std::string& path);

class ForeignConfig {
public:
    // `object` must outlive this. `prefix` stands in front of its keys in messages, `where` is the file.
    ForeignConfig(const nlohmann::json& object, std::string prefix, std::string where)
        : object_(object), prefix_(std::move(prefix)), where_(std::move(where)) {}

    // The value, or null if the key is absent or null: Hugging Face writes both for "not set".
    const nlohmann::json& find(const char* key) const;
    const nlohmann::json& need(const char* key) const;

    int integer(const char* key) const { return to_integer(key, need(key)); }  // 0 to 2^31 - 1
    int integer(const char* key, int if_absent) const;
    std::vector<int> integers(const char* key, std::vector<int> if_absent) const;
    float number(const char* key) const;
    float number(const char* key, float if_absent) const { return find(key).is_null() ? if_absent : number(key); }
    bool boolean(const char* key) const;
    bool boolean(const char* key, bool if_absent) const { return find(key).is_null() ? if_absent : boolean(key); }
    std::string text(const char* key) const;
    std::string text(const char* key, const char* if_absent) const {
        return find(key).is_null() ? if_absent : text(key);
    }
    // leon implements one value of this setting. If it is absent, that value must be its default.
    void require(const char* key, const nlohmann::json& only) const;
    void require_or_absent(const char* key, const nlohmann::json& only) const;

    std::string name(const char* key) const { return "'" + prefix_ + key + "'"; }
    const std::string& where() const { return where_; }

private:
    int to_integer(const char* key, const nlohmann::json& value) const;
    [[noreturn]] void refuse(const char* key, const nlohmann::json& found, const nlohmann::json& only) const;

    const nlohmann::json& object_;
    std::string prefix_, where_;
};

}  // namespace leon
