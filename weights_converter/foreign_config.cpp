// See foreign_config.h.
#include "weights_converter/foreign_config.h"

#include <limits>

#include "kernels/check.h"
#include "runtime/files.h"
#include "runtime/strict_json.h"
#include "runtime/weights_file.h"

namespace leon {

using nlohmann::json;

json read_json_object(const std::string& path) {
    constexpr size_t MAX_CONFIG_BYTES = size_t{64} << 20;
    const std::vector<uint8_t> bytes = read_file(path, MAX_CONFIG_BYTES);
    json object = parse_json(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()), path);
    if (!object.is_object()) throw Error("is not a JSON object", path);
    return object;
}

const json& ForeignConfig::find(const char* key) const {
    static const json NONE;
    auto found = object_.find(key);
    return found == object_.end() ? NONE : *found;
}

const json& ForeignConfig::need(const char* key) const {
    const json& value = find(key);
    if (value.is_null()) throw Error("lacks " + name(key), where_);
    return value;
}

int ForeignConfig::integer(const char* key, int if_absent) const {
    return find(key).is_null() ? if_absent : to_integer(key, find(key));
}

std::vector<int> ForeignConfig::integers(const char* key, std::vector<int> if_absent) const {
    const json& list = find(key);
    if (list.is_null()) return if_absent;
    if (!list.is_array()) throw Error(name(key) + " must be a list", where_);
    std::vector<int> values;
    for (const json& value : list) values.push_back(to_integer(key, value));
    return values;
}

float ForeignConfig::number(const char* key) const {
    const json& value = need(key);
    if (!value.is_number()) throw Error(name(key) + " must be a number", where_);
    return value.get<float>();
}

bool ForeignConfig::boolean(const char* key) const {
    const json& value = need(key);
    if (!value.is_boolean()) throw Error(name(key) + " must be true or false", where_);
    return value.get<bool>();
}

std::string ForeignConfig::text(const char* key) const {
    const json& value = need(key);
    if (!value.is_string()) throw Error(name(key) + " must be a string", where_);
    return value.get<std::string>();
}

void ForeignConfig::require(const char* key, const json& only) const {
    if (need(key) != only) refuse(key, find(key), only);
}

void ForeignConfig::require_or_absent(const char* key, const json& only) const {
    if (!find(key).is_null() && find(key) != only) refuse(key, find(key), only);
}

int ForeignConfig::to_integer(const char* key, const json& value) const {
    constexpr uint64_t MOST = std::numeric_limits<int>::max();  // parse_config() has the real limits
    if (!value.is_number_unsigned() || value.get<uint64_t>() > MOST)
        throw Error(name(key) + " must be a whole number below 2^31", where_);
    return value.get<int>();
}

void ForeignConfig::refuse(const char* key, const json& found, const json& only) const {
    throw Error(name(key) + " is " + in_quotes(found.dump(-1, ' ', true)) + ", but leon supports only " + only.dump(),
                where_);
}

}  // namespace leon
