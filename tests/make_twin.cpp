// Writes a twin of a published checkpoint: tests/twin.h. What the conversion of large files is measured with.
//
//   build/make_twin chameleon-7b FOLDER                     in Hugging Face's shards, encoder only, as Meta's release
//   build/make_twin meta-30b FOLDER --every 64              four ranks; 2 GB of disk instead of 69
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "runtime/files.h"
#include "tests/twin.h"
#include "weights_converter/random_model.h"

namespace leon {
namespace {

enum class Halves { None, Encoder, Both };

struct Release {
    const char *name, *shape;
    TwinFiles files;
    int ranks;
    Halves vqgan;
    uint64_t shard_bytes;
};
constexpr uint64_t GB = 1'000'000'000;
constexpr Release RELEASES[] = {
    {"meta-7b", "7b", TwinFiles::Meta, 1, Halves::Both, 0},  // and Anole-7b-v0.1
    {"meta-30b", "34b", TwinFiles::Meta, 4, Halves::Both, 0},
    {"chameleon-7b", "7b", TwinFiles::HuggingFaceC, 1, Halves::Encoder, 5 * GB},
    {"chameleon-30b", "34b", TwinFiles::HuggingFaceC, 4, Halves::Encoder, 5 * GB},
    {"anole-7b-hf", "7b", TwinFiles::HuggingFaceC, 1, Halves::Both, 5 * GB},
    {"anole-fork-7b", "7b", TwinFiles::HuggingFaceA, 1, Halves::None, 5 * GB},
    {"lumina-7b", "7b", TwinFiles::HuggingFaceB, 1, Halves::None, 10 * GB},
    {"lumina-34b", "34b", TwinFiles::HuggingFaceB, 4, Halves::None, 5 * GB},
};

void make(const std::string& name, const std::string& folder, TwinOptions options) {
    for (const Release& r : RELEASES) {
        if (name != r.name) continue;
        ModelConfig config = preset(r.shape, r.vqgan == Halves::None ? WithVqgan::No : WithVqgan::Yes);
        if (r.vqgan == Halves::Encoder) config.vqgan.decoder = false;
        options.files = r.files;
        options.ranks = r.ranks;
        options.shard_bytes = r.shard_bytes;
        std::filesystem::create_directories(folder);
        return write_twin(folder, config, options);
    }
    std::string known;
    for (const Release& r : RELEASES) known += (known.empty() ? "" : ", ") + std::string(r.name);
    throw Error("is no published checkpoint", name, "choose one of " + known);
}

}  // namespace
}  // namespace leon

int main(int argc, char** argv) {
    CLI::App app{"a twin of a published checkpoint"};
    std::string name, folder, tokenizer;
    leon::TwinOptions options;
    app.add_option("checkpoint", name)->required();
    app.add_option("folder", folder)->required();
    app.add_option("--every", options.every, "n: only every n-th row of a matrix holds values");
    app.add_option("--tokenizer", tokenizer, "tokenizer.json to put beside it");
    CLI11_PARSE(app, argc, argv);
    try {
        if (!tokenizer.empty()) {
            const std::vector<uint8_t> bytes = leon::read_file(tokenizer);
            options.tokenizer_json.assign(bytes.begin(), bytes.end());
        }
        leon::make(name, folder, options);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "make_twin: %s\n", error.what());
        return 2;
    }
}
