// Pairing references with candidates, for evaluation.cpp: lines of JSON by "id", files of two folders by name.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace leon {

struct PairedLines {
    nlohmann::json id, reference, candidate;       // the whole lines' objects
    std::string reference_where, candidate_where;  // "file:line"
};
std::vector<PairedLines> pair_lines(const std::string& references, const std::string& candidates);  // at least one

// A text, or a list of at least one text, under `key` of a line's object.
std::string text_at(const nlohmann::json& line, const std::string& key, const std::string& where);
std::vector<std::string> texts_at(const nlohmann::json& line, const std::string& key, const std::string& where);

struct PairedFiles {
    std::string name, reference, candidate;
};
// Two files are one pair. Of folders, the files with one of these endings, sorted by name; others are left alone.
std::vector<PairedFiles> pair_files(const std::string& reference, const std::string& candidate,
                                    const std::vector<std::string>& endings);

}  // namespace leon
