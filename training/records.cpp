// See records.h. Which fields a template has is read from the template.
#include "training/records.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "kernels/check.h"
#include "retrieval/bank.h"
#include "runtime/strict_json.h"
#include "tasks/common.h"
#include "tokenizer/unicode.h"

namespace leon {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char *NEW_PICTURE = "new picture", *ANSWER = "answer";

bool is_picture(const std::string& field) {
    return field == "picture" || field == "map" || field == NEW_PICTURE;
}
bool is_size(const std::string& field) {
    return field == "width" || field == "height";
}

// The names of a template's fields that a record must give.
std::set<std::string> fields_of(const Template& row) {
    std::set<std::string> fields;
    for (const std::string& part : row.parts)
        for (size_t at = part.find('{'); at != std::string::npos; at = part.find('{', at + 1)) {
            const std::string name = part.substr(at + 1, part.find('}', at) - at - 1);
            if (name == "reply") fields.insert(ANSWER);
            if (name != "turn" && name != "reply" && !is_size(name)) fields.insert(name);
        }
    return fields;
}

const Template& template_named(const std::string& task, Layout layout, const std::string& where) {
    const std::optional<Task> known = task_named(task);
    if (!known)
        throw Error("there is no task " + in_quotes(task), where, "give \"parts\" for documents of other kinds");
    if (*known == Task::FillPicture || *known == Task::FillText || *known == Task::FillTextOfPicture)
        throw Error("the task " + in_quotes(task) + " has no records", where,
                    "training makes holes in any document: its recipe says how many");
    return template_of(layout, *known);
}

std::string checked_text(const std::string& text, const std::string& where) {
    if (find_invalid_utf8(text)) throw Error("a text is not valid UTF-8", where);
    if (text.size() > MAX_DOCUMENT_TEXT_BYTES)
        throw Error("a text is longer than " + std::to_string(MAX_DOCUMENT_TEXT_BYTES) + " bytes", where);
    return text;
}

std::string text_of(const json& value, const std::string& key, const std::string& where) {
    if (!value.is_string()) throw Error(in_quotes(key) + " is no text", where);
    return checked_text(value.get<std::string>(), where);
}

std::string path_of(const json& value, const std::string& key, const std::string& folder, const std::string& where) {
    const std::string path = text_of(value, key, where);
    if (path.empty()) throw Error(in_quotes(key) + " names no file", where);
    return (fs::path(folder) / path).string();
}

std::string words_of_list(const json& value, const std::string& where) {
    if (!value.is_array()) throw Error("'objects' is no list of \"NAME@x0,y0,x1,y1\"", where);
    std::vector<PlacedObject> objects;
    for (const json& item : value) objects.push_back(parse_object(text_of(item, "objects", where)));
    return words_of_objects(objects);
}

void read_fields(Record& record, const json& object, const std::string& where, const std::string& folder) {
    const std::set<std::string> wanted = fields_of(*record.row);
    for (const std::string& field : wanted) {
        if (!object.contains(field)) throw Error(in_quotes(record.name) + " needs " + in_quotes(field), where);
        const json& value = object[field];
        if (is_picture(field))
            record.picture[field] = path_of(value, field, folder, where);
        else if (field == "objects")
            record.text[field] = words_of_list(value, where);
        else
            record.text[field] = text_of(value, field, where);
        if (field == "kind") record.text[field] = words_of_map(record.text[field]);
    }
    for (const auto& item : object.items())
        if (item.key() != "task" && item.key() != "source" && wanted.count(item.key()) == 0)
            throw Error("unknown key " + in_quotes(item.key()), where, in_quotes(record.name) + " has no such field");
}

void read_parts(Record& record, const json& object, const std::string& where, const std::string& folder) {
    for (const auto& item : object.items())
        if (item.key() != "task" && item.key() != "source" && item.key() != "parts")
            throw Error("unknown key " + in_quotes(item.key()), where, "beside parts, task and source are known");
    if (!object["parts"].is_array() || object["parts"].empty()) throw Error("'parts' is no list of parts", where);
    for (const json& part : object["parts"]) {
        if (!part.is_object() || part.size() != 1 || (!part.contains("text") && !part.contains("picture")))
            throw Error("a part is neither {\"text\": ...} nor {\"picture\": path}", where);
        if (part.contains("text"))
            record.parts.push_back({text_of(part["text"], "text", where), ""});
        else
            record.parts.push_back({"", path_of(part["picture"], "picture", folder, where)});
    }
}

}  // namespace

