// libFuzzer target of the reader of shards. Whatever comes out must be an Error, or documents that can be read to their
// last token, with facts that fit them.
//
//   clang++ -std=c++20 -O1 -g -I. -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
//       training/tests/fuzz_shard.cpp training/dataset.cpp runtime/{files,weights_file,strict_json}.cpp
//       -o build/fuzz_shard
//   build/fuzz_shard -timeout=5 -max_len=12000 CORPUS
//
// Begun with an empty corpus, it takes a small shard that it writes itself.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "runtime/files.h"
#include "training/dataset.h"

using namespace leon;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

// A file without a disk, overwritten for each input.
void load(const uint8_t* data, size_t size) {
    static const int descriptor = memfd_create("input", 0);
    static const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
    require(ftruncate(descriptor, 0) == 0 && pwrite(descriptor, data, size, 0) >= 0);
    try {
        const Dataset dataset({path}, "");
        int64_t documents = 0, tokens = 0;
        for (const std::string& task : dataset.tasks())
            for (int64_t i = 0; i < dataset.documents(task); i++) {
                const DocumentView d = dataset.document(task, i);
                const int length = static_cast<int>(d.ids.size());
                require(length >= 2 && d.kinds.size() == d.ids.size() && d.query >= 0 && d.query < length);
                require(d.answer_first >= 0 && d.answer_first <= d.answer_end && d.answer_end <= length);
                for (int k = 0; k < length; k++)
                    require(d.ids[k] >= 0 && d.ids[k] <= dataset.highest_id() &&
                            static_cast<int>(d.kinds[k]) < TOKEN_KINDS);
                require(dataset.source(task, i).size() <= size);
                documents++;
                tokens += length;
            }
        require(documents == dataset.documents() && tokens == dataset.tokens());
    } catch (const Error&) {
    }
}

std::string small_shard() {
    const std::string path = std::filesystem::temp_directory_path() / ("fuzz" + std::to_string(getpid()) + ".shard");
    ShardWriter writer(path, "mark");
    const Example example = {.task = "ask",
                             .source = "here",
                             .ids = {2, 7, 9, 2},
                             .kinds = {TokenKind::Text, TokenKind::Answer, TokenKind::Picture, TokenKind::Text},
                             .query = 1,
                             .answer_first = 1,
                             .answer_end = 2,
                             .prepared = false};
    writer.add(example);
    writer.commit();
    const std::vector<uint8_t> bytes = read_file(path);
    std::filesystem::remove(path);
    return {bytes.begin(), bytes.end()};
}

}  // namespace

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned int) {
    static const std::string seed = small_shard();
    if (size < 16 && most >= seed.size()) {
        std::copy(seed.begin(), seed.end(), data);
        size = seed.size();
    }
    return LLVMFuzzerMutate(data, size, most);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    load(data, size);
    return 0;
}
