// See meta_checkpoint.h. Which dimension is divided among the ranks is a table, after Megatron's scheme: columns of the
// embedding and of what follows a divided dimension (wo, w2), rows of everything else.
#include "weights_converter/meta_checkpoint.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <vector>

#include "runtime/format.h"
#include "runtime/weights_file.h"
#include "weights_converter/foreign_config.h"
#include "weights_converter/name_maps.h"
#include "weights_converter/side_files.h"
#include "weights_converter/torch_file.h"

namespace leon {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int PUBLISHED_CONTEXT = 4096;
constexpr float PUBLISHED_THETA = 10000;

enum class Join {
    Rows,     // below one another
    Columns,  // beside one another
    Vectors,  // a rank's vector is a row
    Same,     // every rank has all of it; the first one's counts
};

struct JoinRule {
    const char* name;
    Join join;
};
constexpr JoinRule RULES[] = {
    {"tok_embeddings.weight", Join::Columns},
    {"layers.*.attention.wqkv.weight", Join::Rows},
    {"layers.*.attention.wq.weight", Join::Rows},
    {"layers.*.attention.wk.weight", Join::Rows},
    {"layers.*.attention.wv.weight", Join::Rows},
    {"layers.*.attention.wo.weight", Join::Columns},
    {"layers.*.attention.q_normalization.weight", Join::Vectors},
    {"layers.*.attention.q_normalization.bias", Join::Vectors},
    {"layers.*.attention.k_normalization.weight", Join::Vectors},
    {"layers.*.attention.k_normalization.bias", Join::Vectors},
    {"layers.*.feed_forward.w13.weight", Join::Rows},
    {"layers.*.feed_forward.w1.weight", Join::Rows},
    {"layers.*.feed_forward.w3.weight", Join::Rows},
    {"layers.*.feed_forward.w2.weight", Join::Columns},
    {"output.weight", Join::Rows},
};
constexpr const char* FUSED_QKV = "layers.*.attention.wqkv.weight";
constexpr const char* FUSED_GATE_UP = "layers.*.feed_forward.w13.weight";

Join join_of(const std::string& name) {
    std::string star;
    for (const JoinRule& rule : RULES)
        if (match(rule.name, name, star)) return rule.join;
    return Join::Same;
}

// Rows of one rank's tensor: a part of a joined one.
struct Piece {
    const Checkpoint* rank;
    const SourceTensor* tensor;
    int64_t first = 0, rows = 0;
};

struct Joined {
    Join join;
    std::vector<Piece> pieces;  // in order of the ranks
};

class JoinedCheckpoint : public Checkpoint {
public:
    JoinedCheckpoint(std::vector<std::unique_ptr<Checkpoint>> ranks, const TransformerConfig& config)
        : ranks_(std::move(ranks)), config_(config) {
        for (const auto& [name, tensor] : ranks_[0]->tensors()) add(name);
        for (const auto& rank : ranks_)
            for (const auto& [name, tensor] : rank->tensors())
                if (!ranks_[0]->tensors().count(name))
                    throw Error("tensor " + in_quotes(name) + " is not in the first rank's file", tensor.file);
    }

    const std::map<std::string, SourceTensor>& tensors() const override { return tensors_; }

    void read_rows(const SourceTensor& tensor, int64_t first, int64_t count, float* out) const override {
        const Joined& joined = joined_.at(tensor.name);
        switch (joined.join) {
            case Join::Same:
                joined.pieces[0].rank->read_rows(*joined.pieces[0].tensor, first, count, out);
                return;
            case Join::Vectors:
                for (int64_t row = first; row < first + count; row++, out += tensor.row_elements()) {
                    const Piece& piece = joined.pieces[static_cast<size_t>(row)];
                    piece.rank->read_rows(*piece.tensor, 0, piece.tensor->rows(), out);
                }
                return;
            case Join::Rows:
                read_stacked(joined, tensor.row_elements(), first, count, out);
                return;
            case Join::Columns:
                read_beside(joined, tensor.row_elements(), first, count, out);
                return;
        }
    }

    void expect_rows(const SourceTensor& tensor, int64_t first, int64_t count) const override {
        const Joined& joined = joined_.at(tensor.name);
        int64_t begin = 0;  // of a piece, in rows of the whole
        for (const Piece& piece : joined.pieces) {
            const bool beside = joined.join == Join::Columns;
            const int64_t from = beside ? first : std::max(first, begin) - begin;
            const int64_t to = beside ? first + count : std::min(first + count, begin + piece.rows) - begin;
            if ((beside || joined.join == Join::Rows) && from < to)
                piece.rank->expect_rows(*piece.tensor, piece.first + from, to - from);
            begin += piece.rows;
        }
    }

