// One step of the pipeline at a time; see workbench.h.
#include "tasks/workbench.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <istream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <ostream>

#include "runtime/npy.h"
#include "runtime/sampler.h"

namespace leon {

namespace {

constexpr int LOGIT_ROWS = 128;  // at a time

}  // namespace

int check_tokens(const Model& model, std::span<const int32_t> tokens, const std::string& where) {
    const TransformerConfig& config = model.config().transformer;
    const int count = static_cast<int>(std::min<size_t>(tokens.size(), INT32_MAX));
    if (count == 0) throw Error("holds no tokens", where);
    if (count > config.context)
        throw Error(
            "holds " + std::to_string(count) + " tokens, but the model's context is " + std::to_string(config.context),
            where);
    for (int i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= config.vocab)
            throw Error("token " + std::to_string(i) + " is " + std::to_string(tokens[i]) +
                            ", outside the vocabulary of " + std::to_string(config.vocab),
                        where);
    return count;
}

LogitReader::LogitReader(const Model& model, std::span<const int32_t> tokens, const std::string& where,
                         DType cache_dtype)
    : tokens_(tokens),
      chunk_(std::min(check_tokens(model, tokens, where), LOGIT_ROWS)),
      network_(model.config().transformer, model.weights(), model.kernels(), chunk_, chunk_),
      cache_(model.config().transformer, model.kernels(), 1, static_cast<int>(tokens.size()),
             (static_cast<int>(tokens.size()) + PAGE_TOKENS - 1) / PAGE_TOKENS, cache_dtype) {
    stream_ = cache_.add_stream();
}

std::span<const float> LogitReader::next() {
    const int rows = std::min(chunk_, static_cast<int>(tokens_.size()) - done_);
    CHECK(rows > 0);
    Batch batch;
    for (int i = 0; i < rows; i++) batch.add(tokens_[done_ + i], stream_, done_ + i, WantLogits::Yes);
    done_ += rows;
    const size_t vocab = static_cast<size_t>(network_.config().vocab);
    return {network_.forward(cache_, batch), static_cast<size_t>(rows) * vocab};
}

std::vector<float> logits(const Model& model, std::span<const int32_t> tokens, const std::string& where,
                          GenerateStatistics* statistics) {
    const auto start = std::chrono::steady_clock::now();
    LogitReader reader(model, tokens, where);
    const size_t size = tokens.size() * static_cast<size_t>(model.config().transformer.vocab);
    std::vector<float> all;
    all.reserve(size);
    while (all.size() < size) {
        const std::span<const float> rows = reader.next();
        all.insert(all.end(), rows.begin(), rows.end());
    }
    if (statistics) {
        statistics->prompt_tokens += static_cast<int>(tokens.size());
        statistics->prefill_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    return all;
}

CodeGrid encode_picture(const Model& model, const Picture& picture, Fit fit) {
    const Vqgan& encoder = model.encoder();
    const int patch = model.config().vqgan.patch();
    const Picture frame = fit == Fit::Raw ? picture : chameleon_preprocess(picture, model.config().vqgan.resolution);
    return {frame.height / patch, frame.width / patch, encoder.encode(to_floats(frame), frame.height, frame.width)};
}

DecodedGrid decode_grid(const Model& model, std::span<const int32_t> codes, std::span<const int64_t> shape,
                        const std::string& where) {
    constexpr int64_t MAX_SIDE = 1024;  // tokens; 16,384 pixels at Chameleon's patch
    CHECK(shape.size() == 2 && shape[0] * shape[1] == static_cast<int64_t>(codes.size()));
    if (codes.empty() || shape[0] > MAX_SIDE || shape[1] > MAX_SIDE)
        throw Error(
            "a grid of " + std::to_string(shape[0]) + "x" + std::to_string(shape[1]) + " codes cannot be decoded",
            where, "1 to " + std::to_string(MAX_SIDE) + " a side");
    const Vqgan& decoder = model.decoder();
    const VqganConfig& config = model.config().vqgan;
    for (size_t i = 0; i < codes.size(); i++)
        if (codes[i] < 0 || codes[i] >= config.codes)
            throw Error("code " + std::to_string(i) + " is " + std::to_string(codes[i]) + ", outside the codebook of " +
                            std::to_string(config.codes),
                        where);
    const int rows = static_cast<int>(shape[0]), cols = static_cast<int>(shape[1]), patch = config.patch();
    return {decoder.decode(codes, rows, cols), rows * patch, cols * patch};
}

std::vector<float> planes(std::span<const float> pixels, int height, int width) {
    const size_t area = size_t(height) * width;
    CHECK(pixels.size() == area * 3);
    std::vector<float> out(area * 3);
    for (size_t i = 0; i < area; i++)
        for (size_t c = 0; c < 3; c++) out[c * area + i] = pixels[i * 3 + c];
    return out;
}

namespace {

// A whole decimal number between 1 and 16384, or -1.
int side(std::string_view text) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() && value >= 1 && value <= 16384 ? value : -1;
}

}  // namespace

Picture preprocess(const Picture& picture, const std::string& rule) {
    const size_t colon = rule.find(':');
    const std::string name = rule.substr(0, colon), size = colon == std::string::npos ? "" : rule.substr(colon + 1);
    if (rule == "rgb") return picture;
    if (name == "chameleon" && side(size) > 0) return chameleon_preprocess(picture, side(size));
    if (const size_t by = size.find('x'); by != std::string::npos) {
        const int width = side(std::string_view(size).substr(0, by)),
                  height = side(std::string_view(size).substr(by + 1));
        if (width > 0 && height > 0) {
            if (name == "lumina") return lumina_preprocess(picture, width, height);
            if (name == "box") return resize(picture, width, height, Filter::Box);
            if (name == "bilinear") return resize(picture, width, height, Filter::Bilinear);
            if (name == "bicubic") return resize(picture, width, height, Filter::Bicubic);
            if (name == "lanczos") return resize(picture, width, height, Filter::Lanczos);
        }
    }
    throw Error("'" + rule + "' is not a rule", "--rule",
                "write chameleon:SIZE, lumina:WIDTHxHEIGHT, rgb, or a filter such as lanczos:WIDTHxHEIGHT");
}

Tokenizer open_tokenizer(const std::string& path) {
    if (path.ends_with(".json")) {
        const std::vector<uint8_t> content = read_file(path);
        return Tokenizer(std::string_view(reinterpret_cast<const char*>(content.data()), content.size()), path);
    }
    WeightsFile file(path);
    if (file.tokenizer_json().empty()) throw Error("the file holds no tokenizer", path);
    return Tokenizer(file.tokenizer_json(), path);
}

namespace {

using Json = nlohmann::json;

std::string line_name(size_t line) {
    return "standard input, line " + std::to_string(line);
}

// The member of a JSON line, of the type that `get` wants.
template <class T>
T member(const std::string& text, const char* key, size_t line) {
    Json value = Json::parse(text, nullptr, false);
    if (value.is_discarded() || !value.is_object() || !value.contains(key))
        throw Error(std::string("is not a JSON object with \"") + key + "\"", line_name(line));
    try {
        return value[key].get<T>();
    } catch (const Json::exception&) {
        throw Error(std::string("\"") + key + "\" has the wrong type", line_name(line));
    }
}

std::vector<int32_t> read_ids(std::istream& in) {
    std::vector<int32_t> ids;
    std::string word;
    while (in >> word) {
        int32_t id = 0;
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
        if (error != std::errc() || end != word.data() + word.size())
            throw Error("'" + word.substr(0, 40) + "' is not a token id", "standard input");
        ids.push_back(id);
    }
    return ids;
}

}  // namespace

void tokenize(const Tokenizer& tokenizer, std::istream& in, std::ostream& out, LineFormat format,
              ControlTokens control) {
    if (format == LineFormat::Plain) {
        const std::string text{std::istreambuf_iterator<char>(in), {}};
        const char* separator = "";
        for (int32_t id : tokenizer.encode(text, control)) out << std::exchange(separator, " ") << id;
        out << '\n';
        return;
    }
    std::string line;
    for (size_t number = 1; std::getline(in, line); number++) {
        if (line.empty()) continue;
        const Json ids = tokenizer.encode(member<std::string>(line, "text", number), control);
        out << Json{{"ids", ids}}.dump() << '\n';
    }
}

void detokenize(const Tokenizer& tokenizer, std::istream& in, std::ostream& out, LineFormat format) {
    if (format == LineFormat::Plain) {
        out << tokenizer.decode(read_ids(in));
        return;
    }
    std::string line;
    for (size_t number = 1; std::getline(in, line); number++) {
        if (line.empty()) continue;
        const std::string text = tokenizer.decode(member<std::vector<int32_t>>(line, "ids", number));
        // Ids may cut a character in two; JSON can only hold whole ones. In ASCII alone: U+2028 ends a line for some.
        out << Json{{"text", text}}.dump(-1, ' ', true, Json::error_handler_t::replace) << '\n';
    }
}

void probabilities(const std::string& logits_path, const std::string& chain_path, const std::string& ids_path,
                   const std::string& output_path) {
    const Array stored = load_npy(logits_path);
    const std::vector<uint8_t> text = read_file(chain_path);
    const SamplerChain chain = parse_chain(std::string(text.begin(), text.end()), chain_path);
    if (stored.shape.empty() || stored.shape.size() > 2 || stored.elements() == 0)
        throw Error("logits must have the shape [streams, vocab] or [vocab]", logits_path);
    const int vocab = static_cast<int>(stored.shape.back());
    const int streams = static_cast<int>(stored.elements() / vocab);
    if (streams != streams_of(chain.mix))
        throw Error("holds " + std::to_string(streams) + " streams, but the chain's mix takes " +
                        std::to_string(streams_of(chain.mix)),
                    logits_path);
    check_chain(chain, vocab, chain_path);
    const std::vector<int32_t> ids = ids_path.empty() ? std::vector<int32_t>{} : load_npy(ids_path).ints(ids_path);
    for (int32_t id : ids)
        if (id < 0 || id >= vocab) throw Error("id " + std::to_string(id) + " is outside the logits", ids_path);
    const std::vector<float> values = stored.floats(logits_path);
    std::vector<const float*> rows(streams);
    for (int s = 0; s < streams; s++) rows[s] = values.data() + size_t(s) * vocab;
    const std::vector<float> result = softmax(score(chain, rows, vocab, ids));
    save_npy(output_path, result.data(), {vocab});
}

}  // namespace leon
