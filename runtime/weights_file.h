// One file is the model. It is a safetensors file (so any safetensors reader opens it) with two promises on top:
// the data starts on a page boundary and every tensor on 64 bytes, so that it is used straight from the mapping.
// The layout, field by field: docs/weights_format.md.
//
// SafetensorsFile   any safetensors file, mapped and validated completely before the first tensor is handed out
// WeightsFile       a leon file: SafetensorsFile plus leon's metadata and alignment
// WeightsWriter     writes a file with leon's alignment in one pass: declare every tensor, then stream the data in the
//                   declared order
//
// Everything read here is hostile until validated: sizes are checked without overflow, offsets must tile the data
// without overlap or gap, duplicate names and unknown dtypes are errors. No input makes this code allocate more than
// the header.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/tensor.h"
#include "runtime/files.h"

namespace leon {

// Names of the tensors that only fill the space up to the next aligned one; no reader has a use for them.
constexpr const char* PADDING_PREFIX = "leon.padding.";
// What stands beside an int8, fp8 or int4 matrix has its name with one of these behind: scales, [rows] f32, and the
// factors of groups, [rows, cols / GROUP] u8. Data of int4 is u8, [rows, cols / 2].
constexpr const char* SCALES_SUFFIX = ".scale";
constexpr const char* GROUPS_SUFFIX = ".groups";

// A tensor as a file describes it. `dtype` is the safetensors name ("F32", "BF16", "F16", "I64", ...).
struct StoredTensor {
    std::string name;
    std::string dtype;
    std::vector<int64_t> shape;
    size_t offset = 0;  // from the start of the file
    size_t bytes = 0;
};

// For messages: a name out of a file in quotes, shortened, without unprintable bytes; a shape as "[4, 8]".
std::string in_quotes(const std::string& name);
std::string shape_text(const std::vector<int64_t>& shape);

class SafetensorsFile {
public:
    explicit SafetensorsFile(const std::string& path);

    const std::string& path() const { return file_.path(); }
    const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
    const std::map<std::string, std::string>& metadata() const { return metadata_; }
    const StoredTensor* find(const std::string& name) const;  // null if absent
    std::vector<const StoredTensor*> in_file_order() const;   // without padding
    const uint8_t* data(const StoredTensor& tensor) const { return file_.bytes().data() + tensor.offset; }
    void expect(std::span<const uint8_t> bytes) const { file_.expect(bytes); }
    void forget_pages() const { file_.forget_pages(); }
    size_t data_offset() const { return data_offset_; }  // where tensor data begins
    size_t bytes() const { return file_.bytes().size(); }

private:
    MappedFile file_;
    size_t data_offset_ = 0;
    std::map<std::string, StoredTensor> tensors_;
    std::map<std::string, std::string> metadata_;
};

// Error unless the data start on a page boundary and every tensor but padding at a multiple of 64 bytes.
void check_alignment(const SafetensorsFile& file);

class WeightsFile {
public:
    explicit WeightsFile(const std::string& path);  // Error unless it is a leon file of a known version

    const std::string& path() const { return file_.path(); }
    const std::string& config_json() const;     // metadata "leon.config"
    const std::string& tokenizer_json() const;  // metadata "leon.tokenizer"; empty if the model has none
    bool has(const std::string& name) const { return file_.find(name) != nullptr; }
    bool has_prefix(const std::string& prefix) const;  // any tensor whose name starts so
    const SafetensorsFile& file() const { return file_; }

    // The one door to the weights: the tensor in place, after checking that it is there and has this shape and one of
    // f32, bf16, f16 and, of two dimensions and with its scales beside it, int8, fp8 or int4 (`matrix`) or exactly f32
    // (`vector`). The Error names the tensor, what was expected and what was found.
    Tensor matrix(const std::string& name, std::initializer_list<int64_t> shape) const;
    Tensor vector(const std::string& name, std::initializer_list<int64_t> shape) const;

private:
    Tensor four_bit_matrix(const std::string& name, int64_t rows, int64_t cols) const;
    SafetensorsFile file_;
    const StoredTensor& stored(const std::string& name, std::initializer_list<int64_t> shape,
                               std::initializer_list<DType> types) const;
};

using Metadata = std::vector<std::pair<std::string, std::string>>;

class WeightsWriter {
public:
    WeightsWriter(const std::string& path, std::string config_json, std::string tokenizer_json);
    WeightsWriter(const std::string& path, Metadata metadata);  // for files that are no models: a memory bank

    void declare(const std::string& name, DType dtype, std::vector<int64_t> shape);  // in file order
    void begin();                                           // writes the header; no declare() after it
    void write(const std::string& name, const void* data);  // whole tensors, in the order declared
    void write_part(const void* data, size_t bytes);        // or the current tensor piece by piece
    void commit();                                          // Error if a tensor is missing

private:
    struct Entry {
        std::string name;
        DType dtype;
        std::vector<int64_t> shape;
        size_t bytes, padding_before;
    };
    std::string path_;
    AtomicFile file_;
    Metadata metadata_;
    std::vector<Entry> entries_;
    size_t current_ = 0, written_ = 0;
    bool begun_ = false;
};

}  // namespace leon
