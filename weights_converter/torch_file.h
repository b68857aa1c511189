// A torch checkpoint (torch.save: .pth, .pt, .ckpt, .bin), as named tensors in place.
//
// Both of torch's formats are read, told apart by content: the zip archive (a pickle beside one member per storage) and
// the older stream (a pickle in front of the storages). The pickle is read as data, see pickle.h: nothing is imported
// and nothing called. Of what it holds, dictionaries and tensors count. Names of nested dictionaries are joined with
// dots ("state_dict.encoder.conv_in.weight"; integer keys count as names), and one that is there twice is listed once,
// under its first name. What lies in lists, and objects of other classes (callbacks, hyper-parameters, optimisers), is
// passed over; skipped() names those classes. A file that names what runs programs (os.system, exec) is refused.
//
// Everything is validated before the constructor returns: storages against members and file, shapes, strides and
// offsets against storages. Refused are files of big-endian machines, TorchScript archives, tensors that are larger
// than the file (endless expansions of one element), quantised storages, and dictionaries nested more than 16 deep. No
// input makes this allocate more than its own size plus 16 MiB.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/files.h"
#include "weights_converter/checkpoint.h"

namespace leon {

struct TorchTensor {
    std::string name;
    const char* dtype = "";  // as in safetensors: "F32", "BF16", "I64", ...
    size_t element_bytes = 0;
    std::vector<int64_t> shape;
    std::vector<int64_t> strides;    // in elements, never negative
    std::span<const uint8_t> bytes;  // in the mapping, from the first element to the last; aligned to nothing
    int64_t elements = 0;
    bool contiguous = true;  // row by row without gaps, so that `bytes` is the tensor
};

class TorchFile {
public:
    explicit TorchFile(const std::string& path);

    const std::string& path() const { return file_.path(); }
    size_t bytes() const { return file_.bytes().size(); }
    bool is_zip() const { return is_zip_; }
    void expect(std::span<const uint8_t> bytes) const { file_.expect(bytes); }
    void forget_pages() const { file_.forget_pages(); }
    const std::vector<TorchTensor>& tensors() const { return tensors_; }  // by name
    const TorchTensor* find(const std::string& name) const;               // null if absent
    const std::vector<std::string>& skipped() const { return skipped_; }  // classes that were passed over

    // Copies rows [first, first + count) of the first dimension, in row-major order, whatever the strides.
    void read(const TorchTensor& tensor, int64_t first, int64_t count, uint8_t* out) const;

private:
    friend class TorchReader;
    MappedFile file_;
    bool is_zip_ = false;
    std::vector<TorchTensor> tensors_;
    std::vector<std::string> skipped_;
};

// Whether a file begins like one of torch's. Nothing else of it is looked at.
bool begins_like_torch(std::span<const uint8_t> bytes);

// A torch file as a checkpoint. `inside` names dictionaries, in order of preference: of the first that the file has,
// only the tensors are shown, without its name. If it has none of them, or `inside` is empty, all tensors are shown.
std::unique_ptr<Checkpoint> open_torch(const std::string& path, const std::vector<std::string>& inside);

}  // namespace leon
