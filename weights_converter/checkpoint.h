// A checkpoint as a source of named tensors, whatever file format it lies in. The converter asks for rows and gets
// float32; it never sees files, shards or storage types, so a new format is a new implementation of this interface.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace leon {

struct SourceTensor {
    std::string name;
    std::string dtype;  // "F32", "BF16", "F16"; others can be listed, but not read
    std::vector<int64_t> shape;
    std::string file;  // for messages

    int64_t rows() const { return shape.empty() ? 1 : shape[0]; }
    int64_t row_elements() const;  // product of all dimensions but the first
};

class Checkpoint {
public:
    virtual ~Checkpoint() = default;
    virtual const std::map<std::string, SourceTensor>& tensors() const = 0;
    // Rows [first, first + count) of the first dimension, widened exactly to float32.
    // Any number of threads may read at the same time.
    virtual void read_rows(const SourceTensor& tensor, int64_t first, int64_t count, float* out) const = 0;
    // These rows will be read soon, so that the disk may begin; a hint.
    virtual void expect_rows(const SourceTensor& tensor, int64_t first, int64_t count) const = 0;
    // Gives back the memory of what was read so far.
    virtual void forget_pages() const = 0;
};

// What read_rows() does with each element, for those who implement it: F32, BF16 and F16 widened; an Error for others.
void widen(const SourceTensor& tensor, const uint8_t* stored, size_t elements, float* out);

// A Hugging Face folder: model.safetensors, or else the shards that model.safetensors.index.json names.
std::unique_ptr<Checkpoint> open_huggingface(const std::string& folder);

// The names of the files that hold a Hugging Face folder's tensors, or should: of the index, in order. Empty if there
// is neither an index nor a single file.
std::vector<std::string> huggingface_files_of(const std::string& folder);

// One file, by content: safetensors, or what torch.save wrote (.pth, .ckpt; see torch_file.h). `inside` names
// dictionaries of a torch file in order of preference, say {"params_ema", "params"}: of the first that it has, only the
// tensors are shown, without its name; if it has none of them, all are.
std::unique_ptr<Checkpoint> open_tensor_file(const std::string& path, const std::vector<std::string>& inside = {});

}  // namespace leon
