// The report of `leon inspect`; see inspect.h.
#include "weights_converter/inspect.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "runtime/config.h"
#include "runtime/format.h"
#include "weights_converter/explain.h"
#include "weights_converter/plan.h"
#include "weights_converter/torch_file.h"

namespace leon {
namespace {

// 7291904 -> "7,291,904"
std::string grouped(size_t number) {
    std::string digits = std::to_string(number);
    for (size_t end = digits.size(); end > 3; end -= 3) digits.insert(end - 3, ",");
    return digits;
}

size_t elements(const StoredTensor& tensor) {
    size_t n = 1;
    for (int64_t d : tensor.shape) n *= static_cast<size_t>(d);
    return n;
}

// A hostile name may hold what moves a terminal's cursor; in_quotes() takes it out.
std::string plain(const std::string& name) {
    const std::string quoted = in_quotes(name);
    return quoted.substr(1, quoted.size() - 2);
}

// A tensor of somebody else's file.
struct Foreign {
    const std::string& name;
    std::string dtype;
    const std::vector<int64_t>& shape;
    size_t elements, bytes;
    const char* remark;
};

// Sums by the first part of the names, in alphabetical order; no more lines than fit a screen.
std::string foreign_table(const std::vector<Foreign>& tensors, Detail detail) {
    constexpr size_t MAX_GROUPS = 24;
    struct Sum {
        size_t tensors = 0, elements = 0, bytes = 0;
    };
    std::map<std::string, Sum> groups;
    Sum all;
    for (const Foreign& tensor : tensors) {
        std::string group = tensor.name.substr(0, tensor.name.find('.'));
        if (!groups.count(group) && groups.size() >= MAX_GROUPS) group = "(others)";
        for (Sum* sum : {&groups[group], &all}) {
            sum->tensors++;
            sum->elements += tensor.elements;
            sum->bytes += tensor.bytes;
        }
    }
    std::string text = format("\n%-32s %8s %16s %16s\n", "names begin with", "tensors", "elements", "bytes");
    const auto line = [](const std::string& name, const Sum& sum) {
        return format("%-32s %8zu %16s %16s\n", plain(name).c_str(), sum.tensors, grouped(sum.elements).c_str(),
                      grouped(sum.bytes).c_str());
    };
    for (const auto& [name, sum] : groups) text += line(name, sum);
    text += line("all", all);
    if (detail == Detail::Summary) return text;
    text += format("\n%-56s %-7s %-24s %14s\n", "tensor", "type", "shape", "bytes");
    for (const Foreign& t : tensors)
        text += format("%-56s %-7s %-24s %14s%s\n", plain(t.name).c_str(), t.dtype.c_str(), shape_text(t.shape).c_str(),
                       grouped(t.bytes).c_str(), t.remark);
    return text;
}

std::string inspect_torch(const TorchFile& file, Detail detail) {
    std::string text =
        format("torch checkpoint, %s, %s bytes\n", file.is_zip() ? "a zip archive" : "in the format before torch 1.6",
               grouped(file.bytes()).c_str());
    for (const std::string& name : file.skipped()) text += format("passed over: an object of class %s\n", name.c_str());
    std::vector<Foreign> tensors;
    for (const TorchTensor& t : file.tensors())
        tensors.push_back({t.name, t.dtype, t.shape, static_cast<size_t>(t.elements),
                           static_cast<size_t>(t.elements) * t.element_bytes, t.contiguous ? "" : "  strided"});
    return text + explain_tensors(file.path(), *open_tensor_file(file.path(), {"state_dict"})) +
           foreign_table(tensors, detail);
}

std::string inspect_safetensors(const SafetensorsFile& file, Detail detail) {
    std::vector<Foreign> tensors;
    for (const auto& [name, t] : file.tensors()) tensors.push_back({name, t.dtype, t.shape, elements(t), t.bytes, ""});
    return format("safetensors, not leon's, %s bytes\n", grouped(file.bytes()).c_str()) +
           explain_tensors(file.path(), *open_tensor_file(file.path())) + foreign_table(tensors, detail);
}

struct Part {
    const char* name;
    std::vector<const char*> prefixes;
    size_t tensors = 0, parameters = 0, bytes = 0;
    std::set<std::string> types = {};
};

// Numbers of the model that a tensor holds: two in a byte of an int4 matrix, none in what stands beside a narrow
// matrix.
size_t parameters_in(const StoredTensor& tensor, const std::set<std::string>& names) {
    for (const std::string_view suffix : {SCALES_SUFFIX, GROUPS_SUFFIX})
        if (tensor.name.ends_with(suffix) && names.contains(tensor.name.substr(0, tensor.name.size() - suffix.size())))
            return 0;
    return elements(tensor) * (names.contains(tensor.name + GROUPS_SUFFIX) ? 2 : 1);
}

// As `leon convert --dtype` calls it.
std::string type_of(const StoredTensor& tensor, const std::set<std::string>& names) {
    if (names.contains(tensor.name + GROUPS_SUFFIX)) return "int4";
    return plain(dtype_name_of(tensor.dtype));
}

std::vector<Part> parts_of(const std::vector<const StoredTensor*>& tensors) {
    std::vector<Part> parts = {
        {"token embedding and positions", {"transformer.embedding", "transformer.positions", "transformer.places"}},
        {"transformer layers", {"transformer.layers."}},
        {"final norm and output", {"transformer.norm", "transformer.output"}},
        {"picture encoder", {"vqgan.encoder.", "vqgan.quant_conv."}},
        {"picture codebook", {"vqgan.codebook"}},
        {"picture decoder", {"vqgan.decoder.", "vqgan.post_quant_conv."}},
        {"upscaler", {"upscaler."}},
        {"CLIP's text tower", {"clip.text."}},
        {"CLIP's picture tower", {"clip.vision."}},
        {"padding", {PADDING_PREFIX}},
        {"unknown to this leon", {""}},
    };
    std::set<std::string> names;
    for (const StoredTensor* tensor : tensors) names.insert(tensor->name);
    for (const StoredTensor* tensor : tensors) {
        for (Part& part : parts) {
            const bool mine = std::any_of(part.prefixes.begin(), part.prefixes.end(),
                                          [&](const char* prefix) { return tensor->name.rfind(prefix, 0) == 0; });
            if (!mine) continue;
            part.tensors++;
            const size_t parameters = parameters_in(*tensor, names);
            part.parameters += parameters;
            part.bytes += tensor->bytes;
            if (parameters != 0) part.types.insert(type_of(*tensor, names));
            break;
        }
    }
    return parts;
}

std::string transformer_facts(const TransformerConfig& c) {
    std::string text = format("transformer  %d layers, dim %d, %d heads of %d", c.layers, c.dim, c.heads, c.head_dim);
    if (c.kv_heads != c.heads) text += ", " + std::to_string(c.kv_heads) + " key-value heads";
    text += format(", ffn %d, vocabulary %d, context %d\n", c.ffn_dim, c.vocab, c.context);
    text += format("             norm %s (eps %g) %s the branch, %s positions, %s feed-forward, %s, %s output\n",
                   name_of(c.norm), c.norm_eps, name_of(c.norm_placement), name_of(c.positions),
                   name_of(c.feed_forward), c.qk_norm ? "qk-norm" : "no qk-norm", c.tied_output ? "tied" : "untied");
    if (const SegmentRule& s = c.segments)
        text += format("             half of the rotation by the place in the segment, places of %d codes a picture\n",
                       s.cells);
    // Keys and values of one position of one stream, as float32.
    const double cache = 2.0 * 4 * c.layers * c.kv_heads * c.head_dim;
    return text + format("             key-value cache %.1f KB a position in f32\n", cache / 1e3);
}

std::string vqgan_facts(const VqganConfig& c) {
    std::string widths;
    for (int m : c.multipliers) widths += (widths.empty() ? "" : ", ") + std::to_string(m * c.channels);
    return format("vqgan        %d codes of %d, %d x %d pixels each; pictures of %d x %d are %d tokens\n", c.codes,
                  c.code_dim, c.patch(), c.patch(), c.resolution, c.resolution,
                  (c.resolution / c.patch()) * (c.resolution / c.patch())) +
           format("             channels %s; %d residual blocks a level; %s\n", widths.c_str(), c.res_blocks,
                  c.encoder && c.decoder ? "encoder and decoder"
                  : c.encoder            ? "encoder only"
                                         : "decoder only");
}

std::string upscaler_facts(const UpscalerConfig& c) {
    if (c.kind == UpscalerKind::Compact)
        return format("upscaler     x%d, %d convolutions in a row, %d channels\n", c.factor, c.blocks + 2, c.channels);
    return format("upscaler     x%d, %d residual-in-residual dense blocks, %d channels growing by %d\n", c.factor,
                  c.blocks, c.channels, c.growth);
}

std::string clip_tower_facts(const ClipTower& c) {
    return format("%d layers, dim %d, %d heads of %d, ffn %d, %s, norm eps %g", c.layers, c.dim, c.heads, c.head_dim(),
                  c.ffn_dim, name_of(c.activation), c.norm_eps);
}
std::string clip_facts(const ClipConfig& c) {
    return format("CLIP         vectors of %d\n", c.dim) + "  text       " + clip_tower_facts(c.text) +
           format("; vocabulary %d, context %d\n", c.vocab, c.context) + "  pictures   " + clip_tower_facts(c.vision) +
           format("; %d x %d pixels in %d patches of %d x %d\n", c.side, c.side, c.patches(), c.patch, c.patch);
}

}  // namespace

std::string model_facts(const ModelConfig& config) {
    std::string text;
    if (config.has_transformer) text += transformer_facts(config.transformer);
    if (config.has_vqgan) text += vqgan_facts(config.vqgan);
    if (config.has_upscaler) text += upscaler_facts(config.upscaler);
    if (config.has_clip) text += clip_facts(config.clip);
    return text;
}

std::string inspect(const WeightsFile& file, Detail detail) {
    const ModelConfig config = parse_config(file.config_json(), file.path());
    std::vector<const StoredTensor*> tensors;
    for (const auto& [name, tensor] : file.file().tensors()) tensors.push_back(&tensor);
    std::sort(tensors.begin(), tensors.end(), [](const StoredTensor* a, const StoredTensor* b) {
        return std::pair(a->offset, a->bytes) < std::pair(b->offset, b->bytes);
    });

    std::string text = "model        " + in_quotes(config.name);
    if (config.has_transformer || config.has_vqgan)
        text += std::string(", documents in the ") + name_of(config.layout) + " layout";
    text += "\n";
    text += model_facts(config);
    text += file.tokenizer_json().empty()
                ? format("tokenizer    none\n")
                : format("tokenizer    %s bytes of JSON\n", grouped(file.tokenizer_json().size()).c_str());
    text += format("file         %s bytes, data from byte %s\n", grouped(file.file().bytes()).c_str(),
                   grouped(file.file().data_offset()).c_str());
    text += format("\n%-32s %8s %16s %16s  %s\n", "part", "tensors", "parameters", "bytes", "types");
    size_t parameters = 0, bytes = 0;
    for (const Part& part : parts_of(tensors)) {
        if (part.tensors == 0) continue;
        std::string types;
        for (const std::string& type : part.types) types += (types.empty() ? "" : ", ") + type;
        text += format("%-32s %8zu %16s %16s  %s\n", part.name, part.tensors, grouped(part.parameters).c_str(),
                       grouped(part.bytes).c_str(), types.c_str());
        parameters += part.prefixes[0] == std::string(PADDING_PREFIX) ? 0 : part.parameters;
        bytes += part.bytes;
    }
    text +=
        format("%-32s %8zu %16s %16s\n", "all", tensors.size(), grouped(parameters).c_str(), grouped(bytes).c_str());
    if (detail == Detail::Summary) return text;

    text += format("\n%-48s %-5s %-24s %16s %14s\n", "tensor", "type", "shape", "offset", "bytes");
    for (const StoredTensor* t : tensors)
        text += format("%-48s %-5s %-24s %16s %14s\n", plain(t->name).c_str(), t->dtype.c_str(),
                       shape_text(t->shape).c_str(), grouped(t->offset).c_str(), grouped(t->bytes).c_str());
    return text;
}

// Of a safetensors file, the length of its header comes first.
static bool begins_like_json(std::span<const uint8_t> bytes) {
    for (const uint8_t byte : bytes.first(std::min<size_t>(bytes.size(), 64)))
        if (!std::isspace(byte)) return byte == '{' && (bytes.size() < 9 || bytes[8] != '{');
    return false;
}

bool is_leon_file(const std::string& path) {
    if (begins_like_torch(MappedFile(path).bytes())) return false;
    const SafetensorsFile file(path);
    const auto format = file.metadata().find("format");
    return format != file.metadata().end() && format->second == "leon";
}

std::string inspect_any(const std::string& path, Detail detail) {
    std::error_code unreadable;
    if (std::filesystem::is_directory(path, unreadable)) return explain_folder(path);
    if (begins_like_torch(MappedFile(path).bytes())) return inspect_torch(TorchFile(path), detail);
    if (begins_like_json(MappedFile(path).bytes())) return explain_json(path);
    if (is_leon_file(path)) return inspect(WeightsFile(path), detail);
    return inspect_safetensors(SafetensorsFile(path), detail);
}

}  // namespace leon
