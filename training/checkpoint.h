// The state of a training run, so that it goes on as if it had never stopped: arrays of floats and a JSON object, in
// one safetensors file that is replaced as a whole. A run that is killed at any moment leaves the checkpoint before or
// the new one, never a part.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/weights_file.h"

namespace leon {

struct CheckpointArray {
    std::string name;
    std::span<const float> values;
};

// `kind` says what run it is of, and read_checkpoint() asks for the same.
void write_checkpoint(const std::string& path, const std::string& kind, const nlohmann::ordered_json& state,
                      const std::vector<CheckpointArray>& arrays);

class CheckpointFile {
public:
    CheckpointFile(const std::string& path, const std::string& kind);  // Error if it is none, or of another kind

    const nlohmann::json& state() const { return state_; }
    // A whole number of the state, at least 0.
    int64_t number(const char* key) const;
    // Error unless there is an array of that name and as many values.
    void read(const std::string& name, std::span<float> values) const;
    bool has(const std::string& name) const { return file_.find(name) != nullptr; }
    std::vector<float> all(const std::string& name) const;

private:
    SafetensorsFile file_;
    nlohmann::json state_;
};

}  // namespace leon
