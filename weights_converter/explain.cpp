// See explain.h. A folder is explained by planning its conversion: what is said is what would be done.
#include "weights_converter/explain.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "runtime/format.h"
#include "runtime/strict_json.h"
#include "runtime/weights_file.h"
#include "weights_converter/foreign_config.h"
#include "weights_converter/inspect.h"
#include "weights_converter/meta_checkpoint.h"
#include "weights_converter/name_maps.h"
#include "weights_converter/plan.h"
#include "weights_converter/side_files.h"
#include "weights_converter/vqgan_file.h"

namespace leon {
namespace {

namespace fs = std::filesystem;

constexpr const char* PLACE_OF_META_TOKENIZER = "TOKENIZER";  // in a command, where the folder is not known

std::string line(const char* label, const std::string& text) {
    return format("%-12s %s\n", label, text.c_str());
}

std::string gigabytes(size_t bytes) {
    const double n = static_cast<double>(bytes);
    return n < 1e6 ? format("%.1f kB", n / 1e3) : n < 1e9 ? format("%.1f MB", n / 1e6) : format("%.2f GB", n / 1e9);
}

// As a shell reads it back.
std::string shell_word(const std::string& text) {
    const bool plain = !text.empty() && text.find_first_not_of(
                                            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                            "0123456789_-./+,:@") == std::string::npos;
    if (plain && text[0] != '-') return text;
    std::string quoted = text[0] == '-' ? "'./" : "'";
    for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return quoted + "'";
}

std::string file_name(const std::string& path) {
    return fs::path(path).filename().string();
}

// "chameleon-7b" of a folder or file of that name: what the leon file is called.
std::string stem(const std::string& path) {
    std::error_code unreadable;
    const fs::path whole = fs::canonical(path, unreadable);
    const std::string name = is_file(path) ? whole.stem().string() : whole.filename().string();
    return name.empty() ? "model" : name;
}

// Of published models, by their sizes; any number of others may share them.
std::string known_as(const TransformerConfig& t) {
    const auto is = [&](int layers, int dim, int kv_heads) {
        return t.layers == layers && t.dim == dim && t.kv_heads == kv_heads;
    };
    if (t.positions != Positions::Rotary) return "";
    if (is(32, 4096, 32)) return ", of the size of Chameleon-7B, Anole-7B and Lumina-mGPT-7B";
    if (is(48, 8192, 8)) return ", of the size of Chameleon-30B (34B) and Lumina-mGPT-34B";
    return "";
}

const Step* step_of(const Plan& plan, const std::string& target) {
    for (const Step& step : plan.steps)
        if (step.target.name == target) return &step;
    return nullptr;
}

std::string layout_of_norms(const Step& q_norm) {
    const std::vector<int64_t>& shape = q_norm.source->shape;
    if (shape.size() == 1)
        return "layout A: qk-norm " + shape_text(shape) + ", q and k in Meta's order (the fork that Anole came with)";
    if (shape[0] == q_norm.target.shape[0]) return "layout C: qk-norm " + shape_text(shape) + ", a row a head";
    return "layout B: qk-norm " + shape_text(shape) + ", a row a model-parallel rank (Lumina-mGPT)";
}

// "BF16 14.03 GB, F32 0.12 GB"
std::string sizes_by_type(const Plan& plan) {
    std::map<std::string, size_t> sizes;
    std::set<const SourceTensor*> counted;
    for (const Step& step : plan.steps) {
        const SourceTensor& tensor = *step.source;
        if (counted.insert(&tensor).second)
            sizes[tensor.dtype] += static_cast<size_t>(tensor.rows()) * static_cast<size_t>(tensor.row_elements()) *
                                   (tensor.dtype == "F32" ? sizeof(float) : sizeof(uint16_t));
    }
    std::string text;
    for (const auto& [dtype, bytes] : sizes) text += (text.empty() ? "" : ", ") + dtype + " " + gigabytes(bytes);
    return text;
}

// The files of a folder's tensors: which there should be, and which are not there.
struct FilesOf {
    std::string what;
    std::vector<std::string> missing;
};

// How many ranks a file of Meta's is one of: the embedding has all rows in each, the output its share.
int ranks_by_shapes(const Checkpoint& tensors) {
    const auto all = tensors.tensors().find("tok_embeddings.weight"), share = tensors.tensors().find("output.weight");
    if (all == tensors.tensors().end() || share == tensors.tensors().end()) return 0;
    const int64_t rows = share->second.rows();
    return rows > 0 && all->second.rows() % rows == 0
               ? static_cast<int>(std::min<int64_t>(all->second.rows() / rows, 64))
               : 0;
}

std::string rank_name(int rank) {
    return format("consolidated.%02d.pth", rank);
}

FilesOf meta_files(const std::string& folder) {
    FilesOf files;
    const auto in = [&](const std::string& name) { return is_file((fs::path(folder) / name).string()); };
    int ranks = 1;
    if (!in("consolidated.pth")) {
        int first = 0;
        while (first < 64 && !in(rank_name(first))) first++;
        ranks = ranks_by_shapes(*open_tensor_file((fs::path(folder) / rank_name(first)).string()));
        for (int rank = 0; rank < ranks; rank++)
            if (!in(rank_name(rank))) files.missing.push_back(rank_name(rank));
    }
    files.what =
        ranks == 1 ? "consolidated.pth, whole"
                   : format("%d model-parallel ranks, consolidated.00.pth to %s", ranks, rank_name(ranks - 1).c_str());
    for (const char* name : {"params.json"})
        if (!in(name)) files.missing.emplace_back(name);
    return files;
}

FilesOf huggingface_files(const std::string& folder) {
    FilesOf files;
    const std::vector<std::string> names = huggingface_files_of(folder);
    for (const std::string& name : names)
        if (!is_file((fs::path(folder) / name).string())) files.missing.push_back(in_quotes(name));
    files.what = names.size() == 1 ? "model.safetensors, whole" : format("%zu shards", names.size());
    if (!is_file((fs::path(folder) / "config.json").string())) files.missing.emplace_back("config.json");
    return files;
}

std::vector<std::string> sorted_entries(const std::string& folder) {
    std::vector<std::string> entries;
    std::error_code unreadable;
    for (const auto& entry : fs::directory_iterator(folder, unreadable)) entries.push_back(entry.path().string());
    std::sort(entries.begin(), entries.end());
    return entries;
}

// What Meta's release keeps beside its models, in a folder of its own.
std::string explain_tokenizer_folder(const std::string& folder) {
    std::string text = line("what", "Meta's tokenizer folder: what Chameleon, Anole and Lumina-mGPT share");
    const std::string vqgan = vqgan_file_in(folder), tokenizer = tokenizer_in(folder);
    if (!vqgan.empty()) text += line("pictures", "VQGAN in " + file_name(vqgan));
    if (!tokenizer.empty()) text += line("tokenizer", file_name(tokenizer));
    if (vqgan.empty()) text += line("missing", "vqgan.ckpt");
    if (tokenizer.empty()) text += line("missing", "text_tokenizer.json");
    for (const std::string& model : sorted_entries((fs::path(folder) / "models").string()))
        if (holds_meta_files(model)) text += line("beside it", "leon inspect " + shell_word(model));
    return text + line("convert with",
                       "leon convert CHECKPOINT --vqgan " + shell_word(folder) + " -o model.leon, with a transformer");
}

// The options that a checkpoint needs, and what there is to say about them.
struct Advice {
    std::string options, draws, remarks;
};

Advice advice_for(const std::string& folder, const Plan& plan, bool is_meta) {
    const ModelConfig& config = plan.config;
    const Step* q_norm = step_of(plan, "transformer.layers.0.q_norm.weight");
    Advice advice;
    if (!config.has_transformer || !q_norm || config.layout != Layout::Chameleon) return advice;
    const bool shard_norms = !is_meta && layout_of_norms(*q_norm).starts_with("layout B");
    const std::string near = meta_tokenizer_folder(folder);
    const bool is_near = !near.empty() && !vqgan_file_in(near).empty();
    if (!config.has_vqgan) advice.options += " --vqgan " + (is_near ? shell_word(near) : PLACE_OF_META_TOKENIZER);
    if (!config.has_vqgan && !is_near)
        advice.remarks += line("", std::string(PLACE_OF_META_TOKENIZER) +
                                       " is tokenizer/ of Meta's release: vqgan.ckpt and text_tokenizer.json");
    if (shard_norms) {
        advice.options += " --layout lumina";
    } else if (!is_meta && config.vqgan.decoder) {
        advice.options += " --layout anole";
        advice.remarks += line("", "Hugging Face's Chameleon has no decoder, Anole has; --layout chameleon otherwise");
    } else if (!config.vqgan.decoder) {
        advice.draws = line("draws",
                            "no: Chameleon's weights were released without. Of Anole's, which have the same names and"
                            " sizes, say --layout anole");
    }
    return advice;
}

std::string describe(const Plan& plan, const std::string& folder, bool is_meta, const std::string& files) {
    const ModelConfig& config = plan.config;
    const Step* q_norm = step_of(plan, "transformer.layers.0.q_norm.weight");
    std::string what = config.has_clip ? "CLIP" : "a VQGAN";
    if (config.has_transformer)
        what = std::string("a model of the ") + (q_norm ? "Chameleon" : "CM3Leon") + " family in " +
               (is_meta ? "Meta's" : "Hugging Face's") + " layout" + known_as(config.transformer);
    std::string text = line("what", what);
    if (q_norm && !is_meta) text += line("", layout_of_norms(*q_norm));
    text += line("files", files + ": " + sizes_by_type(plan));
    text += model_facts(config);
    if (!plan.tokenizer_json.empty()) text += line("tokenizer", gigabytes(plan.tokenizer_json.size()) + " of JSON");
    for (const std::string& note : plan.notes) text += line("note", note);
    const Advice advice = advice_for(folder, plan, is_meta);
    text += advice.draws;
    text += line("convert with",
                 "leon convert " + shell_word(folder) + advice.options + " -o " + shell_word(stem(folder) + ".leon"));
    text += advice.remarks;
    if (!config.has_transformer) return text;
    ConvertOptions int8;
    int8.dtype = "int8";
    return text + line("", gigabytes(plan.bytes()) + " as stored, " + gigabytes(plan_conversion(folder, int8).bytes()) +
                               " with --dtype int8");
}

std::string explain_checkpoint(const std::string& folder) {
    const bool is_meta = holds_meta_files(folder);
    const FilesOf files = is_meta ? meta_files(folder) : huggingface_files(folder);
    std::string text, missing;
    for (const std::string& name : files.missing) missing += (missing.empty() ? "" : ", ") + name;
    try {
        text = describe(plan_conversion(folder, {}), folder, is_meta, files.what);
    } catch (const Error& problem) {
        text = line("what", std::string("a checkpoint in ") + (is_meta ? "Meta's" : "Hugging Face's") + " layout");
        text += line("files", files.what);
        if (missing.empty()) text += line("problem", problem.what());
        if (!missing.empty())
            text += line("convert with", "leon convert " + shell_word(folder) + ", once all files are there");
    }
    if (!missing.empty()) text += line("missing", missing);
    return text;
}

std::string explain_upscaler_or_vqgan(const std::string& path, const char* what) {
    const Plan plan = plan_conversion(path, {});
    std::string text = line("what", what) + model_facts(plan.config);
    text += line("convert with", "leon convert " + shell_word(path) + " -o " + shell_word(stem(path) + ".leon"));
    if (plan.config.has_vqgan)
        text +=
            line("", "or, with a transformer, leon convert CHECKPOINT --vqgan " + shell_word(path) + " -o model.leon");
    return text;
}

std::string explain_tokenizer(const std::string& path, const nlohmann::json& tokenizer) {
    const auto& model = tokenizer["model"];
    size_t codes = 0, merges = 0;
    std::set<std::string> names;
    const auto count = [&](const std::string& name) {
        if (names.insert(name).second) codes += name.starts_with("IMGIMG");
    };
    if (const auto vocab = model.find("vocab"); vocab != model.end() && vocab->is_object())
        for (const auto& entry : vocab->items()) count(entry.key());
    if (const auto added = tokenizer.find("added_tokens"); added != tokenizer.end() && added->is_array())
        for (const auto& token : *added)
            if (token.is_object() && token.contains("content") && token["content"].is_string())
                count(token["content"].get<std::string>());
    if (const auto list = model.find("merges"); list != model.end() && list->is_array()) merges = list->size();
    const std::string type =
        model.contains("type") && model["type"].is_string() ? model["type"].get<std::string>() : "";
    std::string text = line("what", "a tokenizer: " + (type.empty() ? "of no stated type" : in_quotes(type)) +
                                        format(", %zu tokens, %zu merges", names.size(), merges));
    text +=
        line("pictures", codes == 0 ? "no picture codes: not of a model that draws"
                                    : format("%zu picture codes, ", codes) +
                                          (names.count("<reserved08800>") ? "sizes as Lumina-mGPT writes them, " : "") +
                                          (names.count("<reserved08706>") ? "turns" : "no turns"));
    for (const char* needed : {"<s>", "</s>", "<racm3:break>", "<eoss>"})
        if (codes > 0 && !names.count(needed)) text += line("missing", needed);
    return text + line("convert with", "leon convert CHECKPOINT --tokenizer " + shell_word(path) + " -o model.leon");
}

}  // namespace

std::string explain_folder(const std::string& folder) {
    if (holds_meta_files(folder) || is_file((fs::path(folder) / "config.json").string()) ||
        !huggingface_files_of(folder).empty())
        return explain_checkpoint(folder);
    size_t files = 0;
    for (const std::string& entry : sorted_entries(folder)) files += entry.ends_with(".safetensors");
    if (files > 0)
        return line("what", format("%zu of a checkpoint's files, in Hugging Face's layout", files)) +
               line("missing", "config.json, model.safetensors.index.json");
    if (!vqgan_file_in(folder).empty() || !tokenizer_in(folder).empty()) return explain_tokenizer_folder(folder);
    throw Error("holds nothing of a checkpoint", folder,
                "leon knows consolidated.pth, model.safetensors with config.json, vqgan.ckpt and tokenizer.json");
}

std::string explain_tensors(const std::string& path, const Checkpoint& tensors) {
    const auto has = [&](const char* name) { return tensors.tensors().count(name) > 0; };
    const std::string folder = folder_of(path), name = file_name(path);
    if (has(META_NAMES.root)) {
        const int ranks = ranks_by_shapes(tensors);
        int rank = 0;
        while (rank < ranks && name != rank_name(rank)) rank++;
        std::string part = "the whole transformer";
        if (ranks > 1) part = (rank < ranks ? format("rank %d", rank) : "one") + format(" of %d", ranks);
        return line("this file", part + ", of Meta's layout") + explain_folder(folder);
    }
    const std::vector<std::string> shards = huggingface_files_of(folder);
    const auto shard = std::find(shards.begin(), shards.end(), name);
    if (shard != shards.end() && (shards.size() > 1 || is_file((fs::path(folder) / "config.json").string())))
        return line("this file", shards.size() == 1
                                     ? "all of a checkpoint's tensors"
                                     : format("shard %zu of %zu", shard - shards.begin() + 1, shards.size())) +
               explain_folder(folder);
    if (holds_vqgan(tensors) && !has("model.embed_tokens.weight"))
        return explain_upscaler_or_vqgan(path, "a VQGAN: pictures to codes and back");
    const bool is_transformer = std::any_of(tensors.tensors().begin(), tensors.tensors().end(), [](const auto& entry) {
        return entry.first.starts_with("model.layers.") || entry.first.starts_with("model.decoder.layers.");
    });
    if (is_transformer)
        return line("this file", "a part of a checkpoint in Hugging Face's layout") +
               line("missing", "config.json and model.safetensors.index.json beside it") +
               line("convert with", "leon convert FOLDER, once they are there");
    try {
        return explain_upscaler_or_vqgan(path, "a network that enlarges pictures");
    } catch (const Error&) {
        return "";
    }
}

std::string explain_json(const std::string& path) {
    const nlohmann::json object = read_json_object(path);
    if (object.contains("model") && object["model"].is_object() && object["model"].contains("vocab"))
        return explain_tokenizer(path, object);
    const std::string name = file_name(path);
    for (const char* known : {"config.json", "params.json", "consolidate_params.json", "model.safetensors.index.json"})
        if (name == known) return line("this file", "describes a checkpoint") + explain_folder(folder_of(path));
    throw Error("is JSON, but neither a tokenizer nor a description of a checkpoint", path);
}

}  // namespace leon
