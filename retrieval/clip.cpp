// CLIP's forward passes; see clip.h. A layer reads like the paper: pre-norm, biases, no dropout. Its attention is the
// table's, over keys and values in a cache of one stream; a row that stands at the last position sees all of them.
#include "retrieval/clip.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "runtime/state.h"

namespace leon {

// One tower's working memory, for as many rows as it ever has.
class ClipTowerRun {
public:
    enum class Sees { Before, All };  // what a row attends to: itself and the rows before it, or every row

    ClipTowerRun(const Kernels& kernels, const ClipTower& config, const ClipTowerWeights& weights, int rows, int out)
        : k_(kernels),
          c_(config),
          w_(weights),
          x_(kernels, DType::F32, {rows, config.dim}),
          normed_(kernels, DType::F32, {rows, config.dim}),
          q_(kernels, DType::F32, {rows, config.heads, config.head_dim()}),
          k_rows_(kernels, DType::F32, {rows, config.heads, config.head_dim()}),
          v_(kernels, DType::F32, {rows, config.heads, config.head_dim()}),
          mixed_(kernels, DType::F32, {rows, config.heads, config.head_dim()}),
          up_(kernels, DType::F32, {rows, config.ffn_dim}),
          keys_(kernels, DType::F32, {pages(rows), config.heads, PAGE_TOKENS, config.head_dim()}),
          values_(kernels, DType::F32, {pages(rows), config.heads, PAGE_TOKENS, config.head_dim()}),
          page_table_(kernels, DType::I32, {1, pages(rows)}),
          stream_(kernels, DType::I32, {rows}),
          position_(kernels, DType::I32, {rows}),
          seen_(kernels, DType::I32, {rows}),
          out_(kernels, DType::F32, {1, out}) {
        std::vector<int32_t> numbers(static_cast<size_t>(rows));
        std::iota(numbers.begin(), numbers.end(), 0);
        position_.fill_from(numbers.data(), numbers.size() * sizeof(int32_t));
        page_table_.fill_from(numbers.data(), static_cast<size_t>(pages(rows)) * sizeof(int32_t));
        zeros_.assign(static_cast<size_t>(rows), 0);
        stream_.fill_from(zeros_.data(), zeros_.size() * sizeof(int32_t));
    }

    Tensor x(int rows) const { return x_.first(rows); }
    Tensor position(int rows) const { return position_.first(rows); }
    Tensor zero() const { return stream_.first(1); }

    // The layers over x [rows, dim], in place.
    void run(int rows, Sees sees) {
        std::vector<int32_t> last(static_cast<size_t>(rows));
        std::iota(last.begin(), last.end(), 0);
        if (sees == Sees::All) std::fill(last.begin(), last.end(), rows - 1);
        seen_.fill_from(last.data(), last.size() * sizeof(int32_t));
        for (const ClipLayerWeights& layer : w_.layers) run_layer(layer, rows);
    }

    // projection * norm(x[row]), on the host.
    std::vector<float> project(int row) {
        layernorm(k_, normed_.first(1), x_.tensor().slice(row, 1), w_.norm.weight, w_.norm.bias, c_.norm_eps);
        matmul(k_, out_.tensor(), normed_.first(1), w_.projection);
        std::vector<float> result(static_cast<size_t>(out_.tensor().elements()));
        download(k_, result.data(), out_.tensor().data, out_.tensor().bytes());
        return result;
    }

private:
    static int64_t pages(int rows) { return (rows + PAGE_TOKENS - 1) / PAGE_TOKENS; }

    void linear(Tensor out, Tensor x, const ClipAffine& w) {
        matmul(k_, out, x, w.weight);
        add(k_, out, w.bias);
    }
    void linear_add(Tensor x, Tensor branch, const ClipAffine& w) {  // x += branch * weight^T + bias
        matmul_add(k_, x, branch, w.weight);
        add(k_, x, w.bias);
    }

    void run_layer(const ClipLayerWeights& w, int rows) {
        const Tensor x = x_.first(rows), normed = normed_.first(rows), up = up_.first(rows);
        const Tensor q = q_.first(rows), k = k_rows_.first(rows), v = v_.first(rows), mixed = mixed_.first(rows);
        const auto flat = [&](const Tensor& t) { return t.as({rows, c_.dim}); };
        const KvPages cache = {keys_.tensor(), values_.tensor(), page_table_.tensor()};
        const Placement at = {stream_.first(rows), position_.first(rows)};
        const Placement seen = {stream_.first(rows), seen_.first(rows)};

        layernorm(k_, normed, x, w.attention_norm.weight, w.attention_norm.bias, c_.norm_eps);
        linear(flat(q), normed, w.q);
        linear(flat(k), normed, w.k);
        linear(flat(v), normed, w.v);
        append(k_, cache, k, v, at);
        attention(k_, mixed, q, cache, seen);
        linear_add(x, flat(mixed), w.o);

        layernorm(k_, normed, x, w.ffn_norm.weight, w.ffn_norm.bias, c_.norm_eps);
        linear(up, normed, w.up);
        activate(k_, up, c_.activation);
        linear_add(x, up, w.down);
    }

