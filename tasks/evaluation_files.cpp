// What belongs together; see evaluation_files.h.
#include "tasks/evaluation_files.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <string_view>

#include "kernels/check.h"
#include "runtime/files.h"
#include "runtime/strict_json.h"

namespace leon {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

struct Line {
    json object;
    std::string where;
};

// By id, and the ids in the order of the file.
struct Lines {
    std::map<json, Line> by_id;
    std::vector<json> order;
};

Lines read_lines(const std::string& path) {
    const MappedFile file(path);
    std::string_view rest(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    Lines lines;
    for (size_t number = 1; !rest.empty(); number++) {
        const size_t end = std::min(rest.find('\n'), rest.size());
        const std::string_view text = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (text.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        const std::string where = path + ":" + std::to_string(number);
        json object = parse_json(text, where);
        if (!object.is_object() || !object.contains("id")) throw Error("must be a JSON object with an \"id\"", where);
        const json id = object["id"];
        if (!id.is_string() && !id.is_number_integer()) throw Error("\"id\" must be a text or an integer", where);
        const auto [place, is_new] = lines.by_id.emplace(id, Line{std::move(object), where});
        if (!is_new) throw Error("the id " + id.dump() + " was in " + place->second.where + " already", where);
        lines.order.push_back(id);
    }
    if (lines.order.empty()) throw Error("holds no lines", path, "each line is a JSON object with an \"id\"");
    return lines;
}

std::map<std::string, std::string> files_by_name(const std::string& folder, const std::vector<std::string>& endings) {
    std::map<std::string, std::string> files;
    std::error_code problem;
    for (fs::directory_iterator it(folder, problem), end; !problem && it != end; it.increment(problem)) {
        std::string ending = it->path().extension().string();
        std::transform(ending.begin(), ending.end(), ending.begin(),
                       [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
        if (std::find(endings.begin(), endings.end(), ending) == endings.end()) continue;
        const auto [place, is_new] = files.emplace(it->path().stem().string(), it->path().string());
        if (!is_new) throw Error("has the name of " + place->second, it->path().string(), "keep one of them");
    }
    if (problem) throw Error("the folder cannot be read: " + problem.message(), folder);
    return files;
}

}  // namespace

std::vector<PairedLines> pair_lines(const std::string& references, const std::string& candidates) {
    Lines wanted = read_lines(references), given = read_lines(candidates);
    std::vector<PairedLines> pairs;
    for (const json& id : wanted.order) {
        const auto found = given.by_id.find(id);
        if (found == given.by_id.end())
            throw Error("the id " + id.dump() + " of " + wanted.by_id[id].where + " is missing", candidates);
        Line &reference = wanted.by_id[id], &candidate = found->second;
        pairs.push_back(
            {id, std::move(reference.object), std::move(candidate.object), reference.where, candidate.where});
    }
    for (const json& id : given.order)
        if (!wanted.by_id.contains(id))
            throw Error("the id " + id.dump() + " is not in " + references, given.by_id[id].where);
    return pairs;
}

std::string text_at(const json& line, const std::string& key, const std::string& where) {
    if (!line.contains(key) || !line[key].is_string()) throw Error("\"" + key + "\" must be there, and a text", where);
    return line[key].get<std::string>();
}

std::vector<std::string> texts_at(const json& line, const std::string& key, const std::string& where) {
    std::vector<std::string> texts;
    if (line.contains(key) && line[key].is_array())
        for (const json& text : line[key])
            if (text.is_string()) texts.push_back(text.get<std::string>());
    if (texts.empty() || texts.size() != line[key].size())
        throw Error("\"" + key + "\" must be there, and a list of texts, at least one", where);
    return texts;
}

std::vector<PairedFiles> pair_files(const std::string& reference, const std::string& candidate,
                                    const std::vector<std::string>& endings) {
    std::error_code none;
    const bool folder = fs::is_directory(reference, none);
    if (folder != fs::is_directory(candidate, none))
        throw Error("one is a folder and the other is not", reference + ", " + candidate);
    if (!folder) return {{fs::path(reference).filename().string(), reference, candidate}};
    const auto wanted = files_by_name(reference, endings);
    auto given = files_by_name(candidate, endings);
    std::vector<PairedFiles> pairs;
    for (const auto& [name, path] : wanted) {
        const auto found = given.find(name);
        if (found == given.end()) throw Error("there is no candidate for " + path, candidate);
        pairs.push_back({name, path, found->second});
        given.erase(found);
    }
    if (!given.empty()) throw Error("there is no reference for " + given.begin()->second, reference);
    if (pairs.empty()) {
        std::string list;
        for (const std::string& ending : endings) list += " " + ending;
        throw Error("holds no files to compare", reference, "they end in" + list);
    }
    return pairs;
}

}  // namespace leon
