// A folder for one test case, removed with everything in it when the case ends, and a plain writer of safetensors files
// (aligned to nothing, checked by nobody) for checkpoints that a test makes up.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/weights_file.h"

namespace leon {

class TemporaryFolder {
public:
    TemporaryFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "leon_test_XXXXXX").string();
        path_ = mkdtemp(name.data());
    }
    ~TemporaryFolder() { std::filesystem::remove_all(path_); }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    std::string operator/(const std::string& name) const { return (path_ / name).string(); }
    std::string path() const { return path_.string(); }

private:
    std::filesystem::path path_;
};

inline void write_text(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
}

inline std::string read_text(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
}

struct MadeTensor {
    std::string dtype;
    std::vector<int64_t> shape;
    std::string bytes;
};

// A safetensors file: the header as given, preceded by its length, followed by the data.
inline std::string safetensors(const std::string& header, const std::string& data) {
    std::string file;
    for (int i = 0; i < 8; i++) file += static_cast<char>(header.size() >> (8 * i));
    return file + header + data;
}

inline std::string safetensors(const std::map<std::string, MadeTensor>& tensors) {
    std::string header, data;
    for (const auto& [name, tensor] : tensors) {
        header += (header.empty() ? "{\"" : ",\"") + name + "\":{\"dtype\":\"" + tensor.dtype +
                  "\",\"shape\":" + shape_text(tensor.shape) + ",\"data_offsets\":[" + std::to_string(data.size()) +
                  "," + std::to_string(data.size() + tensor.bytes.size()) + "]}";
        data += tensor.bytes;
    }
    return safetensors(header + "}", data);
}

}  // namespace leon
