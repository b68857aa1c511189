// Counting pairs, and merging the most frequent one, again and again; see tokenizer_training.h. A world's texts have
// some thousand different pieces, so that counting anew each time takes milliseconds.
#include "training/tokenizer_training.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "kernels/check.h"
#include "runtime/config.h"
#include "runtime/strict_json.h"
#include "tokenizer/bpe.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/vocabulary.h"
#include "training/parameters.h"

namespace leon {
namespace {

using nlohmann::json;

// GPT-2's names of bytes: printable ones stand for themselves, the others for code points from 256 on.
std::array<std::string, 256> byte_names() {
    std::array<std::string, 256> names;
    int next = 256;
    for (int byte = 0; byte < 256; byte++) {
        const bool itself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
        const int point = itself ? byte : next++;
        if (point < 0x80)
            names[byte] = std::string(1, static_cast<char>(point));
        else
            names[byte] = {static_cast<char>(0xC0 | point >> 6), static_cast<char>(0x80 | (point & 0x3F))};
    }
    return names;
}

struct Word {
    std::vector<std::string> parts;
    int64_t count;
};

std::vector<Word> words_of(const TextCounts& texts, const Pretokenizer& pretokenizer) {
    const std::array<std::string, 256> names = byte_names();
    std::map<std::string, int64_t> counts;
    Pretokenizer::Pieces pieces;
    for (const auto& [text, count] : texts) {
        pieces.ends.clear();
        pretokenizer.split(pieces, text);
        size_t first = 0;
        for (size_t end : pieces.ends) {
            counts[std::string(pieces.text.substr(first, end - first))] += count;
            first = end;
        }
    }
    std::vector<Word> words;
    for (const auto& [piece, count] : counts) {
        Word& word = words.emplace_back(Word{{}, count});
        for (unsigned char byte : piece) word.parts.push_back(names[byte]);
    }
    return words;
}

using Pair = std::pair<std::string, std::string>;

// The most frequent; count 0 if there is none.
std::pair<Pair, int64_t> best_pair(const std::vector<Word>& words) {
    std::map<Pair, int64_t> counts;
    for (const Word& word : words)
        for (size_t i = 0; i + 1 < word.parts.size(); i++) counts[{word.parts[i], word.parts[i + 1]}] += word.count;
    std::pair<Pair, int64_t> best{{}, 0};
    for (const auto& [pair, count] : counts)
        if (count > best.second) best = {pair, count};
    return best;
}

void merge(std::vector<Word>& words, const Pair& pair) {
    for (Word& word : words) {
        size_t to = 0;
        for (size_t from = 0; from < word.parts.size(); from++, to++) {
            const bool both =
                from + 1 < word.parts.size() && word.parts[from] == pair.first && word.parts[from + 1] == pair.second;
            word.parts[to] = both ? pair.first + pair.second : word.parts[from];
            from += both;
        }
        word.parts.resize(to);
    }
}

}  // namespace

std::string train_tokenizer(std::string_view base, const std::string& where, const TextCounts& texts, int size) {
    json file = parse_json(base, where);
    if (!file.is_object() || !file.contains("model") || !file["model"].is_object() ||
        file["model"].value("type", "") != "BPE" || !file["model"].contains("vocab"))
        throw Error("is no byte-pair tokenizer", where);
    const Pretokenizer pretokenizer(file.value("pre_tokenizer", json()), where);

    // Bytes and whatever stands in front of them stay, merges go.
    json& vocabulary = file["model"]["vocab"];
    int64_t last_byte = -1;
    for (const std::string& name : byte_names()) {
        const auto found = vocabulary.find(name);
        if (found == vocabulary.end() || !found->is_number_integer()) throw Error("lacks a token for a byte", where);
        last_byte = std::max(last_byte, found->get<int64_t>());
    }
    for (auto at = vocabulary.begin(); at != vocabulary.end();)
        at = at->get<int64_t>() > last_byte ? vocabulary.erase(at) : std::next(at);
    for (const json& token : file.value("added_tokens", json::array()))
        if (token.value("id", int64_t{0}) > last_byte) throw Error("has added tokens behind its bytes", where);
    if (size <= last_byte)
        throw Error("a tokenizer of " + std::to_string(size) + " tokens does not hold the " +
                        std::to_string(last_byte + 1) + " that stay",
                    where);

    std::vector<Word> words = words_of(texts, pretokenizer);
    json merges = json::array();
    for (int64_t id = last_byte + 1; id < size;) {
        const auto [pair, count] = best_pair(words);
        if (count < 2) break;
        merge(words, pair);
        merges.push_back({pair.first, pair.second});
        const std::string name = pair.first + pair.second;
        if (!vocabulary.contains(name)) vocabulary[name] = id++;  // "ab" + "c" may have been "a" + "bc"
    }
    file["model"]["merges"] = merges;
    return file.dump();
}

void write_with_tokenizer(const std::string& path, const WeightsFile& model, const std::string& tokenizer) {
    ModelConfig config = parse_config(model.config_json(), model.path());
    config.has_transformer = false;
    const Tokenizer checked(tokenizer, model.path());
    if (read_vocabulary(checked).codes != config.vqgan.codes)
        throw Error("its tokenizer and its VQGAN have other numbers of codes", model.path());
    WeightsWriter file(path, print_config(config), tokenizer);
    std::vector<const StoredTensor*> kept;
    for (const auto& [name, tensor] : model.file().tensors()) {
        if (name.starts_with(PADDING_PREFIX) || name.starts_with("transformer.")) continue;
        kept.push_back(&tensor);
        file.declare(name, stored_dtype(tensor, model.path()), tensor.shape);
    }
    file.begin();
    for (const StoredTensor* tensor : kept) file.write(tensor->name, model.file().data(*tensor));
    file.commit();
}

}  // namespace leon
