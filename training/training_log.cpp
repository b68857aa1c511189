// Lines of comma separated numbers; see training_log.h.
#include "training/training_log.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "kernels/check.h"
#include "runtime/files.h"

namespace leon {
namespace {

std::vector<std::string> split(const std::string& line) {
    std::vector<std::string> fields(1);
    for (char c : line) {
        if (c == ',')
            fields.emplace_back();
        else
            fields.back() += c;
    }
    return fields;
}

std::string joined(const std::vector<std::string>& fields) {
    std::string line;
    for (const std::string& field : fields) line += (line.empty() ? "" : ",") + field;
    return line;
}

}  // namespace

TrainingLog::TrainingLog(const std::string& path, std::vector<std::string> columns, int64_t last_step)
    : path_(path), columns_(columns.size()) {
    const std::string header = joined(columns);
    std::string kept = header + "\n";
    if (last_step >= 0 && std::filesystem::exists(path)) {
        std::ifstream file(path);
        std::string line;
        if (!std::getline(file, line) || line != header)
            throw Error("has other columns than this run", path, "move it away, or begin in another folder");
        while (std::getline(file, line))
            // A line that a killed run left half written is of a later step, or has too few fields.
            if (split(line).size() == columns_ && std::atoll(line.c_str()) <= last_step) kept += line + "\n";
    }
    write_file(path, kept.data(), kept.size());
}

void TrainingLog::add(const std::vector<std::optional<double>>& values) {
    CHECK(values.size() == columns_);
    std::string line;
    for (size_t i = 0; i < values.size(); i++) {
        char text[32] = "";
        if (values[i]) std::snprintf(text, sizeof text, "%.9g", *values[i]);
        line += (i == 0 ? "" : ",") + std::string(text);
    }
    std::ofstream file(path_, std::ios::app);
    file << line << "\n";
    file.flush();
    if (!file) throw Error("cannot be written", path_, "is the disk full?");
}

int LogTable::find(const std::string& column) const {
    const auto found = std::find(columns.begin(), columns.end(), column);
    return found == columns.end() ? -1 : static_cast<int>(found - columns.begin());
}

LogTable read_log(const std::string& path) {
    const std::vector<uint8_t> bytes = read_file(path);
    std::istringstream file(std::string(bytes.begin(), bytes.end()));
    LogTable table;
    std::string line;
    std::getline(file, line);
    table.columns = split(line);
    table.values.resize(table.columns.size());
    while (std::getline(file, line)) {
        const std::vector<std::string> fields = split(line);
        if (fields.size() != table.columns.size()) throw Error("a line with another number of fields", path);
        for (size_t i = 0; i < fields.size(); i++) {
            char* end = nullptr;
            const double value = std::strtod(fields[i].c_str(), &end);
            if (!fields[i].empty() && *end) throw Error("'" + fields[i] + "' is no number", path);
            table.values[i].push_back(fields[i].empty() ? std::nullopt : std::optional<double>(value));
        }
    }
    return table;
}

}  // namespace leon
