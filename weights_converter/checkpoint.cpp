// Hugging Face folders as sources of tensors; see checkpoint.h. The shards stay mapped and are read in place. An index
// may only name files of its own folder.
#include "weights_converter/checkpoint.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>

#include "kernels/tensor.h"
#include "runtime/strict_json.h"
#include "runtime/weights_file.h"
#include "weights_converter/torch_file.h"

namespace leon {
namespace {

namespace fs = std::filesystem;

constexpr size_t MAX_INDEX_BYTES = size_t{64} << 20;
constexpr const char* SINGLE = "model.safetensors";
constexpr const char* INDEX = "model.safetensors.index.json";

class SafetensorsCheckpoint : public Checkpoint {
public:
    const std::map<std::string, SourceTensor>& tensors() const override { return tensors_; }

    void read_rows(const SourceTensor& tensor, int64_t first, int64_t count, float* out) const override {
        const Place& place = places_.at(tensor.name);
        const size_t width = static_cast<size_t>(tensor.row_elements());
        const size_t skip = static_cast<size_t>(first) * width, elements = static_cast<size_t>(count) * width;
        const size_t element_bytes = tensor.dtype == "F32" ? sizeof(float) : sizeof(uint16_t);
        widen(tensor, place.shard->data(*place.stored) + skip * element_bytes, elements, out);
    }

    void expect_rows(const SourceTensor& tensor, int64_t first, int64_t count) const override {
        const Place& place = places_.at(tensor.name);
        const size_t row_bytes = place.stored->bytes / static_cast<size_t>(tensor.rows());
        place.shard->expect({place.shard->data(*place.stored) + static_cast<size_t>(first) * row_bytes,
                             static_cast<size_t>(count) * row_bytes});
    }

    void forget_pages() const override {
        for (const auto& shard : shards_) shard->forget_pages();
    }

    // Opens one shard and lists its tensors; a name that is already there is an Error.
    void add(const std::string& path) {
        shards_.push_back(std::make_unique<SafetensorsFile>(path));
        const SafetensorsFile* shard = shards_.back().get();
        for (const auto& [name, stored] : shard->tensors()) {
            if (name.starts_with(PADDING_PREFIX)) continue;
            if (!places_.insert({name, {shard, &stored}}).second)
                throw Error("tensor " + in_quotes(name) + " is also in " + tensors_.at(name).file, path);
            for (int64_t d : stored.shape)
                if (d == 0) throw Error("tensor " + in_quotes(name) + " is empty", path);
            tensors_[name] = {name, stored.dtype, stored.shape, path};
        }
    }

private:
    struct Place {
        const SafetensorsFile* shard;
        const StoredTensor* stored;
    };
    std::vector<std::unique_ptr<SafetensorsFile>> shards_;
    std::map<std::string, SourceTensor> tensors_;
    std::map<std::string, Place> places_;
};

// The index's map from tensor to file, checked: plain file names only.
std::map<std::string, std::string> read_index(const std::string& path) {
    const std::vector<uint8_t> text = read_file(path, MAX_INDEX_BYTES);
    const nlohmann::json index =
        parse_json(std::string_view(reinterpret_cast<const char*>(text.data()), text.size()), path);
    const auto weight_map = index.is_object() ? index.find("weight_map") : index.end();
    if (!index.is_object() || weight_map == index.end() || !weight_map->is_object() || weight_map->empty())
        throw Error("holds no 'weight_map'", path);
    std::map<std::string, std::string> files;
    for (const auto& [name, file] : weight_map->items()) {
        if (!file.is_string()) throw Error("the file of tensor " + in_quotes(name) + " is not a string", path);
        const std::string text = file.get<std::string>();
        if (text.empty() || text[0] == '.' || text.find_first_of(std::string("/\\\0", 3)) != std::string::npos)
            throw Error("the file " + in_quotes(text) + " of tensor " + in_quotes(name) + " is not in this folder",
                        path);
        files[name] = text;
    }
    return files;
}

std::unique_ptr<Checkpoint> open_shards(const std::string& folder, const std::string& index_path) {
    auto checkpoint = std::make_unique<SafetensorsCheckpoint>();
    const std::map<std::string, std::string> files = read_index(index_path);
    std::map<std::string, bool> opened;
    for (const auto& [name, file] : files)
        if (opened.insert({file, true}).second) checkpoint->add((fs::path(folder) / file).string());
    for (const auto& [name, file] : files) {
        auto tensor = checkpoint->tensors().find(name);
        const std::string path = (fs::path(folder) / file).string();
        if (tensor == checkpoint->tensors().end() || tensor->second.file != path)
            throw Error("lacks tensor " + in_quotes(name) + ", which the index promises", path);
    }
    for (const auto& [name, tensor] : checkpoint->tensors())
        if (files.count(name) == 0) throw Error("tensor " + in_quotes(name) + " is not in the index", tensor.file);
    return checkpoint;
}

}  // namespace

int64_t SourceTensor::row_elements() const {
    int64_t n = 1;
    for (size_t i = 1; i < shape.size(); i++) n *= shape[i];
    return n;
}

void widen(const SourceTensor& tensor, const uint8_t* stored, size_t elements, float* out) {
    if (tensor.dtype == "F32") {
        std::memcpy(out, stored, elements * sizeof(float));
        return;
    }
    const bool bf16 = tensor.dtype == "BF16";
    if (!bf16 && tensor.dtype != "F16")
        throw Error("tensor " + in_quotes(tensor.name) + " has dtype " + tensor.dtype, tensor.file,
                    "only F32, BF16 and F16 can be converted");
    const auto each = [&](auto to_float) {
        for (size_t i = 0; i < elements; i++) {
            uint16_t half;
            std::memcpy(&half, stored + i * sizeof half, sizeof half);
            out[i] = to_float(half);
        }
    };
    if (bf16)
        each([](uint16_t half) { return bf16_to_float(half); });
    else
        each([](uint16_t half) { return f16_to_float(half); });
}

std::unique_ptr<Checkpoint> open_huggingface(const std::string& folder) {
    const std::string single = (fs::path(folder) / SINGLE).string(), index = (fs::path(folder) / INDEX).string();
    std::error_code unreadable;
    if (fs::exists(single, unreadable)) {
        auto checkpoint = std::make_unique<SafetensorsCheckpoint>();
        checkpoint->add(single);
        return checkpoint;
    }
    if (fs::exists(index, unreadable)) return open_shards(folder, index);
    throw Error(std::string("holds neither ") + SINGLE + " nor " + INDEX, folder);
}

std::vector<std::string> huggingface_files_of(const std::string& folder) {
    const std::string index = (fs::path(folder) / INDEX).string();
    std::error_code unreadable;
    if (fs::exists(fs::path(folder) / SINGLE, unreadable)) return {SINGLE};
    if (!fs::exists(index, unreadable)) return {};
    std::set<std::string> names;
    for (const auto& [name, file] : read_index(index)) names.insert(file);
    return {names.begin(), names.end()};
}

std::unique_ptr<Checkpoint> open_tensor_file(const std::string& path, const std::vector<std::string>& inside) {
    if (begins_like_torch(MappedFile(path).bytes())) return open_torch(path, inside);
    auto checkpoint = std::make_unique<SafetensorsCheckpoint>();
    checkpoint->add(path);
    return checkpoint;
}

}  // namespace leon