std::string Record::words() const {
    std::string words;
    const auto add = [&](const std::string& more) { words += (words.empty() || more.empty() ? "" : " ") + more; };
    for (const auto& [field, value] : text)
        if (field != ANSWER && field != "kind" && field != "objects") add(value);
    for (const RecordPart& part : parts) add(part.text);
    return words;
}

std::string Record::last_picture() const {
    for (const char* field : {NEW_PICTURE, "picture", "map"})
        if (const auto found = picture.find(field); found != picture.end()) return found->second;
    std::string last;
    for (const RecordPart& part : parts)
        if (!part.picture.empty()) last = part.picture;
    return last;
}

Record record_of(const Source& source, const RecordRules& rules) {
    Record record;
    record.source = source.name;
    const bool to_draw = rules.task.empty() && !source.picture.empty();
    if (rules.task.empty() && !to_draw) {
        record.name = "text";
        record.parts = {{source.text, ""}};
        return record;
    }
    record.name = to_draw ? name_of(Task::Draw) : rules.task;
    record.row = &template_named(record.name, rules.layout, source.name);
    std::vector<std::string> texts, pictures;
    for (const std::string& field : fields_of(*record.row)) (is_picture(field) ? pictures : texts).push_back(field);
    if (texts.size() != 1 || pictures.size() != 1)
        throw Error(in_quotes(record.name) + " takes more than a picture with its caption", source.name,
                    "give a .jsonl file that names its fields");
    if (source.picture.empty()) throw Error("has no picture", source.name);
    if (source.text.empty() && !to_draw) throw Error("has no caption", source.name);
    record.text[texts[0]] = source.text;
    record.picture[pictures[0]] = source.picture;
    return record;
}

Record parse_record(std::string_view line, const std::string& where, const std::string& named,
                    const RecordRules& rules) {
    const json object = parse_json(line, where);
    if (!object.is_object()) throw Error("is no JSON object", where);
    Record record;
    record.source = object.contains("source") ? text_of(object["source"], "source", where) : named;
    if (object.contains("parts")) {
        record.name = object.contains("task") ? text_of(object["task"], "task", where) : "document";
        read_parts(record, object, where, rules.folder);
        return record;
    }
    if (object.contains("task")) {
        record.name = text_of(object["task"], "task", where);
        record.row = &template_named(record.name, rules.layout, where);
        read_fields(record, object, where, rules.folder);
        return record;
    }
    Source source{.text = "", .picture = "", .name = record.source};
    for (const auto& item : object.items()) {
        if (item.key() == "text")
            source.text = trimmed(text_of(item.value(), "text", where));
        else if (item.key() == "picture")
            source.picture = path_of(item.value(), "picture", rules.folder, where);
        else if (item.key() != "source")
            throw Error("unknown key " + in_quotes(item.key()), where,
                        "text, picture and source are known without a task");
    }
    if (source.text.empty() && source.picture.empty()) throw Error("has neither a text nor a picture", where);
    return record_of(source, rules);
}

TaskDocument document_of(const Record& record, const std::vector<Document>& retrieved, int patch,
                         const std::function<Part(const std::string& path)>& picture) {
    TaskDocument d;
    d.task = record.name;
    d.source = record.source;
    if (!record.row) {
        for (const RecordPart& part : record.parts)
            d.whole.document.parts.push_back(part.picture.empty() ? text_part(part.text) : picture(part.picture));
        d.whole.retrieved = retrieved;
        d.query = d.whole;
        return d;
    }
    Fields fields;
    fields.text = record.text;
    fields.retrieved = retrieved;
    for (const auto& [field, path] : record.picture) fields.pictures[field] = picture(path);
    if (const auto drawn = fields.pictures.find(NEW_PICTURE); drawn != fields.pictures.end()) {
        fields.rows = drawn->second.picture.rows;
        fields.cols = drawn->second.picture.cols;
        fields.text["width"] = std::to_string(fields.cols * patch);
        fields.text["height"] = std::to_string(fields.rows * patch);
    }
    d.whole = whole(*record.row, fields);
    d.query = query(*record.row, fields);
    return d;
}

}  // namespace leon