    const Kernels& k_;
    const ClipTower c_;
    const ClipTowerWeights& w_;
    Buffer x_, normed_, q_, k_rows_, v_, mixed_, up_;
    Buffer keys_, values_, page_table_;
    Buffer stream_, position_, seen_;
    Buffer out_;
    std::vector<int32_t> zeros_;
};

namespace {

constexpr const char* START = "<|startoftext|>";
constexpr const char* END = "<|endoftext|>";

ClipConfig read_config(const WeightsFile& file) {
    const ModelConfig config = parse_config(file.config_json(), file.path());
    if (!config.has_clip) throw Error("holds no CLIP", file.path(), "make one by leon convert, of a CLIP checkpoint");
    return config.clip;
}

uint64_t hash_bytes(const WeightsFile& file, const char* name, uint64_t hash) {  // FNV-1a
    const StoredTensor& tensor = *file.file().find(name);
    const uint8_t* bytes = file.file().data(tensor);
    for (size_t i = 0; i < tensor.bytes; i++) hash = (hash ^ bytes[i]) * 0x100000001b3;
    return hash;
}

}  // namespace

ClipEmbedder::ClipEmbedder(const std::string& path, const Kernels& kernels)
    : file_(path),
      kernels_(kernels),
      config_(read_config(file_)),
      weights_(bind_clip(file_, config_, kernels)),
      text_(std::make_unique<ClipTowerRun>(kernels, config_.text, weights_.text, config_.context, config_.dim)),
      vision_(std::make_unique<ClipTowerRun>(kernels, config_.vision, weights_.vision, config_.patches() + 1,
                                             config_.dim)) {
    uint64_t hash = hash_bytes(file_, "clip.text.projection", 0xcbf29ce484222325);
    hash = hash_bytes(file_, "clip.vision.projection", hash);
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
    name_ = std::string("clip-1 ") + digits;

    if (file_.tokenizer_json().empty()) return;
    tokenizer_.emplace(file_.tokenizer_json(), path);
    const auto id_of = [&](const char* token) {
        const auto id = tokenizer_->id(token);
        if (!id || !tokenizer_->is_added(*id))
            throw Error(std::string("the tokenizer has no control token ") + token, path);
        return *id;
    };
    start_ = id_of(START), end_ = id_of(END);
    if (tokenizer_->size() > config_.vocab)
        throw Error("the tokenizer has ids up to " + std::to_string(tokenizer_->size() - 1) +
                        ", the text tower rows for " + std::to_string(config_.vocab),
                    path);
}

ClipEmbedder::~ClipEmbedder() = default;

std::vector<int32_t> ClipEmbedder::tokens(const std::string& text) const {
    if (!tokenizer_) throw Error("holds no tokenizer, so it can embed pictures only", file_.path());
    std::vector<int32_t> ids = tokenizer_->encode(text, ControlTokens::AsText);
    ids.resize(std::min(ids.size(), static_cast<size_t>(config_.context - 2)));
    ids.insert(ids.begin(), start_);
    ids.push_back(end_);
    return ids;
}

std::vector<float> ClipEmbedder::text_row(std::span<const int32_t> ids) const {
    const int rows = static_cast<int>(ids.size());
    CHECK(rows > 0 && rows <= config_.context);
    for (int32_t id : ids) CHECK(id >= 0 && id < config_.vocab);
    const std::lock_guard lock(busy_);
    Buffer tokens(kernels_, DType::I32, {rows});
    tokens.fill_from(ids.data(), ids.size_bytes());
    gather(kernels_, text_->x(rows), weights_.embedding, tokens.tensor());
    gather_add(kernels_, text_->x(rows), weights_.text.positions, text_->position(rows), 0);
    text_->run(rows, ClipTowerRun::Sees::Before);
    return text_->project(rows - 1);
}

std::vector<float> ClipEmbedder::patches(const Picture& picture) const {
    const Picture square = clip_preprocess(picture, config_.side);
    const int patch = config_.patch, grid = config_.side / patch;
    std::vector<float> values;
    values.reserve(square.rgb.size());
    for (int row = 0; row < grid; row++)
        for (int column = 0; column < grid; column++)
            for (int y = 0; y < patch; y++)
                for (int x = 0; x < patch; x++)
                    for (int colour = 0; colour < 3; colour++) {
                        const float value = square.at(column * patch + x, row * patch + y)[colour] / 255.0f;
                        values.push_back((value - config_.mean[colour]) / config_.std[colour]);
                    }
    return values;
}

// The first convolution's stride is its width, so it is a product: of the patches, each one row.
std::vector<float> ClipEmbedder::picture_row(std::span<const float> patches) const {
    const int rows = config_.patches() + 1;
    const int64_t width = int64_t{3} * config_.patch * config_.patch;
    CHECK(static_cast<int64_t>(patches.size()) == config_.patches() * width);
    const std::lock_guard lock(busy_);
    Buffer pixels(kernels_, DType::F32, {config_.patches(), width});
    pixels.fill_from(patches.data(), patches.size_bytes());
    const Tensor x = vision_->x(rows);
    gather(kernels_, x.first(1), weights_.first_row, vision_->zero());
    matmul(kernels_, x.slice(1, rows - 1), pixels.tensor(), weights_.patches);
    gather_add(kernels_, x, weights_.vision.positions, vision_->position(rows), 0);
    layernorm(kernels_, x, x, weights_.first_norm.weight, weights_.first_norm.bias, config_.vision.norm_eps);
    vision_->run(rows, ClipTowerRun::Sees::All);
    return vision_->project(0);
}

std::vector<float> ClipEmbedder::unit(std::vector<float> row) const {
    double squares = 0;
    for (float value : row) squares += static_cast<double>(value) * value;
    if (!(squares > 0) || !std::isfinite(squares))
        throw Error("its towers give no finite vector other than zero", file_.path(), "convert the checkpoint again");
    for (float& value : row) value = static_cast<float>(value / std::sqrt(squares));
    return row;
}

std::vector<float> ClipEmbedder::text(const std::string& text) const {
    const std::vector<int32_t> ids = tokens(text);
    if (ids.size() == 2) return std::vector<float>(static_cast<size_t>(config_.dim));  // nothing was said
    return unit(text_row(ids));
}

std::vector<float> ClipEmbedder::picture(const Picture& picture) const {
    return unit(picture_row(patches(picture)));
}

}  // namespace leon
