// Hashed bags of features; see native_embedder.h.
//
// A feature is a hash of what it is (kind, bytes) and a weight; equal hashes are counted, and n of them weigh
// 1 + ln(n) times as much as the lightest. The sum over all goes to coordinate hash mod 512 with the sign of another of
// its bits, so that collisions cancel on average.
#include "retrieval/native_embedder.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "retrieval/vectors.h"
#include "runtime/format.h"
#include "tokenizer/unicode.h"

namespace leon {
namespace {

// --- hashing ----------------------------------------------------------------------------------------------------

// FNV-1a over the bytes, then the mixer of SplitMix64: both fixed for ever, since banks keep what comes of them.
uint64_t hash_bytes(std::string_view bytes, uint64_t seed) {
    uint64_t hash = 0xcbf29ce484222325 ^ seed;
    for (char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111eb;
    return hash ^ hash >> 31;
}

enum FeatureKind : uint64_t { WORD = 1, PAIR = 2, CHARACTERS = 3, CODE = 4 };

struct Feature {
    uint64_t hash;
    float weight;
};

std::vector<float> hashed(std::vector<Feature>& features) {
    std::sort(features.begin(), features.end(), [](const Feature& a, const Feature& b) {
        return std::pair(a.hash, a.weight) < std::pair(b.hash, b.weight);
    });
    std::vector<float> vector(NATIVE_PART_DIM, 0.0f);
    for (size_t i = 0; i < features.size();) {
        size_t end = i;
        while (end < features.size() && features[end].hash == features[i].hash) end++;
        const float value = features[i].weight * (1 + std::log(static_cast<float>(end - i)));
        vector[(features[i].hash >> 1) % NATIVE_PART_DIM] += features[i].hash & 1 ? value : -value;
        i = end;
    }
    normalise(vector);
    return vector;
}

// --- text -------------------------------------------------------------------------------------------------------

constexpr float CHARACTERS_SHARE = 0.7f;  // of a word's weight, spread over its character n-grams
constexpr float PAIR_SHARE = 0.5f;        // of the two words' mean
constexpr int SHORTEST_GRAM = 3, LONGEST_GRAM = 4;

struct Word {
    std::string text;                // lower case, between < and >
    std::vector<uint32_t> boundary;  // where its code points begin, and the end

    int letters() const { return static_cast<int>(boundary.size()) - 3; }
    // Short words are common words, in most languages: "a" weighs a third of "elephant".
    float weight() const { return static_cast<float>(letters()) / static_cast<float>(letters() + 3); }
};

// Words are what stands between spaces and punctuation; a sign without either (an emoji) is a word, too.
std::vector<Word> words_of(std::string_view text) {
    const CodePointClasses& classes = CodePointClasses::get();
    std::vector<Word> words;
    bool inside = false;
    auto append = [&](std::string_view bytes) {
        words.back().boundary.push_back(static_cast<uint32_t>(words.back().text.size()));
        words.back().text += bytes;
    };
    auto end_word = [&] {
        if (!inside) return;
        append(">");
        words.back().boundary.push_back(static_cast<uint32_t>(words.back().text.size()));
        inside = false;
    };
    for (size_t at = 0; at < text.size();) {
        const CodePoint point = code_point_at(text.data() + at);
        const uint8_t of = classes.of(point.value);
        if (point.value < 0x21 || of & (code_point_class::SPACE | code_point_class::PUNCTUATION)) {
            end_word();
        } else {
            if (!inside) {
                words.emplace_back();
                append("<");
                inside = true;
            }
            const char lower = static_cast<char>(point.value | 0x20);
            append(point.value >= 'A' && point.value <= 'Z' ? std::string_view(&lower, 1)
                                                            : text.substr(at, point.bytes));
        }
        at += point.bytes;
    }
    end_word();
    return words;
}

void add_character_grams(std::vector<Feature>& features, const Word& word) {
    const int points = word.letters() + 2;
    int grams = 0;
    for (int n = SHORTEST_GRAM; n <= LONGEST_GRAM; n++) grams += std::max(0, points - n + 1);
    const float weight = CHARACTERS_SHARE * word.weight() / std::sqrt(static_cast<float>(std::max(1, grams)));
    for (int n = SHORTEST_GRAM; n <= LONGEST_GRAM; n++)
        for (int i = 0; i + n <= points; i++) {
            const std::string_view gram =
                std::string_view(word.text).substr(word.boundary[i], word.boundary[i + n] - word.boundary[i]);
            features.push_back({hash_bytes(gram, CHARACTERS), weight});
        }
}

// --- pictures ---------------------------------------------------------------------------------------------------

constexpr int QUARTERS = 2;                            // a side
constexpr uint64_t WHOLE_FRAME = QUARTERS * QUARTERS;  // the number of the region that is all of it
constexpr float QUARTER_SHARE = 0.5f;

uint64_t hash_code(int32_t code, uint64_t region) {
    char bytes[5];
    for (int i = 0; i < 4; i++) bytes[i] = static_cast<char>(static_cast<uint32_t>(code) >> (8 * i));
    bytes[4] = static_cast<char>(region);
    return hash_bytes({bytes, sizeof(bytes)}, CODE);
}

}  // namespace

std::vector<float> hashed_text(const std::string& text) {
    if (auto invalid = find_invalid_utf8(text))
        throw Error("is not valid UTF-8 at byte " + std::to_string(*invalid), "the text");
    const std::vector<Word> words = words_of(text);
    std::vector<Feature> features;
    for (size_t i = 0; i < words.size(); i++) {
        features.push_back({hash_bytes(words[i].text, WORD), words[i].weight()});
        add_character_grams(features, words[i]);
        if (i > 0)
            features.push_back({hash_bytes(words[i - 1].text + words[i].text, PAIR),
                                PAIR_SHARE * (words[i - 1].weight() + words[i].weight()) / 2});
    }
    return hashed(features);
}

std::vector<float> hashed_codes(std::span<const int32_t> codes, int rows, int cols) {
    CHECK(codes.size() == static_cast<size_t>(rows) * static_cast<size_t>(cols));
    std::vector<Feature> features;
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < cols; x++) {
            const int32_t code = codes[static_cast<size_t>(y) * cols + x];
            const uint64_t quarter = static_cast<uint64_t>(y * QUARTERS / rows * QUARTERS + x * QUARTERS / cols);
            features.push_back({hash_code(code, WHOLE_FRAME), 1.0f});
            features.push_back({hash_code(code, quarter), QUARTER_SHARE});
        }
    return hashed(features);
}

NativeEmbedder::NativeEmbedder(const Vqgan& vqgan, const WeightsFile& file) : vqgan_(vqgan) {
    const VqganConfig& config = vqgan.config();
    if (!config.encoder)
        throw Error("the file holds no VQGAN encoder, so it cannot tell what pictures look like", file.path(),
                    "name another model, or another embedder");
    const Tensor codebook = file.vector("vqgan.codebook", {config.codes, config.code_dim});
    const uint64_t identity =
        hash_bytes({static_cast<const char*>(codebook.data), static_cast<size_t>(codebook.bytes())}, 0);
    name_ = NATIVE_EMBEDDER_PREFIX + format("text%d codes%d of %d at %d, codebook %016llx", NATIVE_PART_DIM,
                                            NATIVE_PART_DIM, config.codes, config.resolution,
                                            static_cast<unsigned long long>(identity));
}

std::vector<float> NativeEmbedder::text(const std::string& text) const {
    std::vector<float> vector = hashed_text(text);
    vector.resize(static_cast<size_t>(dim()), 0.0f);
    return vector;
}

std::vector<float> NativeEmbedder::picture(const Picture& picture) const {
    const int side = vqgan_.config().resolution, cells = side / vqgan_.config().patch();
    const std::vector<int32_t> codes = vqgan_.encode(to_floats(chameleon_preprocess(picture, side)), side, side);
    const std::vector<float> part = hashed_codes(codes, cells, cells);
    std::vector<float> vector(static_cast<size_t>(NATIVE_PART_DIM), 0.0f);
    vector.insert(vector.end(), part.begin(), part.end());
    return vector;
}

}  // namespace leon