    void forget_pages() const override {
        for (const auto& rank : ranks_) rank->forget_pages();
    }

private:
    void read_stacked(const Joined& joined, int64_t width, int64_t first, int64_t count, float* out) const {
        int64_t begin = 0;  // of a piece, in rows of the whole
        for (const Piece& piece : joined.pieces) {
            const int64_t from = std::max(first, begin), to = std::min(first + count, begin + piece.rows);
            if (from < to)
                piece.rank->read_rows(*piece.tensor, piece.first + from - begin, to - from,
                                      out + (from - first) * width);
            begin += piece.rows;
        }
    }
    void read_beside(const Joined& joined, int64_t width, int64_t first, int64_t count, float* out) const {
        std::vector<float> part;
        for (const Piece& piece : joined.pieces) {
            const int64_t columns = piece.tensor->row_elements();
            part.resize(static_cast<size_t>(count * columns));
            piece.rank->read_rows(*piece.tensor, first, count, part.data());
            for (int64_t row = 0; row < count; row++)
                std::memcpy(out + row * width, part.data() + row * columns,
                            static_cast<size_t>(columns) * sizeof(float));
            out += columns;
        }
    }

    // All ranks' tensors of a name, alike in type, and in shape.
    std::vector<Piece> pieces_of(const std::string& name) const {
        std::vector<Piece> pieces;
        const SourceTensor& model = ranks_[0]->tensors().at(name);
        if (model.shape.empty() || model.shape.size() > 2)
            throw Error("tensor " + in_quotes(name) + " is " + shape_text(model.shape), model.file,
                        "matrices and vectors are expected");
        for (const auto& rank : ranks_) {
            const auto found = rank->tensors().find(name);
            if (found == rank->tensors().end())
                throw Error("tensor " + in_quotes(name) + " is missing", rank->tensors().begin()->second.file);
            const SourceTensor& tensor = found->second;
            if (tensor.shape != model.shape || tensor.dtype != model.dtype)
                throw Error("tensor " + in_quotes(name) + " is " + tensor.dtype + " " + shape_text(tensor.shape) +
                                ", but the first rank's is " + model.dtype + " " + shape_text(model.shape),
                            tensor.file);
            pieces.push_back({rank.get(), &tensor, 0, tensor.rows()});
        }
        return pieces;
    }

    void add(const std::string& name) {
        const Join join = join_of(name);
        std::vector<Piece> pieces = pieces_of(name);
        std::string star;
        if (match(FUSED_QKV, name, star)) {
            const int64_t ranks = static_cast<int64_t>(ranks_.size()), head_dim = config_.head_dim;
            const int64_t q = config_.heads * head_dim / ranks, kv = config_.kv_heads * head_dim / ranks;
            take_apart(pieces, "layers." + star + ".attention.", {{"wq", q}, {"wk", kv}, {"wv", kv}});
        } else if (match(FUSED_GATE_UP, name, star)) {
            const int64_t half = pieces[0].rows / 2;
            take_apart(pieces, "layers." + star + ".feed_forward.", {{"w1", half}, {"w3", half}});
        } else {
            keep(name, join, std::move(pieces));
        }
    }

    // Parts below one another in every rank's tensor.
    void take_apart(const std::vector<Piece>& whole, const std::string& prefix,
                    const std::vector<std::pair<const char*, int64_t>>& parts) {
        int64_t first = 0;
        for (const auto& [part, rows] : parts) first += rows;
        const SourceTensor& tensor = *whole[0].tensor;
        if (first != tensor.rows())
            throw Error("tensor " + in_quotes(tensor.name) + " is " + shape_text(tensor.shape) + ", but " +
                            std::to_string(first) + " rows are expected",
                        tensor.file);
        first = 0;
        for (const auto& [part, rows] : parts) {
            std::vector<Piece> pieces = whole;
            for (Piece& piece : pieces) {
                piece.first = first;
                piece.rows = rows;
            }
            first += rows;
            keep(prefix + part + ".weight", Join::Rows, std::move(pieces));
        }
    }

    void keep(const std::string& name, Join join, std::vector<Piece> pieces) {
        SourceTensor tensor = *pieces[0].tensor;
        const int64_t ranks = static_cast<int64_t>(pieces.size());
        tensor.name = name;
        if (join == Join::Vectors) {
            if (tensor.shape.size() != 1)
                throw Error(
                    "tensor " + in_quotes(name) + " is " + shape_text(tensor.shape) + ", but a vector is needed",
                    tensor.file);
            tensor.shape.insert(tensor.shape.begin(), ranks);
        }
        if (join == Join::Rows) tensor.shape[0] = pieces[0].rows * ranks;
        if (join == Join::Columns) {
            if (tensor.shape.size() != 2)
                throw Error(
                    "tensor " + in_quotes(name) + " is " + shape_text(tensor.shape) + ", but a matrix is needed",
                    tensor.file);
            tensor.shape[1] *= ranks;
        }
        const std::string file = tensor.file;
        if (!tensors_.insert({name, std::move(tensor)}).second)
            throw Error("tensor " + in_quotes(name) + " is there twice, alone and within another", file);
        joined_[name] = {join, std::move(pieces)};
    }

