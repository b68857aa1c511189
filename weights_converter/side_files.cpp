// See side_files.h.
#include "weights_converter/side_files.h"

#include <filesystem>

#include "kernels/check.h"

namespace leon {
namespace {

namespace fs = std::filesystem;

bool is_folder(const fs::path& path) {
    std::error_code unreadable;
    return fs::is_directory(path, unreadable);
}

constexpr const char* TOKENIZERS[] = {"tokenizer.json", "text_tokenizer.json", "tokenizer/tokenizer.json",
                                      "tokenizer/text_tokenizer.json"};
constexpr const char* VQGANS[] = {"vqgan.ckpt", "tokenizer/vqgan.ckpt"};

}  // namespace

bool is_file(const std::string& path) {
    std::error_code unreadable;
    return fs::is_regular_file(path, unreadable);
}

std::string meta_tokenizer_folder(const std::string& folder) {
    for (const char* way : {"tokenizer", "../tokenizer", "../../tokenizer"}) {
        const fs::path there = fs::path(folder) / way;
        if (is_file(there / "text_tokenizer.json") || is_file(there / "vqgan.ckpt")) return there.string();
    }
    return "";
}

std::string tokenizer_in(const std::string& path) {
    if (!is_folder(path)) {
        if (!is_file(path))
            throw Error("there is no such file", path, "name a tokenizer.json, or a folder that has one");
        return path;
    }
    for (const char* name : TOKENIZERS)
        if (is_file(fs::path(path) / name)) return (fs::path(path) / name).string();
    return "";
}

std::string vqgan_file_in(const std::string& path) {
    if (!is_folder(path)) return path;
    for (const char* name : VQGANS)
        if (is_file(fs::path(path) / name)) return (fs::path(path) / name).string();
    return "";
}

std::string folder_of(const std::string& path) {
    if (is_folder(path)) return path;
    const fs::path parent = fs::path(path).parent_path();
    return parent.empty() ? "." : parent.string();
}

}  // namespace leon
