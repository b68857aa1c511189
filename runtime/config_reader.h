// One JSON object of a model's configuration, read key by key and strictly: every key asked for must be there and in
// range, and finish() refuses what was not asked for. An enum's names stand in one table, read both ways.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "kernels/check.h"
#include "runtime/weights_file.h"

namespace leon {

// One value of an enum and its name in the configuration.
template <typename Enum>
struct EnumName {
    Enum value;
    const char* text;
};
template <typename Enum, size_t N>
const char* text_of(const EnumName<Enum> (&names)[N], Enum value) {
    for (const EnumName<Enum>& name : names)
        if (name.value == value) return name.text;
    check_failed(__FILE__, __LINE__, "known enum value");
}

// `name` is the object's key ("" for the whole configuration), `where` the file's name, for messages.
class ConfigReader {
public:
    ConfigReader(const nlohmann::json& object, std::string name, std::string where)
        : object_(object), name_(std::move(name)), where_(std::move(where)) {
        if (!object_.is_object()) throw Error(path("") + " must be an object", where_);
    }

    bool has(const char* key) const { return object_.contains(key); }
    const nlohmann::json& value(const char* key) {
        used_.insert(key);
        auto found = object_.find(key);
        if (found == object_.end()) throw Error("the configuration lacks '" + path(key) + "'", where_);
        return *found;
    }
    bool boolean(const char* key) {
        if (!value(key).is_boolean()) fail(key, "must be true or false");
        return value(key).get<bool>();
    }
    std::string text(const char* key) {
        if (!value(key).is_string()) fail(key, "must be a string");
        return value(key).get<std::string>();
    }
    int integer(const char* key, int least, int most) { return integer(key, value(key), least, most); }
    int integer(const char* key, const nlohmann::json& number, int least, int most) {
        if (!number.is_number_integer()) fail(key, "must be a whole number");
        const bool too_big = number.is_number_unsigned() && number.get<uint64_t>() > static_cast<uint64_t>(most);
        if (too_big || number.get<int64_t>() < least || number.get<int64_t>() > most)
            fail(key, "must lie in " + std::to_string(least) + ".." + std::to_string(most));
        return number.get<int>();
    }
    float number(const char* key, double least, double most) {
        if (!value(key).is_number()) fail(key, "must be a number");
        const double number = value(key).get<double>();
        if (!(number >= least && number <= most)) fail(key, "is out of range");
        return static_cast<float>(number);
    }
    template <typename Enum, size_t N>
    Enum one_of(const char* key, const EnumName<Enum> (&names)[N]) {
        const std::string found = text(key);
        std::string known;
        for (const EnumName<Enum>& name : names) {
            if (found == name.text) return name.value;
            known += (known.empty() ? "" : ", ") + std::string(name.text);
        }
        fail(key, "is " + in_quotes(found) + ", but must be one of " + known);
    }
    [[noreturn]] void fail(const char* key, const std::string& why) const {
        throw Error("configuration: '" + path(key) + "' " + why, where_);
    }
    void finish() const {
        for (const auto& [key, ignored] : object_.items())
            if (used_.count(key) == 0) throw Error("the configuration has an unknown key " + in_quotes(key), where_);
    }

private:
    const nlohmann::json& object_;
    std::string name_, where_;
    std::set<std::string> used_;

    std::string path(const std::string& key) const {
        if (key.empty()) return name_.empty() ? "the configuration" : "'" + name_ + "'";
        return name_.empty() ? key : name_ + "." + key;
    }
};

}  // namespace leon