    std::vector<std::unique_ptr<Checkpoint>> ranks_;
    const TransformerConfig config_;
    std::map<std::string, SourceTensor> tensors_;
    std::map<std::string, Joined> joined_;
};

std::string in_folder(const std::string& folder, const std::string& file) {
    return (fs::path(folder) / file).string();
}

std::string rank_file(const std::string& folder, int rank) {
    return in_folder(folder, format("consolidated.%02d.pth", rank));
}

std::vector<std::string> files_of(const std::string& folder) {
    const std::string single = in_folder(folder, "consolidated.pth");
    if (is_file(single)) return {single};
    std::vector<std::string> files;
    while (is_file(rank_file(folder, static_cast<int>(files.size()))))
        files.push_back(rank_file(folder, static_cast<int>(files.size())));
    return files;
}

// params.json, over which its own "model" is laid, over which consolidate_params.json is.
json effective_parameters(const std::string& folder) {
    const std::string path = in_folder(folder, "params.json"), later = in_folder(folder, "consolidate_params.json");
    json merged = read_json_object(path);
    if (const auto model = merged.find("model"); model != merged.end() && !model->is_null()) {
        if (!model->is_object()) throw Error("'model' must be an object", path);
        const json inner = *model;
        merged.update(inner);
    }
    if (is_file(later)) merged.update(read_json_object(later));
    return merged;
}

CheckpointConfig read_parameters(const std::string& folder, int files) {
    const json merged = effective_parameters(folder);
    const ForeignConfig config(merged, "", in_folder(folder, "params.json"));
    CheckpointConfig result;
    result.family = CheckpointFamily::Meta;
    result.model_parallel_size = files;
    if (config.integer("model_parallel_size", files) != files)
        throw Error("holds " + std::to_string(files) + " of the " +
                        std::to_string(config.integer("model_parallel_size")) +
                        " files that consolidate_params.json speaks of",
                    folder);
    config.require_or_absent("qk_normalization", true);
    TransformerConfig& t = result.transformer;
    t = chameleon_transformer(config.boolean("swin_norm", false));
    t.layers = config.integer("n_layers");
    t.dim = config.integer("dim");
    t.heads = config.integer("n_heads");
    t.kv_heads = config.integer("n_kv_heads", t.heads);
    if (t.heads == 0 || t.dim % t.heads != 0)
        throw Error("'dim' " + std::to_string(t.dim) + " is not a multiple of 'n_heads' " + std::to_string(t.heads),
                    config.where());
    if (t.heads % files != 0 || t.kv_heads % files != 0)
        throw Error("the heads cannot be divided among " + std::to_string(files) + " files", config.where());
    t.head_dim = t.dim / t.heads;
    t.vocab = config.integer("vocab_size");
    t.context = config.integer("max_seq_len", PUBLISHED_CONTEXT);
    t.norm_eps = config.number("norm_eps");
    t.rope_theta = config.number("rope_theta", PUBLISHED_THETA);
    return result;
}

}  // namespace

bool is_meta_folder(const std::string& folder) {
    return !files_of(folder).empty();
}

bool holds_meta_files(const std::string& folder) {
    constexpr int MOST_RANKS = 64;
    if (is_meta_folder(folder)) return true;
    for (int rank = 0; rank < MOST_RANKS; rank++)
        if (is_file(rank_file(folder, rank))) return true;
    return false;
}

MetaCheckpoint open_meta(const std::string& folder) {
    const std::vector<std::string> files = files_of(folder);
    MetaCheckpoint meta;
    meta.config = read_parameters(folder, static_cast<int>(files.size()));
    std::vector<std::unique_ptr<Checkpoint>> ranks;
    for (const std::string& file : files) {
        ranks.push_back(open_torch(file, {}));
        if (ranks.back()->tensors().empty()) throw Error("holds no tensors", file);
    }
    meta.checkpoint = std::make_unique<JoinedCheckpoint>(std::move(ranks), meta.config.transformer);
    // The parameters do not say how wide the feed-forward network is.
    const auto gate = meta.checkpoint->tensors().find("layers.0.feed_forward.w1.weight");
    if (gate == meta.checkpoint->tensors().end())
        throw Error("tensor 'layers.0.feed_forward.w1.weight' is missing", files[0]);
    meta.config.transformer.ffn_dim = static_cast<int>(std::min<int64_t>(gate->second.rows(), INT32_MAX));
    return meta;
}

}  // namespace leon
