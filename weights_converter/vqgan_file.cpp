// See vqgan_file.h.
#include "weights_converter/vqgan_file.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <set>

#include "runtime/files.h"
#include "runtime/weights_file.h"
#include "weights_converter/named_tensors.h"

namespace leon {
namespace {

namespace fs = std::filesystem;

constexpr int PUBLISHED_RESOLUTION = 512;
constexpr size_t MAX_YAML_BYTES = size_t{1} << 20;
const std::vector<std::string> STATE_DICT = {"state_dict"};

// The number behind the first "resolution:" of vqgan.yaml, the one thing that no tensor tells.
int resolution_beside(const std::string& path) {
    const std::string yaml = (fs::path(path).parent_path() / "vqgan.yaml").string();
    std::error_code unreadable;
    if (!fs::is_regular_file(yaml, unreadable)) return PUBLISHED_RESOLUTION;
    const std::vector<uint8_t> bytes = read_file(yaml, MAX_YAML_BYTES);
    const std::string text(bytes.begin(), bytes.end());
    const std::string key = "resolution:";
    size_t at = text.find(key);
    if (at == std::string::npos) return PUBLISHED_RESOLUTION;
    at = text.find_first_not_of(' ', at + key.size());
    int value = 0;
    const char* end = text.data() + text.size();
    if (at == std::string::npos || std::from_chars(text.data() + at, end, value).ec != std::errc())
        throw Error("'resolution' is not a number", yaml);
    return value;
}

// Sizes into a range that parse_config() then judges; those of tensors may be anything.
class Sizes {
public:
    explicit Sizes(const NamedTensors& names) : names_(names) {}

    bool has(const std::string& name) const { return names_.find(full(name)) != nullptr; }
    int of(const std::string& name, size_t dimension) const {
        const SourceTensor* tensor = names_.find(full(name));
        if (!tensor)
            throw Error("tensor " + in_quotes(names_.actual(full(name))) + " is missing",
                        names_.checkpoint().tensors().begin()->second.file);
        if (dimension >= tensor->shape.size())
            throw Error("tensor " + in_quotes(tensor->name) + " is " + shape_text(tensor->shape), tensor->file);
        return static_cast<int>(std::min<int64_t>(tensor->shape[dimension], INT32_MAX));
    }
    // How many of name0, name1, ... there are.
    int count(const std::string& before, const std::string& behind) const {
        constexpr int MOST = 64;
        int n = 0;
        while (n < MOST && has(before + std::to_string(n) + behind)) n++;
        return n;
    }

private:
    const NamedTensors& names_;

    static std::string full(const std::string& name) { return "model.vqmodel." + name; }
};

VqganConfig sizes_of(const NamedTensors& names) {
    const Sizes sizes(names);
    VqganConfig c;
    c.codes = sizes.of("quantize.embedding.weight", 0);
    c.code_dim = sizes.of("quantize.embedding.weight", 1);
    const bool encoder = sizes.has("encoder.conv_in.weight");
    const std::string levels = encoder ? "encoder.down." : "decoder.up.";
    c.channels = encoder ? sizes.of("encoder.conv_in.weight", 0) : sizes.of("decoder.conv_out.weight", 1);
    c.in_channels = encoder ? sizes.of("encoder.conv_in.weight", 1) : sizes.of("decoder.conv_out.weight", 0);
    c.z_channels = encoder ? sizes.of("encoder.conv_out.weight", 0) : sizes.of("decoder.conv_in.weight", 1);
    c.multipliers.clear();
    for (int level = 0; level < sizes.count(levels, ".block.0.conv1.weight"); level++) {
        const int width = sizes.of(levels + std::to_string(level) + ".block.0.conv1.weight", 0);
        c.multipliers.push_back(c.channels > 0 ? width / c.channels : 0);
    }
    c.res_blocks = sizes.count(levels + "0.block.", ".conv1.weight") - (encoder ? 0 : 1);  // the decoder has one more
    return c;
}

}  // namespace

bool holds_vqgan(const Checkpoint& checkpoint) {
    std::set<std::string> used;
    return NamedTensors(checkpoint, VQGAN_NAMES, used).present();
}

VqganFile open_vqgan_file(const std::string& path) {
    VqganFile file;
    file.checkpoint = open_tensor_file(path, STATE_DICT);
    std::set<std::string> used;
    const NamedTensors names(*file.checkpoint, VQGAN_NAMES, used);
    if (!names.present()) throw Error("holds no VQGAN", path, "its codebook would be called quantize.embedding.weight");
    file.sizes = sizes_of(names);
    file.sizes.resolution = resolution_beside(path);
    return file;
}

}  // namespace leon
