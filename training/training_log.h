// What a run has done, as a table that spreadsheets and scripts read: one line a step, columns that are named once. The
// file is appended to, and cut back to the checkpoint when a run is resumed, so that it tells one story.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace leon {

class TrainingLog {
public:
    // Opens or begins the file. What it holds of steps after `last_step` is cut off (-1: all of it). Error if its
    // columns are others. The first column is the step.
    TrainingLog(const std::string& path, std::vector<std::string> columns, int64_t last_step);

    // As many values as there are columns; no value: an empty field.
    void add(const std::vector<std::optional<double>>& values);

private:
    std::string path_;
    size_t columns_;
};

// A table that TrainingLog wrote: values[column][row].
struct LogTable {
    std::vector<std::string> columns;
    std::vector<std::vector<std::optional<double>>> values;
    int find(const std::string& column) const;  // -1 if there is none
};
LogTable read_log(const std::string& path);

}  // namespace leon
