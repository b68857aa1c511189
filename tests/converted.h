// A checkpoint converted for one test case, and what can be asked of the leon file.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/tensor.h"
#include "runtime/config.h"
#include "runtime/weights_file.h"
#include "tests/temporary_folder.h"
#include "weights_converter/convert.h"

#include "tests/testing.h"

namespace leon {

const std::string MODELS = "tests/vectors/models/";

// Converts and opens; the file lives as long as this does.
struct Converted {
    TemporaryFolder folder;
    std::unique_ptr<WeightsFile> file;
    ModelConfig config;
    std::vector<std::string> notes;

    explicit Converted(const std::string& source, ConvertOptions options = {}) {
        const std::string path = folder / "model.leon";
        options.note = [&](const std::string& note) { notes.push_back(note); };
        convert(source, path, options, nullptr);
        file = std::make_unique<WeightsFile>(path);
        config = parse_config(file->config_json(), path);
    }
    std::string bytes() const { return read_text(file->path()); }
    // A tensor's values, widened.
    std::vector<float> values(const std::string& name) const {
        const StoredTensor* stored = file->file().find(name);
        REQUIRE(stored != nullptr);
        const bool narrow = stored->dtype == "BF16";
        std::vector<float> out(stored->bytes / (narrow ? 2 : 4));
        const uint8_t* data = file->file().data(*stored);
        if (!narrow) std::memcpy(out.data(), data, stored->bytes);
        for (size_t i = 0; narrow && i < out.size(); i++) {
            uint16_t half;
            std::memcpy(&half, data + 2 * i, 2);
            out[i] = bf16_to_float(half);
        }
        return out;
    }
    std::string bytes_of(const std::string& name) const {
        const StoredTensor* stored = file->file().find(name);
        REQUIRE(stored != nullptr);
        return std::string(reinterpret_cast<const char*>(file->file().data(*stored)), stored->bytes);
    }
    std::string dtype(const std::string& name) const { return file->file().find(name)->dtype; }
};

inline void check_same_tensors(const Converted& a, const Converted& b, const std::string& prefix) {
    int compared = 0;
    for (const auto& entry : a.file->file().tensors()) {
        const std::string& name = entry.first;
        const StoredTensor& stored = entry.second;
        if (name.compare(0, prefix.size(), prefix) != 0) continue;
        CAPTURE(name);
        const StoredTensor* other = b.file->file().find(name);
        REQUIRE(other != nullptr);
        CHECK(other->dtype == stored.dtype);
        CHECK(other->shape == stored.shape);
        CHECK(std::memcmp(a.file->file().data(stored), b.file->file().data(*other), stored.bytes) == 0);
        compared++;
    }
    CHECK(compared >= 29);
}

}  // namespace leon
